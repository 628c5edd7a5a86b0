//! Records as Redis writes them to disk and to its copies: the format RDB, version 10 (rdb.h, rdb.c of Redis 7.0).
//!
//! It is written without compression and packed forms. What is read may have them ([`packed`]), and strings as numbers; of the
//! kinds of values, strings and hashes. At its end a file has a [`checksum`].

mod checksum;
mod packed;

use super::data::{Data, Expiry};
use super::prefill::FILLER;
use super::record::{Content, Value};

pub(super) use checksum::crc64;

/// The magic, the version, the number of the database.
pub(super) const START: &[u8] = b"REDIS0010\xfe\x00";
/// The end, and eight zeros where a checksum could be: none was made.
pub(super) const END: &[u8] = b"\xff\0\0\0\0\0\0\0\0";

/// The end of records whose checksum so far is this, and theirs.
pub(super) fn end(crc: u64) -> [u8; 9] {
    let mut end = [EOF; 9];
    end[1..].copy_from_slice(&crc64(crc, &[EOF]).to_le_bytes());
    end
}

const FUNCTION: u8 = 0xf5;
const AUX: u8 = 0xfa;
const RESIZE: u8 = 0xfb;
const EXPIRES_MS: u8 = 0xfc;
const EXPIRES_S: u8 = 0xfd;
const DATABASE: u8 = 0xfe;
const EOF: u8 = 0xff;
const IDLE: u8 = 0xf8;
const FREQUENCY: u8 = 0xf9;
const STRING: u8 = 0;
const HASH: u8 = 4;
const HASH_LISTPACK: u8 = 16;
/// The longest string that is taken for one.
const STRING_LIMIT: u64 = 512 << 20;

fn write_length(length: usize, into: &mut Vec<u8>) {
    match length {
        0..64 => into.push(length as u8),
        64..16_384 => into.extend_from_slice(&(length as u16 | 0x4000).to_be_bytes()),
        _ => {
            into.push(0x81);
            into.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
}

fn write_string(bytes: &[u8], into: &mut Vec<u8>) {
    write_length(bytes.len(), into);
    into.extend_from_slice(bytes);
}

impl Data {
    /// Writes records from a place on, about `count` of them; where to go on, zero at the end.
    pub(super) fn write_records(
        &self,
        from: u64,
        count: u64,
        with_standing: bool,
        into: &mut Vec<u8>,
    ) -> u64 {
        self.scan(from, count, |key, slot| {
            if slot.is_some() || with_standing {
                self.write_record(key, slot, into);
            }
        })
    }

    /// Writes one record, which stands where it has no slot.
    pub(super) fn write_record(&self, key: &[u8], slot: Option<u32>, into: &mut Vec<u8>) {
        let Some(slot) = slot else {
            if let Some(size) = self.standing_size(key) {
                into.push(STRING);
                write_string(key, into);
                write_length(size, into);
                into.resize(into.len() + size, FILLER);
            }
            return;
        };
        if let Some(deadline) = self.deadline(slot) {
            let ahead = self.clock.unix_ms() - self.clock.now_ms();
            into.push(EXPIRES_MS);
            into.extend_from_slice(&(deadline + ahead).to_le_bytes());
        }
        match self.content(slot) {
            Content::String(value) => {
                into.push(STRING);
                write_string(key, into);
                match value {
                    Value::Bytes(bytes) => write_string(bytes, into),
                    Value::Padding(size) => {
                        write_length(size, into);
                        into.resize(into.len() + size, FILLER);
                    }
                }
            }
            Content::Hash => {
                into.push(HASH);
                write_string(key, into);
                let Some(fields) = self.fields(slot) else { return write_length(0, into) };
                write_length(fields.len(), into);
                for (name, value) in fields.iter() {
                    write_string(name, into);
                    write_string(value, into);
                }
            }
        }
    }
}

/// Why a stream of records cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not records of a kind that is known here: {0}")]
pub(super) struct Unreadable(pub(super) &'static str);

/// One step of reading.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// That many bytes were used.
    Used(usize),
    /// More bytes are needed.
    More,
    /// The end, after that many bytes.
    End(usize),
}

/// Reads records one after the other.
#[derive(Debug, Default)]
pub(super) struct Reader {
    has_started: bool,
    expires_unix_ms: Option<u64>,
    /// Of all that was read.
    crc: u64,
    /// Whether records that are expired are left out; copies keep them until they are told.
    leaves_expired: bool,
    /// How many were.
    pub(super) expired: u64,
}

/// A place in bytes that may not all be there yet.
struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

/// None where bytes are missing yet.
type Partly<T> = Result<Option<T>, Unreadable>;

impl<'a> Cursor<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let taken = self.bytes.get(self.at..self.at.checked_add(count)?)?;
        self.at += count;
        Some(taken)
    }

    fn byte(&mut self) -> Option<u8> {
        self.take(1).map(|bytes| bytes[0])
    }

    fn number<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N).and_then(|bytes| bytes.try_into().ok())
    }

    /// A length, or an encoding of a string that has none.
    fn length(&mut self) -> Partly<Result<u64, u8>> {
        let Some(first) = self.byte() else { return Ok(None) };
        let length = match first >> 6 {
            0 => Some(Ok(u64::from(first & 63))),
            1 => self.byte().map(|second| Ok(u64::from(first & 63) << 8 | u64::from(second))),
            2 if first == 0x80 => self.number().map(|n| Ok(u64::from(u32::from_be_bytes(n)))),
            2 if first == 0x81 => self.number().map(|n| Ok(u64::from_be_bytes(n))),
            3 => Some(Err(first & 63)),
            _ => return Err(Unreadable("a length of an unknown form")),
        };
        Ok(length)
    }

    fn plain_length(&mut self) -> Partly<u64> {
        match self.length()? {
            Some(Err(_)) => Err(Unreadable("a string where a number was expected")),
            Some(Ok(length)) => Ok(Some(length)),
            None => Ok(None),
        }
    }

    fn string(&mut self) -> Partly<Vec<u8>> {
        let number = match self.length()? {
            None => return Ok(None),
            Some(Ok(length)) if length > STRING_LIMIT => return Err(Unreadable("a string too long")),
            Some(Ok(length)) => return Ok(self.take(length as usize).map(<[u8]>::to_vec)),
            Some(Err(0)) => self.number().map(|n| i64::from(i8::from_le_bytes(n))),
            Some(Err(1)) => self.number().map(|n| i64::from(i16::from_le_bytes(n))),
            Some(Err(2)) => self.number().map(|n| i64::from(i32::from_le_bytes(n))),
            Some(Err(3)) => {
                let (Some(packed), Some(length)) = (self.plain_length()?, self.plain_length()?) else {
                    return Ok(None);
                };
                if packed > STRING_LIMIT || length > STRING_LIMIT {
                    return Err(Unreadable("a string too long"));
                }
                let Some(packed) = self.take(packed as usize) else { return Ok(None) };
                return packed::decompress(packed, length as usize).map(Some);
            }
            Some(Err(_)) => return Err(Unreadable("a string of an unknown form")),
        };
        Ok(number.map(|number| number.to_string().into_bytes()))
    }
}

