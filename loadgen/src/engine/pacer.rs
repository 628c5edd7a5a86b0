//! Walks a segment of the plan and hands every request over when it is due, whatever became of those before.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::Sender;
use std::task::Poll;

use scenarios::plan::Segment;
use scenarios::units::SimTime;

use super::lane::Lane;
use super::{Report, Shared};
use crate::clock::monotonic_nanos;
use crate::run::Event;
use crate::timer::Timer;

/// Requests handed over in a row before sockets are looked at again: what a lane that fell behind may do at once.
const BURST: u32 = 32;
/// Between two reports.
const REPORT_NANOS: u64 = 1_000_000_000;
/// The pacer looks at least this often whether it is to stop.
const LOOK_NANOS: u64 = 100_000_000;

/// Plays a segment from its first request to the last answer.
pub(super) async fn pace(
    lane: &Rc<RefCell<Lane>>,
    timer: &mut Timer,
    mut segment: Segment<'_>,
    shared: &Shared<'_>,
    reports: (u32, &Sender<Event>),
) -> io::Result<()> {
    let (clock, end) = (lane.borrow().clock, shared.total);
    let give_up_nanos = clock.absolute_nanos(end.saturating_add(shared.grace));
    let mut next = segment.next();
    let mut report_nanos = clock.absolute_nanos(SimTime::ZERO) + REPORT_NANOS;
    loop {
        let mut now = monotonic_nanos();
        let mut burst = 0;
        while let Some(planned) = next.filter(|p| burst < BURST && clock.absolute_nanos(p.due) <= now) {
            lane.borrow_mut().dispatch(planned);
            next = segment.next();
            burst += 1;
            now = monotonic_nanos();
        }
        lane.borrow_mut().expire(now);
        if now >= report_nanos {
            report(&mut lane.borrow_mut(), reports);
            // After a stall of several seconds one report stands for all of them.
            report_nanos = now - (now - report_nanos) % REPORT_NANOS + REPORT_NANOS;
        }
        if shared.stop.load(Ordering::Relaxed) {
            // What is under way is accounted for: leaving it out would make the rest look better than it was.
            lane.borrow_mut().give_up();
            break;
        }
        if next.is_none() {
            let ended = now >= clock.absolute_nanos(end) && lane.borrow().is_drained();
            if ended || now >= give_up_nanos {
                lane.borrow_mut().give_up();
                break;
            }
        }
        if burst == BURST {
            tokio::task::yield_now().await;
            continue;
        }
        let end_nanos = clock.absolute_nanos(end);
        let due = next
            .map_or(if now < end_nanos { end_nanos } else { give_up_nanos }, |p| clock.absolute_nanos(p.due));
        let wake = due.min(lane.borrow().next_expiry()).min(report_nanos).min(now + LOOK_NANOS);
        wait(lane, timer, wake).await?;
    }
    report(&mut lane.borrow_mut(), reports);
    Ok(())
}

/// Sleeps until a time of CLOCK_MONOTONIC, or until the lane calls.
pub(super) async fn wait(lane: &Rc<RefCell<Lane>>, timer: &mut Timer, until: u64) -> io::Result<()> {
    timer.arm(until)?;
    lane.borrow_mut().armed_nanos = until;
    poll_fn(|context| {
        let mut lane = lane.borrow_mut();
        if std::mem::take(&mut lane.called) {
            return Poll::Ready(Ok(()));
        }
        match timer.poll_fired(context) {
            Poll::Ready(fired) => {
                let late = monotonic_nanos().saturating_sub(until);
                lane.ledger.wakeup_lag_nanos = lane.ledger.wakeup_lag_nanos.max(late);
                Poll::Ready(fired)
            }
            Poll::Pending => {
                if !lane.pacer.as_ref().is_some_and(|waker| waker.will_wake(context.waker())) {
                    lane.pacer = Some(context.waker().clone());
                }
                Poll::Pending
            }
        }
    })
    .await?;
    lane.borrow_mut().armed_nanos = 0;
    Ok(())
}

fn report(lane: &mut Lane, (thread, events): (u32, &Sender<Event>)) {
    let load = lane.load();
    let pulse = lane.ledger.pulse(load);
    // Whoever reads the reports may be gone after an error of its own; the run is then stopped by its flag.
    let _ = events.send(Event::Report(Report { thread, delta: lane.recorder.take(), pulse }));
}
