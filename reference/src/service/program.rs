//! The steps of all classes as services walk them: repeats and calls spelled out, so that every place draws by a number
//! of its own.
//!
//! Every process of a stack spells the same scenario out in the same way, so that one service can ask another for a list
//! of steps by its number.

use scenarios::Scenario;
use scenarios::law::{DurationLaw, SizeLaw};
use scenarios::scenario::{
    Action, ClassId, ComponentId, ComponentKind, KeyspaceId, OnMiss, Policy, Purge, Step as Written,
    ThirdParty,
};
use scenarios::units::{Ratio, SimTime};

/// The most steps and lists of all classes, spelled out.
const STEPS_LIMIT: usize = 60_000;
/// Numbers below this name draws of steps as they are written, whatever a class calls or repeats.
const OWN_DRAWS: usize = 7;

/// The steps of all classes.
#[derive(Debug)]
pub(crate) struct Program {
    lists: Vec<Vec<Step>>,
    /// How long all of them are.
    length: usize,
    /// The list of each class.
    classes: Vec<usize>,
    /// What is done for the messages of each queue.
    queues: Vec<(ComponentId, usize)>,
    /// What is called under which policy.
    pub(super) sites: Vec<Site>,
}

/// Calls that share an account: the same policy, and the same thing that is called under it.
#[derive(Debug)]
pub(super) struct Site {
    called: Called,
    /// The policy's place in the scenario.
    number: usize,
    pub(super) policy: Policy,
}

/// What is called.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Called {
    Component(ComponentId),
    /// Somebody else, by the step's place in the file.
    ThirdParty(String),
}

/// A step.
#[derive(Debug)]
pub(super) struct Step {
    /// Its class, and its number there, as the file has it.
    pub(super) written: (usize, u32),
    /// For which share of the requests it is taken.
    pub(super) share: Ratio,
    /// The number by which that is drawn.
    pub(super) draw: u16,
    /// What is done, one time after another.
    pub(super) times: Vec<Task>,
}

/// What is done once.
#[derive(Debug)]
pub(super) struct Task {
    /// The number by which it draws.
    pub(super) draw: u16,
    /// The site whose policy it is under.
    pub(super) site: Option<usize>,
    pub(super) op: Op,
}

/// What a task does.
#[derive(Debug)]
pub(super) enum Op {
    /// Processor time of the service itself.
    Work(DurationLaw),
    /// Processor time of the service itself for each thousand bytes of the answer.
    Serialize { per_kb: SimTime, response: SizeLaw },
    /// Time of the service itself without a processor.
    Wait(DurationLaw),
    /// A web service of somebody else.
    ThirdParty(ThirdParty),
    /// Has another service walk a list of steps.
    Call { to: ComponentId, list: usize },
    /// Sends a message to a queue.
    Publish { to: ComponentId },
    /// Lists of steps, all at once.
    Parallel(Vec<usize>),
    /// GET or MGET.
    Get { keyspace: KeyspaceId, count: usize, on_miss: Option<OnMiss> },
    /// SETs, pipelined.
    Set { keyspace: KeyspaceId, count: usize },
    /// A statement, which writes or reads.
    Statement { database: ComponentId, keyspace: KeyspaceId, rows: usize, update: bool },
    /// Throws objects out of a cache.
    Purge(Purge),
}

impl Program {
    /// Spells a scenario's steps out.
    ///
    /// # Errors
    /// The class that is too long.
    pub(crate) fn new(scenario: &Scenario) -> Result<Self, ClassId> {
        let mut program =
            Self { lists: Vec::new(), length: 0, classes: Vec::new(), queues: Vec::new(), sites: Vec::new() };
        for (class, id) in scenario.requests.iter().zip(scenario.class_ids()) {
            let next_draw = class.all_steps().count().max(OWN_DRAWS);
            let mut compiler = Compiler { program: &mut program, scenario, next_draw, within: id };
            let list = compiler.class(id, true).ok_or(id)?;
            program.classes.push(list);
        }
        for id in scenario.component_ids() {
            let ComponentKind::Queue(queue) = &scenario.component(id).kind else { continue };
            let mut compiler =
                Compiler { program: &mut program, scenario, next_draw: OWN_DRAWS, within: queue.class };
            let list = compiler.class(queue.class, false).ok_or(queue.class)?;
            program.queues.push((id, list));
        }
        Ok(program)
    }

