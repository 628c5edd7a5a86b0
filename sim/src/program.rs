//! The steps of all classes as the simulator executes them: names resolved to indices, laws at hand.
//!
//! They stand in one list; a class, or what one service asks of another, is a range of it.

use scenarios::law::DurationLaw;

use crate::connect::Target;

/// One step, and the number by which it draws: its place in its class.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Step {
    pub(crate) op: Op,
    pub(crate) draw: u16,
}

/// What a step does.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Op {
    /// Processor time of the service itself.
    Work(DurationLaw),
    /// Time of the service itself without a processor.
    Wait(DurationLaw),
    /// Has another service take steps.
    Call { target: Target, steps: (u16, u16) },
    /// GET or MGET.
    Get { store: u16, keyspace: u16, count: u32, miss: Option<Miss> },
    /// SETs, pipelined.
    Set { store: u16, keyspace: u16, count: u32 },
    /// A statement.
    Sql { database: u16, law: DurationLaw },
}

/// What is done about missed keys.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Miss {
    pub(crate) database: u16,
    pub(crate) law: DurationLaw,
    pub(crate) fill: bool,
}
