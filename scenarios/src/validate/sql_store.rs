//! SQL stores.

use super::Validator;
use crate::law::{DurationLaw, Law};
use crate::scenario::{Hibernation, Host, Replicas, SqlStore};
use crate::wire;

impl Validator<'_> {
    pub(super) fn sql_store(&mut self, at: &str, file: &wire::SqlStore, host: Option<&Host>) -> SqlStore {
        let read = file.read.unwrap_or(DurationLaw::from_nanos(Law::Constant(0.0)));
        let replicas = file
            .replicas
            .as_ref()
            .and_then(|replicas| Some(Replicas { lag: replicas.lag?, reads: replicas.reads }));
        let hibernation = file.hibernation.as_ref().and_then(|hibernation| {
            let after = self.positive(&format!("{at}.hibernation.after"), hibernation.after?);
            Some(Hibernation { after, wake: hibernation.wake? })
        });
        if let Some(host) = host {
            self.sql_store_fits(at, file, host);
        }
        SqlStore {
            connections: file.connections.0 as u32,
            read,
            write: file.write.unwrap_or(read),
            buffer_pool: file.buffer_pool,
            lock_wait: file.lock_wait.map(|wait| self.positive(&format!("{at}.lock_wait"), wait)),
            statement_timeout: file
                .statement_timeout
                .map(|limit| self.positive(&format!("{at}.statement_timeout"), limit)),
            replicas,
            vip: file.vip.as_ref().map(|vip| self.vip(at, vip)),
            hibernation,
        }
    }

    /// Several machines need to know which is the master, pages need a disk.
    fn sql_store_fits(&mut self, at: &str, file: &wire::SqlStore, host: &Host) {
        let one_master = file.replicas.is_some() || file.vip.is_some();
        if host.count > 1 && !one_master {
            let expected =
                format!("a host of count 1, or replicas or a vip (\"{}\" has {})", host.name, host.count);
            let hint = "add vip = {} or replicas = { lag = \"100ms\" }".to_owned();
            self.problem(&format!("{at}.host"), expected, Some(hint));
        }
        for (key, is_there) in [("replicas", file.replicas.is_some()), ("vip", file.vip.is_some())] {
            if is_there && host.count < 2 {
                let hint = format!("write count = 2 in [hosts.{}]", host.name);
                self.problem(&format!("{at}.{key}"), "a host of two machines or more", Some(hint));
            }
        }
        if file.buffer_pool.is_some() && host.disk.is_none() {
            let hint = format!("write disk = \"ssd\" in [hosts.{}]", host.name);
            self.problem(&format!("{at}.buffer_pool"), "a host with a disk", Some(hint));
        }
    }
}
