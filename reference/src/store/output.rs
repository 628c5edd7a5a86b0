//! What may be pending for clients that do not read it (`client-output-buffer-limit`), by the rules of redis 7.0.15
//! (networking.c, `checkClientOutputBufferLimits`): who has the hard limit or more to take is closed at once, and who has had the
//! soft limit or more for longer than its time.

use std::fmt;

use super::clients::Client;
use super::replication::BACKLOG_SIZE;
use super::replication::original::AHEAD;
use super::server::Server;

/// What a client is, as far as its limit goes. A store that this one is a copy of is a client as others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    Normal,
    Copy,
    Listener,
}

impl Class {
    const ALL: [Self; 3] = [Self::Normal, Self::Copy, Self::Listener];

    /// As `CONFIG GET` shows it.
    const fn name(self) -> &'static str {
        match self {
            Self::Normal => "normal",
            Self::Copy => "slave",
            Self::Listener => "pubsub",
        }
    }

    pub(super) fn named(name: &str) -> Option<Self> {
        let name = name.to_ascii_lowercase();
        Self::ALL.into_iter().find(|class| class.name() == name || *class == Self::Copy && name == "replica")
    }

    fn of(client: &Client) -> Self {
        match &client.copy {
            Some(copy) if copy.is_served => Self::Copy,
            _ if client.listens() => Self::Listener,
            _ => Self::Normal,
        }
    }
}

/// A limit on what is pending for a client. Zero bytes are none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct OutputLimit {
    pub(super) hard_bytes: u64,
    pub(super) soft_bytes: u64,
    pub(super) soft_s: u64,
}

/// The limit of each class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct OutputLimits([OutputLimit; 3]);

impl Default for OutputLimits {
    fn default() -> Self {
        let limit = |hard_bytes, soft_bytes, soft_s| OutputLimit { hard_bytes, soft_bytes, soft_s };
        Self([limit(0, 0, 0), limit(256 << 20, 64 << 20, 60), limit(32 << 20, 8 << 20, 60)])
    }
}

impl OutputLimits {
    /// Of a class. A copy that may not have the stream's last part pending would be closed whenever it had got that, so its
    /// limit is never less, as in Redis, with what records are written ahead.
    fn of(&self, class: Class) -> OutputLimit {
        let mut limit = self.0[class as usize];
        if class == Class::Copy && limit.hard_bytes > 0 {
            limit.hard_bytes = limit.hard_bytes.max((BACKLOG_SIZE + AHEAD) as u64);
        }
        limit
    }

    pub(super) fn set(&mut self, class: Class, limit: OutputLimit) {
        self.0[class as usize] = limit;
    }
}

impl fmt::Display for OutputLimits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, class) in Class::ALL.into_iter().enumerate() {
            let OutputLimit { hard_bytes, soft_bytes, soft_s } = self.0[class as usize];
            let space = if number == 0 { "" } else { " " };
            write!(f, "{space}{} {hard_bytes} {soft_bytes} {soft_s}", class.name())?;
        }
        Ok(())
    }
}

impl Server {
    /// Closes a client that has more to take than it may, and counts it; to be asked whenever something is pending for it.
    pub(super) fn bound_output(&mut self, index: usize) {
        let (now, limits) = (self.data.clock.now_ms(), &self.settings.output_limits);
        let Some(client) = self.clients.get_mut(index) else { return };
        let pending = match &client.copy {
            // What is pending for one that still gets records is bounded by who writes them.
            Some(copy) if copy.is_behind() => copy.waiting_bytes(),
            _ => (client.pending.len() - client.written) as u64,
        };
        let limit = limits.of(Class::of(client));
        let reaches = |limit: u64| limit > 0 && pending >= limit;
        let since = if reaches(limit.soft_bytes) {
            *client.over_soft_limit_since_ms.get_or_insert(now)
        } else {
            client.over_soft_limit_since_ms = None;
            now
        };
        if reaches(limit.hard_bytes) || now - since > limit.soft_s.saturating_mul(1000) {
            self.totals.closed_at_output_limit += 1;
            self.close(index);
        }
    }

