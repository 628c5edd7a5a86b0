//! HTTP/2 over sockets, in the thread's own loop: a slot is a place for one stream, and several share a connection.
//!
//! The protocol is the crate h2's. Its futures are driven here, by the edges of the sockets and by what h2 wakes, without a runtime.

mod lines;

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};

use results::Failure;
use scenarios::Scenario;
use scenarios::plan::Planned;

use super::connecting::Backlogged;
use super::exchange::{Asked, Exchange, Lost, Task, Woken, waker};
use super::line::{Line, Link, Phase, Place, State};
use super::poller::Poller;
use super::tls::Tls;
use super::transport::{Happening, Transport};
use super::{Address, Entries};
use crate::http::{
    Composer, Jar, Judge, LACKED, Limits, Room, Site, Wanted, cookies, request_of, tells_of_loss,
};

/// The streams of one thread.
pub(super) struct Streams {
    composer: Composer,
    judges: Vec<Judge>,
    poller: Poller,
    links: Vec<Link>,
    lines: Vec<(u32, Option<Line>)>,
    places: Vec<Place>,
    woken: Woken,
    /// Links whose servers' backlogs were full.
    backlogged: Backlogged<usize>,
    /// What happened, with the slot's generation.
    happened: VecDeque<(u32, Happening)>,
    out: Vec<u8>,
    room: Room,
    tls: Option<Tls>,
    lacked: Option<String>,
    problem: Option<String>,
}

impl std::fmt::Debug for Streams {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Streams")
            .field("links", &self.links)
            .field("places", &self.places)
            .finish_non_exhaustive()
    }
}

impl Streams {
    pub(super) fn new(scenario: &Scenario, entries: &Entries, room: Room) -> io::Result<Self> {
        Ok(Self {
            composer: Composer::new(scenario, &entries.base_path),
            judges: scenario.requests.iter().map(Judge::new).collect(),
            poller: Poller::new()?,
            links: Vec::new(),
            lines: Vec::new(),
            places: Vec::new(),
            woken: Woken::default(),
            backlogged: Backlogged::default(),
            happened: VecDeque::new(),
            out: Vec::new(),
            room,
            tls: entries.tls.as_ref().map(|tls| tls.speaking(b"h2")),
            lacked: None,
            problem: None,
        })
    }

    /// One more connection, which the slots share that are added to it.
    pub(super) fn link(&mut self, address: Address, host: Rc<str>) -> usize {
        self.links.push(Link { address, host, slots: Vec::new(), line: None, backlogged: false });
        self.links.len() - 1
    }

    /// A place for one more slot.
    pub(super) fn add(&mut self, link: usize, limits: Limits) {
        self.links[link].slots.push(self.places.len() as u32);
        self.places.push(Place::new(link, limits));
    }

    fn say(&mut self, slot: u32, happening: Happening) {
        let generation = self.places[slot as usize].generation;
        self.happened.push_back((generation, happening));
    }

    /// A slot's connection is lost or cannot be had.
    fn lose(&mut self, slot: u32, failure: Failure) {
        let place = &mut self.places[slot as usize];
        place.phase = Phase::Closed;
        place.generation = place.generation.wrapping_add(1);
        self.say(slot, Happening::Closed(slot, failure));
    }

    /// Gives a slot what it waits for, as soon as there is a connection.
    fn serve_or_connect(&mut self, slot: u32) {
        let link = self.places[slot as usize].link;
        match self.links[link].line {
            Some(_) => self.serve_waiting(slot),
            None => {
                if let Err(failure) = self.connect(link) {
                    self.lose(slot, failure);
                }
            }
        }
    }

    /// Gives a slot what it waits for, where its link's connection stands.
    fn serve_waiting(&mut self, slot: u32) {
        let place = &mut self.places[slot as usize];
        let Phase::Waiting(asked) = &mut place.phase else { return };
        let Some(number) = self.links[place.link].line else { return };
        let Some(line) = &mut self.lines[number as usize].1 else { return };
        let State::Up(_, sender) = &mut line.state else { return };
        let Some(asked) = asked.take() else {
            place.phase = Phase::Open;
            return self.say(slot, Happening::Opened(slot));
        };
        if let Poll::Ready(Err(_)) = sender.poll_ready(&mut Context::from_waker(&line.waker)) {
            // It has said farewell, and nobody was told yet: the request goes over another.
            place.phase = Phase::Closed;
            self.retire(number);
            self.places[slot as usize].phase = Phase::Waiting(Some(asked));
            return self.serve_or_connect(slot);
        }
        let waker = waker(Task::Stream(slot, place.generation), &self.woken);
        match Exchange::begin(*asked, number, sender, waker, self.room.clone()) {
            Ok(exchange) => {
                line.under_way += 1;
                place.phase = Phase::Busy(Box::new(exchange));
                // The stream's waker must be known before there is anything to wake for. The connection is awake: it writes what
                // all its streams have, when its turn comes.
                self.drive_stream(slot);
            }
            Err(failure) => self.lose(slot, failure),
        }
    }

