//! Records that stand in the store from the start and that nobody has written since. All about them follows from their
//! key, so they are derived when they are read, not kept: a keyspace of a hundred million costs nothing here, and is
//! counted as if it were there.

use std::cell::Cell;
use std::collections::HashSet;
use std::fmt;

use scenarios::memory;

/// The length of the value of a key's number.
type Sizes = Box<dyn Fn(u64) -> usize>;

/// The records of one keyspace.
pub(super) struct Standing {
    /// What the names begin with, the colon included.
    prefix: Vec<u8>,
    keys: u64,
    sizes: Sizes,
    /// Those that were written or removed since, and so stand no longer.
    taken: HashSet<u64>,
    /// What all of them take where none is taken, once somebody has reckoned it.
    all_bytes: Cell<Option<u64>>,
}

impl fmt::Debug for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Standing")
            .field("prefix", &self.prefix)
            .field("keys", &self.keys)
            .finish_non_exhaustive()
    }
}

impl Standing {
    /// The records `keyspace:0` to `keyspace:(keys - 1)`.
    pub(super) fn new(keyspace: &str, keys: u64, sizes: Sizes) -> Self {
        Self {
            prefix: format!("{keyspace}:").into_bytes(),
            keys,
            sizes,
            taken: HashSet::new(),
            all_bytes: Cell::new(None),
        }
    }

    /// How many there are.
    pub(super) fn len(&self) -> u64 {
        self.keys - self.taken.len() as u64
    }

    /// What all of them take of memory.
    pub(super) fn bytes(&self) -> u64 {
        if let Some(bytes) = self.all_bytes.get().filter(|_| self.taken.is_empty()) {
            return bytes;
        }
        let standing = (0..self.keys).filter(|number| !self.taken.contains(number));
        let name = |number| (self.prefix.len() + digits(number)) as u64;
        let bytes =
            standing.map(|number| memory::record_bytes(name(number), (self.sizes)(number) as u64, false));
        let bytes = bytes.sum();
        if self.taken.is_empty() {
            self.all_bytes.set(Some(bytes));
        }
        bytes
    }

    /// How many there were.
    pub(super) fn all(&self) -> u64 {
        self.keys
    }

    /// Writes the name of a number into `into`; whether it still stands.
    pub(super) fn name(&self, number: u64, into: &mut Vec<u8>) -> bool {
        into.clear();
        into.extend_from_slice(&self.prefix);
        into.extend_from_slice(number.to_string().as_bytes());
        !self.taken.contains(&number)
    }

    /// The number of a key that stands here.
    pub(super) fn find(&self, key: &[u8]) -> Option<u64> {
        let number = key.strip_prefix(self.prefix.as_slice())?;
        // Only the canonical spelling is the key's name.
        if number.is_empty() || number.len() > 19 || (number[0] == b'0' && number.len() > 1) {
            return None;
        }
        let number = number
            .iter()
            .try_fold(0_u64, |n, digit| digit.is_ascii_digit().then(|| n * 10 + u64::from(digit - b'0')))?;
        (number < self.keys && !self.taken.contains(&number)).then_some(number)
    }

    /// The length of the value of a key that stands here.
    pub(super) fn size(&self, number: u64) -> usize {
        (self.sizes)(number)
    }

    /// Whether a name is that of a record of this keyspace, whether it stands or was written since.
    pub(super) fn owns(&self, key: &[u8]) -> bool {
        key.starts_with(&self.prefix)
    }

    /// Visits the names of those that stand no longer.
    pub(super) fn taken(&self, mut visit: impl FnMut(&[u8])) {
        let mut name = Vec::new();
        for number in &self.taken {
            self.name(*number, &mut name);
            visit(&name);
        }
    }

    /// Lets all stand again.
    pub(super) fn restore(&mut self) {
        self.taken.clear();
    }

    /// From now on the record does not stand any more.
    pub(super) fn take(&mut self, number: u64) {
        self.taken.insert(number);
    }
}

fn digits(number: u64) -> usize {
    number.checked_ilog10().map_or(1, |log| log as usize + 1)
}
