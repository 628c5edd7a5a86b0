//! What a service does for a request: the steps of its class, in order, with what the scenario draws for them.

use std::io::Write;

use scenarios::plan::RequestId;
use scenarios::scenario::{Action, ComponentId, KeyspaceId, OnMiss};

use super::Service;
use super::request::{CLASS_HEADER, REQUEST_HEADER, STEP_HEADER};
use crate::http::head::{NO_FIELDS, parse_response};
use crate::http::{Body, Connection};
use crate::resp::{Client, Element, Failed};
use crate::store::{FILLER, key_name};

/// Where a step is in the scenario, and for whom it is done.
#[derive(Clone, Copy, Debug)]
struct Place {
    id: RequestId,
    class: usize,
    step: usize,
}

impl Service {
    /// Does all steps of a class.
    ///
    /// # Errors
    /// The first failure of a backend.
    pub(super) async fn all_steps(&self, id: RequestId, class: usize) -> Result<(), Failed> {
        for step in 0..self.context.scenario.requests[class].steps.len() {
            let place = Place { id, class, step };
            match self.context.scenario.requests[class].steps[step].at {
                Some(at) if at != self.context.component => self.elsewhere(at, place).await?,
                _ => self.action(place).await?,
            }
        }
        Ok(())
    }

    /// Does one step, for another service.
    ///
    /// # Errors
    /// The failure of a backend.
    pub(super) async fn one_step(&self, id: RequestId, class: usize, step: usize) -> Result<(), Failed> {
        self.action(Place { id, class, step }).await
    }

    async fn action(&self, place: Place) -> Result<(), Failed> {
        let context = &self.context;
        let (id, step) = (place.id, place.step);
        match &context.scenario.requests[place.class].steps[step].action {
            Action::Work(law) => {
                context.cores.work(context.slowed(context.draws.step(id, step, law).as_nanos())).await;
                Ok(())
            }
            Action::Wait(law) => {
                context.timer.sleep_nanos(context.draws.step(id, step, law).as_nanos()).await;
                Ok(())
            }
            Action::Get { keyspace, count, on_miss } => {
                self.get(place, *keyspace, *count as usize, *on_miss).await
            }
            Action::Set { keyspace, count } => self.set(place, *keyspace, *count as usize).await,
            Action::Select { database, keyspace, rows } => {
                let keys = self.keys(id, *keyspace, *rows as usize);
                self.statement("SELECT", place, *database, *keyspace, &keys).await.map(drop)
            }
            Action::Update { database, keyspace, rows } => {
                let keys = self.keys(id, *keyspace, *rows as usize);
                self.statement("UPDATE", place, *database, *keyspace, &keys).await.map(drop)
            }
            Action::Purge(purge) => {
                self.purge(id, step, purge);
                Ok(())
            }
            // The checks before the start refuse what is not implemented here.
            other => Err(Failed::Server(format!("no such step: {other:?}"))),
        }
    }

    fn keys(&self, id: RequestId, keyspace: KeyspaceId, count: usize) -> Vec<u64> {
        self.context.draws.keys(id, keyspace).take(count).collect()
    }

    async fn get(
        &self,
        place: Place,
        keyspace: KeyspaceId,
        count: usize,
        on_miss: Option<OnMiss>,
    ) -> Result<(), Failed> {
        let description = self.context.scenario.keyspace(keyspace);
        let keys = self.keys(place.id, keyspace, count);
        let mut present = Vec::with_capacity(count);
        {
            let mut client = self.backends.store(description.store).await?;
            let mut name = Vec::new();
            client.command(1 + count);
            client.argument(if count == 1 { b"GET" } else { b"MGET" });
            for key in &keys {
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
        }
        let missed: Vec<u64> =
            keys.iter().zip(&present).filter(|(_, there)| !**there).map(|(k, _)| *k).collect();
        let Some(on_miss) = on_miss.filter(|_| !missed.is_empty()) else { return Ok(()) };
        let values = self.statement("SELECT", place, on_miss.from, keyspace, &missed).await?;
        if on_miss.fill {
            let mut client = self.backends.store(description.store).await?;
            let refused = self.write_all(&mut client, place.id, keyspace, missed.iter().zip(&values)).await?;
            // A store without room refuses the fill; the answer does not need it.
            drop(refused);
        }
        Ok(())
    }

    async fn set(&self, place: Place, keyspace: KeyspaceId, count: usize) -> Result<(), Failed> {
        let context = &self.context;
        let description = context.scenario.keyspace(keyspace);
        let keys = self.keys(place.id, keyspace, count);
        let value =
            |key: &u64| vec![FILLER; context.draws.value_size(keyspace, *key, &description.value) as usize];
        let values: Vec<Vec<u8>> = keys.iter().map(value).collect();
        let mut client = self.backends.store(description.store).await?;
        match self.write_all(&mut client, place.id, keyspace, keys.iter().zip(&values)).await? {
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

    /// One SQL statement. The server draws its processor time from the request and the step that it is told.
    async fn statement(
        &self,
        verb: &str,
        place: Place,
        database: ComponentId,
        keyspace: KeyspaceId,
        keys: &[u64],
    ) -> Result<Vec<Vec<u8>>, Failed> {
        let mut client = self.backends.store(database).await?;
        client.command(4 + keys.len());
        client.argument(verb.as_bytes());
        client.argument(self.context.scenario.keyspace(keyspace).name.as_bytes());
        client.argument(format!("{:016x}", place.id.0).as_bytes());
        client.argument(place.step.to_string().as_bytes());
        for key in keys {
            client.argument(key.to_string().as_bytes());
        }
        client.send().await?;
        if verb == "UPDATE" {
            client.reply(|element| matches!(element, Element::Integer(_)).then_some(())).await?;
            return Ok(Vec::new());
        }
        let mut rows = Vec::with_capacity(keys.len());
        let row = |_, element: Element<'_>| match element {
            Element::Bulk(value) => Some(value.unwrap_or_default().to_vec()),
            _ => None,
        };
        client.array(keys.len(), row, &mut rows).await?;
        Ok(rows)
    }

    /// Has another service do a step, and waits for it.
    async fn elsewhere(&self, at: ComponentId, place: Place) -> Result<(), Failed> {
        let mut connection = self.backends.service(at).await?;
        let request = format!(
            "GET /step HTTP/1.1\r\nhost: {}\r\n{REQUEST_HEADER}: {:016x}\r\n{CLASS_HEADER}: {}\r\n{STEP_HEADER}: {}\r\n\r\n",
            self.context.scenario.component(at).name,
            place.id.0,
            self.context.scenario.requests[place.class].name,
            place.step,
        );
        connection.write_all(request.as_bytes()).await?;
        match status_of_answer(&mut connection).await? {
            200 => Ok(()),
            status => Err(Failed::Server(format!("status {status}"))),
        }
    }
}

pub(super) async fn status_of_answer(connection: &mut Connection) -> Result<u16, Failed> {
    let refused = |_| Failed::Server("a malformed answer".to_owned());
    let (status, head_len, mut body) = loop {
        let mut fields = NO_FIELDS;
        let input = connection.input();
        if let Some(head) = parse_response(input, &mut fields, false).map_err(refused)? {
            break (head.status, head.len, Body::new(head.framing));
        }
        connection.more().await?;
    };
    connection.consume(head_len);
    loop {
        let taken = body.take(connection.input()).map_err(refused)?;
        connection.consume(taken);
        if body.is_done() {
            return Ok(status);
        }
        connection.more().await?;
    }
}
