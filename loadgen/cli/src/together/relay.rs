//! While a run goes on: carries what agents say to who gathers it, and tells them that there is somebody, or to stop.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Sender;
use std::time::Instant;

use fleet::async_nats::{Message, Subscriber};
use fleet::{Link, StreamExt as _};
use loadgen::gather::{Told, Word as Gathered};
use tokio::time::{MissedTickBehavior, interval};

use super::words::{Call, Seat, Subjects, To, Word};
use super::{BEAT, LOOK};

/// What it takes to carry words.
#[derive(Debug)]
pub(super) struct Relay<'a> {
    pub(super) link: &'a Link,
    pub(super) subjects: &'a Subjects,
    /// The agents' identities, in the order of their segments.
    pub(super) ids: Vec<String>,
    pub(super) told: Sender<Told>,
    /// Whether agents are to stop.
    pub(super) stop: &'a AtomicBool,
    /// Whether nobody listens any more.
    pub(super) over: &'a AtomicBool,
}

/// Carries words until the run is over. A connection that breaks is opened again by its client; until then nothing can be told, and
/// both sides find that out by the other's silence.
pub(super) async fn relay(relay: Relay<'_>, mut up: Subscriber) {
    let mut look = interval(LOOK);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut called, mut said) = (Instant::now(), Call::Beat);
    loop {
        tokio::select! {
            Some(message) = up.next() => relay.carry(&message).await,
            _ = look.tick() => {
                let call = if relay.stop.load(Ordering::Relaxed) { Call::Stop } else { Call::Beat };
                if call != said || called.elapsed() >= BEAT {
                    (called, said) = (Instant::now(), call);
                    relay.call(call).await;
                }
                if relay.over.load(Ordering::Relaxed) {
                    break;
                }
            }
        }
    }
    // Whoever still plays after all plays for nobody.
    relay.call(Call::Stop).await;
    let _ = relay.link.flush().await;
}

impl Relay<'_> {
    async fn call(&self, call: Call) {
        let _ = self.link.send("a call", self.subjects.all(), &call).await;
    }

    async fn carry(&self, message: &Message) {
        match self.subjects.read(message.subject.as_str()) {
            Some(To::Told(id)) => {
                let Some(agent) = self.ids.iter().position(|known| known == id) else { return };
                let word = match fleet::read::<Word>("what an agent says", &message.payload) {
                    Ok(word) => word.into(),
                    Err(error) => Gathered::Failed(error.to_string()),
                };
                // Whoever gathers may have ended.
                let _ = self.told.send(Told { agent, word });
            }
            Some(To::Join) => {
                let seat = Seat::Refused { why: "the run has begun".to_owned() };
                let _ = self.link.answer("a place", message, &seat).await;
            }
            Some(To::Clock) => {
                let _ = super::coordinator::tell_the_time(self.link, message).await;
            }
            None => {}
        }
    }
}
