//! A record in one piece of memory: a byte that says what it is, the key, the value.

use super::prefill::FILLER;

/// Keys of this many bytes or more have their length in four bytes of their own.
const LONG_KEY: usize = 63;
/// Padding shorter than this is kept as it is.
const SHORTEST_RUN: usize = 32;

/// A value, as it is written or read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Value<'a> {
    /// That many bytes of padding ([`FILLER`]). Load tests write padding, of which only the length is kept: the memory
    /// that counts is the accounted one.
    Padding(usize),
    Bytes(&'a [u8]),
}

impl<'a> Value<'a> {
    /// From its bytes.
    #[inline]
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        if bytes.len() >= SHORTEST_RUN && bytes[0] == FILLER && bytes.iter().all(|b| *b == FILLER) {
            Self::Padding(bytes.len())
        } else {
            Self::Bytes(bytes)
        }
    }

    /// Its length in bytes.
    pub(crate) fn len(self) -> usize {
        match self {
            Self::Padding(len) => len,
            Self::Bytes(bytes) => bytes.len(),
        }
    }

    /// Its bytes, as a copy.
    pub(crate) fn to_vec(self) -> Vec<u8> {
        match self {
            Self::Padding(len) => vec![FILLER; len],
            Self::Bytes(bytes) => bytes.to_vec(),
        }
    }
}

/// What is kept of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Content<'a> {
    String(Value<'a>),
    /// The fields are elsewhere.
    Hash,
}

/// A record; an empty one stands for none.
#[derive(Debug, Default)]
pub(super) struct Record(Box<[u8]>);

const BYTES: u8 = 0;
const PADDING: u8 = 1;
const HASH: u8 = 2;

impl Record {
    /// A record of a key and what is kept of it.
    pub(super) fn new(key: &[u8], content: Content<'_>) -> Self {
        let length;
        let (kind, value): (u8, &[u8]) = match content {
            Content::String(Value::Bytes(bytes)) => (BYTES, bytes),
            Content::String(Value::Padding(len)) => {
                length = (len as u64).to_le_bytes();
                (PADDING, &length)
            }
            Content::Hash => (HASH, &[]),
        };
        let is_long = key.len() >= LONG_KEY;
        let mut bytes = Vec::with_capacity(1 + if is_long { 4 } else { 0 } + key.len() + value.len());
        bytes.push(kind | (key.len().min(LONG_KEY) as u8) << 2);
        if is_long {
            let length = u32::try_from(key.len()).expect("commands are shorter than 4 GiB");
            bytes.extend_from_slice(&length.to_le_bytes());
        }
        bytes.extend_from_slice(key);
        bytes.extend_from_slice(value);
        Self(bytes.into_boxed_slice())
    }

    pub(super) fn is_none(&self) -> bool {
        self.0.is_empty()
    }

    #[inline]
    fn split(&self) -> (u8, &[u8], &[u8]) {
        let (head, rest) = self.0.split_first().expect("a record that is there has a first byte");
        let short = usize::from(head >> 2);
        let (length, rest) = match rest.split_first_chunk() {
            Some((length, rest)) if short == LONG_KEY => (u32::from_le_bytes(*length) as usize, rest),
            _ => (short, rest),
        };
        let (key, value) = rest.split_at(length);
        (head & 3, key, value)
    }

    #[inline]
    pub(super) fn key(&self) -> &[u8] {
        self.split().1
    }

    #[inline]
    pub(super) fn content(&self) -> Content<'_> {
        let (kind, _, value) = self.split();
        match kind {
            BYTES => Content::String(Value::Bytes(value)),
            PADDING => {
                let length = value.try_into().map_or(0, u64::from_le_bytes);
                Content::String(Value::Padding(length as usize))
            }
            _ => Content::Hash,
        }
    }

    /// Writes another value for the same key, in place where it fits exactly.
    #[inline]
    pub(super) fn replace(&mut self, value: Value<'_>) {
        let (kind, key, old) = self.split();
        if let Value::Bytes(new) = value
            && kind == BYTES
            && old.len() == new.len()
        {
            let start = self.0.len() - new.len();
            self.0[start..].copy_from_slice(new);
        } else {
            *self = Self::new(key, Content::String(value));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_and_values_of_all_lengths_come_back() {
        for key in [0, 1, 62, 63, 64, 255, 300, 70_000].map(|n| vec![b'k'; n]) {
            for value in [0, 1, 8, 100, 70_000].map(|n| vec![b'v'; n]) {
                let mut record = Record::new(&key, Content::String(Value::new(&value)));
                assert_eq!(record.key(), key);
                assert_eq!(record.content(), Content::String(Value::Bytes(&value)));
                record.replace(Value::Padding(7));
                assert_eq!((record.key(), record.content()), (&*key, Content::String(Value::Padding(7))));
                let other = vec![b'w'; value.len()];
                record.replace(Value::new(&value));
                record.replace(Value::new(&other));
                assert_eq!((record.key(), record.content()), (&*key, Content::String(Value::Bytes(&other))));
            }
            assert_eq!(Record::new(&key, Content::Hash).content(), Content::Hash);
        }
    }

    #[test]
    fn padding_is_kept_as_its_length() {
        assert_eq!(Value::new(&[FILLER; 100]), Value::Padding(100));
        let mut almost = [FILLER; 100];
        almost[99] = 0;
        assert_eq!(Value::new(&almost), Value::Bytes(&almost));
    }
}
