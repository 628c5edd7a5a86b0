//! The steps of a class as the simulator executes them: names resolved to indices, laws at hand.

use scenarios::law::DurationLaw;

/// One step.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Op {
    /// Processor time of the service itself.
    Work(DurationLaw),
    /// Time of the service itself without a processor.
    Wait(DurationLaw),
    /// A step at another service: its first instance, how many there are, the law, and whether it takes a processor.
    Remote { base: u16, count: u16, law: DurationLaw, work: bool },
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

/// The steps of one class.
#[derive(Clone, Debug, Default)]
pub(crate) struct Program {
    pub(crate) ops: Vec<Op>,
}
