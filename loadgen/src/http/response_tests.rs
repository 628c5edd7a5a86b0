use proptest::prelude::*;

use super::*;

fn read(pieces: &[&[u8]]) -> Result<Progress, Violation> {
    let mut reader = Reader::new(Limits::default());
    let mut last = Progress::More;
    for piece in pieces {
        last = reader.feed(piece)?;
    }
    Ok(last)
}

fn done(status: u16, keep_alive: bool) -> Result<Progress, Violation> {
    Ok(Progress::Done { status, keep_alive })
}

#[test]
fn a_body_of_known_length_ends_by_its_length() {
    assert_eq!(read(&[b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello"]), done(200, true));
    assert_eq!(read(&[b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhell"]), Ok(Progress::More));
    assert_eq!(
        read(&[b"HTTP/1.1 503 No\r\nContent-Length: 0\r\nconnection: close\r\n\r\n"]),
        done(503, false)
    );
}

#[test]
fn a_chunked_body_ends_after_its_trailers() {
    let answer = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4;a=b\r\nwiki\r\n0\r\nx: y\r\n\r\n";
    assert_eq!(read(&[answer]), done(200, true));
}

#[test]
fn a_body_without_a_length_ends_with_the_connection() {
    let mut reader = Reader::new(Limits::default());
    assert_eq!(reader.feed(b"HTTP/1.0 200 OK\r\n\r\nabc"), Ok(Progress::More));
    assert_eq!(reader.end(), Some(Progress::Done { status: 200, keep_alive: false }));
    assert_eq!(reader.feed(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabc"), Ok(Progress::More));
    assert_eq!(reader.end(), None);
}

#[test]
fn interim_answers_are_passed_over() {
    let answer = b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n";
    assert_eq!(read(&[answer]), done(204, true));
    let (left, right) = answer.split_at(43);
    assert_eq!(read(&[left, right]), done(204, true));
}

#[test]
fn endless_interim_answers_meet_the_limit() {
    let mut reader = Reader::new(Limits::default());
    let violation = (0..10_000).find_map(|_| reader.feed(b"HTTP/1.1 100 Continue\r\n\r\n").err());
    assert_eq!(violation, Some(Violation::HeadTooLong));
}

#[test]
fn endless_fields_meet_the_limit() {
    let mut reader = Reader::new(Limits::default());
    reader.feed(b"HTTP/1.1 200 OK\r\nlong: ").expect("a head may go on");
    let violation = (0..70_000).find_map(|_| reader.feed(b"x").err());
    assert_eq!(violation, Some(Violation::HeadTooLong));
}

/// A server of many connections that sends long heads and bodies on all of them at once and ends none.
#[test]
fn all_answers_being_read_have_so_much_room_together() {
    let room = Room::new(1 << 20);
    let limits = Limits { head_bytes: 64 << 10, body_bytes: 1 << 30 };
    let mut readers: Vec<Reader> = (0..100).map(|_| Reader::sharing(limits, room.clone())).collect();
    let piece = vec![b'x'; 16 << 10];
    let mut refused = 0;
    for reader in &mut readers {
        reader.keep(Wanted { head: true, body_bytes: 1 << 20 });
        let long = format!("HTTP/1.1 200 OK\r\nlong: {}\r\n\r\n", "y".repeat(30_000));
        let mut fed = reader.feed(long.as_bytes());
        for _ in 0..4 {
            fed = fed.and_then(|_| reader.feed(&piece));
        }
        refused += u32::from(fed == Err(Violation::NoRoom));
    }
    let held: usize = readers.iter().map(|reader| reader.held).sum();
    assert!(held <= 1 << 20 && (85..100).contains(&refused), "{refused} refused, {held} bytes held");
    // What was judged is given back, and so is what a connection's end leaves.
    readers.iter_mut().for_each(Reader::forget_body);
    let mut left = 0;
    assert!(readers.iter().all(|reader| reader.held <= 32 << 10));
    readers.clear();
    assert!(room.hold(&mut left, 1 << 20));
}

#[test]
fn broken_answers_are_refused() {
    let cases: &[(&[u8], Violation)] = &[
        (b"\x16\x03\x01 garbage", Violation::Head),
        (b"SSH-2.0-OpenSSH_9\r\n", Violation::Head),
        (b"HTTP/1.1 101 Switching\r\n\r\n", Violation::Head),
        (b"HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n", Violation::Length),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n", Violation::Length),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n", Violation::Length),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 99999999999\r\n\r\n", Violation::BodyTooLong),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nxyz", Violation::Chunk),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nabc", Violation::Chunk),
        (
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nffffffffffffffffff\r\n",
            Violation::BodyTooLong,
        ),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nabc", Violation::Excess),
    ];
    for (answer, violation) in cases {
        assert_eq!(read(&[answer]), Err(*violation), "{}", String::from_utf8_lossy(answer));
    }
}

/// Well-formed answers with their status.
fn answers() -> impl Strategy<Value = (Vec<u8>, u16)> {
    let body = prop::collection::vec(any::<u8>(), 0..300);
    (200_u16..600, body, 1_usize..40, 0..3_u8, "[a-z-]{1,12}", "[ -~]{0,40}").prop_map(
        |(status, body, chunk, framing, name, value)| {
            let mut out = Vec::new();
            let framing = if status == 204 || status == 304 { 2 } else { framing };
            out.extend_from_slice(
                format!("HTTP/1.1 {status} Some Reason\r\nx-{name}: {value}\r\n").as_bytes(),
            );
            match framing {
                0 => {
                    out.extend_from_slice(format!("Content-Length: {}\r\n\r\n", body.len()).as_bytes());
                    out.extend_from_slice(&body);
                }
                1 => {
                    out.extend_from_slice(b"Transfer-Encoding: gzip, chunked\r\n\r\n");
                    for piece in body.chunks(chunk) {
                        out.extend_from_slice(format!("{:X}\r\n", piece.len()).as_bytes());
                        out.extend_from_slice(piece);
                        out.extend_from_slice(b"\r\n");
                    }
                    out.extend_from_slice(b"0\r\n\r\n");
                }
                _ => out.extend_from_slice(b"content-length: 0\r\n\r\n"),
            }
            (out, status)
        },
    )
}

proptest! {
    #[test]
    fn pieces_do_not_matter((answer, status) in answers(), cuts in prop::collection::vec(1_usize..60, 0..40)) {
        let mut reader = Reader::new(Limits::default());
        // Twice on one connection: what the first answer leaves behind must not reach the second.
        for _ in 0..2 {
            let mut rest = &answer[..];
            let mut cuts = cuts.iter();
            let mut last = Ok(Progress::More);
            while !rest.is_empty() {
                prop_assert_eq!(last, Ok(Progress::More));
                let (piece, after) = rest.split_at(cuts.next().map_or(rest.len(), |cut| *cut.min(&rest.len())));
                last = reader.feed(piece);
                rest = after;
            }
            prop_assert_eq!(last, done(status, true));
        }
    }

    #[test]
    fn no_input_panics(pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..50), 0..20)) {
        let mut reader = Reader::new(Limits::default());
        for piece in &pieces {
            if reader.feed(piece).is_err() {
                break;
            }
        }
        reader.end();
    }

    #[test]
    fn no_changed_answer_panics(
        (mut answer, _) in answers(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..5),
        cut in any::<prop::sample::Index>(),
    ) {
        for (place, byte) in changes {
            let place = place.index(answer.len());
            answer[place] = byte;
        }
        let mut reader = Reader::new(Limits { head_bytes: 200, body_bytes: 200 });
        let (left, right) = answer.split_at(cut.index(answer.len()));
        let _ = reader.feed(left).and_then(|_| reader.feed(right));
        reader.end();
    }
}
