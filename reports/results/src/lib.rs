//! The run record: what a run in either world leaves behind, and every figure that is computed from it.
//!
//! Producers make a [`Frame`] and a [`Recorder`], hand [`Outcome`]s to it, and append what it took to a [`RunWriter`];
//! readers start at [`RunRecord`] and [`figure()`]. Nothing here draws.
//!
//! ```
//! use results::{Frame, Outcome, Provenance, Recorder, RunRecord, RunWriter, Status, Validity, World};
//! use scenarios::{Scenario, plan::Plan, units::SimTime};
//!
//! # let text = "title = \"One\"\n[run]\nduration = \"2s\"\n[hosts.app]\n[components.shop]\nkind = \"service\"\n\
//! # host = \"app\"\n[requests.page]\npath = \"/\"\n[[requests.page.steps]]\nwork = \"1ms\"\n[traffic.all]\n\
//! # to = \"shop\"\nexecutor = \"constant-arrival-rate\"\nrate = \"50/s\"\nmix = { page = 1 }\n";
//! # let directory = tempfile::tempdir().expect("a temporary directory can be made");
//! let scenario = Scenario::parse("one.toml", text).expect("the scenario is right");
//! let mut writer = RunWriter::create(directory.path(), &scenario, World::Sim, Provenance::here("example 1.0"))?;
//! let mut recorder = Recorder::new(&Frame::new(&scenario));
//! for planned in Plan::new(&scenario).requests() {
//!     let done = planned.due + SimTime::from_millis(3);
//!     recorder.record(&Outcome {
//!         class: planned.class,
//!         due: planned.due,
//!         sent: Some(planned.due),
//!         done,
//!         lag: SimTime::ZERO,
//!         result: Ok(()),
//!     });
//! }
//! writer.append(&recorder.take(), &[])?;
//! let written = writer.finish(Status::Complete, Validity::default())?;
//! assert_eq!(written.tallies, RunRecord::read(directory.path())?.tallies);
//! # Ok::<(), results::Error>(())
//! ```
//!
//! - [`outcome`], [`sample`]: what producers report
//! - [`frame`]: how a run's time is cut into intervals and windows
//! - [`buckets`], [`tally`], [`recorder`]: counting, the hot path
//! - [`facts`], [`provenance`], [`record`]: what a record holds
//! - [`journal`], [`writer`], [`directory`]: how it reaches the disk
//! - [`mod@export`]: the forms that other tools read; [`hdr_log`]: interval logs that other tools wrote
//! - [`recovery`]: how long a system took to recover from a fault; [`evidence`]: what a producer says of its run
//! - [`statistics`], [`noise`], `part`: intervals; [`replications`]: figures over runs that differ in their seed
//! - [`observation`]: one number of whatever was observed
//! - [`segments`]: one run from what several machines played of it; [`agents`]: who they were; [`piece`]: what they tell meanwhile
//! - [`mod@figure`], [`verdict`]: figures with their intervals, thresholds, expectations

pub mod agents;
pub mod buckets;
pub mod directory;
mod error;
pub mod evidence;
pub mod export;
pub mod facts;
pub mod figure;
pub mod frame;
pub mod hdr_log;
pub mod journal;
pub mod noise;
pub mod observation;
pub mod outcome;
mod part;
pub mod piece;
mod pool;
pub mod provenance;
pub mod record;
pub mod recorder;
pub mod recovery;
pub mod replications;
pub mod sample;
pub mod segments;
pub mod statistics;
pub mod tally;
pub mod verdict;
mod wire;
pub mod writer;

pub use agents::Agent;
pub use directory::run_directory;
pub use error::Error;
pub use evidence::{Evidence, Law, ModelNote, Span, Trace};
pub use export::{Format, escaped, export};
pub use figure::{Estimate, Noise, Scope, Selection, figure};
pub use frame::{Frame, Stands, Window, WindowKind};
pub use hdr_log::{IntervalLog, TimeUnit};
pub use observation::{observed, observed_series};
pub use outcome::{Failure, Outcome, World};
pub use piece::Piece;
pub use provenance::Provenance;
pub use record::{RunRecord, Status, Validity};
pub use recorder::{Delta, Recorder};
pub use recovery::Recovery;
pub use replications::{Collector, Replications};
pub use sample::Sample;
pub use segments::{Segment, join};
pub use writer::RunWriter;

/// The JSON Schema of `run.json`.
pub const RECORD_SCHEMA: &str = include_str!("../run-record.schema.json");
