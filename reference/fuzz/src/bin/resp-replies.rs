//! Replies of RESP: nothing panics, an element lies within its bytes and is the same with anything after it, less than all of
//! it is not taken for one, and what was read is read again when it is written down anew.
#![no_main]
#![allow(dead_code, reason = "the parsers' files are taken as they are")]

#[path = "../nowhere.rs"]
mod http;
#[path = "../../../src/resp/mod.rs"]
mod resp;
use resp::reply::parse_element;
use resp::{Element, Writer};

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let mut at = 0;
    while let Ok(Some((element, length))) = parse_element(&input[at..]) {
        assert!(0 < length && length <= input.len() - at);
        let bytes = &input[at..at + length];
        assert_eq!(parse_element(bytes), Ok(Some((element, length))));
        assert!((0..length).all(|cut| matches!(parse_element(&bytes[..cut]), Ok(None))));
        let mut written = Vec::new();
        let mut writer = Writer::new(&mut written, false);
        match element {
            Element::Integer(number) => writer.integer(number),
            Element::Bulk(Some(bytes)) => writer.bulk(bytes),
            Element::Bulk(None) => writer.null(),
            Element::Array(length) => writer.array(length),
            // A line may end in a line feed alone, and then hold a carriage return.
            Element::Simple(_) | Element::Error(_) => written.extend_from_slice(bytes),
        }
        assert_eq!(parse_element(&written), Ok(Some((element, written.len()))));
        at += length;
    }
});
