//! What a client says in a request, asks of the answer and keeps of it. Only servers that read requests see it: it is no
//! matter of a simulation.

use std::sync::Arc;

use super::KeyspaceId;

/// A text with places that are filled for each request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Text {
    /// Text and places in turn.
    pub parts: Vec<TextPart>,
}

/// A part of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TextPart {
    /// As written.
    Text(String),
    /// The number of the request's first key of this keyspace.
    Key(KeyspaceId),
    /// What the user kept under this number of [`super::Scenario::kept`]; nothing, where that is still to come.
    Kept(u16),
    /// A column of the user's row in a feed.
    Fed {
        /// The place among [`super::Scenario::feeds`].
        feed: u16,
        /// The place among its columns.
        column: u16,
    },
}

/// A request class's own words.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Exchange {
    /// Header fields by name.
    pub headers: Vec<(String, Text)>,
    /// The body.
    pub body: Option<Text>,
    /// What the answer must be.
    pub check: Check,
    /// What is kept of the answer, by the number of [`super::Scenario::kept`].
    pub extract: Vec<(u16, Extract)>,
}

/// What an answer must be to count as good.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Check {
    /// The statuses that are good; without any, those below 400.
    pub statuses: Vec<u16>,
    /// What the body must contain.
    pub contains: Option<String>,
    /// A header field that must be there, in lower case.
    pub header: Option<String>,
    /// A place in a body of JSON that must be there.
    pub json: Option<String>,
}

/// What is kept of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Extract {
    /// A place in a body of JSON.
    Json(String),
    /// A header field, in lower case.
    Header(String),
    /// The first group of the first match in the body.
    Regex(String),
}

/// Data for requests.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Feed {
    /// Its name in the file.
    pub name: String,
    /// The file's path.
    pub file: std::path::PathBuf,
    /// The columns' names.
    pub columns: Vec<String>,
    /// The rows, each with a value per column; at least one.
    pub rows: Arc<Vec<Vec<String>>>,
    /// The SHA-256 of the file's bytes, in lower-case hexadecimal; part of the scenario's hash.
    pub hash: String,
}