impl Reader {
    /// For a file, of which records are left out that have expired since.
    pub(super) fn of_file() -> Self {
        Self { leaves_expired: true, ..Self::default() }
    }

    /// Reads one element at the start of `bytes` into the store.
    ///
    /// # Errors
    /// Where it is none, or none that is known.
    pub(super) fn step(&mut self, bytes: &[u8], data: &mut Data) -> Result<Step, Unreadable> {
        let mut cursor = Cursor { bytes, at: 0 };
        if !self.has_started {
            return match cursor.take(9) {
                None => Ok(Step::More),
                Some(magic) if magic.starts_with(b"REDIS") => {
                    self.has_started = true;
                    self.crc = crc64(0, magic);
                    Ok(Step::Used(9))
                }
                Some(_) => Err(Unreadable("no magic at the start")),
            };
        }
        Ok(match self.element(&mut cursor, data)? {
            None => Step::More,
            Some(true) => Step::End(cursor.at),
            Some(false) => {
                self.crc = crc64(self.crc, &bytes[..cursor.at]);
                Step::Used(cursor.at)
            }
        })
    }

    /// Whether it was the end.
    fn element(&mut self, cursor: &mut Cursor<'_>, data: &mut Data) -> Partly<bool> {
        let Some(kind) = cursor.byte() else { return Ok(None) };
        let whole = match kind {
            EOF => {
                let Some(written) = cursor.number().map(u64::from_le_bytes) else { return Ok(None) };
                // Zero says that none was made.
                if written != 0 && written != crc64(self.crc, &[EOF]) {
                    return Err(Unreadable("records whose checksum is not theirs"));
                }
                return Ok(Some(true));
            }
            // Functions belong to no key, and nobody calls them here.
            FUNCTION => cursor.string()?.is_some(),
            AUX => cursor.string()?.is_some() && cursor.string()?.is_some(),
            RESIZE => cursor.plain_length()?.is_some() && cursor.plain_length()?.is_some(),
            DATABASE => match cursor.plain_length()? {
                Some(0) => true,
                Some(_) => return Err(Unreadable("another database than the first")),
                None => false,
            },
            IDLE => cursor.plain_length()?.is_some(),
            FREQUENCY => cursor.byte().is_some(),
            EXPIRES_MS => {
                let at = cursor.number().map(u64::from_le_bytes);
                self.expires_unix_ms = at;
                at.is_some()
            }
            EXPIRES_S => {
                let at = cursor.number().map(|n| 1000 * u64::from(u32::from_le_bytes(n)));
                self.expires_unix_ms = at;
                at.is_some()
            }
            STRING => {
                let (Some(key), Some(value)) = (cursor.string()?, cursor.string()?) else { return Ok(None) };
                if let Some(expiry) = self.expiry(data) {
                    data.set(&key, Value::new(&value), expiry);
                }
                true
            }
            HASH => {
                let (Some(key), Some(count)) = (cursor.string()?, cursor.plain_length()?) else {
                    return Ok(None);
                };
                let mut fields = Vec::new();
                for _ in 0..count {
                    let (Some(name), Some(value)) = (cursor.string()?, cursor.string()?) else {
                        return Ok(None);
                    };
                    fields.extend([name, value]);
                }
                self.hash(&key, &fields, data);
                true
            }
            HASH_LISTPACK => {
                let (Some(key), Some(listpack)) = (cursor.string()?, cursor.string()?) else {
                    return Ok(None);
                };
                self.hash(&key, &packed::elements(&listpack)?, data);
                true
            }
            _ => return Err(Unreadable("a value that is neither a string nor a hash")),
        };
        Ok(whole.then_some(false))
    }