    /// Does so with all clients: for a soft limit it is enough that time passes.
    pub(super) fn bound_outputs(&mut self) {
        let owed = |client: &Client| !client.pending.is_empty() || client.copy.is_some();
        let owed: Vec<usize> =
            self.clients.iter().filter(|(_, client)| owed(client)).map(|(index, _)| index).collect();
        owed.into_iter().for_each(|index| self.bound_output(index));
    }
}

#[cfg(test)]
mod tests {
    use scenarios::scenario::Eviction;
    use scenarios::units::Seed;

    use super::super::clients::Client;
    use super::super::data::{Data, Limits};
    use super::*;

    fn store() -> Server {
        let mut server = Server::new(Data::new(Limits::new(None, Eviction::NoEviction, 5), Seed(1)), 0);
        server.data.clock.stop();
        server
    }

    fn set(server: &mut Server, value: &str) -> bool {
        server.change_settings(&[(&b"client-output-buffer-limit"[..], value.as_bytes())]).is_ok()
    }

    /// A client for which so much is pending, and that takes nothing of it.
    fn deaf(server: &mut Server, bytes: usize) -> usize {
        let mut client = Client::new(None, None, false, 0);
        client.pending = vec![0; bytes];
        server.clients.insert(client)
    }

    #[test]
    fn limits_are_set_and_shown_as_redis_does() {
        let mut server = store();
        let shown = |server: &Server| server.setting("client-output-buffer-limit");
        let usual = "normal 0 0 0 slave 268435456 67108864 60 pubsub 33554432 8388608 60";
        assert_eq!(shown(&server), usual);
        assert!(set(&mut server, usual));
        assert_eq!(shown(&server), usual);
        assert!(set(&mut server, "NORMAL 2mb 1m 5 replica 0 0 0"));
        assert_eq!(shown(&server), "normal 2097152 1000000 5 slave 0 0 0 pubsub 33554432 8388608 60");
        for wrong in [
            "normal 1 1",
            "normal 1 1 1 pubsub",
            "master 1 1 1",
            "normal -1 0 0",
            "normal 1 1 -1",
            "normal 1x 1 1",
        ] {
            assert!(!set(&mut server, wrong), "{wrong}");
        }
        assert!(!set(&mut server, "normal 0 0 0 nobody 0 0 0"), "all of it or nothing");
        assert_eq!(shown(&server), "normal 2097152 1000000 5 slave 0 0 0 pubsub 33554432 8388608 60");
    }

    #[test]
    fn whoever_reaches_the_hard_limit_is_closed_and_counted_and_nobody_else() {
        let mut server = store();
        assert!(set(&mut server, "normal 1000 0 0"));
        let (below, at) = (deaf(&mut server, 999), deaf(&mut server, 1000));
        let listener = deaf(&mut server, 5000);
        server.clients.get_mut(listener).expect("there").channels.insert(b"news".to_vec());
        server.cron(10);
        let is_there = |server: &Server, index| server.clients.get(index).is_some();
        assert!(is_there(&server, below) && !is_there(&server, at));
        assert!(is_there(&server, listener), "it has a limit of its own");
        assert_eq!(server.totals.closed_at_output_limit, 1);
        assert_eq!(server.totals.closed_for_buffers, 0);
        assert!(set(&mut server, "pubsub 5000 0 0"));
        server.cron(10);
        assert!(!is_there(&server, listener));
        assert!(set(&mut server, "normal 0 0 0"));
        server.clients.get_mut(below).expect("there").pending = vec![0; 1 << 20];
        server.cron(10);
        assert!(is_there(&server, below), "zero is no limit");
    }

    #[test]
    fn the_soft_limit_is_reached_for_its_time_without_a_break() {
        let mut server = store();
        assert!(set(&mut server, "normal 0 1000 5"));
        let client = deaf(&mut server, 1000);
        let passes = |server: &mut Server, ms| {
            server.data.clock.advance_ms(ms);
            server.cron(10);
            server.clients.get(client).is_some()
        };
        assert!(passes(&mut server, 0) && passes(&mut server, 5000), "not longer than that yet");
        // It takes something.
        server.clients.get_mut(client).expect("there").written = 1;
        assert!(passes(&mut server, 1));
        server.clients.get_mut(client).expect("there").written = 0;
        assert!(passes(&mut server, 1) && passes(&mut server, 5000), "its time begins anew");
        assert!(!passes(&mut server, 1));
    }
}
