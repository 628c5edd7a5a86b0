//! The HTTP cache at work: requests that are looked up, wait, are fetched or passed on; `page` puts together.
//!
//! A request that is to fetch carries the object's number; so does the call that fetches in the background for a stale
//! object, which nobody waits for. A part of a page is looked up at once, and gets a call of its own only where it
//! has to be waited for. `threads` counts who has one, `probe` knows which back ends are healthy.

use scenarios::Scenario;
use scenarios::law::DurationLaw;
use scenarios::plan::RequestId;
use scenarios::rng::{Purpose, Stream};
use scenarios::scenario::{ClassId, HttpCache};

use crate::call::{CHECK, CLIENT, Call, HAS_THREAD, NOBODY, NONE, Phase};
use crate::connect::Target;
use crate::gauge::Gauge;
use crate::instance::{Answer, Back};
use crate::timeout::TimeoutRing;
use crate::world::{Delay, Timer, World};

use super::contents::{Answer as Stocked, Contents, Lookup, Settings, Stored};
use super::prefill;
use super::probe::Probed;
use super::rules::{Use, lifetimes};
use super::store::ObjectId;
use super::threads::{Task, Threads};

pub(super) const REQUEST: Purpose = Purpose::named("sim-cache-request");

/// What a call at a cache is about to do; its stage.
pub(super) const LOOKING: u8 = 0;
/// It fetches an object, and is answered with it.
pub(super) const FETCHING: u8 = 1;
/// The same, where the answer may be that what is kept is still good.
pub(super) const CONFIRMING: u8 = 2;
/// It is passed on.
pub(super) const PASSING: u8 = 3;
/// It is a page whose parts are being put in.
const INCLUDING: u8 = 4;
/// It is put together, and sent.
pub(super) const SENDING: u8 = 5;
/// It is new.
const ENTERING: u8 = 6;
/// It is no request, but what waking takes of a processor.
const WAKING: u8 = 7;

#[derive(Debug)]
pub(crate) struct Cache {
    pub(crate) contents: Contents,
    /// Requests that have come and are not answered.
    pub(crate) inside: Gauge,
    /// Whom it asks.
    pub(crate) target: Target,
    /// The one that it asks, where it is always the same.
    pub(crate) only: Option<u16>,
    /// Whose turn it is else.
    pub(crate) turn: u16,
    pub(crate) normalise: bool,
    pub(crate) hit_for_miss: u64,
    /// Whether what cannot be cached is passed on from then on, instead of being a miss each time.
    pub(crate) hit_for_pass: bool,
    /// Its threads, where they are counted.
    pub(crate) threads: Option<Box<Threads>>,
    /// What it knows of each of its back ends; empty without probes.
    pub(crate) probed: Vec<Probed>,
    pub(crate) connect_timeout: u64,
    pub(crate) timeouts: TimeoutRing,
    pub(crate) timer: u32,
    /// Processor time of a request, and of each part of a page.
    pub(crate) request: Option<DurationLaw>,
    /// Processor time beside a request's way, where nothing was at work when it, or what it was fetched with, came.
    pub(crate) wake: u64,
    /// What asking the back end takes on top.
    pub(crate) fetch: Delay,
}

impl Cache {
    /// The `number`-th instance of a component whose instances are `own`, in front of `back_end`.
    pub(crate) fn new(
        world: &mut World,
        scenario: &Scenario,
        cache: &HttpCache,
        (request, wake, fetch): (Option<DurationLaw>, u64, Delay),
        own: (u16, u16),
        back_end: (u16, u16),
        number: u16,
    ) -> Self {
        let settings = Settings {
            coalesce: cache.coalesce,
            ..Settings::varnish(cache.memory.get(), cache.headers.get())
        };
        let mut contents = Contents::new(settings, &lifetimes(scenario, cache));
        prefill::fill(&mut contents, scenario, cache, &world.draws, number);
        Self {
            contents,
            inside: Gauge::default(),
            target: world.pools.add(own, back_end),
            only: cache.same_host.then(|| back_end.0 + number),
            turn: 1 % back_end.1,
            normalise: cache.normalise,
            hit_for_miss: cache.hit_for_pass.unwrap_or(cache.hit_for_miss).as_nanos(),
            hit_for_pass: cache.hit_for_pass.is_some(),
            threads: cache.threads.as_ref().map(|rules| Box::new(Threads::new(rules))),
            probed: cache
                .probe
                .as_ref()
                .map_or_else(Vec::new, |rules| vec![Probed::new(rules); usize::from(back_end.1)]),
            connect_timeout: cache.connect_timeout.as_nanos(),
            timeouts: TimeoutRing::new(cache.first_byte_timeout.as_nanos()),
            timer: world.add_timer(Timer::FetchTimeout(world.caches.len() as u32)),
            request,
            wake,
            fetch,
        }
    }