    /// Fields and their values by turns.
    fn hash(&mut self, key: &[u8], fields: &[Vec<u8>], data: &mut Data) {
        let Some(expiry) = self.expiry(data) else { return };
        data.remove(key);
        let filled = data.change_fields(key, |all| {
            fields.as_chunks::<2>().0.iter().for_each(|[name, value]| {
                all.set(name, value);
            });
        });
        debug_assert!(filled.is_ok(), "what was there was removed");
        if let (Expiry::In(ms), Some(slot)) = (expiry, data.find(key)) {
            data.expire_slot(slot, ms as i64);
        }
    }

    /// When the record that was read expires; none where it is to be left out.
    fn expiry(&mut self, data: &Data) -> Option<Expiry> {
        let Some(at) = self.expires_unix_ms.take() else { return Some(Expiry::Never) };
        let left = at.saturating_sub(data.clock.unix_ms());
        if left == 0 && self.leaves_expired {
            self.expired += 1;
            return None;
        }
        Some(Expiry::In(left))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use scenarios::scenario::Eviction;
    use scenarios::units::Seed;

    use super::*;
    use crate::store::data::Limits;

    fn empty() -> Data {
        Data::new(Limits::new(None, Eviction::NoEviction, 5), Seed(1))
    }

    fn filled() -> Data {
        let mut data = empty();
        for n in 0..300_usize {
            let expiry = if n % 3 == 0 { Expiry::In(1_000_000) } else { Expiry::Never };
            data.set(format!("k{n}").as_bytes(), Value::new(&vec![b'a' + (n % 7) as u8; n * n]), expiry);
        }
        data.set(b"padding", Value::Padding(20_000), Expiry::Never);
        data.change_fields(b"hash", |fields| fields.set(b"name", b"Ann")).expect("a new hash");
        data
    }

    fn written(data: &Data) -> Vec<u8> {
        let mut bytes = START.to_vec();
        let mut at = 0;
        loop {
            at = data.write_records(at, 7, true, &mut bytes);
            if at == 0 {
                break;
            }
        }
        bytes.extend_from_slice(END);
        bytes
    }

    #[test]
    fn what_is_written_is_read_back_in_pieces() {
        let mut original = filled();
        let bytes = written(&original);
        let (mut copy, mut reader, mut at, mut seen) = (empty(), Reader::default(), 0, 0);
        loop {
            match reader.step(&bytes[at..seen], &mut copy).expect("our own records") {
                Step::Used(count) => at += count,
                Step::More => seen = (seen + 1000).min(bytes.len()),
                Step::End(count) => {
                    at += count;
                    break;
                }
            }
        }
        assert_eq!(at, bytes.len());
        assert_eq!((copy.len(), copy.volatile_len()), (original.len(), original.volatile_len()));
        assert_eq!(copy.memory(), original.memory());
        for n in 0..300 {
            let key = format!("k{n}");
            assert_eq!(copy.get(key.as_bytes()), original.get(key.as_bytes()));
        }
        let slot = copy.find(b"hash").expect("it was written");
        assert_eq!(copy.fields(slot).and_then(|fields| fields.get(b"name")), Some(&b"Ann"[..]));
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic_the_reader(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut data = empty();
            let mut reader = Reader { has_started: true, ..Reader::default() };
            let mut at = 0;
            while let Ok(Step::Used(count)) = reader.step(&bytes[at..], &mut data) {
                at += count;
            }
        }
    }
}
