//! Messages: sent to queues, and taken from those that this service consumes, with its workers, at least once.

use std::cell::RefCell;
use std::io::{self, Write};
use std::rc::Rc;
use std::time::Duration;

use scenarios::plan::RequestId;
use scenarios::scenario::{ClassId, ComponentId, ComponentKind};
use tokio::sync::Notify;

use super::Service;
use super::walk::Errand;
use crate::http::Connection;
use crate::resp::reply::parse_element;
use crate::resp::{Element, Failed, integer};

/// How soon a queue that cannot be reached is tried again.
const AGAIN: Duration = Duration::from_millis(100);

/// What a consumer has to say to its queue.
#[derive(Debug, Default)]
struct Answers {
    bytes: RefCell<Vec<u8>>,
    filled: Notify,
}

impl Answers {
    fn push(&self, command: &str) {
        writeln!(self.bytes.borrow_mut(), "{command}\r").expect("writing to a vector cannot fail");
        self.filled.notify_one();
    }
}

/// A queue that is consumed.
#[derive(Clone, Copy, Debug)]
struct Source {
    queue: ComponentId,
    class: ClassId,
}

/// Begins to consume all queues that the scenario gives to this service.
pub(super) fn start(service: &Rc<Service>) {
    let scenario = &service.context.scenario;
    for queue in scenario.component_ids() {
        let ComponentKind::Queue(settings) = &scenario.component(queue).kind else { continue };
        if settings.to != service.context.component {
            continue;
        }
        let (service, source) = (Rc::clone(service), Source { queue, class: settings.class });
        tokio::task::spawn_local(async move {
            loop {
                // A broken connection gives back what was not acknowledged; the queue is there again or not.
                let _ = consume(&service, source).await;
                tokio::time::sleep(AGAIN).await;
            }
        });
    }
}

async fn consume(service: &Rc<Service>, source: Source) -> Result<(), Failed> {
    let address = service.context.addresses[source.queue.index()][0];
    let mut connection = Connection::connect(address, None).await?;
    let answers = Rc::new(Answers::default());
    answers.push("CONSUME");
    loop {
        tokio::select! {
            filled = connection.fill() => if filled? == 0 {
                return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
            },
            () = answers.filled.notified() => {
                let bytes = std::mem::take(&mut *answers.bytes.borrow_mut());
                connection.write_all(&bytes).await?;
            }
        }
        while let Some((element, len)) = parse_element(connection.input())? {
            match element {
                Element::Simple(b"OK") => {}
                Element::Simple(b"PING") => answers.push("PONG"),
                Element::Simple(text) => match message(text) {
                    Some((serial, id)) => {
                        let (service, answers) = (Rc::clone(service), Rc::clone(&answers));
                        tokio::task::spawn_local(async move {
                            let good = work_on(&service, source, id).await;
                            answers.push(&format!("{} {serial}", if good { "ACK" } else { "NACK" }));
                        });
                    }
                    None => return Err(Failed::Server("a malformed message".to_owned())),
                },
                _ => return Err(Failed::Server("no message".to_owned())),
            }
            connection.consume(len);
        }
    }
}

/// The serial number and the request of `MESSAGE serial request`.
fn message(text: &[u8]) -> Option<(i64, RequestId)> {
    let mut words = std::str::from_utf8(text).ok()?.strip_prefix("MESSAGE ")?.split(' ');
    let serial = integer(words.next()?.as_bytes())?;
    let id = u64::from_str_radix(words.next()?, 16).ok()?;
    Some((serial, RequestId(id)))
}

/// Takes the steps of a message with one of the workers; whether all went well.
async fn work_on(service: &Rc<Service>, source: Source, id: RequestId) -> bool {
    let is_failing = || service.context.is_failing();
    let Some(list) = service.program.of_queue(source.queue) else { return false };
    if service.context.fails() {
        return false;
    }
    let Some(_worker) = service.workers.enter().await else { return false };
    let errand = Errand { id, class: source.class.index(), tries: 0, is_message: true };
    !is_failing() && service.walk(errand, list).await.is_ok() && !is_failing()
}

impl Service {
    /// Sends a message to a queue, and waits until the queue has it.
    ///
    /// # Errors
    /// Where it cannot be reached, or takes no more.
    pub(super) async fn publish(&self, to: ComponentId, errand: Errand) -> Result<(), Failed> {
        let mut client = self.backends.store(to).await?;
        client.command(2);
        client.argument(b"PUBLISH");
        client.argument(format!("{:016x}", errand.id.0).as_bytes());
        client.send().await?;
        client.reply(|element| matches!(element, Element::Simple(b"OK")).then_some(())).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_read_and_anything_else_is_not() {
        assert_eq!(message(b"MESSAGE 7 00000000000000ff"), Some((7, RequestId(255))));
        for text in ["", "MESSAGE", "MESSAGE 7", "MESSAGE x ff", "MESSAGE 7 xyz", "OTHER 7 ff"] {
            assert_eq!(message(text.as_bytes()), None, "{text}");
        }
    }
}