    /// Whether a request that comes is looked up at once: the common case, in which everything is looked up once.
    #[inline]
    fn is_plain(&self) -> bool {
        self.threads.is_none() && self.request.is_none() && self.wake == 0
    }
}

impl World {
    #[inline]
    pub(super) fn cache(&mut self, slot: u32) -> &mut Cache {
        let instance = &self.instances[usize::from(self.calls[slot].at)];
        &mut self.caches[usize::from(instance.index)]
    }

    /// A request or a health check is there.
    pub(crate) fn cache_arrive(&mut self, slot: u32) {
        let call = &mut self.calls[slot];
        let instance = &self.instances[usize::from(call.at)];
        let cache = &mut self.caches[usize::from(instance.index)];
        cache.inside.up(self.now);
        let is_request = call.parent < NOBODY || call.parent == CLIENT;
        if instance.broken == 0 && cache.is_plain() && is_request {
            call.stage = LOOKING;
            return self.look_up(slot);
        }
        call.stage = ENTERING;
        if instance.broken > 0 {
            return self.cache_answers(slot, Answer::Error);
        }
        if self.take_thread(slot, Task::Request) {
            self.cache_begin(slot);
        }
    }

    /// A request or a health check has its thread.
    fn cache_begin(&mut self, slot: u32) {
        let call = &mut self.calls[slot];
        call.stage = LOOKING;
        let (at, id, class, parent, root) = (call.at, call.id, call.class, call.parent, call.root);
        if parent == CHECK || parent == NOBODY && root == NONE {
            // Varnish answers health checks itself, also those that nobody waits for any more.
            return self.cache_answers(slot, Answer::Good);
        }
        let waking = self.waking(at);
        match self.cache(slot).request {
            Some(law) => {
                let work = law.sample(&mut Stream::new(self.seed, REQUEST, id.0)).as_nanos();
                self.take_core(at, slot, work, Phase::Work);
            }
            None => self.look_up(slot),
        }
        if let Some(wake) = waking {
            self.rouse(wake, (at, id, class));
        }
    }

    /// What waking a cache takes of a processor, if it takes anything and nothing of the cache is at work.
    #[inline]
    fn waking(&self, at: u16) -> Option<u64> {
        let instance = &self.instances[usize::from(at)];
        let wake = self.caches[usize::from(instance.index)].wake;
        (wake > 0 && instance.share.busy.level() == 0).then_some(wake)
    }

    /// A cache that slept wakes: what that takes comes behind what woke it.
    fn rouse(&mut self, wake: u64, (at, id, class): (u16, RequestId, ClassId)) {
        if let Some(slot) = self.own_call(at, id, class, NOBODY) {
            self.calls[slot].stage = WAKING;
            self.take_core(at, slot, wake, Phase::Work);
        }
    }

    /// Answers a call, whose thread is free then; one that came from elsewhere has been inside.
    #[inline]
    pub(super) fn cache_answers(&mut self, slot: u32, answer: Answer) {
        self.leave_thread(slot);
        let (call, now) = (&self.calls[slot], self.now);
        if call.from != call.at {
            self.cache(slot).inside.down(now);
        }
        self.answer(slot, answer);
    }

    /// Processor time is over.
    pub(crate) fn cache_wake(&mut self, slot: u32) {
        match self.calls[slot].stage {
            SENDING | WAKING => self.cache_answers(slot, Answer::Good),
            _ => self.look_up(slot),
        }
    }

    /// What was waited for is there: another's fetch has ended, or a part of a page has.
    pub(crate) fn cache_ready(&mut self, slot: u32) {
        match self.calls[slot].stage {
            INCLUDING => self.include(slot),
            ENTERING => self.cache_begin(slot),
            FETCHING | CONFIRMING | PASSING => self.send_fetch(slot),
            // A part of a page has its page's thread.
            _ if self.calls[slot].is(HAS_THREAD) || self.calls[slot].from == self.calls[slot].at => {
                self.look_up(slot);
            }
            _ => {
                if self.take_thread(slot, Task::Again) {
                    self.look_up(slot);
                }
            }
        }
    }

    /// The key of the object that a call asks for. A part of a page varies by who asks for the page.
    #[inline]
    pub(super) fn object_key(&self, slot: u32) -> u64 {
        if let Some(object) = self.calls.path(slot).object {
            return object.get();
        }
        let at = self.calls[slot].at;
        self.object_key_in(slot, &self.caches[usize::from(self.instances[usize::from(at)].index)])
    }

