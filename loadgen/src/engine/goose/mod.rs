//! A closed loop on goose, embedded: its users, its waits between requests, its HTTP client. An independent check of our own.
//!
//! What goose does is brought into our terms here: a response time runs to the body's end, where goose's own clock stops at the
//! head; a user is due when goose's wait is over; what failed has our names. Goose's throttle hides the wait and is not used, and
//! neither are its controllers, which would listen on ports. Its client would follow redirects and the surroundings' proxies, so users
//! are given one that goes nowhere but to the target. It would take SIGINT for the process, and for good: SIGTERM is made of that.

mod course;
mod instance;
mod workers;

use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ::goose::client::GooseClientBuilder;
use ::goose::config::GooseConfiguration;
use ::goose::goose::{GooseUser, Scenario as Walk, Transaction, TransactionResult};
use ::goose::{GooseAttack, is_killswitch_triggered, reset_killswitch, trigger_killswitch};
use rustix::process::{Signal, getpid, kill_process};
use scenarios::Scenario;
use scenarios::scenario::{Executor, LoopEngine};
use scenarios::units::SimTime;

use self::course::Course;
use self::instance::Instance;
use self::workers::Workers;
use super::ledger::Account;
use super::{Ready, Share, Shared};
use crate::clock::{Clock, monotonic_nanos};
use crate::error::Error;
use crate::journal::Event;

/// Whoever waits looks this often whether the run is over.
const LOOK: Duration = Duration::from_millis(100);
/// Goose is a process's own: its state is global.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// Plays a closed loop; only the first thread has work.
pub(super) fn play(
    shared: &Shared<'_>,
    thread: u32,
    ready: Sender<Ready>,
    events: &Sender<Event>,
) -> Result<Vec<Account>, Error> {
    let engine = |source| Error::Engine { source };
    let other = |problem: &dyn std::fmt::Display| engine(std::io::Error::other(problem.to_string()));
    if shared.options.share != Share::WHOLE {
        return Err(Error::Unfit { problem: "goose plays whole runs, no segments" });
    }
    let instances = Instance::all(shared)?;
    let open = u32::from(thread == 0 && instances.iter().any(Instance::listens));
    let (start, started) = mpsc::channel();
    if thread > 0 || open == 0 {
        let _ = ready.send(Ready { open: vec![0], problem: None, start });
        drop(ready);
        let _ = started.recv();
        return Ok(Vec::new());
    }
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let course = Arc::new(Course::new(shared, instances).map_err(|problem| other(&problem))?);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(shared.options.threads.get() as usize)
        .enable_all()
        .build()
        .map_err(engine)?;
    turn_interruptions_into_terminations();
    // The run before may have left it.
    reset_killswitch();
    let attack = attack(&course).map_err(|problem| other(&problem))?;
    let users = course.walkers().len() as u64;
    let mut waiting = Some((ready, Ready { open: vec![open], problem: None, start }));
    let mut workers = None;
    let counted = runtime.block_on(async {
        let attack = attack.execute();
        tokio::pin!(attack);
        let mut report_nanos = u64::MAX;
        loop {
            tokio::select! {
                ended = &mut attack => return ended,
                () = tokio::time::sleep(LOOK) => {}
            }
            // Goose takes a second or two to begin: the run's time starts when all its users are there.
            if course.here.load(Ordering::Relaxed) >= users
                && let Some((ready, here)) = waiting.take()
            {
                let _ = ready.send(here);
                drop(ready);
                match started.recv() {
                    Ok(clock) => {
                        report_nanos = clock.absolute_nanos(SimTime::ZERO) + 1_000_000_000;
                        workers = Some(Workers::of(runtime.handle()));
                        let _ = course.clock.set(clock);
                    }
                    Err(_) => trigger_killswitch("the run does not begin"),
                }
            }
            let now = course.clock.get().map(Clock::now);
            let past = now.is_some_and(|now| now >= course.total);
            // It may be stopped before it begins.
            if shared.stop.load(Ordering::Relaxed) || past && course.under_way.load(Ordering::Relaxed) == 0 {
                trigger_killswitch("the run is over");
            } else if is_killswitch_triggered() && !past {
                shared.stop.store(true, Ordering::Relaxed);
            }
            if monotonic_nanos() >= report_nanos {
                report_nanos += 1_000_000_000;
                course.report(events, workers.as_mut());
            }
        }
    });
    runtime.shutdown_timeout(LOOK);
    let metrics = counted.map_err(|problem| other(&problem))?;
    if let Some((ready, here)) = waiting.take() {
        let _ = ready.send(here);
        drop(ready);
        let _ = started.recv();
    }
    if course.clock.get().is_none_or(|clock| clock.now() < course.total) {
        // Whatever has ended it, it is not all of it.
        shared.stop.store(true, Ordering::Relaxed);
    }
    course.report(events, workers.as_mut());
    let counts = metrics.requests.values().map(|request| request.success_count + request.fail_count);
    let (goose, ours) = (counts.sum::<usize>() as u64, course.finished());
    // One that was stopped may have ended between the two counts.
    if goose != ours && !shared.stop.load(Ordering::Relaxed) {
        let what = format!("goose counted {goose} requests and {ours} were recorded");
        let _ = events.send(Event::Unsound(what));
    }
    Ok(course.books().1.accounts())
}

/// Forestalls goose, which handles SIGINT for the process from its first run to the process's end and ends that, at the second one,
/// with a code of its own: whoever listens for SIGTERM hears of SIGINT as well.
fn turn_interruptions_into_terminations() {
    // There can be only one such handler, and where there is one already it is this, or whatever this is part of has its own.
    let _ = ctrlc::set_handler(|| {
        let _ = kill_process(getpid(), Signal::TERM);
    });
}

/// Goose with its users, ready to be let loose.
fn attack(course: &Arc<Course>) -> Result<GooseAttack, ::goose::GooseError> {
    let users = course.plan.users(course.traffic).expect("its traffic is a closed loop").count();
    // It is ended when the run is over.
    let seconds = course.total.as_secs_f64().ceil() as u64 + 3_600;
    let options = [
        format!("--host={}", course.instances[0].url),
        format!("--users={users}"),
        // All of them at once: who is to come later waits for that by the scenario.
        "--increase-rate=100000".to_owned(),
        format!("--run-time={seconds}s"),
        "--no-transaction-metrics".to_owned(),
        "--no-scenario-metrics".to_owned(),
        "--no-print-metrics".to_owned(),
        "--no-error-summary".to_owned(),
        "--no-telnet".to_owned(),
        "--quiet".to_owned(),
        "--quiet".to_owned(),
    ];
    let configuration = GooseConfiguration::parse_args_default(&options)?;
    let course = Arc::clone(course);
    let step = Transaction::new(Arc::new(move |user: &mut GooseUser| {
        let course = Arc::clone(&course);
        Box::pin(async move { course.step(user).await })
            as Pin<Box<dyn Future<Output = TransactionResult> + Send + '_>>
    }));
    let walk = Walk::new("rehearsal").register_transaction(step);
    // Users get clients of their own: one for all of them is enough until then.
    let shared = GooseClientBuilder::new().without_cookies();
    let attack = GooseAttack::initialize_with_config(configuration)?;
    Ok(attack.set_client_builder_without_cookies(shared)?.register_scenario(walk))
}

/// Whether a scenario's traffic is to be played by goose.
pub(super) fn plays(scenario: &Scenario) -> bool {
    scenario.traffic.iter().any(
        |traffic| matches!(&traffic.executor, Executor::Users(users) if users.engine == LoopEngine::Goose),
    )
}
