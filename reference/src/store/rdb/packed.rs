//! What Redis packs: strings by LZF (lzf_d.c of Redis 7.0), small hashes as a listpack (listpack.c, "listpack.md").

use super::Unreadable;

const BROKEN: Unreadable = Unreadable("a compressed string that is broken");
const BROKEN_LIST: Unreadable = Unreadable("a listpack that is broken");
/// One back reference of three bytes stands for so many at most.
const MOST_BYTES_PER_REFERENCE: usize = 264;

/// The string of so many bytes that these were made from: literal runs of up to 32 bytes, and references to what came up to
/// 8 KiB before.
pub(super) fn decompress(mut packed: &[u8], length: usize) -> Result<Vec<u8>, Unreadable> {
    // A length that the bytes cannot come to gets no memory.
    if length > packed.len().saturating_mul(MOST_BYTES_PER_REFERENCE) {
        return Err(BROKEN);
    }
    let mut out = Vec::with_capacity(length);
    let byte = |packed: &mut &[u8]| {
        let (first, rest) = packed.split_first().ok_or(BROKEN)?;
        *packed = rest;
        Ok(usize::from(*first))
    };
    while !packed.is_empty() {
        let control = byte(&mut packed)?;
        if control < 32 {
            let (literal, rest) = packed.split_at_checked(control + 1).ok_or(BROKEN)?;
            out.extend_from_slice(literal);
            packed = rest;
        } else {
            let count = match control >> 5 {
                7 => 9 + byte(&mut packed)?,
                count => count + 2,
            };
            let distance = (control & 31) << 8 | byte(&mut packed)?;
            let from = out.len().checked_sub(distance + 1).ok_or(BROKEN)?;
            // What is referred to may be what is written just now.
            (from..from + count).for_each(|at| out.push(out[at]));
        }
        if out.len() > length {
            return Err(BROKEN);
        }
    }
    if out.len() == length { Ok(out) } else { Err(BROKEN) }
}

/// The elements of a listpack, numbers written out.
pub(super) fn elements(listpack: &[u8]) -> Result<Vec<Vec<u8>>, Unreadable> {
    // Its length in four bytes, how many there are in two.
    let mut rest = listpack.get(6..).ok_or(BROKEN_LIST)?;
    let mut elements = Vec::new();
    loop {
        let (head, after) = rest.split_first().ok_or(BROKEN_LIST)?;
        let next = || after.first().copied().map(usize::from).ok_or(BROKEN_LIST);
        let low = usize::from(*head);
        // How many bytes say how long a string is, and its length; or how many bytes a number has.
        let (before, length, number) = match *head {
            0xff => return Ok(elements),
            0..0x80 => (1, 0, Some(i64::from(*head))),
            0x80..0xc0 => (1, low & 63, None),
            0xc0..0xe0 => {
                let raw = (low & 31) << 8 | next()?;
                (2, 0, Some(raw as i64 - if raw >= 1 << 12 { 1 << 13 } else { 0 }))
            }
            0xe0..0xf0 => (2, (low & 15) << 8 | next()?, None),
            0xf0 => {
                let length = after.first_chunk().ok_or(BROKEN_LIST)?;
                (5, u32::from_le_bytes(*length) as usize, None)
            }
            0xf1..0xf5 => {
                let bytes = after.get(..[2, 3, 4, 8][low - 0xf1]).ok_or(BROKEN_LIST)?;
                let shift = 64 - 8 * bytes.len() as u32;
                let raw = bytes.iter().rev().fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
                // Shifted up and down again, so that it keeps its sign.
                (1 + bytes.len(), 0, Some(((raw << shift) as i64) >> shift))
            }
            _ => return Err(BROKEN_LIST),
        };
        let end = before.checked_add(length).ok_or(BROKEN_LIST)?;
        let string = rest.get(before..end).ok_or(BROKEN_LIST)?;
        elements.push(number.map_or_else(|| string.to_vec(), |number| number.to_string().into_bytes()));
        // Its length once more, seven bits a byte, for who walks backwards.
        let backwards = match end {
            0..128 => 1,
            128..16_383 => 2,
            16_383..2_097_151 => 3,
            2_097_151..268_435_455 => 4,
            _ => 5,
        };
        rest = rest.get(end + backwards..).ok_or(BROKEN_LIST)?;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn runs_and_references_are_written_out() {
        // Three letters, and eight more by a reference to the first of them.
        assert_eq!(decompress(b"\x02abc\xc0\x02", 11).as_deref(), Ok(&b"abcabcabcab"[..]));
        // A reference of any length to the last letter.
        assert_eq!(decompress(b"\x00x\xe0\x0a\x00", 20).as_deref(), Ok(&b"x".repeat(20)[..]));
        for broken in [&b"\x02ab"[..], b"\xc0\x00", b"\x00x\xe0", b"\x00x\xe0\x0a\x01"] {
            assert!(decompress(broken, 20).is_err(), "{broken:?}");
        }
        assert!(decompress(b"\x00x\xe0\x0a\x00", 19).is_err() && decompress(b"\x00x", usize::MAX).is_err());
    }

    #[test]
    fn elements_of_all_kinds_are_read() {
        let mut list = vec![0; 6];
        list.extend([5, 1, 0x83, b'a', b'b', b'c', 4, 0xdf, 0xff, 2, 0xf1, 0x18, 0xfc, 3, 0xf2, 0, 0, 1, 4]);
        list.extend([0xe1, 0x2c]);
        list.extend([b'x'; 300]);
        list.extend([0x82, 0x2e, 0xf0, 2, 0, 0, 0, b'y', b'z', 7, 0xff]);
        let read = elements(&list).expect("it is whole");
        let long = "x".repeat(300);
        let expected = ["5", "abc", "-1", "-1000", "65536", &long, "yz"];
        assert_eq!(read, expected.map(|text| text.as_bytes().to_vec()));
        assert!((0..list.len()).all(|cut| elements(&list[..cut]).is_err()));
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic_them(bytes in proptest::collection::vec(any::<u8>(), 0..300), length in 0..2000_usize) {
            let _ = decompress(&bytes, length);
            let _ = elements(&bytes);
        }
    }
}
