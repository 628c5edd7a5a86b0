//! Walks a segment of the plan and hands every request over when it is due, whatever became of those before.

use std::io;
use std::num::NonZeroU64;
use std::sync::atomic::Ordering;
use std::sync::mpsc::Sender;

use rustix::thread::set_current_timer_slack;
use scenarios::plan::Segment;
use scenarios::units::SimTime;

use super::aim::{Aim, sleep_until};
use super::lane::{BURST, Lane};
use super::transport::Transport;
use super::upcoming::Upcoming;
use super::{Report, Shared};
use crate::clock::monotonic_nanos;
use crate::journal::Event;

/// Happenings taken in a row before the plan is looked at again.
const HAPPENINGS: u32 = 8;
/// Between two reports.
const REPORT_NANOS: u64 = 1_000_000_000;
/// Where nothing depends on when answers are taken, they wait so long at most for the next request's turn: a thread that
/// sleeps once instead of twice takes half the processor time.
const PATIENCE_NANOS: u64 = 2_000_000;
/// Such a lane looks this often at what has come while it has plenty of connections: answers share a look as they share a wake-up.
const GATHER_NANOS: u64 = 1_000_000;
/// Looks in a row until all that has come is taken: as many as one look can bring.
const LOOKS: u32 = 32;
/// The finest that a sleep can be asked for; the kernel's usual slack of 50 µs would make every request late.
const SLACK_NANOS: NonZeroU64 = NonZeroU64::MIN;
/// The pacer looks at least this often whether it is to stop.
const LOOK_NANOS: u64 = 100_000_000;

/// Plays a segment from its first request to the last answer.
pub(super) fn pace<T: Transport>(
    lane: &mut Lane<'_, T>,
    segment: Segment<'_>,
    shared: &Shared<'_>,
    reports: (u32, &Sender<Event>),
) -> io::Result<()> {
    lane.ledger.begin();
    // Without it everything is only less exact, and the lag says so.
    let _ = set_current_timer_slack(Some(SLACK_NANOS));
    let mut aim = Aim::default();
    let (clock, end) = (lane.clock, shared.total);
    let end_nanos = clock.absolute_nanos(end);
    let give_up_nanos = clock.absolute_nanos(end.saturating_add(shared.grace));
    let mut upcoming = Upcoming::new(segment, clock);
    let mut report_nanos = clock.absolute_nanos(SimTime::ZERO) + REPORT_NANOS;
    // When nothing was left that had come.
    let mut taken_nanos = 0;
    loop {
        let mut now = monotonic_nanos();
        let mut burst = 0;
        while burst < BURST
            && let Some(planned) = upcoming.take(now)
        {
            lane.dispatch(planned);
            burst += 1;
            now = monotonic_nanos();
        }
        lane.dispatch_again(now);
        lane.dispatch_users(now);
        let mut expiry_nanos = lane.next_expiry();
        if expiry_nanos <= now {
            // What came in time, and was left for later, is no timeout.
            collect(lane)?;
            lane.expire(now);
            expiry_nanos = lane.next_expiry();
        }
        if now >= report_nanos {
            report(lane, reports);
            // After a stall of several seconds one report stands for all of them.
            report_nanos = now - (now - report_nanos) % REPORT_NANOS + REPORT_NANOS;
        }
        if shared.stop.load(Ordering::Relaxed) {
            // What is under way is accounted for: leaving it out would make the rest look better than it was.
            collect(lane)?;
            lane.give_up();
            break;
        }
        if now >= end_nanos && upcoming.is_over() && (lane.is_drained() || now >= give_up_nanos) {
            lane.give_up();
            break;
        }
        let later = lane.next_user_nanos().into_iter().chain(lane.next_again_nanos());
        let next_nanos = upcoming.next_nanos();
        // What is due already waits for nothing.
        let shares = next_nanos > now && lane.is_patient();
        let next_nanos = if shares { upcoming.together_nanos() } else { next_nanos };
        let due = later.fold(next_nanos, u64::min);
        let ends = if now < end_nanos { end_nanos } else { give_up_nanos };
        let until = due.min(ends).min(expiry_nanos).min(report_nanos).min(now + LOOK_NANOS);
        let timer = if due == until { aim.timer_for(due) } else { until };
        if lane.is_patient() && until.saturating_sub(now) < PATIENCE_NANOS {
            let gathers = lane.is_roomy() && now < taken_nanos + GATHER_NANOS;
            if !gathers {
                lane.transport.wait(0)?;
                if take(lane) {
                    taken_nanos = now;
                }
            }
            // What it was may have begun something that cannot wait.
            if lane.is_patient() && monotonic_nanos() < timer {
                sleep_until(timer)?;
                aim.woke(timer, monotonic_nanos());
            }
        } else {
            lane.transport.wait(timer)?;
            if now < timer {
                aim.woke(timer, monotonic_nanos());
            }
            take(lane);
        }
        if due == until {
            let reached = reach(lane, aim, due)?;
            lane.ledger.wakeup_lag_nanos = lane.ledger.wakeup_lag_nanos.max(reached.saturating_sub(due));
        }
    }
    report(lane, reports);
    Ok(())
}

