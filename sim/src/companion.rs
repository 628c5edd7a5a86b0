//! What is done beside the events: planning what comes due before them, recording what became of it after them.
//!
//! Neither can change an event, so both may go on meanwhile on a thread of their own; the outcome is the same in either
//! case. Batches go round: filled by the planner, emptied by the events, and brought back with what was noted.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, SyncSender, TryRecvError, channel, sync_channel};

use results::{Delta, Failure, Outcome, Recorder};
use scenarios::plan::Plan;
use scenarios::scenario::ClassId;
use scenarios::units::SimTime;

use crate::front::{Batch, Planner};

/// Batches that go round: enough that neither stage waits for the other, few enough to stay in a cache.
const BATCHES: usize = 4;

/// What became of a request, as short as can be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Noted {
    pub(crate) due: u64,
    /// When it was sent; [`Noted::NEVER`], if it was dropped.
    pub(crate) sent: u64,
    pub(crate) done: u64,
    pub(crate) class: ClassId,
    pub(crate) result: Result<(), Failure>,
}

impl Noted {
    /// The time of what does not happen.
    pub(crate) const NEVER: u64 = u64::MAX;
}

/// Counts what was noted, and forgets it.
fn record(recorder: &mut Recorder, noted: &mut Vec<Noted>) {
    for one in noted.drain(..) {
        recorder.record(&Outcome {
            class: one.class,
            due: SimTime::from_nanos(one.due),
            sent: (one.sent != Noted::NEVER).then_some(SimTime::from_nanos(one.sent)),
            done: SimTime::from_nanos(one.done),
            lag: SimTime::ZERO,
            result: one.result,
        });
    }
}

/// What the thread is asked for.
#[derive(Debug)]
pub(crate) enum Ask {
    /// To count what was noted in a batch and to fill it again.
    Again(Batch),
    /// What was recorded since the last time, with this.
    Take(Vec<Noted>, SyncSender<Delta>),
}

/// Who plans and records.
#[derive(Debug)]
pub(crate) enum Companion {
    /// Whoever handles the events, in between.
    Here(Box<Here>),
    /// A thread, ahead and behind. It ends when nobody asks it any more.
    Thread { full: Receiver<Batch>, ask: Sender<Ask> },
}

#[derive(Debug)]
pub(crate) struct Here {
    planner: Planner,
    recorder: Recorder,
    spare: Batch,
}

impl Companion {
    /// Plans and records on a thread of its own where `apart` says so.
    pub(crate) fn new(planner: Planner, recorder: Recorder, apart: bool) -> Self {
        if !apart {
            return Self::Here(Box::new(Here { planner, recorder, spare: Batch::default() }));
        }
        let (filled, full) = channel();
        let (ask, asked) = channel();
        std::thread::Builder::new()
            .name("companion".to_owned())
            .spawn(move || keep_company(planner, recorder, filled, &asked))
            .expect("a machine that runs the simulation has room for a second thread");
        Self::Thread { full, ask }
    }

    /// The next slice's requests; none after the last.
    pub(crate) fn next(&mut self) -> Option<Batch> {
        match self {
            Self::Here(here) => {
                let mut batch = std::mem::take(&mut here.spare);
                let planner = &mut here.planner;
                let plan = Arc::clone(&planner.plan);
                let mut requests = plan.window(planner.reached, planner.total, 0, 1).peekable();
                planner.fill(&mut batch, &mut requests).then_some(batch)
            }
            Self::Thread { full, .. } => full.recv().ok(),
        }
    }

    /// Brings a batch back, with what was noted.
    pub(crate) fn give_back(&mut self, mut batch: Batch) {
        match self {
            Self::Here(here) => {
                record(&mut here.recorder, &mut batch.noted);
                here.spare = batch;
            }
            Self::Thread { ask, .. } => {
                ask.send(Ask::Again(batch)).expect("the thread lives as long as it may be asked");
            }
        }
    }

    /// What was recorded since the last time, with what was noted after the last batch.
    pub(crate) fn take(&mut self, mut noted: Vec<Noted>) -> Delta {
        match self {
            Self::Here(here) => {
                record(&mut here.recorder, &mut noted);
                here.recorder.take()
            }
            Self::Thread { ask, .. } => {
                let (answer, answered) = sync_channel(1);
                ask.send(Ask::Take(noted, answer)).expect("the thread lives as long as it may be asked");
                answered.recv().expect("the thread answers what it is asked")
            }
        }
    }
}

/// The thread's work: whatever was asked comes first, then planning, as long as there is a batch to be filled.
fn keep_company(mut planner: Planner, mut recorder: Recorder, filled: Sender<Batch>, asked: &Receiver<Ask>) {
    let plan: Arc<Plan> = Arc::clone(&planner.plan);
    let mut requests = plan.window(SimTime::ZERO, planner.total, 0, 1).peekable();
    let mut empty: Vec<Batch> = (0..BATCHES).map(|_| Batch::default()).collect();
    // Gone after the last batch, which is how the other side learns of that.
    let mut filled = Some(filled);
    loop {
        let idle = empty.is_empty() || filled.is_none();
        let ask = if idle { asked.recv().map_err(|_| TryRecvError::Disconnected) } else { asked.try_recv() };
        match ask {
            Ok(Ask::Again(mut batch)) => {
                record(&mut recorder, &mut batch.noted);
                empty.push(batch);
            }
            Ok(Ask::Take(mut noted, answer)) => {
                record(&mut recorder, &mut noted);
                // Whoever asked may be gone.
                let _ = answer.send(recorder.take());
            }
            Err(TryRecvError::Disconnected) => return,
            Err(TryRecvError::Empty) => {
                let Some(mut batch) = empty.pop() else { continue };
                let more = planner.fill(&mut batch, &mut requests);
                if !more || filled.as_ref().is_some_and(|filled| filled.send(batch).is_err()) {
                    filled = None;
                }
            }
        }
    }
}
