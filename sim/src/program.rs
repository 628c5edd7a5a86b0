//! The steps of all classes as the simulator executes them: names resolved to indices, laws at hand.
//!
//! They stand in one list; a class, what one service asks of another and a branch of parallel steps are each a range of
//! it. Everything is spelled out before the run: a step that is repeated stands there as often, and what a call has
//! another service do stands there once for each call, so that every place draws by a number of its own.

use scenarios::Scenario;
use scenarios::diagnostic::Diagnostics;
use scenarios::law::{DurationLaw, Law, SizeLaw};
use scenarios::scenario::{Action, ClassId, ComponentId, Step as WrittenStep};
use scenarios::units::Ratio;

use crate::connect::Target;
use crate::front::DRAWS;
use crate::guard::Site;
use crate::http_cache::purge::PurgeRule;
use crate::world::World;

/// The most steps of all classes, spelled out.
const MOST_STEPS: usize = 60_000;

/// A range of the world's steps: the first, and the one after the last.
pub(crate) type Range = (u16, u16);

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
    /// Processor time of the service itself for each thousand bytes of the answer, in nanoseconds.
    Serialize { per_kb: u64, response: SizeLaw },
    /// Time of the service itself without a processor.
    Wait(DurationLaw),
    /// Has another service take steps.
    Call { target: Target, steps: Range },
    /// The same under a policy; without a target a branch of the service itself takes the steps.
    Guarded { site: u16, target: Option<Target>, steps: Range },
    /// GET or MGET.
    Get { store: u16, keyspace: u16, count: u32, miss: Option<Miss> },
    /// Throws objects out of a cache, by the world's rule with this number.
    Purge(u16),
    /// SETs, pipelined.
    Set { store: u16, keyspace: u16, count: u32 },
    /// A statement, which writes or reads.
    Sql { database: u16, law: DurationLaw, keyspace: u16, rows: u32, write: bool },
    /// Reads or writes the record of a session, by its place among the kinds of records.
    Session { record: u16, writes: bool },
    /// A web service of somebody else, waited for no longer than so many nanoseconds.
    ThirdParty { latency: DurationLaw, error: Ratio, timeout: u64, required: bool },
    /// Several ranges of steps at once: places in the world's list of branches.
    Parallel { first: u16, count: u16 },
    /// The next so many steps are taken for a share of the requests only.
    Perhaps { share: Ratio, skip: u16 },
}

/// What is done about missed keys.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Miss {
    pub(crate) database: u16,
    pub(crate) law: DurationLaw,
    pub(crate) fill: bool,
}

/// The steps of all classes, into the world's lists.
///
/// # Errors
/// Where they are too many once they are spelled out.
pub(crate) fn compile(
    world: &mut World,
    scenario: &Scenario,
    places: &dyn Fn(ComponentId) -> Range,
) -> Result<(), Diagnostics> {
    for (class, id) in scenario.requests.iter().zip(scenario.class_ids()) {
        // What is drawn ahead goes by the first numbers.
        let next_draw = class.all_steps().count().max(DRAWS) as u32;
        let mut compiler = Compiler { world, scenario, places, next_draw, full: false };
        let own = compiler.class(id, true);
        let own = compiler.world.records.around(scenario, id, own);
        let range = compiler.place(own);
        if compiler.full {
            let at = format!("requests.{}.steps", class.name);
            let expected = format!("at most {MOST_STEPS} steps in all, repeats and calls spelled out");
            return Err(scenario.problem_at(&at, "more", expected, Some("lower repeat")).into());
        }
        world.classes.push(range);
    }
    // What consumers do for the messages of each queue.
    for (i, queue) in crate::queue::build::scenario_classes(scenario).enumerate() {
        let mut compiler = Compiler { world, scenario, places, next_draw: DRAWS as u32, full: false };
        let own = compiler.class(queue.class, false);
        let range = compiler.place(own);
        if compiler.full {
            let at = format!("requests.{}.steps", scenario.class(queue.class).name);
            let expected = format!("at most {MOST_STEPS} steps in all, repeats and calls spelled out");
            return Err(scenario.problem_at(&at, "more", expected, Some("lower repeat")).into());
        }
        world.queues[i].steps = range;
    }
    Ok(())
}

struct Compiler<'a> {
    world: &'a mut World,
    scenario: &'a Scenario,
    places: &'a dyn Fn(ComponentId) -> Range,
    next_draw: u32,
    full: bool,
}