/// Is awake at a time that is near; when that is. Where something depends on when answers are taken, they are, one after another: a
/// backlog goes down no faster than connections become free, and what was handed over may still have to be written.
fn reach<T: Transport>(lane: &mut Lane<'_, T>, aim: Aim, due_nanos: u64) -> io::Result<u64> {
    let mut now = monotonic_nanos();
    while aim.is_near(due_nanos, now) && !lane.is_patient() {
        lane.transport.wait(0)?;
        if let Some(happening) = lane.transport.next() {
            lane.happened(happening);
        }
        now = monotonic_nanos();
    }
    Ok(aim.reach(due_nanos, now))
}

/// Takes some of what has happened; whether that was all.
fn take<T: Transport>(lane: &mut Lane<'_, T>) -> bool {
    for _ in 0..HAPPENINGS {
        let Some(happening) = lane.transport.next() else { return true };
        lane.happened(happening);
    }
    false
}

/// Takes all that has come by now, where it may have been left for later.
fn collect<T: Transport>(lane: &mut Lane<'_, T>) -> io::Result<()> {
    for _ in 0..LOOKS {
        if !lane.is_patient() {
            break;
        }
        lane.transport.wait(0)?;
        if take(lane) {
            break;
        }
    }
    Ok(())
}

fn report<T: Transport>(lane: &mut Lane<'_, T>, (thread, events): (u32, &Sender<Event>)) {
    let load = lane.load();
    lane.ledger.watch(lane.clock.now());
    let connections = lane.transport.connections(lane.ledger.open_slots);
    let pulse = lane.ledger.pulse(load, connections);
    // Whoever reads the reports may be gone after an error of its own; the run is then stopped by its flag.
    if let Some(what) = lane.transport.lacked() {
        let _ = events.send(Event::Unsound(format!("this machine has not enough {what}")));
    }
    let report = Report { thread, delta: lane.recorder.take(), pulse };
    let _ = events.send(Event::Report(Box::new(report)));
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::sync::atomic::AtomicBool;
    use std::sync::mpsc;
    use std::time::Duration;

    use results::{Frame, Recorder};
    use scenarios::Scenario;
    use scenarios::plan::{Plan, Planned};

    use super::*;
    use crate::clock::Clock;
    use crate::engine::ledger::Ledger;
    use crate::engine::slot::Slot;
    use crate::engine::traffic::TrafficLane;
    use crate::engine::transport::Happening;
    use crate::engine::users::Users;
    use crate::engine::{Entries, Left, Options, Retryings, Share};
    use crate::http::Jar;

    const SCENARIO: &str = r#"
title = "One connection"
[run]
duration = "1s"
[hosts.app]
[components.shop]
kind = "service"
host = "app"
[requests.page]
path = "/"
[traffic.people]
to = "shop"
executor = "constant-arrival-rate"
rate = "1/s"
mix = { page = 1 }
"#;

    /// Counts how often it is asked what has happened, which is nothing.
    #[derive(Debug, Default)]
    struct Asked {
        times: u32,
    }

    impl Transport for Asked {
        fn open(&mut self, _: u32) {}

        fn send(&mut self, _: u32, _: (&Planned, u16), _: Option<&Jar>) {}

        fn close(&mut self, _: u32) {}

        fn has_begun(&self, _: u32) -> bool {
            false
        }

        fn remember(&mut self, _: u32, _: &mut Jar) {}

        fn wait(&mut self, _: u64) -> io::Result<()> {
            Ok(())
        }

        fn next(&mut self) -> Option<Happening> {
            self.times += 1;
            None
        }
    }

    #[test]
    fn answers_are_left_for_later_only_where_there_is_plenty_of_room() {
        let scenario = Scenario::parse("t.toml", SCENARIO).unwrap_or_else(|problems| panic!("{problems}"));
        let is_roomy = |free: u32, under_way: u32, max_in_flight: u32| {
            let mut traffic = TrafficLane::new(&scenario.traffic[0], max_in_flight, None, false, None);
            traffic.idle.extend(0..free);
            traffic.under_way = under_way;
            traffic.is_roomy()
        };
        assert!(is_roomy(50, 0, 100) && is_roomy(26, 24, 100));
        assert!(!is_roomy(25, 25, 100), "half of the connections are in use");
        assert!(!is_roomy(90, 5, 10), "half of what may be under way is");
        assert!(!is_roomy(0, 0, 100), "no connection is free");
    }

    /// Connects and answers at once; counts what is sent, and how often it is looked at.
    #[derive(Debug, Default)]
    struct Prompt {
        happened: VecDeque<Happening>,
        sent: u64,
        looks: u64,
    }

    impl Transport for Prompt {
        fn open(&mut self, slot: u32) {
            self.happened.push_back(Happening::Opened(slot));
        }

        fn send(&mut self, slot: u32, _: (&Planned, u16), _: Option<&Jar>) {
            self.sent += 1;
            let arrived_nanos = Some(monotonic_nanos());
            self.happened.push_back(Happening::Answered { slot, result: Ok(()), arrived_nanos, open: true });
        }

        fn close(&mut self, _: u32) {}

        fn has_begun(&self, _: u32) -> bool {
            false
        }

        fn remember(&mut self, _: u32, _: &mut Jar) {}

        fn wait(&mut self, until_nanos: u64) -> io::Result<()> {
            self.looks += 1;
            if self.happened.is_empty() { sleep_until(until_nanos) } else { Ok(()) }
        }

        fn next(&mut self) -> Option<Happening> {
            self.happened.pop_front()
        }

        fn is_patient(&self) -> bool {
            true
        }
    }

    #[test]
    fn answers_of_an_open_loop_share_a_look_and_none_is_forgotten() {
        let text = SCENARIO.replace("rate = \"1/s\"", "rate = \"5000/s\"\narrivals = \"uniform\"");
        let scenario = Scenario::parse("t.toml", text).unwrap_or_else(|problems| panic!("{problems}"));
        let (plan, frame) = (Plan::new(&scenario), Frame::new(&scenario));
        let left = Left::new(&scenario, Share::WHOLE);
        let retryings = Retryings::new(&scenario, Share::WHOLE);
        let entries = Entries { by_traffic: vec![Vec::new()], base_path: String::new(), tls: None };
        let stop = AtomicBool::new(false);
        let shared = Shared {
            scenario: &scenario,
            plan: &plan,
            frame: &frame,
            entries: &entries,
            options: Options::default(),
            total: scenario.run.total(),
            grace: SimTime::from_secs(1),
            stop: &stop,
            left: &left,
            retryings: &retryings,
            clients: None,
        };
        let transport = (Clock::starting_in(Duration::ZERO), Prompt::default());
        let users = Users::new(&scenario, &plan, &left, 1);
        // So many that none is dropped, however long the machine stands still.
        let traffic = vec![TrafficLane::new(&scenario.traffic[0], 10_000, None, false, None)];
        let slots = (0..100).map(|_| Slot::new(0)).collect();
        let counts = (Recorder::new(&frame), Ledger::new(&frame, false));
        let mut lane = Lane::new(transport, counts.0, counts.1, users, traffic, slots);
        lane.open_all();
        while let Some(happening) = lane.transport.next() {
            lane.happened(happening);
        }
        lane.begin(Clock::starting_in(Duration::from_millis(10)));
        let (events, _told) = mpsc::channel();
        pace(&mut lane, plan.segment(0, 1), &shared, (0, &events)).expect("nothing fails");
        let (all, pulse) = (plan.requests().count() as u64, lane.ledger.pulse((0, 0), 0));
        assert_eq!((pulse.planned, pulse.ok, pulse.failed, lane.transport.sent), (all, all, 0, all));
        // About one a millisecond; a machine that falls behind looks more often.
        assert!(lane.transport.looks < all / 2, "{} looks for {all} answers", lane.transport.looks);
    }

    #[test]
    fn who_waits_awake_takes_answers_meanwhile_where_somebody_needs_them() {
        let scenario = Scenario::parse("t.toml", SCENARIO).unwrap_or_else(|problems| panic!("{problems}"));
        let (plan, frame) = (Plan::new(&scenario), Frame::new(&scenario));
        let left = Left::new(&scenario, Share::WHOLE);
        let users = Users::new(&scenario, &plan, &left, 1);
        let transport = (Clock::starting_in(Duration::ZERO), Asked::default());
        let counts = (Recorder::new(&frame), Ledger::new(&frame, false));
        // No connection is free, so that requests would wait for one.
        let traffic = vec![TrafficLane::new(&scenario.traffic[0], 1, None, false, None)];
        let mut lane = Lane::new(transport, counts.0, counts.1, users, traffic, vec![Slot::new(0)]);
        let mut aim = Aim::default();
        (0..1_000).for_each(|_| aim.woke(1_000_000, 9_000_000));
        // A thread that is put aside finds the time past.
        let taken = (0..1_000).any(|_| {
            let due = monotonic_nanos() + 40_000;
            assert!(reach(&mut lane, aim, due).expect("it waits for nothing") >= due, "nothing is early");
            lane.transport.times > 0
        });
        assert!(taken);
        let (far, before) = (monotonic_nanos() + 10_000_000_000, lane.transport.times);
        assert!(reach(&mut lane, aim, far).expect("it waits for nothing") < far, "a timer is set for it");
        assert_eq!(lane.transport.times, before);
    }
}
