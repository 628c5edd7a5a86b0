//! Independent replications: the same scenario with other seeds, several at a time.
//!
//! Replication 0 has the scenario's own seed; each other one's follows from that and its number, so that replication 7
//! is the same run whatever was run before it. Outcomes are delivered in the order of their numbers, whichever thread
//! made them and whenever; what comes out cannot depend on the number of threads.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::ops::ControlFlow;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use scenarios::Scenario;
use scenarios::diagnostic::Diagnostics;
use scenarios::units::Seed;

use crate::simulation::{SimOutcome, Simulation};

/// How often the caller hears how far the replications have come.
const LOOK: Duration = Duration::from_millis(100);
/// Shares of a run that are told apart.
const PARTS: f64 = 1e6;

/// The seed of a replication.
///
/// SplitMix64 (Steele, Lea and Flood, *Fast splittable pseudorandom number generators*, OOPSLA 2014) keeps seeds apart;
/// 63 bits are what a scenario file can hold.
pub fn seed(own: Seed, replication: u32) -> Seed {
    if replication == 0 {
        return own;
    }
    let mut z = own.0.wrapping_add(u64::from(replication).wrapping_mul(0x9E37_79B9_7F4A_7C15));
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    Seed((z ^ (z >> 31)) >> 1)
}

/// The scenario of a replication.
pub fn scenario(own: &Scenario, replication: u32) -> Scenario {
    let mut other = own.clone();
    other.run.seed = seed(own.run.seed, replication);
    other
}

/// Runs replications `0..most` on up to `threads` threads and hands each outcome to `take`, in order, until that breaks,
/// `cancel` is set, or all are done. `observe` hears now and then how many replications' worth is done. Whether it came
/// to an end of its own, rather than by `cancel`.
///
/// A replication that `cancel` broke off is not handed over, unless it is the first: then what there is of it.
///
/// # Errors
/// With every field that the simulator does not implement, and where it stands.
pub fn replicate(
    own: &Scenario,
    most: u32,
    threads: usize,
    cancel: &AtomicBool,
    observe: &mut dyn FnMut(f64),
    take: &mut dyn FnMut(u32, SimOutcome) -> ControlFlow<()>,
) -> Result<bool, Diagnostics> {
    let threads = threads.clamp(1, most.max(1) as usize);
    // A world that cannot be built is told at once, and by one thread.
    let first = Mutex::new(Some(Simulation::with_threads(own, if threads == 1 { 2 } else { 1 })?));
    let make = |number: u32, observe: &mut dyn FnMut(f64), stop: &AtomicBool| {
        let built = match number {
            0 => first.lock().expect("nobody panics while it is taken out").take(),
            _ => None,
        };
        let mut run = built.unwrap_or_else(|| {
            Simulation::with_threads(&scenario(own, number), 1)
                .expect("the simulator took the same scenario with another seed")
        });
        Ok(Some(run.run(&mut |progress| observe(progress.share()), stop)))
    };
    let Ok(own_end) = in_order::<Infallible>(most, threads, cancel, observe, take, &make);
    Ok(own_end)
}

/// Who makes a replication of this number, here or elsewhere: tells the share that is done, breaks off where the flag is set, and
/// has nothing to show for it where there is none.
pub type Make<'a, E> =
    dyn Fn(u32, &mut dyn FnMut(f64), &AtomicBool) -> Result<Option<SimOutcome>, E> + Sync + 'a;

