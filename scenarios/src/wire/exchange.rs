//! What a client says in a request, asks of the answer and keeps of it, as written.

use super::prelude::*;

table! {
    /// What an answer must be to count as good.
    Check {
        /// The statuses that are good; by default those below 400.
        default status: List<Count<200, 599>> = List::default(),
        /// What the body must contain.
        optional contains: String,
        /// A header field that must be there.
        optional header: String,
        /// A place in a body of JSON that must be there, as a pointer (RFC 6901): `/items/0/id`.
        optional json: String,
    }
}

table! {
    /// What a user keeps of an answer for later requests: exactly one of `json`, `header`, `regex`. An answer without it
    /// fails its check.
    Extract {
        /// A place in a body of JSON, as a pointer (RFC 6901): `/token`.
        optional json: String,
        /// A header field.
        optional header: String,
        /// The first group of the first match in the body.
        optional regex: String,
    }
}

table! {
    /// Data for requests, such as logins: `{logins.name}` in a header or a body stands for the column `name` of a row of
    /// `feeds.logins`. Every user has a row, and every request without a user has its own; the seed draws it.
    Feed {
        /// A CSV file, relative to the scenario's, whose first line names the columns.
        required file: String,
    }
}