    /// The steps of a class.
    pub(super) fn of_class(&self, class: usize) -> usize {
        self.classes[class]
    }

    /// What is done for a message of a queue.
    pub(super) fn of_queue(&self, queue: ComponentId) -> Option<usize> {
        self.queues.iter().find(|(id, _)| *id == queue).map(|(_, list)| *list)
    }

    /// The steps of a list, if there is one of this number.
    pub(super) fn list(&self, number: usize) -> Option<&[Step]> {
        self.lists.get(number).map(Vec::as_slice)
    }
}

struct Compiler<'a> {
    program: &'a mut Program,
    scenario: &'a Scenario,
    next_draw: usize,
    /// The class whose steps are spelled out.
    within: ClassId,
}

impl Compiler<'_> {
    fn draw(&mut self) -> Option<u16> {
        self.next_draw += 1;
        u16::try_from(self.next_draw - 1).ok()
    }

    fn place(&mut self, steps: Vec<Step>) -> Option<usize> {
        self.program.length += 1 + steps.iter().map(|step| step.times.len()).sum::<usize>();
        if self.program.length > STEPS_LIMIT {
            return None;
        }
        self.program.lists.push(steps);
        Some(self.program.lists.len() - 1)
    }

    /// The steps of a class, for a client's request (`root`) or for somebody who asks for them.
    fn class(&mut self, class: ClassId, root: bool) -> Option<usize> {
        let scenario = self.scenario;
        let before = std::mem::replace(&mut self.within, class);
        let mut steps = Vec::new();
        for step in &scenario.class(class).steps {
            steps.push(self.step(step, root)?);
        }
        self.within = before;
        self.place(steps)
    }

    fn step(&mut self, step: &Written, root: bool) -> Option<Step> {
        let number = if root { u16::try_from(step.number).ok()? } else { self.draw()? };
        let mut times = Vec::new();
        for time in 0..step.repeat {
            if times.len() >= STEPS_LIMIT {
                return None;
            }
            let first = time == 0;
            let draw = if first { number } else { self.draw()? };
            times.push(self.task(step, draw, root && first)?);
        }
        Some(Step { written: (self.within.index(), step.number), share: step.share, draw: number, times })
    }

    fn task(&mut self, step: &Written, draw: u16, root: bool) -> Option<Task> {
        let site = step.policy.map(|policy| {
            let called = match (&step.action, step.at) {
                (_, Some(to)) => Called::Component(to),
                (Action::Get { keyspace, .. } | Action::Set { keyspace, .. }, _) => {
                    Called::Component(self.scenario.keyspace(*keyspace).store)
                }
                (Action::Select { database, .. } | Action::Update { database, .. }, _) => {
                    Called::Component(*database)
                }
                _ => Called::ThirdParty(step.place.clone()),
            };
            self.site(Site { called, number: policy.index(), policy: self.scenario.policy(policy).clone() })
        });
        // What is called or asked for under a policy draws by numbers of its own, unless it is as written.
        let own = |compiler: &mut Self| {
            if root { u16::try_from(step.number).ok() } else { compiler.draw() }
        };
        let (draw, op) = match (&step.action, step.at) {
            (Action::Parallel(branches), _) => {
                let mut lists = Vec::new();
                for branch in branches {
                    let steps = vec![self.step(branch, root)?];
                    lists.push(self.place(steps)?);
                }
                (draw, Op::Parallel(lists))
            }
            (Action::Call(class), Some(to)) => (draw, Op::Call { to, list: self.class(*class, false)? }),
            (Action::Publish, Some(to)) => (draw, Op::Publish { to }),
            (action, Some(to)) => {
                let task = Task { draw: own(self)?, site: None, op: simple(action)? };
                let written = (self.within.index(), step.number);
                let steps =
                    vec![Step { written, share: Ratio::new(1.0), draw: task.draw, times: vec![task] }];
                (draw, Op::Call { to, list: self.place(steps)? })
            }
            (action, None) if site.is_some() => (own(self)?, simple(action)?),
            (action, None) => (draw, simple(action)?),
        };
        Some(Task { draw, site, op })
    }

    fn site(&mut self, site: Site) -> usize {
        let sites = &mut self.program.sites;
        let known = sites.iter().position(|other| other.number == site.number && other.called == site.called);
        known.unwrap_or_else(|| {
            sites.push(site);
            sites.len() - 1
        })
    }
}

