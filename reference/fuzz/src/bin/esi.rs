//! Pages that include others: no page panics the reader, its text stays in order and within the page, and what is put
//! together from it is no longer than the page.
#![no_main]
#![allow(dead_code, reason = "the parser's file is taken as it is")]

#[path = "../../../src/cache/esi.rs"]
mod esi;

libfuzzer_sys::fuzz_target!(|page: &[u8]| {
    let mut end = 0;
    for piece in esi::read(page) {
        match piece {
            esi::Piece::Text(range) => {
                assert!(end <= range.start && range.start < range.end && range.end <= page.len());
                end = range.end;
            }
            esi::Piece::Include(include) => {
                assert!(!include.source.is_empty() && include.source.len() <= page.len())
            }
        }
    }
});
