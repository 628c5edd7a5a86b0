//! What all instances have in common, whatever their kind: where they run, what is broken about them, who is parked.

use results::Failure;

use crate::call::{Call, NONE};
use crate::conservation::Border;
use crate::gauge::Gauge;
use crate::host::Share;
use crate::restarting::Restarting;
use crate::world::Delay;

/// The kinds of component, each with a file and a list of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Cdn,
    Balancer,
    Cache,
    Service,
    Store,
    Database,
    Queue,
    /// No component: a background job on one machine.
    Job,
}

/// One instance of a component. Instances are numbered in the order of the file, all kinds together.
#[derive(Debug)]
pub(crate) struct Instance {
    pub(crate) kind: Kind,
    /// Its place in the list of its kind.
    pub(crate) index: u16,
    pub(crate) component: u16,
    /// Its number in the component, from zero.
    pub(crate) number: u16,
    pub(crate) host: u16,
    /// What is added to each call, command or statement that goes to it.
    pub(crate) latency: Delay,
    /// How often it died: what it kept in memory is of one life.
    pub(crate) lives: u32,
    /// How often an autoscaler gave its machine back: what is in files is of one machine.
    pub(crate) machines: u32,
    /// How many faults keep it dead, and one more where an autoscaler has none of it.
    pub(crate) killed: u32,
    /// Whether an autoscaler has it take nothing new: it is not there, boots, or drains.
    pub(crate) absent: bool,
    /// How many faults keep it from going on.
    pub(crate) stopped: u32,
    /// How many of those cut its network too.
    pub(crate) unplugged: u32,
    /// When its cable is back, while it is out.
    pub(crate) cable_back: u64,
    /// How many of the faults that keep it dead have its whole machine dead.
    pub(crate) host_dead: u32,
    /// The virtual address that it shares with the other instances of its component.
    pub(crate) vip: Option<u16>,
    /// How many faults make it answer 500.
    pub(crate) broken: u32,
    /// How many faults make its writes fail.
    pub(crate) disk_full: u32,
    /// How many times as long as drawn its work takes.
    pub(crate) slow: f64,
    /// The share of its answers that are a 500 for no reason of their own.
    pub(crate) error_share: f64,
    /// Whether it answers, with whatever status.
    pub(crate) up: Gauge,
    /// How long its process takes to start.
    pub(crate) restart: u64,
    /// What follows when its process dies by itself; without it, it is started again at once.
    pub(crate) restarting: Option<Box<Restarting>>,
    /// The timer of its starts, made for the first of them.
    pub(crate) started: u32,
    /// Its share of its host's cores.
    pub(crate) share: Share,
    /// What crossed its border.
    pub(crate) border: Border,
    /// Calls that arrived while it was stopped: inside, and in no queue of its own.
    pub(crate) arriving: Gauge,
    /// What is to be done when it goes on.
    pub(crate) parked: Vec<Parked>,
}

impl Instance {
    /// One that nothing is wrong with, with its place in the list of its kind, its component and its number in it.
    pub(crate) fn new(kind: Kind, index: u16, (component, number): (u16, u16), host: u16) -> Self {
        Self {
            kind,
            index,
            component,
            number,
            host,
            latency: Delay::None,
            lives: 0,
            machines: 0,
            killed: 0,
            absent: false,
            stopped: 0,
            unplugged: 0,
            cable_back: 0,
            host_dead: 0,
            vip: None,
            broken: 0,
            disk_full: 0,
            slow: 1.0,
            error_share: 0.0,
            up: Gauge::default(),
            restart: 0,
            restarting: None,
            started: NONE,
            share: Share::default(),
            border: Border::default(),
            arriving: Gauge::default(),
            parked: Vec::new(),
        }
    }

    /// How long work takes that is drawn as so many nanoseconds.
    #[inline]
    pub(crate) fn slowed(&self, nanos: u64) -> u64 {
        if self.slow == 1.0 { nanos } else { self.drawn_out(nanos) }
    }

    #[cold]
    fn drawn_out(&self, nanos: u64) -> u64 {
        (nanos as f64 * self.slow) as u64
    }

    pub(crate) fn note_up(&mut self, now: u64) {
        self.up.set(now, u32::from(self.killed == 0 && self.stopped == 0));
    }
}

/// Something that happened to a call while its instance was stopped.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Parked {
    pub(crate) slot: u32,
    pub(crate) generation: u32,
    pub(crate) what: Continuation,
}

/// What a call goes on with.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Continuation {
    /// It is there.
    Arrive,
    /// The time or the processor time that it waited for is over.
    Wake,
    /// A call that it made was answered.
    Answered(Back),
    /// A command or a statement that it sent is done.
    LeafDone(Flow),
    /// At a store: a command is executed.
    StoreDone,
    /// At an SQL store: a statement is executed.
    StatementDone(Flow),
    /// At a service: work for another service is done.
    LentDone,
}

/// How a command or a statement went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flow {
    /// Done at this very instant.
    Done,
    /// It takes time; an event will go on.
    Suspended,
    /// It failed.
    Failed,
}

/// What became of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// A good answer.
    Good,
    /// An answer that tells of a failure: 5xx.
    Error,
    /// No connection: nobody listens.
    Refused,
    /// No connection: silence, for longer than the caller waits.
    Unreachable,
    /// The connection broke after the request was sent.
    Reset,
    /// No answer for longer than the caller's policy waits.
    TimedOut,
    /// The caller's own policy let the call not through.
    Rejected,
}

impl From<Answer> for Result<(), Failure> {
    /// As a client sees it.
    fn from(answer: Answer) -> Self {
        match answer {
            Answer::Good => Ok(()),
            Answer::Error | Answer::Rejected => Err(Failure::Status),
            Answer::Refused => Err(Failure::Refused),
            Answer::Unreachable | Answer::TimedOut => Err(Failure::Timeout),
            Answer::Reset => Err(Failure::Reset),
        }
    }
}

/// The answer of a call as its parent hears it. The call itself is gone by then.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Back {
    /// The slot that the call had, and the slot's generation then.
    pub(crate) child: u32,
    pub(crate) generation: u32,
    /// What its caller's policy noted in it.
    pub(crate) connection: u32,
    pub(crate) flags: u16,
    /// The step for which its caller made it.
    pub(crate) step: u16,
    /// The instance that was to answer.
    pub(crate) at: u16,
    /// Where the connection belongs.
    pub(crate) pool: u32,
    pub(crate) answer: Answer,
}

impl Back {
    /// The answer of a call in a slot.
    #[inline]
    pub(crate) fn new(call: &Call, child: u32, answer: Answer) -> Self {
        Self {
            child,
            generation: call.generation,
            connection: call.connection,
            flags: call.flags,
            step: 0,
            at: call.at,
            pool: call.pool,
            answer,
        }
    }
}