impl Compiler<'_> {
    fn draw(&mut self) -> u16 {
        self.next_draw += 1;
        (self.next_draw - 1).min(u32::from(u16::MAX)) as u16
    }

    /// Puts steps where they stay.
    fn place(&mut self, steps: Vec<Step>) -> Range {
        let first = self.world.steps.len();
        if first + steps.len() > MOST_STEPS || self.next_draw > u32::from(u16::MAX) {
            self.full = true;
            return (0, 0);
        }
        self.world.steps.extend(steps);
        (first as u16, self.world.steps.len() as u16)
    }

    /// The steps of a class, for a client's request (`root`) or for a call.
    fn class(&mut self, class: ClassId, root: bool) -> Vec<Step> {
        let scenario = self.scenario;
        let mut steps = Vec::new();
        for step in &scenario.class(class).steps {
            self.step(step, root, &mut steps);
        }
        steps
    }

    fn step(&mut self, step: &WrittenStep, root: bool, into: &mut Vec<Step>) {
        let number = if root { step.number.min(u32::from(u16::MAX)) as u16 } else { self.draw() };
        let mut taken = Vec::new();
        for time in 0..step.repeat {
            if self.full || into.len() + taken.len() > MOST_STEPS {
                self.full = true;
                return;
            }
            let draw = if time == 0 { number } else { self.draw() };
            let op = self.op(step, root && time == 0);
            taken.push(Step { op, draw });
            taken.extend(self.lateness(op));
        }
        if step.share.get() < 1.0 {
            let op = Op::Perhaps { share: step.share, skip: taken.len() as u16 };
            into.push(Step { op, draw: number });
        }
        into.extend(taken);
    }

    fn op(&mut self, step: &WrittenStep, root: bool) -> Op {
        let target = step.at.map(|to| {
            // Every service that walks the class calls from pools of its own.
            let callers = (0, self.world.instances.len() as u16);
            self.world.pools.add(callers, (self.places)(to))
        });
        let steps = match &step.action {
            Action::Parallel(branches) => return self.parallel(branches, root),
            Action::Call(class) => {
                let steps = self.class(*class, false);
                self.place(steps)
            }
            Action::Publish => (0, 0),
            action if target.is_some() || step.policy.is_some() => {
                // What is asked of another service draws by the number of the step that asks.
                let draw = if root { step.number as u16 } else { self.draw() };
                let op = self.simple(action);
                let steps = [Step { op, draw }].into_iter().chain(self.lateness(op));
                self.place(steps.collect())
            }
            action => return self.simple(action),
        };
        match (step.policy, target) {
            (Some(policy), _) => {
                let called = match (&step.action, step.at) {
                    (_, Some(to)) => format!("component {}", to.index()),
                    (Action::Get { keyspace, .. } | Action::Set { keyspace, .. }, _) => {
                        format!("component {}", self.scenario.keyspace(*keyspace).store.index())
                    }
                    (Action::Select { database, .. } | Action::Update { database, .. }, _) => {
                        format!("component {}", database.index())
                    }
                    _ => step.place.clone(),
                };
                let instances = self.world.instances.len();
                let site = Site { policy: policy.index() as u16, called };
                let site = self.world.guards.site(site, self.scenario.policy(policy), instances);
                Op::Guarded { site, target, steps }
            }
            (None, Some(target)) => Op::Call { target, steps },
            (None, None) => unreachable!("validation lets only calls name a class"),
        }
    }

    fn parallel(&mut self, branches: &[WrittenStep], root: bool) -> Op {
        let ranges: Vec<Range> = branches
            .iter()
            .map(|branch| {
                let mut steps = Vec::new();
                self.step(branch, root, &mut steps);
                self.place(steps)
            })
            .collect();
        let first = self.world.branches.len() as u16;
        self.world.branches.extend(ranges);
        Op::Parallel { first, count: branches.len() as u16 }
    }

    /// What processor time is late by, where that was calibrated: its worker waits, and the core is free.
    fn lateness(&self, op: Op) -> Option<Step> {
        let late =
            self.scenario.calibration.work.filter(|_| matches!(op, Op::Work(_) | Op::Serialize { .. }))?;
        let law = Law::Constant(late.as_nanos() as f64);
        // Nothing is drawn for it, so it needs no number of its own.
        Some(Step { op: Op::Wait(DurationLaw::from_nanos(law)), draw: u16::MAX })
    }

    /// A step that the service takes itself.
    fn simple(&mut self, action: &Action) -> Op {
        let scenario = self.scenario;
        let store = |keyspace| (self.places)(scenario.keyspace(keyspace).store).0;
        let database = |id| (self.places)(id).0;
        let law = |id, write: bool| {
            scenario.statement_law(id, write).expect("validation lets statements go to SQL stores only")
        };
        match action {
            Action::Work(law) => Op::Work(*law),
            Action::Serialize { per_kb, response } => {
                Op::Serialize { per_kb: per_kb.as_nanos(), response: *response }
            }
            Action::Wait(law) => Op::Wait(*law),
            Action::Get { keyspace, count, on_miss } => Op::Get {
                store: store(*keyspace),
                keyspace: keyspace.index() as u16,
                count: *count,
                miss: on_miss.map(|m| Miss {
                    database: database(m.from),
                    law: law(m.from, false),
                    fill: m.fill,
                }),
            },
            Action::Set { keyspace, count } => {
                Op::Set { store: store(*keyspace), keyspace: keyspace.index() as u16, count: *count }
            }
            Action::Select { database: id, keyspace, rows } => Op::Sql {
                database: database(*id),
                law: law(*id, false),
                keyspace: keyspace.index() as u16,
                rows: *rows,
                write: false,
            },
            Action::Update { database: id, keyspace, rows } => Op::Sql {
                database: database(*id),
                law: law(*id, true),
                keyspace: keyspace.index() as u16,
                rows: *rows,
                write: true,
            },
            Action::Purge(purge) => {
                let rule = PurgeRule::new(purge, (self.places)(purge.cache));
                self.world.purge_rules.push(rule);
                Op::Purge(self.world.purge_rules.len() as u16 - 1)
            }
            Action::ThirdParty(party) => Op::ThirdParty {
                latency: party.latency,
                error: party.error,
                timeout: party.timeout.map_or(u64::MAX, |timeout| timeout.as_nanos()),
                required: party.required,
            },
            action => unreachable!("{action:?} is no step that a service takes itself"),
        }
    }
}
