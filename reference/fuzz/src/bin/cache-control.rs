//! `Cache-Control` and its kin, dates, ranges and the order of a query's parameters: nothing panics, and what was made alike
//! stays alike.
#![no_main]
#![allow(dead_code, reason = "the parsers' files are taken as they are")]

#[path = "../../../src/cache/date.rs"]
mod date;
#[path = "../../../src/cache/directives.rs"]
mod directives;
#[path = "../../../src/cache/fields.rs"]
mod fields;
#[path = "../../../src/cache/normalise.rs"]
mod normalise;
#[path = "../../../src/cache/range.rs"]
mod range;
#[path = "../../../src/cache/vary.rs"]
mod vary;

use httparse::Header;

libfuzzer_sys::fuzz_target!(|value: &[u8]| {
    for name in ["cache-control", "surrogate-control", "cdn-cache-control"] {
        let told = directives::Directives::of_answer(&[Header { name, value }]);
        // Whatever is told twice is told once.
        let twice = [Header { name, value }, Header { name, value }];
        assert_eq!(told, directives::Directives::of_answer(&twice));
    }
    let _ = vary::Vary::read(&[Header { name: "vary", value }]);
    if let Some(seconds) =
        date::read(value, 1_767_225_600).filter(|seconds| (0..253_402_300_800).contains(seconds))
    {
        assert_eq!(date::read(date::write(seconds).as_bytes(), 0), Some(seconds));
    }
    if let range::Asked::Part(part) = range::read(value, 1000) {
        assert!(part.start < part.end && part.end <= 1000);
    }
    let (mut once, mut again) = (Vec::new(), Vec::new());
    normalise::target(value, &mut once);
    normalise::target(&once, &mut again);
    assert_eq!(once, again);
});
