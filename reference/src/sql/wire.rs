//! A connection to a MySQL or MariaDB server, in as much of its protocol as this stack speaks: no password, no TLS, statements as text
//! (MariaDB's knowledge base, "Clients & Utilities / Client-Server Protocol").

use std::io;
use std::net::SocketAddr;

use crate::http::Connection;
use crate::resp::Failed;

/// Of the client: long passwords, a database in the greeting, the protocol of version 4.1, transactions, authentication by salt, and
/// by a named method.
const CAPABILITIES: u32 = 0x1 | 0x8 | 0x200 | 0x2000 | 0x8000 | 0x8_0000;
/// The longest answer that is read: of the client's `max_allowed_packet`.
const PACKET_LIMIT: usize = 1 << 28;
/// A packet of this length goes on in the next one.
const FULL: usize = 0xff_ffff;
/// The character set of bytes that are no characters.
const BINARY: u8 = 63;
const QUERY: u8 = 3;

/// What a statement brought.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// So many rows were changed.
    Changed(u64),
    /// Rows of columns; a column that is NULL is empty.
    Rows(Vec<Vec<Vec<u8>>>),
}

impl Outcome {
    /// The rows; none where there were only changes.
    pub(crate) fn rows(self) -> Vec<Vec<Vec<u8>>> {
        match self {
            Self::Rows(rows) => rows,
            Self::Changed(_) => Vec::new(),
        }
    }
}

/// A connection.
#[derive(Debug)]
pub(crate) struct Client {
    connection: Connection,
    /// Whether an answer is owed, so that nothing else can be asked.
    owed: bool,
    /// Whether a transaction is open.
    in_transaction: bool,
}

impl Client {
    /// Connects as `root` to a database.
    ///
    /// # Errors
    /// The kernel's, and what the server says.
    pub(crate) async fn connect(address: SocketAddr, database: &str) -> Result<Self, Failed> {
        let connection = Connection::connect(address, None).await?;
        let mut client = Self { connection, owed: true, in_transaction: false };
        let (greeting, number) = client.packet().await?;
        match greeting.first() {
            Some(10) => {}
            Some(0xff) => return Err(error_of(&greeting)),
            _ => return Err(Failed::Server("it is no MySQL server of version 4.1 or later".to_owned())),
        }
        let mut answer = Vec::new();
        answer.extend_from_slice(&CAPABILITIES.to_le_bytes());
        answer.extend_from_slice(&(1_u32 << 30).to_le_bytes());
        answer.push(BINARY);
        answer.extend_from_slice(&[0; 23]);
        answer.extend_from_slice(b"root\0");
        // No password.
        answer.push(0);
        answer.extend_from_slice(database.as_bytes());
        answer.extend_from_slice(b"\0mysql_native_password\0");
        client.write(number + 1, &answer).await?;
        loop {
            let (packet, number) = client.packet().await?;
            match packet.first() {
                Some(0) => break,
                // Another method is asked for, whose answer is as empty.
                Some(0xfe) => client.write(number + 1, &[]).await?,
                _ => return Err(error_of(&packet)),
            }
        }
        client.owed = false;
        Ok(client)
    }

    /// Whether another statement can go over it.
    pub(crate) fn is_reusable(&self) -> bool {
        !self.owed && !self.in_transaction && self.connection.is_reusable()
    }

    /// Executes a statement.
    ///
    /// # Errors
    /// An error of the server is [`Failed::Server`], and leaves the connection usable.
    pub(crate) async fn query(&mut self, statement: &[u8]) -> Result<Outcome, Failed> {
        self.owed = true;
        let mut packet = Vec::with_capacity(1 + statement.len());
        packet.push(QUERY);
        packet.extend_from_slice(statement);
        self.write(0, &packet).await?;
        let (first, _) = self.packet().await?;
        let columns = match first.first() {
            Some(0) => {
                self.owed = false;
                let changed = integer(&first[1..]).map_or(0, |(changed, _)| changed);
                return Ok(Outcome::Changed(changed));
            }
            Some(0xff) => {
                self.owed = false;
                return Err(error_of(&first));
            }
            _ => integer(&first).ok_or_else(malformed)?.0,
        };
        // What the columns are is known; after them comes an end.
        for _ in 0..=columns {
            self.packet().await?;
        }
        let mut rows = Vec::new();
        loop {
            let (packet, _) = self.packet().await?;
            match packet.first() {
                Some(0xfe) if packet.len() < 9 => break,
                Some(0xff) => {
                    self.owed = false;
                    return Err(error_of(&packet));
                }
                _ => rows.push(row(&packet, columns).ok_or_else(malformed)?),
            }
        }
        self.owed = false;
        Ok(Outcome::Rows(rows))
    }

