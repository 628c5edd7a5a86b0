//! HdrHistogram's V2 encoding, read straight into counts by bucket.
//!
//! The layout is that of *HdrHistogram/src/main/java/org/HdrHistogram/AbstractHistogram.java*: forty bytes of head, then
//! numbers in ZigZag LEB128, where a positive one is a bucket's count and a negative one so many empty buckets. The
//! `hdrhistogram` crate decodes it too, but makes an array of all buckets for each histogram, which costs more than the
//! decoding where histograms are many and small; tests hold this against it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flate2::{Decompress, FlushDecompress, Status};

const PLAIN: u32 = 0x1c84_9313;
const COMPRESSED: u32 = 0x1c84_9314;
/// Versions 0 and 1, plain and compressed, and histograms of floating-point numbers.
const OTHERS: [(u32, &str); 6] = [
    (0x1c84_9308, "version 0"),
    (0x1c84_9309, "version 0"),
    (0x1c84_9301, "version 1"),
    (0x1c84_9302, "version 1"),
    (0x0c72_124e, "a histogram of floating-point numbers"),
    (0x0c72_124f, "a histogram of floating-point numbers"),
];
const HEAD: usize = 40;
/// The greatest histogram that is unpacked, in bytes.
const GREATEST: usize = 1 << 26;
/// The greatest number of buckets: five digits over all of 64 bits have six million, three digits 65,000.
const MOST_BUCKETS: usize = 1 << 23;

/// Which values a histogram's buckets hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Layout {
    /// The binary logarithm of the least value that is told apart.
    unit: u32,
    /// The binary logarithm of the number of buckets in an octave.
    half: u32,
}

impl Layout {
    fn new(lowest: u64, digits: u32) -> Result<Self, String> {
        if lowest == 0 || !(1..=5).contains(&digits) {
            return Err(format!("histogram from {lowest} with {digits} digits, expected from 1 with 1 to 5"));
        }
        let half = (2 * 10u64.pow(digits)).next_power_of_two().ilog2() - 1;
        Ok(Self { unit: lowest.ilog2(), half })
    }

    /// The greatest value of a bucket.
    pub(crate) fn greatest(self, index: usize) -> u64 {
        let octave = (index >> self.half).saturating_sub(1);
        let place = (index - (octave << self.half)) as u64;
        let shift = octave as u32 + self.unit;
        // Beyond 64 bits there is nothing but what a damaged file says.
        (place + 1).checked_mul(1u64.checked_shl(shift).unwrap_or(u64::MAX)).map_or(u64::MAX, |v| v - 1)
    }
}

/// What is kept from one histogram to the next.
#[derive(Debug)]
pub(crate) struct Decoder {
    inflate: Decompress,
    bytes: Vec<u8>,
    plain: Vec<u8>,
}

impl Default for Decoder {
    fn default() -> Self {
        Self { inflate: Decompress::new(true), bytes: Vec::new(), plain: Vec::new() }
    }
}

impl Decoder {
    /// Unpacks base64; the layout, and the counts still encoded.
    ///
    /// # Errors
    /// The problem, where it is not such an encoding.
    pub(crate) fn open(&mut self, text: &[u8]) -> Result<(Layout, &[u8]), String> {
        // Longer than three quarters of the text it cannot be.
        self.bytes.resize(base64::decoded_len_estimate(text.len()), 0);
        let length = STANDARD
            .decode_slice(text, &mut self.bytes)
            .map_err(|e| format!("histogram is not base64: {e}"))?;
        let bytes = &self.bytes[..length];
        let plain = match number(bytes, 0)? {
            PLAIN => bytes,
            COMPRESSED => {
                let length = number(bytes, 4)? as usize;
                let packed = bytes.get(8..8usize.saturating_add(length)).ok_or_else(cut_off)?;
                inflate(&mut self.inflate, packed, &mut self.plain)?;
                &self.plain
            }
            other => return Err(unknown(other)),
        };
        let cookie = number(plain, 0)?;
        if cookie != PLAIN {
            return Err(unknown(cookie));
        }
        let (length, offset, digits) = (number(plain, 4)?, number(plain, 8)?, number(plain, 12)?);
        let lowest = u64::from(number(plain, 16)?) << 32 | u64::from(number(plain, 20)?);
        let ratio = f64::from_bits(u64::from(number(plain, 32)?) << 32 | u64::from(number(plain, 36)?));
        if offset != 0 || ratio != 1.0 {
            return Err("histogram is shifted or scaled, which is not read".to_owned());
        }
        let counts = plain.get(HEAD..HEAD.saturating_add(length as usize)).ok_or_else(cut_off)?;
        Ok((Layout::new(lowest, digits)?, counts))
    }
}

/// Hands each occupied bucket and its count to `take`.
///
/// # Errors
/// The problem, where these are no counts.
#[inline]
pub(crate) fn counts(encoded: &[u8], mut take: impl FnMut(usize, u64)) -> Result<(), String> {
    let mut index = 0;
    let mut rest = encoded;
    while let Some((&first, after)) = rest.split_first() {
        let zigzag = if first < 0x80 {
            rest = after;
            u64::from(first)
        } else {
            let (value, after) = longer(rest)?;
            rest = after;
            value
        };
        let magnitude = zigzag >> 1;
        if zigzag & 1 == 0 {
            if magnitude > 0 {
                if index >= MOST_BUCKETS {
                    return Err(too_many());
                }
                take(index, magnitude);
            }
            index += 1;
        } else {
            // ZigZag: odd ones are negative, −1 is 1.
            index = usize::try_from(magnitude + 1)
                .ok()
                .and_then(|n| index.checked_add(n))
                .ok_or_else(too_many)?;
        }
    }
    Ok(())
}