/// The same as [`replicate()`], of runs that somebody else makes: `make` is called on up to `threads` threads.
///
/// # Errors
/// With the first of `make`'s that comes.
pub fn in_order<E: Send>(
    most: u32,
    threads: usize,
    cancel: &AtomicBool,
    observe: &mut dyn FnMut(f64),
    take: &mut dyn FnMut(u32, SimOutcome) -> ControlFlow<()>,
    make: &Make<'_, E>,
) -> Result<bool, E> {
    let threads = threads.clamp(1, most.max(1) as usize);
    let (next, done, stop) = (AtomicU64::new(0), AtomicU64::new(0), AtomicBool::new(false));
    let (sender, receiver) = mpsc::sync_channel(threads);
    let work = |sender: mpsc::SyncSender<(u32, Result<Option<SimOutcome>, E>)>| {
        loop {
            let number = u32::try_from(next.fetch_add(1, Ordering::Relaxed)).unwrap_or(u32::MAX);
            if number >= most || stop.load(Ordering::Relaxed) {
                return;
            }
            let mut told = 0;
            let mut observe = |share: f64| {
                // A run that was begun anew elsewhere starts from nothing; what was told stays told.
                let parts = (share * PARTS) as u64;
                done.fetch_add(parts.saturating_sub(told), Ordering::Relaxed);
                told = told.max(parts);
            };
            let made = make(number, &mut observe, &stop);
            if sender.send((number, made)).is_err() {
                return;
            }
        }
    };
    thread::scope(|scope| {
        for thread in 0..threads {
            let (work, sender) = (&work, sender.clone());
            thread::Builder::new()
                .name(format!("replications {thread}"))
                .spawn_scoped(scope, move || work(sender))
                .expect("a thread can be started");
        }
        drop(sender);
        let mut early: BTreeMap<u32, SimOutcome> = BTreeMap::new();
        let mut wanted = 0;
        let mut own_end = true;
        let mut failed = None;
        loop {
            match receiver.recv_timeout(LOOK) {
                Ok((number, Ok(Some(outcome)))) => {
                    early.insert(number, outcome);
                }
                Ok((_, Ok(None))) | Err(RecvTimeoutError::Timeout) => {}
                Ok((_, Err(error))) => {
                    stop.store(true, Ordering::Relaxed);
                    failed.get_or_insert(error);
                    wanted = u32::MAX;
                }
                Err(RecvTimeoutError::Disconnected) => break,
            }
            if cancel.load(Ordering::Relaxed) {
                stop.store(true, Ordering::Relaxed);
                own_end = false;
            }
            while let Some(outcome) = early.remove(&wanted) {
                // What was broken off is no replication; that there is anything at all is better than nothing.
                let over = !outcome.complete;
                if over && wanted > 0 {
                    break;
                }
                wanted += 1;
                if take(wanted - 1, outcome).is_break() || over {
                    stop.store(true, Ordering::Relaxed);
                    early.clear();
                    // Later ones were begun for nothing: nobody may hear of them.
                    wanted = u32::MAX;
                }
            }
            observe(done.load(Ordering::Relaxed) as f64 / PARTS);
        }
        failed.map_or(Ok(own_end), Err)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn small() -> Scenario {
        let text = "title = \"One\"\n[run]\nduration = \"2s\"\n[hosts.app]\n[components.shop]\nkind = \"service\"\n\
                    host = \"app\"\n[requests.page]\npath = \"/\"\n[[requests.page.steps]]\n\
                    work = \"exponential(mean=2ms)\"\n[traffic.all]\nto = \"shop\"\n\
                    executor = \"constant-arrival-rate\"\nrate = \"300/s\"\nmix = { page = 1 }\n";
        Scenario::parse("small.toml", text).expect("the test's scenario is good")
    }

    fn outcomes(threads: usize, most: u32, enough: u32) -> Vec<(u32, SimOutcome)> {
        let mut all = Vec::new();
        let end =
            replicate(&small(), most, threads, &AtomicBool::new(false), &mut |_| {}, &mut |n, outcome| {
                all.push((n, outcome));
                if n + 1 == enough { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            });
        assert!(end.expect("the simulator takes it"));
        all
    }

    #[test]
    fn outcomes_come_in_order_and_do_not_depend_on_the_number_of_threads() {
        let (one, three) = (outcomes(1, 8, 99), outcomes(3, 8, 99));
        assert_eq!(one.iter().map(|(n, _)| *n).collect::<Vec<_>>(), (0..8).collect::<Vec<_>>());
        for ((n, a), (m, b)) in one.iter().zip(&three) {
            assert_eq!((n, &a.delta, &a.samples), (m, &b.delta, &b.samples));
        }
        assert_ne!(one[0].1.delta, one[1].1.delta, "replications differ");
    }

    #[test]
    fn enough_is_enough_whoever_ran_ahead() {
        assert_eq!(outcomes(3, 50, 4).len(), 4);
    }

    #[test]
    fn what_others_make_comes_in_order_and_their_first_error_ends_it() {
        let made = |number: u32, _: &mut dyn FnMut(f64), stop: &AtomicBool| {
            let text = if number == 5 { Err("the fifth is broken") } else { Ok(()) };
            text.map(|()| {
                let mut run = Simulation::new(&scenario(&small(), number)).expect("the simulator takes it");
                (number != 3).then(|| run.run(&mut |_| {}, stop))
            })
        };
        let taken = |most: u32| {
            let mut taken = Vec::new();
            let mut take = |number, _: SimOutcome| {
                taken.push(number);
                ControlFlow::Continue(())
            };
            let end = in_order(most, 1, &AtomicBool::new(false), &mut |_| {}, &mut take, &made);
            (end, taken)
        };
        assert_eq!(taken(3), (Ok(true), vec![0, 1, 2]));
        // What has nothing to show for itself keeps those after it from being handed over out of order.
        assert_eq!(taken(5), (Ok(true), vec![0, 1, 2]));
        assert_eq!(taken(9).0, Err("the fifth is broken"));
    }

    #[test]
    fn seeds_are_the_files_own_and_then_all_different() {
        assert_eq!(seed(Seed(7), 0), Seed(7));
        let seeds: BTreeSet<u64> =
            (0..100).flat_map(|own| (0..100).map(move |n| seed(Seed(own), n).0)).collect();
        assert!(seeds.len() >= 9_999, "{}", seeds.len());
        assert!(seeds.iter().all(|s| i64::try_from(*s).is_ok()));
    }

    #[test]
    fn cancelled_replications_are_not_handed_over() {
        let cancel = AtomicBool::new(false);
        let mut taken = 0;
        let end = replicate(&small(), 1_000_000, 2, &cancel, &mut |_| {}, &mut |_, outcome| {
            taken += u32::from(outcome.complete);
            cancel.store(taken >= 3, Ordering::Relaxed);
            ControlFlow::Continue(())
        });
        assert!(!end.expect("the simulator takes it") && taken >= 3);
    }
}