    /// The same in some cache.
    pub(super) fn object_key_in(&self, slot: u32, cache: &Cache) -> u64 {
        let path = self.calls.path(slot);
        if let Some(object) = path.object {
            return object.get();
        }
        let call = &self.calls[slot];
        let asker = match call.parent {
            parent if parent < NOBODY && call.from == call.at => self.calls[parent].id,
            _ => call.id,
        };
        let rule = &self.cache_rules[call.class.index()];
        rule.key(call.class, call.id, path, asker, cache.normalise, self.seed, &self.draws)
    }

    fn look_up(&mut self, slot: u32) {
        if !self.asks_for_page(slot) {
            return self.pass_on(slot);
        }
        let (key, now) = (self.object_key(slot), self.now);
        match self.cache(slot).contents.lookup(key, now) {
            Lookup::Hit(object) => self.serve(slot, object),
            Lookup::Stale { object, refresh } => {
                if refresh {
                    let call = &self.calls[slot];
                    self.refresh(call.at, call.id, call.class, object);
                }
                self.serve(slot, object);
            }
            Lookup::Miss { object, conditional } => {
                self.fetch(slot, object, if conditional { CONFIRMING } else { FETCHING });
            }
            Lookup::HitForMiss(object) => self.fetch(slot, object, FETCHING),
            Lookup::Busy(object) => self.wait_for_object(slot, object),
            Lookup::HitForPass => self.pass_on(slot),
        }
    }

    /// Whether caches look up what a call asks for. What a service asks for by steps of its own is no page of a class.
    pub(super) fn asks_for_page(&self, slot: u32) -> bool {
        let Call { class, step, end, .. } = self.calls[slot];
        (step, end) == self.classes[class.index()] && self.cache_rules[class.index()].what != Use::Pass
    }

    pub(super) fn wait_for_object(&mut self, slot: u32, object: ObjectId) {
        self.calls[slot].phase = Phase::Queued;
        self.cache(slot).contents.wait(object, slot);
        self.leave_thread(slot);
    }

    pub(super) fn pass_on(&mut self, slot: u32) {
        self.calls[slot].stage = PASSING;
        self.ask_back_end(slot);
    }

    pub(super) fn fetch(&mut self, slot: u32, object: ObjectId, stage: u8) {
        let call = &mut self.calls[slot];
        call.stage = stage;
        call.work = u64::from(object.0);
        self.ask_back_end(slot);
    }

    /// Has a thread of its own fetch, as soon as there is one.
    fn ask_back_end(&mut self, slot: u32) {
        if self.take_thread(slot, Task::Fetch) {
            self.send_fetch(slot);
        }
    }

    /// Sends what a thread fetches to the back end.
    fn send_fetch(&mut self, slot: u32) {
        let call = &self.calls[slot];
        let steps = (call.step, call.end);
        let cache = &self.caches[usize::from(self.instances[usize::from(call.at)].index)];
        let (target, deadline) = (cache.target, self.now.saturating_add(cache.connect_timeout));
        // Mostly there is one that nothing is known of.
        let only = cache.only.filter(|_| cache.probed.is_empty());
        let Some(at) = only.or_else(|| self.next_back_end(slot)) else {
            return self.fetch_ended(slot, false);
        };
        self.call(slot, target, at, steps, deadline);
    }

    /// A call of the cache's own, for another object than the one that a client asked for, or for later.
    pub(super) fn own_call(&mut self, at: u16, id: RequestId, class: ClassId, parent: u32) -> Option<u32> {
        let mut call = Call::new(id, class, parent, self.now);
        (call.from, call.at) = (at, at);
        (call.step, call.end) = self.classes[class.index()];
        call.phase = Phase::Queued;
        self.calls.insert(call)
    }

    /// Fetches a stale object in the background.
    pub(super) fn refresh(&mut self, at: u16, id: RequestId, class: ClassId, object: ObjectId) {
        if !self.take_background_thread(at) {
            return self.end_in_vain(at, object);
        }
        match self.own_call(at, id, class, NOBODY) {
            Some(slot) => {
                let call = &mut self.calls[slot];
                (call.stage, call.work) = (FETCHING, u64::from(object.0));
                self.send_fetch(slot);
            }
            None => {
                self.release_thread(at);
                self.end_in_vain(at, object);
            }
        }
    }

    /// Gives an object that is there.
    fn serve(&mut self, slot: u32, object: ObjectId) {
        if self.cache(slot).contents.is_error(object) {
            return self.cache_answers(slot, Answer::Error);
        }
        self.hand_over(slot);
    }

    fn hand_over(&mut self, slot: u32) {
        let call = &mut self.calls[slot];
        if self.cache_rules[call.class.index()].include.is_none() || call.parent == NOBODY {
            return self.cache_answers(slot, Answer::Good);
        }
        call.stage = INCLUDING;
        call.attempts = 0;
        self.include(slot);
    }

