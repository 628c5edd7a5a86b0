//! What any bytes that a server sends are held to: by the fuzz target, and in passing by a test.

use scenarios::Scenario;
use scenarios::plan::RequestId;

use super::{Answer, Jar, Judge, Limits, Progress, Reader, Room, Site, Violation, fields};

/// Everything that is looked at in an answer.
const LOOKING: &str = r#"
title = "t"
[run]
duration = "1s"
[hosts.a]
[components.w]
kind = "service"
host = "a"
workers = 1
[requests.json]
path = "/"
check = { contains = "a", header = "x-a", json = "/a" }
extract = { json = { json = "/b" }, header = { header = "x-b" }, text = { regex = 'a(.*)b' } }
[requests.text]
path = "/text"
extract = { text = { regex = '(a+|b*)+c' } }
[traffic.t]
to = "w"
executor = "constant-arrival-rate"
rate = "1/s"
mix = { json = 1, text = 1 }
"#;

thread_local! {
    static JUDGES: Vec<Judge> = {
        let scenario = Scenario::parse("t.toml", LOOKING).expect("it is a scenario");
        scenario.requests.iter().map(Judge::new).collect()
    };
}

/// Answers of a server, of which the first byte says into how long pieces they fall: nothing panics, pieces do not matter, what is
/// held stays within its limits, and what was read can be judged.
pub(crate) fn answers(input: &[u8]) {
    let Some((length, bytes)) = input.split_first() else { return };
    let limits = Limits { head_bytes: 600, body_bytes: 900 };
    let read = |length: usize, room: &Room| {
        let mut reader = Reader::sharing(limits, room.clone());
        JUDGES.with(|judges| reader.keep(judges[0].wanted));
        let mut last = Ok(Progress::More);
        for piece in bytes.chunks(length.max(1)) {
            last = reader.feed(piece);
            if last != Ok(Progress::More) {
                break;
            }
        }
        (last, reader)
    };
    let room = Room::new(1 << 20);
    let (whole, _) = read(bytes.len(), &room);
    let (pieces, mut reader) = read(usize::from(*length), &room);
    match (whole, pieces) {
        // A whole answer in the first pieces is one before what follows it is known.
        (Err(Violation::Excess), Ok(Progress::Done { .. })) => {}
        (Err(_), found) => assert!(found.is_err(), "{whole:?}, in pieces {found:?}"),
        (Ok(whole), found) => assert_eq!(found, Ok(whole)),
    }
    let status = match pieces {
        Ok(Progress::Done { status, .. }) => Some(status),
        Ok(Progress::More) => match reader.end() {
            Some(Progress::Done { status, keep_alive }) => {
                assert!(!keep_alive);
                Some(status)
            }
            _ => None,
        },
        Err(_) => None,
    };
    let Some(status) = status else { return };
    assert!((200..1000).contains(&status) && reader.head().len() <= limits.head_bytes);
    assert!(reader.body().len() as u64 <= limits.body_bytes);
    let mut kept = Vec::new();
    let answer = Answer { status, head: reader.head(), body: reader.body() };
    JUDGES.with(|judges| judges.iter().for_each(|judge| _ = judge.judge(answer, &mut kept)));
    let mut jar = Jar::new(RequestId(0), true, Room::new(4000));
    let site = Site { host: "shop.test", path: b"/a/b" };
    fields(reader.head()).for_each(|(_, value)| _ = jar.set(site, value));
    kept.into_iter().for_each(|(number, value)| _ = jar.keep(number, value));
    let mut cookies = site.path.to_vec();
    jar.write(0..site.path.len(), &mut cookies);
    assert!(cookies.len() <= 4000 && cookies.iter().filter(|byte| **byte == b'\n').count() <= 1);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Bytes that are often near to an answer.
    fn bytes() -> impl Strategy<Value = Vec<u8>> {
        let words = [
            "HTTP/1.1 200 OK\r\n",
            "HTTP/1.1 100 Continue\r\n\r\n",
            "HTTP/1.0 204 \r\n",
            "transfer-encoding: chunked\r\n",
            "content-length: 5\r\n",
            "content-encoding: gzip\r\n",
            "set-cookie: a=b; max-age=0\r\n",
            "set-cookie: c=d; path=/a; domain=.test\r\n",
            "connection: close\r\n",
            "x-a: 1\r\nx-b: 2\r\n",
            "\r\n",
            "5\r\nhello\r\n",
            "0\r\n\r\n",
            "{\"a\": 1, \"b\": [2]}",
            "aaaab",
        ];
        let piece = prop_oneof![
            5 => proptest::sample::select(words.map(|word| word.as_bytes().to_vec()).to_vec()),
            1 => proptest::collection::vec(any::<u8>(), 0..8),
        ];
        let pieces = proptest::collection::vec(piece, 0..9).prop_map(|pieces| pieces.concat());
        (any::<u8>(), pieces).prop_map(|(length, bytes)| [vec![length], bytes].concat())
    }

    proptest! {
        #[test]
        fn no_bytes_break_the_reader_of_answers(bytes in bytes()) {
            answers(&bytes);
        }
    }
}