    /// Begins a transaction; a connection that is dropped before it ends takes it back.
    ///
    /// # Errors
    /// As [`Client::query`].
    pub(crate) async fn begin(&mut self) -> Result<(), Failed> {
        self.query(b"BEGIN").await?;
        self.in_transaction = true;
        Ok(())
    }

    /// Ends the transaction, if one is open.
    ///
    /// # Errors
    /// As [`Client::query`].
    pub(crate) async fn commit(&mut self) -> Result<(), Failed> {
        if self.in_transaction {
            self.query(b"COMMIT").await?;
            self.in_transaction = false;
        }
        Ok(())
    }

    async fn write(&mut self, mut number: u8, payload: &[u8]) -> io::Result<()> {
        let mut out = Vec::with_capacity(payload.len() + 4);
        let mut rest = payload;
        loop {
            let (piece, after) = rest.split_at(rest.len().min(FULL));
            out.extend_from_slice(&(piece.len() as u32).to_le_bytes()[..3]);
            out.push(number);
            out.extend_from_slice(piece);
            if piece.len() < FULL {
                break;
            }
            rest = after;
            number = number.wrapping_add(1);
        }
        self.connection.write_all(&out).await
    }

    /// The next packet, and its number.
    async fn packet(&mut self) -> Result<(Vec<u8>, u8), Failed> {
        let mut payload = Vec::new();
        loop {
            let head = loop {
                if let Some(head) = self.connection.input().first_chunk::<4>() {
                    break *head;
                }
                self.connection.more().await?;
            };
            let length = u32::from_le_bytes([head[0], head[1], head[2], 0]) as usize;
            if payload.len() + length > PACKET_LIMIT {
                return Err(Failed::Server("an answer of more than 256 MiB".to_owned()));
            }
            while self.connection.input().len() < 4 + length {
                self.connection.more().await?;
            }
            payload.extend_from_slice(&self.connection.input()[4..4 + length]);
            self.connection.consume(4 + length);
            if length < FULL {
                return Ok((payload, head[3]));
            }
        }
    }
}

fn malformed() -> Failed {
    Failed::Server("an answer that is malformed".to_owned())
}

/// What an error packet says: a number of two bytes, perhaps `#` and five letters of state, and a text.
fn error_of(packet: &[u8]) -> Failed {
    let Some((code, text)) = packet.get(1..).and_then(|rest| rest.split_first_chunk::<2>()) else {
        return malformed();
    };
    let text = if text.first() == Some(&b'#') { text.get(6..).unwrap_or_default() } else { text };
    Failed::Server(format!("{}: {}", u16::from_le_bytes(*code), String::from_utf8_lossy(text)))
}

/// An integer that says its own length, and how many bytes it takes.
fn integer(bytes: &[u8]) -> Option<(u64, usize)> {
    let wide = |width: usize| {
        let digits = bytes.get(1..=width)?;
        let number = digits.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte));
        Some((number, 1 + width))
    };
    match bytes.first()? {
        small @ 0..=0xfa => Some((u64::from(*small), 1)),
        0xfc => wide(2),
        0xfd => wide(3),
        0xfe => wide(8),
        _ => None,
    }
}

fn row(packet: &[u8], columns: u64) -> Option<Vec<Vec<u8>>> {
    let mut rest = packet;
    let mut row = Vec::new();
    for _ in 0..columns {
        if rest.first() == Some(&0xfb) {
            rest = &rest[1..];
            row.push(Vec::new());
            continue;
        }
        let (length, taken) = integer(rest)?;
        let end = taken.checked_add(usize::try_from(length).ok()?)?;
        row.push(rest.get(taken..end)?.to_vec());
        rest = &rest[end..];
    }
    Some(row)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn integers_say_their_own_length() {
        assert_eq!(integer(&[250]), Some((250, 1)));
        assert_eq!(integer(&[0xfc, 1, 2]), Some((513, 3)));
        assert_eq!(integer(&[0xfe, 0, 0, 0, 0, 0, 0, 0, 1]), Some((1 << 56, 9)));
        assert_eq!(integer(&[0xfd, 1]), None, "cut short");
    }

    #[test]
    fn a_row_has_its_columns_and_what_is_null_is_empty() {
        assert_eq!(row(b"\x0217\xfb\x03...", 3), Some(vec![b"17".to_vec(), vec![], b"...".to_vec()]));
        assert_eq!(row(b"\x0517", 1), None, "cut short");
    }

    #[test]
    fn an_error_is_told_with_its_number() {
        let error = error_of(b"\xff\xb5\x04#HY000Lock wait timeout exceeded");
        assert_eq!(error.to_string(), "server: 1205: Lock wait timeout exceeded");
    }

    proptest! {
        #[test]
        fn no_answer_makes_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..40), columns in 0_u64..9) {
            let _ = (integer(&bytes), row(&bytes, columns), error_of(&bytes));
        }
    }
}
