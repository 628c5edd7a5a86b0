//! What is on the server: the queue of tasks, the answers by the tasks' keys, and large things by their contents. All of it is made
//! where it is missing, and taken as it is where an operator made it before.
//!
//! A subject of the queue holds one message, so that asking again for a task that waits, or that somebody is at, changes nothing.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow, bail};
use fleet::Link;
use fleet::async_nats::jetstream::consumer::{AckPolicy, PullConsumer, pull};
use fleet::async_nats::jetstream::kv;
use fleet::async_nats::jetstream::object_store::{self, GetErrorKind, ObjectMetadata, ObjectStore};
use fleet::async_nats::jetstream::stream::{self, DiscardPolicy, RetentionPolicy, Stream};
use fleet::async_nats::jetstream::{self, Context};
use programs::Problem;
use serde::{Deserialize, Serialize};
use tokio::io::AsyncReadExt as _;
use tokio::time::{sleep, timeout};

use super::task::{Kept, News, TASKS, Task, news};

/// The names that the three have on the server.
const QUEUE: &str = "rehearsal-sim-tasks";
const ANSWERS: &str = "rehearsal-sim-answers";
const LARGE: &str = "rehearsal-sim-large";
/// Everything is thrown away after so long.
const KEPT_FOR: Duration = Duration::from_secs(7 * 24 * 3600);
/// A task of which nothing is heard for so long is given to another worker.
const ACK_WAIT: Duration = Duration::from_secs(10);
/// So many tasks may be worked at, and so many threads of workers wait for one.
const MOST_AT_ONCE: i64 = 100_000;
const MOST_WAITING: i64 = 10_000;
/// A server that is away for so long is given up, and asked again after a pause until then.
const PATIENCE: Duration = Duration::from_secs(5 * 60);
const PAUSE: Duration = Duration::from_millis(500);
/// Something large goes into the store in pieces of this size, in bytes, where the server takes messages of it.
const CHUNK: usize = 128 << 10;
/// The next piece of something large comes in this time.
const SILENCE: Duration = Duration::from_secs(10);

/// What a task came to.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Answer {
    /// What the run left.
    Made(Vec<u8>),
    /// There is no run, and why.
    Failed(Failure),
}

/// Why there is no run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Failure {
    /// Whether it is the scenario's, or the command's, rather than the worker's.
    pub(super) of_scenario: bool,
    /// What is wrong.
    pub(super) problem: String,
    /// Who says so.
    pub(super) worker: String,
}

/// How an answer begins: with what is behind.
const MADE: u8 = b'm';
const MADE_AND_LARGE: u8 = b'l';
const FAILED: u8 = b'f';

/// The server.
pub(super) struct Store {
    link: Link,
    jetstream: Context,
    queue: Stream,
    answers: kv::Store,
    large: ObjectStore,
}

impl Store {
    /// Finds or makes what there must be.
    ///
    /// # Errors
    /// Where the server has no JetStream, or does not let us.
    pub(super) async fn open(link: Link) -> Result<Self, Problem> {
        let place = link.place().to_string();
        Self::opened(link).await.map_err(|error| {
            Problem::Failure(anyhow!(
                "NATS at {place}: its JetStream cannot be used: {error:#}\n  hint: start it with one: nats-server -js -sd DIRECTORY"
            ))
        })
    }

    async fn opened(link: Link) -> anyhow::Result<Self> {
        let jetstream = jetstream::new(link.client().clone());
        let queue = stream::Config {
            name: QUEUE.to_owned(),
            subjects: vec![format!("{TASKS}.>")],
            retention: RetentionPolicy::WorkQueue,
            max_messages_per_subject: 1,
            discard: DiscardPolicy::New,
            discard_new_per_subject: true,
            max_age: KEPT_FOR,
            max_message_size: i32::try_from(fleet::MOST_BYTES).unwrap_or(i32::MAX),
            ..stream::Config::default()
        };
        let queue = jetstream.get_or_create_stream(queue).await?;
        let answers = match jetstream.get_key_value(ANSWERS).await {
            Ok(answers) => answers,
            Err(_) => {
                // The client would first ask for the account, and a server of version 2.9 answers in other words.
                jetstream.create_stream(answers()).await?;
                jetstream.get_key_value(ANSWERS).await?
            }
        };
        let large = match jetstream.get_object_store(LARGE).await {
            Ok(large) => large,
            Err(_) => {
                let bucket = LARGE.to_owned();
                let config =
                    object_store::Config { bucket, max_age: KEPT_FOR, ..object_store::Config::default() };
                jetstream.create_object_store(config).await?
            }
        };
        Ok(Self { link, jetstream, queue, answers, large })
    }

