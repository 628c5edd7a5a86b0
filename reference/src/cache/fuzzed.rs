//! What any bytes that a cache reads are held to: by its fuzz targets, and in passing by a test.

use httparse::Header;

use super::{date, directives, esi, language, normalise, range, tags, vary};

/// `Cache-Control` and its kin, dates, ranges, languages and the order of a query's parameters: nothing panics, and what was made
/// alike stays alike.
pub(crate) fn cache_control(value: &[u8]) {
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
    let site = language::Languages::new(["en", "de-AT", "de"].into_iter()).expect("there are some");
    let chosen = site.choose(value.split(|b| *b == b'\n'));
    assert_eq!(site.choose(std::iter::once(chosen.as_bytes())), chosen);
}

/// Pages that include others: no page panics the reader, its text stays in order and within the page, and what is put
/// together from it is no longer than the page.
pub(crate) fn esi(page: &[u8]) {
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
}

/// The header of tags: nothing panics, no tag is empty or could be read as two, however the field is cut into lines the tags
/// are the same, and the index knows of each entry what was said and nothing after it is gone.
pub(crate) fn tags(input: &[u8]) {
    let whole = read_tags(std::iter::once(input));
    assert!(
        whole.iter().all(|tag| !tag.is_empty() && !tag.iter().any(|b| *b == b',' || b.is_ascii_whitespace()))
    );
    assert_eq!(whole, read_tags(input.split(|b| *b == b',')));
    // A line for each entry.
    let mut index = tags::Tags::default();
    let lines: Vec<&[u8]> = input.split(|b| *b == b'\n').collect();
    for (id, line) in lines.iter().enumerate() {
        read_tags(std::iter::once(*line)).iter().for_each(|tag| index.add(tag, id as u32));
    }
    for tag in &whole {
        let has = |line: &[u8]| read_tags(std::iter::once(line)).contains(tag);
        let expected: Vec<u32> = (0..lines.len() as u32).filter(|id| has(lines[*id as usize])).collect();
        assert_eq!(index.of(tag), expected);
    }
    for (id, line) in lines.iter().enumerate() {
        read_tags(std::iter::once(*line)).iter().for_each(|tag| index.remove(tag, id as u32));
    }
    assert!(whole.iter().all(|tag| index.of(tag).is_empty()));
}

fn read_tags<'b>(values: impl Iterator<Item = &'b [u8]>) -> Vec<&'b [u8]> {
    let headers: Vec<Header<'b>> = values.map(|value| Header { name: "xKey", value }).collect();
    tags::read(&headers, "xkey").collect()
}
