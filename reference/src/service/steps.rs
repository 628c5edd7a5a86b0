//! What a service asks of stores, with what the scenario draws for it.

use std::io::Write;

use scenarios::plan::RequestId;
use scenarios::scenario::{KeyspaceId, OnMiss};

use super::Service;
use crate::resp::{Client, Element, Failed};
use crate::store::{FILLER, key_name};

impl Service {
    /// The request's first keys of a keyspace.
    pub(super) fn keys(&self, id: RequestId, keyspace: KeyspaceId, count: usize) -> Vec<u64> {
        self.context.draws.keys(id, keyspace).take(count).collect()
    }

    /// Reads keys, and what is done about those that are not there.
    ///
    /// # Errors
    /// The failure of a store or a database.
    pub(super) async fn get(
        &self,
        id: RequestId,
        draw: usize,
        keyspace: KeyspaceId,
        count: usize,
        on_miss: Option<OnMiss>,
    ) -> Result<(), Failed> {
        let description = self.context.scenario.keyspace(keyspace);
        let keys = self.keys(id, keyspace, count);
        let present = self.read(keyspace, &keys).await?;
        let missed: Vec<u64> =
            keys.iter().zip(&present).filter(|(_, there)| !**there).map(|(k, _)| *k).collect();
        let Some(on_miss) = on_miss.filter(|_| !missed.is_empty()) else { return Ok(()) };
        let values = self.statement("SELECT", id, draw, on_miss.from, keyspace, &missed).await?;
        if on_miss.fill {
            let mut client = self.backends.store(description.store).await?;
            let refused = self.write_all(&mut client, id, keyspace, missed.iter().zip(&values)).await?;
            // A store without room refuses the fill; the answer does not need it.
            drop(refused);
        }
        Ok(())
    }

    /// Which of these keys are there.
    ///
    /// # Errors
    /// The store's failure.
    pub(super) async fn read(&self, keyspace: KeyspaceId, keys: &[u64]) -> Result<Vec<bool>, Failed> {
        let description = self.context.scenario.keyspace(keyspace);
        let count = keys.len();
        let mut present = Vec::with_capacity(count);
        let mut client = self.backends.store(description.store).await?;
        let mut name = Vec::new();
        client.command(1 + count);
        client.argument(if count == 1 { b"GET" } else { b"MGET" });
        for key in keys {
            key_name(&mut name, &description.name, *key);
            client.argument(&name);
        }
        client.send().await?;
        let is_there = |element: Element<'_>| match element {
            Element::Bulk(value) => Some(value.is_some()),
            _ => None,
        };
        if count == 1 {
            present.push(client.reply(is_there).await?);
        } else {
            client.array(count, |_, element| is_there(element), &mut present).await?;
        }
        Ok(present)
    }

    /// Writes the request's first keys of a keyspace.
    ///
    /// # Errors
    /// The store's failure or refusal.
    pub(super) async fn set(&self, id: RequestId, keyspace: KeyspaceId, count: usize) -> Result<(), Failed> {
        self.write(id, keyspace, &self.keys(id, keyspace, count)).await
    }

    /// Writes keys.
    ///
    /// # Errors
    /// The store's failure or refusal.
    pub(super) async fn write(
        &self,
        id: RequestId,
        keyspace: KeyspaceId,
        keys: &[u64],
    ) -> Result<(), Failed> {
        let context = &self.context;
        let description = context.scenario.keyspace(keyspace);
        let value =
            |key: &u64| vec![FILLER; context.draws.value_size(keyspace, *key, &description.value) as usize];
        let values: Vec<Vec<u8>> = keys.iter().map(value).collect();
        let mut client = self.backends.store(description.store).await?;
        match self.write_all(&mut client, id, keyspace, keys.iter().zip(&values)).await? {
            Some(refusal) => Err(refusal),
            None => Ok(()),
        }
    }

    /// A pipeline of SETs; the first refusal of the store, if there is one, once all replies were read.
    async fn write_all<'a>(
        &self,
        client: &mut Client,
        id: RequestId,
        keyspace: KeyspaceId,
        records: impl ExactSizeIterator<Item = (&'a u64, &'a Vec<u8>)>,
    ) -> Result<Option<Failed>, Failed> {
        let context = &self.context;
        let description = context.scenario.keyspace(keyspace);
        let count = records.len();
        let (mut name, mut ttl) = (Vec::new(), Vec::new());
        for (key, value) in records {
            let lifetime = context.draws.ttl(id, description, *key);
            client.command(if lifetime.is_some() { 5 } else { 3 });
            client.argument(b"SET");
            key_name(&mut name, &description.name, *key);
            client.argument(&name);
            client.argument(value);
            if let Some(lifetime) = lifetime {
                ttl.clear();
                write!(ttl, "{}", (lifetime.as_nanos() / 1_000_000).max(1))
                    .expect("writing to a vector cannot fail");
                client.argument(b"PX");
                client.argument(&ttl);
            }
        }
        client.send().await?;
        let mut refused = None;
        for _ in 0..count {
            match client.reply(|element| matches!(element, Element::Simple(b"OK")).then_some(())).await {
                Ok(()) => {}
                Err(refusal @ Failed::Server(_)) => refused = refused.or(Some(refusal)),
                Err(broken) => return Err(broken),
            }
        }
        Ok(refused)
    }
}
