//! The header of tags: nothing panics, no tag is empty or could be read as two, however the field is cut into lines the tags
//! are the same, and the index knows of each entry what was said and nothing after it is gone.
#![no_main]
#![allow(dead_code, reason = "the parsers' files are taken as they are")]

#[path = "../../../src/cache/fields.rs"]
mod fields;
#[path = "../../../src/cache/tags.rs"]
mod tags;

use httparse::Header;

fn read<'b>(values: impl Iterator<Item = &'b [u8]>) -> Vec<&'b [u8]> {
    let headers: Vec<Header<'b>> = values.map(|value| Header { name: "xKey", value }).collect();
    tags::read(&headers, "xkey").collect()
}

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let whole = read(std::iter::once(input));
    assert!(whole.iter().all(|tag| !tag.is_empty() && !tag.iter().any(|b| *b == b',' || b.is_ascii_whitespace())));
    assert_eq!(whole, read(input.split(|b| *b == b',')));
    // A line for each entry.
    let mut index = tags::Tags::default();
    let lines: Vec<&[u8]> = input.split(|b| *b == b'\n').collect();
    for (id, line) in lines.iter().enumerate() {
        read(std::iter::once(*line)).iter().for_each(|tag| index.add(tag, id as u32));
    }
    for tag in &whole {
        let has = |line: &[u8]| read(std::iter::once(line)).contains(tag);
        let expected: Vec<u32> = (0..lines.len() as u32).filter(|id| has(lines[*id as usize])).collect();
        assert_eq!(index.of(tag), expected);
    }
    for (id, line) in lines.iter().enumerate() {
        read(std::iter::once(*line)).iter().for_each(|tag| index.remove(tag, id as u32));
    }
    assert!(whole.iter().all(|tag| index.of(tag).is_empty()));
});
