//! What a copy does: asks the original for all records or for what it missed, and applies what comes then.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::pending;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval, sleep, sleep_until};

use super::Following;
use crate::http::Connection;
use crate::resp::request::{Limits, Parser};
use crate::store::clients::Client;
use crate::store::commands::execute;
use crate::store::rdb::{Reader, Step};
use crate::store::server::Server;

/// Between two attempts to connect.
const RETRY: Duration = Duration::from_millis(100);
/// The longest that connecting, and a reply to a greeting, may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// Between two words about how far the copy is.
const REPORT: Duration = Duration::from_secs(1);
/// Records and commands applied before clients have their turn.
const STEPS: usize = 1000;
/// The longest line of a greeting.
const LINE_LIMIT: usize = 1024;

/// What a store is a copy of.
#[derive(Clone, Copy, Debug)]
pub(in crate::store) struct Original {
    pub(in crate::store) address: SocketAddr,
    /// Whether it was filled from the same keyspaces of the scenario, so that the copy has all records that only stand.
    pub(in crate::store) shares_standing: bool,
    /// What the copy knows it applies only so much later.
    pub(in crate::store) lag: Duration,
}

/// Makes a store the copy of another, from now on and until it is told otherwise.
pub(in crate::store) fn follow(server: &mut Server, shared: Rc<RefCell<Server>>, original: Original) {
    let address = original.address;
    if server.replication.following.as_ref().is_some_and(|original| original.address == address) {
        return;
    }
    server.replicate();
    let old: Vec<usize> = server.replication.copies.iter().copied().collect();
    old.into_iter().for_each(|index| server.close(index));
    server.forget_original();
    server.data.is_copy = true;
    server.data.drop_log();
    let task = tokio::task::spawn_local(async move {
        loop {
            let _ = copy(&shared, original).await;
            shared.borrow_mut().set_linked(false);
            sleep(RETRY).await;
        }
    });
    server.replication.following = Some(Following { address, task: Some(task), is_linked: false });
}

impl Server {
    /// Ends being a copy: from now on this is the store.
    pub(in crate::store) fn lead(&mut self) {
        self.replication.promote();
        self.forget_original();
        self.data.is_copy = false;
        self.data.is_applying = false;
        if self.replication.is_kept() {
            self.data.keep_log();
        }
    }

    fn set_linked(&mut self, linked: bool) {
        if let Some(original) = self.replication.following.as_mut() {
            original.is_linked = linked;
        }
        if !linked {
            self.forget_original();
        }
    }

    /// Ends the connection to the original. What has come and is not applied yet is lost, unless the next connection brings it.
    pub(in crate::store) fn forget_original(&mut self) {
        let original = self.clients.iter().find(|(_, client)| client.is_original).map(|(index, _)| index);
        if let Some(index) = original {
            self.close(index);
        }
    }

    /// Executes what the original sent.
    fn apply(&mut self, original: usize, input: &[u8], parser: &Parser, out: &mut Vec<u8>) {
        self.data.is_applying = true;
        execute(self, original, input, parser.arguments(), out);
        self.data.is_applying = false;
        out.clear();
    }
}

/// One connection to the original, from its beginning to its end.
async fn copy(server: &RefCell<Server>, original: Original) -> io::Result<()> {
    let Original { address, shares_standing, lag } = original;
    let mut connection = Connection::connect(address, Some(PATIENCE)).await?;
    greet(server, &mut connection, shares_standing).await?;
    let answer = line(&mut connection).await?;
    // What comes says when it expires by everybody's clock, from which one that stands still would depart.
    server.borrow_mut().data.clock.start();
    let mut words = answer.split(' ');
    match (words.next(), words.next(), words.next().and_then(|offset| offset.parse().ok())) {
        (Some("+FULLRESYNC"), Some(id), Some(offset)) => {
            records(server, &mut connection, shares_standing).await?;
            server.borrow_mut().replication.adopt(id, offset);
        }
        (Some("+CONTINUE"), id, _) => {
            let mut server = server.borrow_mut();
            let offset = server.replication.offset;
            let id = id.map_or_else(|| server.replication.id.clone(), str::to_owned);
            server.replication.adopt(&id, offset);
        }
        _ => return Err(io::Error::other(answer)),
    }
    changes(server, &mut connection, lag).await
}

/// Says who asks, and for what.
async fn greet(
    server: &RefCell<Server>,
    connection: &mut Connection,
    shares_standing: bool,
) -> io::Result<()> {
    let (port, password, id, offset) = {
        let server = server.borrow();
        let next = |kept| if kept { server.replication.offset as i64 + 1 } else { -1 };
        // Records of which only a part came are no beginning to go on from.
        let kept = server.replication.is_kept() && server.replication.is_whole;
        let id = if kept { server.replication.id.clone() } else { "?".to_owned() };
        (server.port, server.settings.original_password.clone(), id, next(kept))
    };
    let mut greetings = vec![vec!["PING".to_owned()]];
    if !password.is_empty() {
        greetings.push(vec!["AUTH".to_owned(), password]);
    }
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    greetings.push(words(&["REPLCONF", "listening-port", &port.to_string()]));
    greetings.push(words(&["REPLCONF", "capa", "eof", "capa", "psync2"]));
    if shares_standing {
        greetings.push(words(&["REPLCONF", "capa", "standing"]));
    }
    for greeting in greetings {
        send(connection, &greeting).await?;
        line(connection).await?;
    }
    send(connection, &words(&["PSYNC", &id, &offset.to_string()])).await
}

async fn send(connection: &mut Connection, words: &[String]) -> io::Result<()> {
    let mut bytes = Vec::new();
    write!(bytes, "*{}\r\n", words.len())?;
    for word in words {
        write!(bytes, "${}\r\n{word}\r\n", word.len())?;
    }
    connection.write_all(&bytes).await
}