    /// The back end has answered, or could not be asked; or a part of a page is there.
    pub(crate) fn cache_answered(&mut self, slot: u32, back: Back) {
        if matches!(back.answer, Answer::Good | Answer::Error) {
            self.pools.give_back(back.pool);
        }
        let call = &self.calls[slot];
        match call.stage {
            INCLUDING => {
                // By way of the queue, so that a thousand parts that all fail at once are not a thousand calls deep.
                self.calls[slot].phase = Phase::Queued;
                self.ready.push_back(slot);
            }
            _ => {
                let (at, id, class) = (call.at, call.id, call.class);
                if let Some(wake) = self.waking(at) {
                    self.rouse(wake, (at, id, class));
                }
                self.fetch_ended(slot, back.answer == Answer::Good);
            }
        }
    }

    /// The thread of a fetch is done.
    fn fetch_ended(&mut self, slot: u32, good: bool) {
        let call = &self.calls[slot];
        let (at, stage) = (call.at, call.stage);
        self.release_thread(at);
        match stage {
            PASSING => self.cache_answers(slot, if good { Answer::Good } else { Answer::Error }),
            _ => self.fetched(slot, good),
        }
    }

    /// A fetch has ended.
    fn fetched(&mut self, slot: u32, good: bool) {
        let Call { at, class, id, stage, work, .. } = self.calls[slot];
        let object = ObjectId(work as u32);
        let rule = &self.cache_rules[class.index()];
        let cache = &mut self.caches[usize::from(self.instances[usize::from(at)].index)];
        let mut stored = Stored::Kept;
        match rule.what {
            _ if !good => return self.failed(slot, object),
            Use::Keep(ttl_nanos) if stage == CONFIRMING => {
                stored = cache.contents.confirm(object, ttl_nanos, self.now);
            }
            Use::Keep(ttl_nanos) => {
                let key = cache.contents.key(object);
                self.scratch.clear();
                let path = self.calls.path(slot);
                self.scratch.extend(rule.tags(&self.draws, id, path));
                let ahead = path.object.is_some_and(|object| object.get() == key);
                let body_bytes =
                    if ahead { path.body_bytes } else { rule.body_bytes(class, id, path, &self.draws) };
                let answer =
                    Stocked { ttl_nanos, lifetime: class.index() as u16, body_bytes, tags: &self.scratch };
                stored = cache.contents.keep(object, &answer, self.now);
            }
            _ => cache.contents.mark(object, cache.hit_for_miss, cache.hit_for_pass, self.now),
        }
        self.wake_waiting(at, object);
        match stored {
            Stored::NoRoom => self.cache_answers(slot, Answer::Reset),
            Stored::Kept | Stored::Transient => self.hand_over(slot),
        }
    }

    fn failed(&mut self, slot: u32, object: ObjectId) {
        let at = self.calls[slot].at;
        self.end_in_vain(at, object);
        self.cache_answers(slot, Answer::Error);
    }

    /// A fetch ends without an answer.
    pub(super) fn end_in_vain(&mut self, at: u16, object: ObjectId) {
        let now = self.now;
        let index = self.instances[usize::from(at)].index;
        self.caches[usize::from(index)].contents.fail(object, now);
        self.wake_waiting(at, object);
    }

    #[inline]
    fn wake_waiting(&mut self, at: u16, object: ObjectId) {
        let index = usize::from(self.instances[usize::from(at)].index);
        if self.caches[index].contents.anybody_waits() {
            let waiting = self.caches[index].contents.take_waiting(object);
            self.ready.extend(waiting);
        }
    }

    /// A request was sent to the back end: its time begins.
    pub(crate) fn start_fetch_timeout(&mut self, cache: u16, child: u32) {
        let cache = &mut self.caches[usize::from(cache)];
        if let Some(at) = cache.timeouts.start(&self.calls, self.now, child) {
            self.events.schedule(at, cache.timer);
        }
    }

    /// Gives up every request whose back end has been silent for too long.
    pub(crate) fn fetch_timeouts(&mut self, index: u32) {
        loop {
            let cache = &mut self.caches[index as usize];
            match cache.timeouts.expired(&self.calls, self.now) {
                Ok(child) if self.calls[child].parent < NOBODY => self.break_off(child),
                Ok(_) => {}
                Err(again) => {
                    if let Some(at) = again {
                        self.events.schedule(at, cache.timer);
                    }
                    return;
                }
            }
        }
    }

    /// The process died.
    pub(crate) fn cache_lose(&mut self, index: u16) {
        let cache = &mut self.caches[usize::from(index)];
        cache.inside.set(self.now, 0);
        cache.contents.lose_all();
        cache.probed.iter_mut().for_each(Probed::restart);
        if let Some(threads) = &mut cache.threads {
            threads.lose(self.now);
        }
    }
}
