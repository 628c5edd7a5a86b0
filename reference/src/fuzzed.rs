//! The parsers of what comes from outside, for the fuzz targets: none of these panics, whatever the bytes.

use crate::{cache, http, resp};

/// Heads and bodies of HTTP/1.1.
pub fn framing(bytes: &[u8]) {
    http::fuzzed::framing(bytes);
}

/// `Cache-Control` and its kin, dates, ranges, queries.
pub fn cache_control(bytes: &[u8]) {
    cache::fuzzed::cache_control(bytes);
}

/// Pages that include others.
pub fn esi(bytes: &[u8]) {
    cache::fuzzed::esi(bytes);
}

/// The header of tags.
pub fn tags(bytes: &[u8]) {
    cache::fuzzed::tags(bytes);
}

/// Commands of RESP.
pub fn resp_requests(bytes: &[u8]) {
    resp::fuzzed::requests(bytes);
}

/// Replies of RESP.
pub fn resp_replies(bytes: &[u8]) {
    resp::fuzzed::replies(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Bytes that are often near to what the parsers take.
    fn bytes() -> impl Strategy<Value = Vec<u8>> {
        let words = [
            "GET / HTTP/1.1\r\n",
            "HTTP/1.1 200 OK\r\n",
            "transfer-encoding: chunked\r\n",
            "content-length: 5\r\n",
            "\r\n",
            "5\r\nhello\r\n",
            "0\r\n\r\n",
            "max-age=",
            "no-cache=\"a, b\", ",
            "bytes=0-",
            "?b=1&a=2",
            "<esi:include src=\"/a\"/>",
            "<esi:remove>",
            "</esi:remove>",
            "<!--esi ",
            "-->",
            "a, b ,,c",
            "\n",
            "*2\r\n",
            "$3\r\nGET\r\n",
            ":7\r\n",
            "$-1\r\n",
            "+OK\r\n",
            "PING\r\n",
            "Sun, 06 Nov 1994 08:49:37 GMT",
        ];
        let piece = prop_oneof![
            3 => proptest::sample::select(words.map(|word| word.as_bytes().to_vec()).to_vec()),
            1 => proptest::collection::vec(any::<u8>(), 0..8),
        ];
        proptest::collection::vec(piece, 0..8).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #[test]
        fn no_bytes_break_a_parser(bytes in bytes()) {
            for parser in [framing, cache_control, esi, tags, resp_requests, resp_replies] {
                parser(&bytes);
            }
        }
    }
}