/// What a service does itself.
fn simple(action: &Action) -> Option<Op> {
    Some(match action {
        Action::Work(law) => Op::Work(*law),
        Action::Serialize { per_kb, response } => Op::Serialize { per_kb: *per_kb, response: *response },
        Action::Wait(law) => Op::Wait(*law),
        Action::ThirdParty(party) => Op::ThirdParty(*party),
        Action::Purge(purge) => Op::Purge(purge.clone()),
        Action::Get { keyspace, count, on_miss } => {
            Op::Get { keyspace: *keyspace, count: *count as usize, on_miss: *on_miss }
        }
        Action::Set { keyspace, count } => Op::Set { keyspace: *keyspace, count: *count as usize },
        Action::Select { database, keyspace, rows } => {
            Op::Statement { database: *database, keyspace: *keyspace, rows: *rows as usize, update: false }
        }
        Action::Update { database, keyspace, rows } => {
            Op::Statement { database: *database, keyspace: *keyspace, rows: *rows as usize, update: true }
        }
        // Validation lets only calls name a class, and messages a queue.
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn program(steps: &str) -> Result<Program, ClassId> {
        let text = format!(
            r#"
title = "Steps"
[run]
duration = "10s"
[hosts.front]
[hosts.back]
[components.shop]
kind = "service"
host = "front"
workers = 4
[components.search]
kind = "service"
host = "back"
workers = 4
[policies.careful]
timeout = "1s"
[requests.page]
path = "/"
{steps}
[requests.find]
path = "/find"
steps = [{{ work = "1ms" }}, {{ wait = "1ms", repeat = 2 }}]
[traffic.people]
to = "shop"
executor = "constant-arrival-rate"
rate = "10/s"
mix = {{ page = 1 }}
"#
        );
        let scenario = Scenario::parse("steps.toml", text).unwrap_or_else(|problems| panic!("{problems}"));
        Program::new(&scenario)
    }

    #[test]
    fn every_place_draws_by_a_number_of_its_own() {
        let program = program(
            "steps = [{ work = \"1ms\", repeat = 3 }, { parallel = [{ wait = \"1ms\" }, { work = \"1ms\" }] }, \
             { call = { to = \"search\", class = \"find\" } }]",
        )
        .expect("it is short");
        let mut draws = Vec::new();
        let mut pending = vec![program.of_class(0)];
        while let Some(list) = pending.pop() {
            for task in program.list(list).expect("it is a list").iter().flat_map(|step| &step.times) {
                match &task.op {
                    Op::Parallel(lists) => pending.extend(lists),
                    Op::Call { list, .. } => pending.push(*list),
                    _ => draws.push(task.draw),
                }
            }
        }
        draws.sort_unstable();
        let count = draws.len();
        draws.dedup();
        assert_eq!(
            (draws.len(), count),
            (8, 8),
            "three, two branches, and three of the class that is called"
        );
        assert_eq!(program.list(usize::MAX).map(<[Step]>::len), None);
    }

    #[test]
    fn what_is_called_under_one_policy_shares_an_account_and_other_things_have_their_own() {
        let program = program(
            "steps = [{ call = { to = \"search\", work = \"1ms\" }, policy = \"careful\" }, \
             { call = { to = \"search\", class = \"find\" }, policy = \"careful\" }, \
             { third_party = { latency = \"1ms\" }, policy = \"careful\" }]",
        )
        .expect("it is short");
        let steps = program.list(program.of_class(0)).expect("the class has steps");
        let sites: Vec<Option<usize>> = steps.iter().map(|step| step.times[0].site).collect();
        assert_eq!(sites, [Some(0), Some(0), Some(1)]);
    }

    #[test]
    fn more_steps_than_can_be_told_apart_are_refused() {
        assert!(program("steps = [{ work = \"1ms\", repeat = 100 }]").is_ok());
        let long = "{ call = { to = \"search\", class = \"find\" }, repeat = 1000 },".repeat(30);
        assert!(program(&format!("steps = [{long}]")).is_err());
    }
}