    /// Drives a connection as far as it goes, and then the streams that it woke.
    fn drive(&mut self, number: u32) {
        let Some(line) = &mut self.lines[number as usize].1 else { return };
        let link = line.link;
        let waker = line.waker.clone();
        let mut context = Context::from_waker(&waker);
        match &mut line.state {
            State::Connecting(_) => self.connecting(number),
            State::Shaking(handshake) => match handshake.as_mut().poll(&mut context) {
                Poll::Pending => {}
                Poll::Ready(Ok((sender, connection))) => {
                    line.state = State::Up(Box::new(connection), sender);
                    for slot in self.links[link].slots.clone() {
                        self.serve_waiting(slot);
                    }
                    self.drive(number);
                }
                Poll::Ready(Err(error)) => self.fail(number, Failure::Refused, error.to_string()),
            },
            State::Up(connection, sender) => {
                let polled = Pin::new(connection).poll(&mut context);
                let ended = polled.is_ready();
                if let Poll::Ready(Err(error)) = polled
                    && !error.is_io()
                    && !error.is_remote()
                {
                    self.problem = Some(format!("what it says is not HTTP/2: {error}"));
                }
                // After the server's farewell what is under way goes on, and nothing new is taken.
                let takes = !ended && !matches!(sender.poll_ready(&mut context), Poll::Ready(Err(_)));
                self.drive_woken();
                if !takes {
                    self.retire(number);
                }
                if ended {
                    self.drive_streams(number);
                    self.hang_up(number);
                }
            }
        }
    }

    /// Looks at all streams of a connection that is over.
    fn drive_streams(&mut self, number: u32) {
        let Some(line) = &self.lines[number as usize].1 else { return };
        for slot in self.links[line.link].slots.clone() {
            let of_line =
                |place: &Place| matches!(&place.phase, Phase::Busy(exchange) if exchange.line == number);
            if of_line(&self.places[slot as usize]) {
                self.drive_stream(slot);
                // What the connection's end left without a word.
                if of_line(&self.places[slot as usize]) {
                    let begun = self.has_begun(slot);
                    self.lose(slot, if begun { Failure::Truncated } else { Failure::Reset });
                }
            }
        }
    }

    /// Looks at the streams that a connection woke; other connections stay in the queue.
    fn drive_woken(&mut self) {
        let woken = Arc::clone(&self.woken);
        let mut lines = VecDeque::new();
        loop {
            let task = woken.lock().expect("nobody panics with the lock").pop_front();
            match task {
                None => break,
                Some(Task::Stream(slot, generation)) => {
                    if self.places[slot as usize].generation == generation {
                        self.drive_stream(slot);
                    }
                }
                Some(line) => lines.push_back(line),
            }
        }
        woken.lock().expect("nobody panics with the lock").append(&mut lines);
    }

    /// Takes what has come of an answer.
    fn drive_stream(&mut self, slot: u32) {
        let place = &mut self.places[slot as usize];
        let limits = place.limits;
        let Phase::Busy(exchange) = &mut place.phase else { return };
        let line = exchange.line;
        let result = match exchange.read(&limits) {
            Poll::Pending => return,
            Poll::Ready(Err(Lost::Failed(failure))) => {
                self.lose(slot, failure);
                return self.leave(line, 1);
            }
            Poll::Ready(Err(Lost::Unread)) => {
                let asked = exchange.asked.clone();
                self.retire(line);
                self.leave(line, 1);
                self.places[slot as usize].phase = Phase::Waiting(Some(Box::new(asked)));
                return self.serve_or_connect(slot);
            }
            Poll::Ready(Ok(())) => {
                place.kept.clear();
                self.judges[exchange.asked.class].judge(exchange.answer(), &mut place.kept)
            }
        };
        place.head = std::mem::take(&mut exchange.head);
        place.asked = exchange.asked.request.uri().clone();
        let result = match result {
            Ok(()) if cookies(&place.head).any(tells_of_loss) => Err(Failure::LostSession),
            other => other,
        };
        if let Some(line) = &mut self.lines[line as usize].1 {
            line.answered = true;
        }
        let open = self.links[place.link].line.is_some();
        place.phase = if open { Phase::Open } else { Phase::Closed };
        place.generation = place.generation.wrapping_add(1);
        self.say(slot, Happening::Answered { slot, result, arrived_nanos: None, open });
        self.leave(line, 1);
    }
}