    /// The connection.
    pub(super) fn link(&self) -> &Link {
        &self.link
    }

    /// So long an answer, or a text in a task, may be to go into a message; what is longer goes into the object store. A text
    /// grows in its message by what must be escaped in it.
    pub(super) fn most_here(&self) -> usize {
        self.link.most_bytes() / 4
    }

    /// Puts a task into the queue, unless it is there and somebody is going to be given it.
    pub(super) async fn ask(&self, task: &Task) -> anyhow::Result<()> {
        if self.publish(task).await? || !self.is_drained(&task.build).await {
            return Ok(());
        }
        // A server that was killed may have kept a message that it knows to be acknowledged, and gives it to nobody.
        self.withdraw(task).await?;
        self.publish(task).await.map(drop)
    }

    /// Puts a task into the queue; whether it was not there.
    async fn publish(&self, task: &Task) -> anyhow::Result<bool> {
        let payload = serde_json::to_vec(task)?;
        match self.jetstream.publish(task.subject(), payload.into()).await?.await {
            Ok(_) => Ok(true),
            Err(error) if is_there(&error.to_string()) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Whether there are workers' threads to be given tasks of a program, and nothing to give to them, nor anything that they are at.
    async fn is_drained(&self, build: &str) -> bool {
        let consumer = self.queue.consumer_info(consumer(build)).await;
        consumer.is_ok_and(|info| info.num_pending == 0 && info.num_ack_pending == 0)
    }

    /// Takes a task out of the queue that nobody needs any more.
    pub(super) async fn withdraw(&self, task: &Task) -> anyhow::Result<()> {
        self.queue.purge().filter(task.subject()).await?;
        Ok(())
    }

    /// The tasks of a program.
    pub(super) async fn tasks(&self, build: &str) -> anyhow::Result<PullConsumer> {
        let name = consumer(build);
        let config = pull::Config {
            durable_name: Some(name.clone()),
            filter_subject: format!("{TASKS}.{build}.>"),
            ack_policy: AckPolicy::Explicit,
            ack_wait: ACK_WAIT,
            // Who takes a task counts for itself, so that the last failure is told to somebody.
            max_deliver: -1,
            max_ack_pending: MOST_AT_ONCE,
            max_waiting: MOST_WAITING,
            inactive_threshold: KEPT_FOR,
            ..pull::Config::default()
        };
        Ok(self.queue.get_or_create_consumer(&name, config).await?)
    }

    /// What a task came to; none where nobody has come to an end of it.
    pub(super) async fn answer(&self, key: &str) -> anyhow::Result<Option<Answer>> {
        let Some(value) = self.answers.get(key).await? else { return Ok(None) };
        match value.split_first() {
            Some((&MADE, made)) => Ok(Some(Answer::Made(made.to_vec()))),
            Some((&MADE_AND_LARGE, kept)) => {
                Ok(self.fetch(&serde_json::from_slice(kept)?).await?.map(Answer::Made))
            }
            Some((&FAILED, failure)) => Ok(Some(Answer::Failed(serde_json::from_slice(failure)?))),
            _ => bail!("the answer to {key} is none of ours"),
        }
    }

    /// Whether there is what a run left.
    pub(super) async fn is_made(&self, key: &str) -> anyhow::Result<bool> {
        let Some(value) = self.answers.get(key).await? else { return Ok(false) };
        match value.split_first() {
            Some((&MADE, _)) => Ok(true),
            Some((&MADE_AND_LARGE, kept)) => Ok(self.has(&serde_json::from_slice(kept)?).await),
            _ => Ok(false),
        }
    }

    /// Keeps what a run left.
    pub(super) async fn keep(&self, key: &str, made: &[u8]) -> anyhow::Result<()> {
        let value = if made.len() <= self.most_here() {
            [&[MADE][..], made].concat()
        } else {
            let kept = Kept::of(made);
            self.put(&kept, made).await?;
            [&[MADE_AND_LARGE][..], &serde_json::to_vec(&kept)?].concat()
        };
        self.answers.put(key, value.into()).await?;
        Ok(())
    }

    /// Keeps why there is no run, unless there is one.
    pub(super) async fn keep_failure(&self, key: &str, failure: &Failure) -> anyhow::Result<()> {
        if !self.is_made(key).await? {
            let value = [&[FAILED][..], &serde_json::to_vec(failure)?].concat();
            self.answers.put(key, value.into()).await?;
        }
        Ok(())
    }

    /// Forgets what a task came to.
    pub(super) async fn forget(&self, key: &str) -> anyhow::Result<()> {
        Ok(self.answers.purge(key).await?)
    }

    /// Tells how a task stands. Who does not hear it looks for itself now and then.
    pub(super) async fn tell(&self, key: &str, told: News) {
        let _ = self.link.send("how a task stands", news(key), &told).await;
    }

    /// Keeps something large, unless it is there.
    pub(super) async fn put(&self, kept: &Kept, bytes: &[u8]) -> anyhow::Result<()> {
        if !self.has(kept).await {
            let chunk_size = Some(CHUNK.min(self.link.most_bytes() / 2));
            let about = ObjectMetadata { name: kept.hash.clone(), chunk_size, ..ObjectMetadata::default() };
            self.large.put(about, &mut &*bytes).await?;
        }
        Ok(())
    }

    async fn has(&self, kept: &Kept) -> bool {
        let there = self.large.info(kept.hash.as_str()).await;
        there.is_ok_and(|info| !info.deleted && info.size as u64 == kept.bytes)
    }

    /// Something large; none where it is not there any more.
    pub(super) async fn fetch(&self, kept: &Kept) -> anyhow::Result<Option<Vec<u8>>> {
        let mut object = match self.large.get(kept.hash.as_str()).await {
            Ok(object) => object,
            Err(error) if error.kind() == GetErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let mut bytes = Vec::new();
        let mut piece = vec![0; 1 << 16];
        loop {
            let read = timeout(SILENCE, object.read(&mut piece)).await.context("the store fell silent")??;
            bytes.extend_from_slice(&piece[..read]);
            if read == 0 || bytes.len() as u64 > kept.bytes {
                break;
            }
        }
        if Kept::of(&bytes) != *kept {
            bail!("what the store has under {} is something else", kept.hash);
        }
        Ok(Some(bytes))
    }
}

/// What the server calls those who are given the tasks of a program.
fn consumer(build: &str) -> String {
    format!("workers-{build}")
}

/// A key-value store is a stream with these properties (NATS ADR-8).
fn answers() -> stream::Config {
    stream::Config {
        name: format!("KV_{ANSWERS}"),
        subjects: vec![format!("$KV.{ANSWERS}.>")],
        max_messages_per_subject: 1,
        max_age: KEPT_FOR,
        discard: DiscardPolicy::New,
        allow_rollup: true,
        deny_delete: true,
        allow_direct: true,
        num_replicas: 1,
        ..stream::Config::default()
    }
}

/// Whether a server refused a message because one of its subject is there.
fn is_there(refusal: &str) -> bool {
    refusal.contains("maximum messages per subject exceeded")
}

/// Does something over again until the server does it; none where it was stopped before.
///
/// # Errors
/// With the last refusal, where the server did not do it for five minutes.
pub(super) async fn patiently<T>(
    stop: &AtomicBool,
    mut attempt: impl AsyncFnMut() -> anyhow::Result<T>,
) -> anyhow::Result<Option<T>> {
    let begun = Instant::now();
    loop {
        match attempt().await {
            Ok(done) => return Ok(Some(done)),
            Err(_) if stop.load(Ordering::Relaxed) => return Ok(None),
            Err(error) if begun.elapsed() >= PATIENCE => {
                return Err(
                    error.context(format!("the NATS server was asked in vain for {} s", PATIENCE.as_secs()))
                );
            }
            Err(_) => sleep(PAUSE).await,
        }
    }
}
