//! Fetches under way: who asks for what is being fetched waits for that fetch, up to a number of waiters.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;

use tokio::sync::Notify;

use super::object::Object;

/// The most that wait for one fetch; a list without an end is a way to run out of memory.
const WAITING_LIMIT: u32 = 10_000;

/// What those who wait are told where the store will not tell them.
#[derive(Clone, Debug)]
pub(super) enum Outcome {
    /// It failed with this status.
    Failed(u16),
    /// It failed, and this is still good enough.
    Stale(Rc<Object>),
    /// What came is for nobody else, and nothing is remembered of that.
    ForOneAlone,
}

/// A fetch under way.
#[derive(Debug, Default)]
struct Fetch {
    ended: Notify,
    waiting: Cell<u32>,
    outcome: RefCell<Option<Outcome>>,
}

/// All fetches under way that others may wait for.
#[derive(Debug, Default)]
pub(super) struct Flights(RefCell<HashMap<Rc<[u8]>, Rc<Fetch>>>);

/// What a request is told that wants to fetch.
#[derive(Debug)]
pub(super) enum Boarding {
    /// It fetches, and others wait for it until this is dropped.
    Fetches(Flight),
    /// Another does.
    Waits(Waiter),
    /// Another does, and too many wait for it already.
    IsTooLate,
}

/// The right to fetch.
#[derive(Debug)]
pub(super) struct Flight {
    flights: Rc<Flights>,
    key: Rc<[u8]>,
    fetch: Rc<Fetch>,
}

/// A place in the list of those who wait.
#[derive(Debug)]
pub(super) struct Waiter(Rc<Fetch>);

impl Flights {
    /// Joins the fetch of this key, or begins it.
    pub(super) fn board(self: &Rc<Self>, key: &[u8]) -> Boarding {
        if let Some(fetch) = self.0.borrow().get(key) {
            if fetch.waiting.get() >= WAITING_LIMIT {
                return Boarding::IsTooLate;
            }
            fetch.waiting.set(fetch.waiting.get() + 1);
            return Boarding::Waits(Waiter(Rc::clone(fetch)));
        }
        Boarding::Fetches(self.begin(key))
    }

    /// Begins the fetch of this key, unless it is under way.
    pub(super) fn begin_alone(self: &Rc<Self>, key: &[u8]) -> Option<Flight> {
        let under_way = self.0.borrow().contains_key(key);
        (!under_way).then(|| self.begin(key))
    }

    fn begin(self: &Rc<Self>, key: &[u8]) -> Flight {
        let (key, fetch): (Rc<[u8]>, _) = (key.into(), Rc::<Fetch>::default());
        self.0.borrow_mut().insert(Rc::clone(&key), Rc::clone(&fetch));
        Flight { flights: Rc::clone(self), key, fetch }
    }
}

impl Flight {
    /// Those who wait are told this. Whether anybody waits.
    pub(super) fn tell(&self, outcome: Outcome) -> bool {
        *self.fetch.outcome.borrow_mut() = Some(outcome);
        self.fetch.waiting.get() > 0
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        self.flights.0.borrow_mut().remove(&self.key);
        self.fetch.ended.notify_waiters();
    }
}

impl Waiter {
    /// Waits for the end of the fetch, and returns what is told of it; nothing where the store is to be looked into again.
    /// To be called at once: nothing is to be awaited in between.
    pub(super) async fn wait(self) -> Option<Outcome> {
        self.0.ended.notified().await;
        self.0.outcome.borrow().clone()
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        self.0.waiting.set(self.0.waiting.get() - 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flights() -> Rc<Flights> {
        Rc::default()
    }

    #[test]
    fn one_fetches_and_the_others_wait_until_the_end() {
        let flights = flights();
        let Boarding::Fetches(flight) = flights.board(b"a") else { panic!("nobody fetches yet") };
        let Boarding::Waits(waiter) = flights.board(b"a") else { panic!("somebody fetches") };
        assert!(matches!(flights.board(b"b"), Boarding::Fetches(_)), "another address is another fetch");
        assert!(flights.begin_alone(b"a").is_none());
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        let ended = runtime.block_on(async { tokio::join!(waiter.wait(), async move { drop(flight) }).0 });
        assert!(ended.is_none(), "{ended:?}");
        assert!(flights.begin_alone(b"a").is_some());
    }

    #[test]
    fn a_failure_is_told_to_those_who_wait() {
        let flights = flights();
        let Boarding::Fetches(flight) = flights.board(b"a") else { panic!("nobody fetches yet") };
        assert!(!flight.tell(Outcome::Failed(503)), "nobody waits");
        let Boarding::Waits(waiter) = flights.board(b"a") else { panic!("somebody fetches") };
        assert!(flight.tell(Outcome::Failed(503)));
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        let ended = runtime.block_on(async { tokio::join!(waiter.wait(), async move { drop(flight) }).0 });
        assert!(matches!(ended, Some(Outcome::Failed(503))), "{ended:?}");
    }

    #[test]
    fn the_list_of_those_who_wait_has_an_end() {
        let flights = flights();
        let Boarding::Fetches(_flight) = flights.board(b"a") else { panic!("nobody fetches yet") };
        let mut waiting = Vec::new();
        for _ in 0..WAITING_LIMIT {
            let Boarding::Waits(waiter) = flights.board(b"a") else { panic!("there is room") };
            waiting.push(waiter);
        }
        assert!(matches!(flights.board(b"a"), Boarding::IsTooLate));
        waiting.pop();
        assert!(matches!(flights.board(b"a"), Boarding::Waits(_)));
    }
}