impl Transport for Streams {
    fn open(&mut self, slot: u32) {
        self.close(slot);
        self.places[slot as usize].phase = Phase::Waiting(None);
        self.serve_or_connect(slot);
    }

    fn send(&mut self, slot: u32, (planned, attempt): (&Planned, u16), jar: Option<&Jar>) {
        let place = &mut self.places[slot as usize];
        let class = planned.class.index();
        let cookies = jar.is_some_and(Jar::keeps_cookies);
        let wanted = self.judges[class].wanted;
        let wanted = Wanted { head: wanted.head || cookies, ..wanted };
        self.composer.compose((planned, attempt), &self.links[place.link].host, jar, &mut self.out);
        // Where the connection said farewell a moment ago, what was to be told of that is of no interest any more.
        place.generation = place.generation.wrapping_add(1);
        match request_of(&self.out, self.tls.is_some()) {
            Some((request, body)) => {
                place.phase =
                    Phase::Waiting(Some(Box::new(Asked { class, wanted, request, body, attempts: 0 })));
                self.serve_or_connect(slot);
            }
            None => {
                let problem = "a request's path or a field of it has bytes that HTTP/2 does not know";
                self.problem = Some(problem.to_owned());
                self.lose(slot, Failure::Malformed);
            }
        }
    }

    fn close(&mut self, slot: u32) {
        let place = &mut self.places[slot as usize];
        place.generation = place.generation.wrapping_add(1);
        let link = place.link;
        match std::mem::replace(&mut place.phase, Phase::Closed) {
            Phase::Closed | Phase::Open => {}
            Phase::Busy(exchange) => {
                let line = exchange.line;
                // What is dropped here is reset, which h2 tells the server when it is driven.
                drop(exchange);
                self.leave(line, 1);
            }
            Phase::Waiting(_) => {
                // An attempt for which nobody waits any more is over.
                let number = self.links[link].line.filter(|_| !self.is_wanted(link));
                let attempt = |number: &u32| {
                    let line = &self.lines[*number as usize].1;
                    line.as_ref().is_some_and(|line| !matches!(line.state, State::Up(..)))
                };
                if let Some(number) = number.filter(attempt) {
                    self.hang_up(number);
                }
            }
        }
    }

    fn has_begun(&self, slot: u32) -> bool {
        matches!(&self.places[slot as usize].phase, Phase::Busy(exchange) if exchange.has_begun())
    }

    fn remember(&mut self, slot: u32, jar: &mut Jar) {
        let place = &mut self.places[slot as usize];
        let site = Site { host: &self.links[place.link].host, path: place.asked.path().as_bytes() };
        if !jar.remember(site, &place.head, &mut place.kept) {
            self.lacked = Some(LACKED.to_owned());
        }
    }

    fn wait(&mut self, until_nanos: u64) -> io::Result<()> {
        let woken = !self.woken.lock().expect("nobody panics with the lock").is_empty();
        // What is awake is awake because of what was read or sent, so that it comes to an end.
        if woken || !self.happened.is_empty() || self.poller.has_edges() {
            return Ok(());
        }
        self.poller.wait(self.backlogged.until(until_nanos))
    }

    fn next(&mut self) -> Option<Happening> {
        self.reach_again();
        loop {
            while let Some((generation, happening)) = self.happened.pop_front() {
                let (Happening::Opened(slot) | Happening::Answered { slot, .. } | Happening::Closed(slot, _)) =
                    happening;
                if self.places[slot as usize].generation == generation {
                    return Some(happening);
                }
            }
            let task = self.woken.lock().expect("nobody panics with the lock").pop_front();
            match task {
                Some(Task::Line(number, generation)) => {
                    if self.lines[number as usize].0 == generation {
                        self.drive(number);
                    }
                }
                Some(Task::Stream(slot, generation)) => {
                    if self.places[slot as usize].generation == generation {
                        self.drive_stream(slot);
                    }
                }
                None => {
                    let edge = self.poller.next()?;
                    let (number, generation) = (edge.token as u32, (edge.token >> 32) as u32);
                    if self.lines.get(number as usize).is_some_and(|(known, _)| *known == generation) {
                        self.drive(number);
                    }
                }
            }
        }
    }

    fn connections(&self, _: u32) -> u32 {
        let stands = |line: &Line| matches!(line.state, State::Up(..));
        self.lines.iter().filter(|(_, line)| line.as_ref().is_some_and(stands)).count() as u32
    }

    fn problem(&mut self) -> Option<String> {
        self.problem.take()
    }

    fn lacked(&mut self) -> Option<String> {
        self.lacked.take()
    }
}