/// A number of more than one byte: seven bits each, but for a ninth, which has eight.
fn longer(bytes: &[u8]) -> Result<(u64, &[u8]), String> {
    let mut value = 0;
    for place in 0..9 {
        let byte = *bytes.get(place).ok_or_else(cut_off)?;
        if place == 8 {
            return Ok((value | u64::from(byte) << 56, &bytes[9..]));
        }
        value |= u64::from(byte & 0x7f) << (7 * place);
        if byte < 0x80 {
            return Ok((value, &bytes[place + 1..]));
        }
    }
    unreachable!("the ninth byte ends it")
}

/// Unpacks all at once, into as much room as histograms before have taken; where that is too little, again into more, as what has
/// ended for want of room cannot go on.
fn inflate(inflate: &mut Decompress, packed: &[u8], plain: &mut Vec<u8>) -> Result<(), String> {
    plain.clear();
    plain.reserve(4 * packed.len() + HEAD);
    loop {
        inflate.reset(true);
        plain.clear();
        let status = inflate.decompress_vec(packed, plain, FlushDecompress::Finish);
        match status.map_err(|e| format!("histogram cannot be inflated: {e}"))? {
            Status::StreamEnd => return Ok(()),
            _ if plain.len() < plain.capacity() => return Err(cut_off()),
            _ if plain.len() >= GREATEST => return Err("histogram is longer than any".to_owned()),
            _ => plain.reserve(4 * plain.len()),
        }
    }
}

fn number(bytes: &[u8], at: usize) -> Result<u32, String> {
    let four = bytes.get(at..at + 4).ok_or_else(cut_off)?;
    Ok(u32::from_be_bytes(four.try_into().expect("four bytes were asked for")))
}

fn cut_off() -> String {
    "histogram ends too early".to_owned()
}

fn too_many() -> String {
    format!("histogram has more than {MOST_BUCKETS} buckets")
}

fn unknown(cookie: u32) -> String {
    let found = OTHERS.iter().find(|(other, _)| *other == cookie).map(|(_, name)| *name);
    let found = found.map_or_else(|| format!("{cookie:#010x}"), str::to_owned);
    format!("histogram is {found}, expected HdrHistogram's encoding of version 2")
}

#[cfg(test)]
mod tests {
    use super::*;
    use hdrhistogram::Histogram;
    use hdrhistogram::serialization::{Serializer as _, V2DeflateSerializer, V2Serializer};
    use proptest::prelude::*;

    fn decoded(text: &str) -> Result<Vec<(u64, u64)>, String> {
        let mut decoder = Decoder::default();
        let (layout, encoded) = decoder.open(text.as_bytes())?;
        let mut found = Vec::new();
        counts(encoded, |index, n| found.push((layout.greatest(index), n)))?;
        Ok(found)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn every_count_is_where_the_hdrhistogram_crate_has_it(
            lowest in 1u64..5_000,
            digits in 1u8..=5,
            values in proptest::collection::vec((0u64..1 << 40, 1u64..1 << 40), 0..50),
            compressed: bool,
        ) {
            let mut hdr = Histogram::<u64>::new_with_bounds(lowest, 1 << 41, digits).expect("in range");
            for (value, n) in values {
                hdr.record_n(value, n).expect("below the greatest");
            }
            let mut bytes = Vec::new();
            if compressed {
                V2DeflateSerializer::new().serialize(&hdr, &mut bytes).expect("it fits");
            } else {
                V2Serializer::new().serialize(&hdr, &mut bytes).expect("it fits");
            }
            let expected: Vec<(u64, u64)> =
                hdr.iter_recorded().map(|b| (b.value_iterated_to(), b.count_at_value())).collect();
            prop_assert_eq!(decoded(&STANDARD.encode(bytes)), Ok(expected));
        }

        #[test]
        fn no_bytes_break_the_decoder(bytes in proptest::collection::vec(any::<u8>(), 0..80), head: bool) {
            let whole = if head { [&PLAIN.to_be_bytes()[..], &bytes].concat() } else { bytes.clone() };
            let _ = decoded(&STANDARD.encode(whole));
            let _ = counts(&bytes, |_, _| {});
        }
    }

    #[test]
    fn what_packs_well_unpacks() {
        let mut hdr = Histogram::<u64>::new_with_bounds(1, 1 << 40, 3).expect("in range");
        (0..200_000).for_each(|value| hdr.record(value).expect("below the greatest"));
        let mut bytes = Vec::new();
        V2DeflateSerializer::new().serialize(&hdr, &mut bytes).expect("it fits");
        assert!(bytes.len() < 200, "{}", bytes.len());
        let found = decoded(&STANDARD.encode(bytes)).expect("it is right");
        assert_eq!(found.iter().map(|(_, n)| n).sum::<u64>(), 200_000);
    }

    #[test]
    fn other_encodings_are_named() {
        let text = STANDARD.encode([0x1c, 0x84, 0x93, 0x01, 0, 0, 0, 0]);
        assert_eq!(
            decoded(&text).expect_err("it is version 1"),
            "histogram is version 1, expected HdrHistogram's encoding of version 2"
        );
    }
}
