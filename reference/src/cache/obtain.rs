//! How a request comes to its answer: from the store, by a fetch of its own, or by waiting for another's.

use std::rc::Rc;
use std::time::Duration;

use httparse::Header;

use super::Cache;
use super::asked::Asked;
use super::directives::Directives;
use super::fields::has;
use super::flights::{Boarding, Flight, Outcome, Waiter};
use super::freshness::{self, Life, Phase};
use super::object::Object;
use super::purges::Since;
use super::store::Kept;
use super::threads::{Task, Thread, Threads};
use super::upstream::{self, Answer, Collected};
use super::vary::{Names, Vary};

/// For how long a failure is kept for those who come after ones who waited for it (Varnish's `vbf_stp_error`).
const FAILURE_KEPT: Duration = Duration::from_secs(1);

/// Where an answer is from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum How {
    /// The store, fresh.
    Hit,
    /// The store, stale.
    Stale,
    /// The store, confirmed by the back end for this request.
    Confirmed,
    /// The back end.
    Miss,
    /// The back end, and not for the store.
    Pass,
}

impl How {
    /// As `X-Cache` says it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Hit => "HIT",
            Self::Stale => "STALE",
            Self::Confirmed => "REVALIDATED",
            Self::Miss => "MISS",
            Self::Pass => "PASS",
        }
    }
}

/// What is to be done for a request.
#[derive(Debug)]
pub(super) enum Decision {
    /// This is its answer.
    Serve(Rc<Object>, How),
    /// So is this, and it is to be fetched again in the background.
    Refresh(Rc<Object>, Flight),
    /// It is to be fetched.
    Fetch(Fetch),
    /// Another fetches it.
    Wait(Waiter),
    /// There is no answer.
    Fail(u16),
}

/// A fetch to be made.
#[derive(Debug)]
pub(super) struct Fetch {
    /// What is there and may still be good.
    stale: Option<Rc<Object>>,
    /// Those who wait.
    flight: Option<Flight>,
    /// Whether the answer may be stored, as far as is known.
    keeps: bool,
    how: How,
}

/// An answer.
#[derive(Debug)]
pub(super) enum Obtained {
    /// From the store, or now in it.
    Object(Rc<Object>, How),
    /// On its way from the back end, for this request alone.
    Answer(Box<Answer>, How),
    /// There is none.
    Failed(u16),
}

