//! What is wrong with a scenario file: where, what was found, what was expected, how to mend it.
//!
//! Owns the message and its order; refuses to know what any rule says. A pass over a file collects every problem in one
//! [`Diagnostics`].

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

/// One problem of a scenario file.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Diagnostic {
    /// The file.
    pub path: PathBuf,
    /// The line, from 1; 0 where the file as a whole is meant.
    pub line: u32,
    /// The column in characters, from 1.
    pub column: u32,
    /// The key's path in the file, such as `components.cache.memory`.
    pub where_: String,
    /// What stands there, as written.
    pub found: String,
    /// What could stand there.
    pub expected: String,
    /// How to mend it, as an imperative.
    pub hint: Option<String>,
}

impl Diagnostic {
    /// A problem of a file as a whole: it cannot be read, say.
    pub fn of_file(path: impl Into<PathBuf>, found: impl Into<String>, expected: impl Into<String>) -> Self {
        Self {
            path: path.into(),
            line: 0,
            column: 0,
            where_: String::new(),
            found: found.into(),
            expected: expected.into(),
            hint: None,
        }
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.path.display())?;
        if self.line > 0 {
            write!(f, "{}:{}:", self.line, self.column)?;
        }
        if !self.where_.is_empty() {
            write!(f, " {}:", self.where_)?;
        }
        write!(f, " found {}, expected {}", self.found, self.expected)?;
        if let Some(hint) = &self.hint {
            write!(f, "\nhint: {hint}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Diagnostic {}

/// All problems that one pass found, in the order of their places.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostics(Vec<Diagnostic>);

impl Diagnostics {
    /// Sorts them by file and place and drops repetitions.
    pub fn new(mut problems: Vec<Diagnostic>) -> Self {
        problems.sort_by(|a, b| {
            (&a.path, a.line, a.column, &a.where_).cmp(&(&b.path, b.line, b.column, &b.where_))
        });
        problems.dedup();
        Self(problems)
    }

    /// The problems in order.
    pub fn iter(&self) -> impl Iterator<Item = &Diagnostic> {
        self.0.iter()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl From<Diagnostic> for Diagnostics {
    fn from(problem: Diagnostic) -> Self {
        Self(vec![problem])
    }
}

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, problem) in self.0.iter().enumerate() {
            if i > 0 {
                writeln!(f)?;
            }
            problem.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for Diagnostics {}

/// Where a value stands in its file, and how it reads there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Location {
    /// Line and column of its key; of itself in a list.
    pub(crate) key: (u32, u32),
    pub(crate) line: u32,
    pub(crate) column: u32,
    pub(crate) found: String,
    /// A text, number or truth value as text; none for a table or list.
    pub(crate) value: Option<String>,
}

/// Where every value of a file stands, by its path (`components.shop.worker_holds`, `faults[1].at`).
#[derive(Clone, Debug, Default)]
pub struct Locations(BTreeMap<String, Location>);

impl Locations {
    pub(crate) fn insert(&mut self, where_: &str, location: Location) {
        self.0.insert(where_.to_owned(), location);
    }

    /// The location of this very path.
    pub(crate) fn get(&self, where_: &str) -> Option<&Location> {
        self.0.get(where_)
    }

    /// All that is written, by path; what is in a table or list comes after it.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &Location)> {
        self.0.iter().map(|(path, location)| (path.as_str(), location))
    }

    /// The line and column of a path, or of the nearest table around it that is in the file; 1:1 where none is.
    pub(crate) fn position(&self, where_: &str) -> (u32, u32) {
        let mut path = where_;
        loop {
            if let Some(location) = self.0.get(path) {
                return (location.line, location.column);
            }
            match path.rfind(['.', '[']) {
                Some(end) => path = &path[..end],
                None => return (1, 1),
            }
        }
    }
}

/// The candidate that `word` is most likely a slip of, if any is near enough.
pub(crate) fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let limit = 1 + word.chars().count() / 4;
    let scored = candidates.into_iter().map(|c| (distance(word, c), c));
    let scored = scored.filter(|(d, c)| *d <= limit || (word.len() >= 3 && c.starts_with(word)));
    scored.min_by_key(|(d, _)| *d).map(|(_, c)| c)
}

/// Edits between two words, counting a swap of neighbours as one (optimal string alignment).
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) =
        (a.to_lowercase().chars().collect(), b.to_lowercase().chars().collect());
    let mut rows = vec![(0..=b.len()).collect::<Vec<_>>()];
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let previous = &rows[i - 1];
            let substitute = previous[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut best = substitute.min(previous[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(rows[i - 2][j - 2] + 1);
            }
            row.push(best);
        }
        rows.push(row);
    }
    rows[a.len()][b.len()]
}

/// `a`, `b` or `c`, each in quotes.
pub(crate) fn one_of<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
    let words: Vec<String> = words.into_iter().map(|w| format!("\"{w}\"")).collect();
    match words.split_last() {
        None => "nothing".to_owned(),
        Some((last, [])) => last.clone(),
        Some((last, rest)) => format!("{} or {last}", rest.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_finds_its_word() {
        let words = ["max_memory", "eviction", "samples"];
        assert_eq!(nearest("max_memroy", words), Some("max_memory"));
        assert_eq!(nearest("evict", words), Some("eviction"));
        assert_eq!(nearest("colour", words), None);
    }

    #[test]
    fn a_missing_value_is_placed_at_the_nearest_table() {
        let mut locations = Locations::default();
        locations.insert(
            "faults[2]",
            Location { key: (7, 1), line: 7, column: 3, found: String::new(), value: None },
        );
        assert_eq!(locations.position("faults[2].at"), (7, 3));
        assert_eq!(locations.position("hosts.app"), (1, 1));
    }
}