/// The next line that is not empty: empty ones say that the original is still busy.
async fn line(connection: &mut Connection) -> io::Result<String> {
    loop {
        let end = connection.input().iter().position(|byte| *byte == b'\n');
        match end {
            Some(end) => {
                let text = String::from_utf8_lossy(&connection.input()[..end]).trim_end().to_owned();
                connection.consume(end + 1);
                if !text.is_empty() {
                    return Ok(text);
                }
            }
            None if connection.input().len() > LINE_LIMIT => return Err(io::Error::other("an endless line")),
            None => connection.more().await?,
        }
    }
}

/// Reads all records, in place of those that are there.
async fn records(
    server: &RefCell<Server>,
    connection: &mut Connection,
    shares_standing: bool,
) -> io::Result<()> {
    let head = line(connection).await?;
    let delimiter = match head.strip_prefix("$EOF:") {
        Some(delimiter) => delimiter.len(),
        None if head.starts_with('$') => 0,
        None => return Err(io::Error::other(head)),
    };
    let mut reader = Reader::default();
    server.borrow_mut().replication.is_whole = false;
    if shares_standing {
        server.borrow_mut().data.start_over();
    } else {
        server.borrow_mut().data.clear();
    }
    loop {
        let step = server.borrow_mut().take_records(&mut reader, connection)?;
        match step {
            Step::End(_) => break,
            Step::More => connection.more().await?,
            Step::Used(_) => tokio::task::yield_now().await,
        }
    }
    while connection.input().len() < delimiter {
        connection.more().await?;
    }
    connection.consume(delimiter);
    Ok(())
}

impl Server {
    /// Takes some records in; what the last step was.
    fn take_records(&mut self, reader: &mut Reader, connection: &mut Connection) -> io::Result<Step> {
        self.data.tick();
        self.data.is_applying = true;
        let mut last = Ok(Step::More);
        for _ in 0..STEPS {
            last = reader.step(connection.input(), &mut self.data).map_err(io::Error::other);
            match &last {
                Ok(Step::Used(count)) => connection.consume(*count),
                Ok(Step::End(count)) => {
                    connection.consume(*count);
                    break;
                }
                _ => break,
            }
        }
        self.data.is_applying = false;
        last
    }
}

/// Applies what changes, as long as the connection lasts.
async fn changes(server: &RefCell<Server>, connection: &mut Connection, lag: Duration) -> io::Result<()> {
    let (original, id) = {
        let mut server = server.borrow_mut();
        server.set_linked(true);
        let mut original = Client::new(None, None, false, server.data.clock.now_ms());
        original.is_original = true;
        let index = server.clients.insert(original);
        (index, server.clients.get(index).map(|client| client.id))
    };
    let (mut parser, mut out) = (Parser::default(), Vec::new());
    let mut reports = interval(REPORT);
    reports.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut held = Held::new(lag, connection.input().len());
    loop {
        let mut is_asked = false;
        let ripe = held.ripe();
        let used = {
            let mut server = server.borrow_mut();
            if server.clients.get(original).map(|client| client.id) != id {
                // Somebody closed it. Nothing is lost: the next connection goes on here.
                return Err(io::ErrorKind::ConnectionAborted.into());
            }
            server.data.tick();
            let (input, mut used) = (&connection.input()[..ripe], 0);
            for _ in 0..STEPS {
                let length = parser.read(&input[used..], &Limits::STORE).map_err(io::Error::other)?;
                let Some(length) = length else { break };
                let command = &input[used..];
                let name =
                    parser.arguments().first().map_or(&[][..], |r| &command[r.0 as usize..r.1 as usize]);
                if name.eq_ignore_ascii_case(b"REPLCONF") {
                    is_asked = true;
                } else if !name.is_empty() {
                    server.apply(original, command, &parser, &mut out);
                }
                server.replication.push(&command[..length]);
                used += length;
            }
            used
        };
        connection.consume(used);
        held.consume(used);
        if is_asked {
            report(server, connection).await?;
        }
        if used > 0 {
            tokio::task::yield_now().await;
            continue;
        }
        tokio::select! {
            more = connection.fill() => match more? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                count => held.add(count),
            },
            () = held.next() => {}
            _ = reports.tick() => report(server, connection).await?,
        }
    }
}

/// Bytes that have come and are not to be seen yet.
struct Held {
    lag: Duration,
    /// How many may be seen, and are not used.
    ripe: usize,
    /// From when on how many more may be.
    unripe: VecDeque<(Instant, usize)>,
}

impl Held {
    fn new(lag: Duration, here: usize) -> Self {
        Self { lag, ripe: here, unripe: VecDeque::new() }
    }

    fn add(&mut self, count: usize) {
        self.unripe.push_back((Instant::now() + self.lag, count));
    }

    fn ripe(&mut self) -> usize {
        while let Some((at, count)) = self.unripe.front().copied()
            && (self.lag.is_zero() || at <= Instant::now())
        {
            self.ripe += count;
            self.unripe.pop_front();
        }
        self.ripe
    }

    fn consume(&mut self, count: usize) {
        self.ripe -= count;
    }

    /// Returns when there is more to see.
    async fn next(&self) {
        match self.unripe.front() {
            Some((at, _)) => sleep_until(*at).await,
            None => pending().await,
        }
    }
}

async fn report(server: &RefCell<Server>, connection: &mut Connection) -> io::Result<()> {
    let offset = server.borrow().replication.offset.to_string();
    send(connection, &["REPLCONF".to_owned(), "ACK".to_owned(), offset]).await
}