impl Cache {
    /// What is to be done for a request.
    pub(super) fn decide(&self, address: &[u8], headers: &[Header<'_>]) -> Decision {
        let now = self.now();
        let kept = self.store.borrow_mut().find(address, headers, now);
        let fetch = |stale, keeps, how| Decision::Fetch(Fetch { stale, flight: None, keeps, how });
        match kept {
            Some(Kept::Object(object)) => match object.phase(now) {
                Phase::Fresh => {
                    self.counts.hits.add();
                    Decision::Serve(object, How::Hit)
                }
                Phase::Grace => {
                    self.counts.grace_hits.add();
                    match self.flights.begin_alone(&self.flight_key(address, headers)) {
                        Some(flight) => Decision::Refresh(object, flight),
                        None => Decision::Serve(object, How::Stale),
                    }
                }
                // Nobody gets by without a fetch of his own, so to wait would only put them in a row.
                _ if object.life.is_never_fresh() => {
                    self.counts.misses.add();
                    fetch(Some(object), true, How::Miss)
                }
                _ => self.board(address, headers, Some(object)),
            },
            Some(Kept::MissMark) => {
                self.counts.passes.add();
                fetch(None, true, How::Miss)
            }
            Some(Kept::PassMark) => {
                self.counts.passes.add();
                fetch(None, false, How::Pass)
            }
            Some(Kept::Failure(status)) => Decision::Fail(status),
            None => self.board(address, headers, None),
        }
    }

    fn board(&self, address: &[u8], headers: &[Header<'_>], stale: Option<Rc<Object>>) -> Decision {
        let boarding = if self.coalesce {
            self.flights.board(&self.flight_key(address, headers))
        } else {
            self.counts.misses.add();
            return Decision::Fetch(Fetch { stale, flight: None, keeps: true, how: How::Miss });
        };
        match boarding {
            Boarding::Fetches(flight) => {
                self.counts.misses.add();
                Decision::Fetch(Fetch { stale, flight: Some(flight), keeps: true, how: How::Miss })
            }
            Boarding::Waits(waiter) => {
                self.counts.coalesced.add();
                Decision::Wait(waiter)
            }
            Boarding::IsTooLate => Decision::Fail(503),
        }
    }

    fn flight_key(&self, address: &[u8], headers: &[Header<'_>]) -> Vec<u8> {
        let mut key = Vec::with_capacity(address.len() + 64);
        self.store.borrow().write_flight(address, headers, &mut key);
        key
    }

    /// Carries a decision out.
    pub(super) async fn obtain(self: &Rc<Self>, asked: &Asked, decision: Decision) -> Obtained {
        let (mut decision, mut in_context) = (decision, None::<Asked>);
        loop {
            let asked = in_context.as_ref().unwrap_or(asked);
            match decision {
                Decision::Serve(object, how) => return Obtained::Object(object, how),
                Decision::Refresh(object, flight) => {
                    self.refresh(asked.clone(), Rc::clone(&object), flight);
                    return Obtained::Object(object, How::Stale);
                }
                Decision::Fetch(fetch) => return self.fetch_for(asked, fetch).await,
                Decision::Wait(waiter) => match Threads::park(self.threads.as_ref(), waiter.wait()).await {
                    None => {}
                    Some(Outcome::Failed(status)) => return Obtained::Failed(status),
                    Some(Outcome::Stale(object)) => return Obtained::Object(object, How::Stale),
                    Some(Outcome::ForOneAlone) => {
                        let fetch = Fetch { stale: None, flight: None, keeps: true, how: How::Miss };
                        return self.fetch_for(asked, fetch).await;
                    }
                },
                Decision::Fail(status) => return Obtained::Failed(status),
            }
            // What was fetched may vary by what is not known of this request yet.
            match Box::pin(self.in_context(asked.clone())).await {
                Ok((asked, next)) => (in_context, decision) = (Some(asked), next),
                Err(status) => return Obtained::Failed(status),
            }
        }
    }

    /// Fetches in the background; nobody waits for it.
    pub(super) fn refresh(self: &Rc<Self>, asked: Asked, stale: Rc<Object>, flight: Flight) {
        let cache = Rc::clone(self);
        tokio::task::spawn_local(async move {
            let Some(thread) = cache.thread(Task::Background).await else { return };
            let fetch = Fetch { stale: Some(stale), flight: Some(flight), keeps: true, how: How::Miss };
            cache.fetch(&asked, fetch, thread).await;
        });
    }

    /// A thread for a fetch, where they are counted: none where none is to be had.
    pub(super) async fn thread(&self, task: Task) -> Option<Option<Thread>> {
        match &self.threads {
            None => Some(None),
            Some(threads) => threads.take(task).await.map(Some),
        }
    }

    /// Fetches for somebody who waits for it.
    async fn fetch_for(&self, asked: &Asked, fetch: Fetch) -> Obtained {
        let thread = self.thread(Task::Fetch).await.flatten();
        self.fetch(asked, fetch, thread).await
    }

    async fn fetch(&self, asked: &Asked, fetch: Fetch, thread: Option<Thread>) -> Obtained {
        let since = self.store.borrow().begin_fetch();
        let mut request = Vec::with_capacity(512);
        let normaliser = &self.normaliser;
        match &fetch.stale {
            Some(stale) => stale.with_fields(|_, h| asked.write_fetch(Some(h), normaliser, &mut request)),
            None => asked.write_fetch(None, normaliser, &mut request),
        }
        let answer = match upstream::ask(&self.back_ends, &request, self.first_byte_timeout).await {
            Ok(answer) => answer.fetched_by(thread),
            Err(status) => return self.failed(asked, fetch, status),
        };
        if answer.status == 304
            && let Some(stale) = &fetch.stale
        {
            let confirmed = self.confirm(asked, stale, fetch.flight.as_ref(), &answer, &since);
            answer.give_back(&self.back_ends);
            return Obtained::Object(confirmed, How::Confirmed);
        }
        if !fetch.keeps {
            return self.unkept(answer, fetch).await;
        }
        self.keep(asked, fetch, answer, &since).await
    }

    /// Stores an answer, if it may be.
    async fn keep(&self, asked: &Asked, fetch: Fetch, mut answer: Answer, since: &Since) -> Obtained {
        let now = self.now();
        let authorised = asked.with(|head| has(head.headers, "authorization"));
        let life =
            answer.with_fields(|_, h| freshness::judge(answer.status, h, authorised, self.defaults, now));
        let varies = answer.with_fields(|_, headers| Vary::read(headers));
        let is_personal = matches!(&varies, Vary::By(names) if asked.is_personal(names));
        let Some(life) = life.filter(|_| !is_personal) else {
            if answer.status >= 500 {
                // A failure is no news of the resource: what was there stays, and nothing is remembered for long.
                return match self.failed(asked, fetch, answer.status) {
                    Obtained::Failed(_) => Obtained::Answer(Box::new(answer), How::Miss),
                    stale => stale,
                };
            }
            self.mark(asked, &varies, fetch.flight.as_ref());
            return self.unkept(answer, fetch).await;
        };
        let body = match answer.collect(self.object_limit, &self.fetching).await {
            Ok(Collected::Whole(body)) => body,
            Ok(Collected::TooLong) => {
                self.mark(asked, &varies, fetch.flight.as_ref());
                return Obtained::Answer(Box::new(answer), fetch.how);
            }
            Ok(Collected::NoRoom) => {
                // Another time there may be room, so that nothing is remembered; but nobody is to find that out in a row.
                if let Some(flight) = &fetch.flight {
                    flight.tell(Outcome::ForOneAlone);
                }
                return Obtained::Answer(Box::new(answer), fetch.how);
            }
            Err(()) => return self.failed(asked, fetch, 502),
        };
        let object = answer.with_fields(|reason, headers| {
            let object = Rc::new(Object::new(answer.status, reason, headers, body.into(), life, now));
            let thrown_out = self.store.borrow().threw_out(since, &asked.address, &object);
            if let Vary::By(names) = Vary::read(headers)
                && !thrown_out
            {
                self.put(asked, &names, Kept::Object(Rc::clone(&object)), life.stays());
            }
            object
        });
        answer.give_back(&self.back_ends);
        Obtained::Object(object, fetch.how)
    }

    /// An answer that is not kept. A page is put together all the same, if it is not too long.
    async fn unkept(&self, answer: Answer, fetch: Fetch) -> Obtained {
        let how = fetch.how;
        // Nobody is to wait for what is not for him.
        drop(fetch);
        self.for_one(answer, how).await
    }

    /// An answer that nobody else gets: a page, ready to be put together, if it is not too long, or the answer as it is.
    pub(super) async fn for_one(&self, mut answer: Answer, how: How) -> Obtained {
        if !answer.with_fields(|_, headers| Directives::of_answer(headers).esi) {
            return Obtained::Answer(Box::new(answer), how);
        }
        match answer.collect(self.object_limit, &self.fetching).await {
            Ok(Collected::Whole(body)) => {
                let (life, now) = (Life::default(), self.now());
                let object = answer.with_fields(|reason, headers| {
                    Object::new(answer.status, reason, headers, body.into(), life, now)
                });
                answer.give_back(&self.back_ends);
                Obtained::Object(Rc::new(object), how)
            }
            Ok(Collected::TooLong | Collected::NoRoom) => Obtained::Answer(Box::new(answer), how),
            Err(()) => Obtained::Failed(502),
        }
    }

    pub(super) fn put(&self, asked: &Asked, names: &Names, kept: Kept, stays: Duration) {
        let now = self.now();
        let end = now.running.saturating_add(stays);
        asked.with(|head| {
            self.store.borrow_mut().put(&asked.address, names, head.headers, kept, end, now);
        });
    }

    /// Remembers that an answer could not be kept.
    fn mark(&self, asked: &Asked, varies: &Vary, flight: Option<&Flight>) {
        let (kept, stays) = match self.hit_for_pass {
            Some(stays) => (Kept::PassMark, stays),
            None => (Kept::MissMark, self.hit_for_miss),
        };
        if stays == Duration::ZERO
            && let Some(flight) = flight
        {
            // Else they would wait for one another in a row.
            flight.tell(Outcome::ForOneAlone);
        }
        let names = match varies {
            Vary::By(names) => Rc::clone(names),
            Vary::Everything => Names::from([]),
        };
        self.put(asked, &names, kept, stays);
    }

    /// Updates what is stored by a 304.
    fn confirm(
        &self,
        asked: &Asked,
        stale: &Rc<Object>,
        flight: Option<&Flight>,
        answer: &Answer,
        since: &Since,
    ) -> Rc<Object> {
        let now = self.now();
        let authorised = asked.with(|head| has(head.headers, "authorization"));
        let (confirmed, may_stay) = answer.with_fields(|_, headers| {
            stale.confirmed(headers, now, |status, told| {
                freshness::judge(status, told, authorised, self.defaults, now)
            })
        });
        let confirmed = Rc::new(confirmed);
        // What was thrown out, made stale or replaced while the question was on its way stays so. What was stale already is
        // still the same object after a purge that makes stale.
        let stays = asked.with(|head| {
            let store = self.store.borrow();
            let is_purged = |object| store.threw_out(since, &asked.address, object);
            store.holds(&asked.address, head.headers, stale) && !is_purged(stale) && !is_purged(&confirmed)
        });
        if !stays {
            return confirmed;
        }
        let varies = confirmed.with_fields(|_, headers| Vary::read(headers));
        match &varies {
            Vary::By(names) if may_stay && !asked.is_personal(names) => {
                self.put(asked, names, Kept::Object(Rc::clone(&confirmed)), confirmed.life.stays());
            }
            // In the old one's place, or everybody would ask in a row whether that is still good.
            _ => self.mark(asked, &varies, flight),
        }
        confirmed
    }

    /// A fetch failed. What is stored may be good enough for that; else those who waited fail too, and for a moment whoever
    /// comes.
    fn failed(&self, asked: &Asked, fetch: Fetch, status: u16) -> Obtained {
        let now = self.now();
        if let Some(stale) = fetch.stale.as_ref().filter(|s| s.life.serves_errors(s.resident(now))) {
            if let Some(flight) = &fetch.flight {
                flight.tell(Outcome::Stale(Rc::clone(stale)));
            }
            return Obtained::Object(Rc::clone(stale), How::Stale);
        }
        let waited_for = fetch.flight.as_ref().is_some_and(|flight| flight.tell(Outcome::Failed(status)));
        if waited_for && fetch.stale.is_none() {
            let names = self.store.borrow().names(&asked.address);
            self.put(asked, &names, Kept::Failure(status), FAILURE_KEPT);
        }
        Obtained::Failed(status)
    }
}
