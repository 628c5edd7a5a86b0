//! Processors that are there: work is so many iterations of a loop, on as many threads as the host has cores.
//!
//! How many iterations a nanosecond has is measured when the process starts, by the processor time of the thread: neither that
//! nor how much there is to do depends on what else this machine has to do meanwhile. How long it takes does.

use std::hint::black_box;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use rustix::time::{ClockId, clock_gettime};
use tokio::sync::oneshot;

use super::clock::now_nanos;

/// Measured so often, of which the fastest counts: whatever disturbs only makes it slower.
const MEASUREMENTS: u32 = 5;
const MEASURED_ITERATIONS: u64 = 500_000;
/// What was used is told this often.
const TOLD_NANOS: f64 = 1e6;

/// A piece of work.
struct Piece {
    nanos: u64,
    came: u64,
    done: oneshot::Sender<()>,
}

/// What the threads have used, in nanoseconds.
#[derive(Debug, Default)]
struct Used {
    busy: AtomicU64,
    waited: AtomicU64,
}

/// The threads.
#[derive(Debug)]
pub(crate) struct Burner {
    pieces: Sender<Piece>,
    used: Arc<Used>,
}

impl Burner {
    /// With so many threads, which end with the process.
    ///
    /// # Errors
    /// Where there are no more threads to be had.
    pub(crate) fn start(cores: u32) -> io::Result<Self> {
        let rate = calibrate();
        let (pieces, received) = channel();
        let (received, used) = (Arc::new(Mutex::new(received)), Arc::new(Used::default()));
        for number in 0..cores {
            let (received, used) = (Arc::clone(&received), Arc::clone(&used));
            let burn = move || burn_all(&received, &used, rate);
            thread::Builder::new().name(format!("core-{number}")).spawn(burn)?;
        }
        Ok(Self { pieces, used })
    }

    /// Has the first free thread work for so many nanoseconds of its time; returns when that is done.
    pub(crate) async fn work(&self, nanos: u64) {
        let (done, is_done) = oneshot::channel();
        let piece = Piece { nanos, came: now_nanos(), done };
        // The threads are there as long as this is.
        if self.pieces.send(piece).is_ok() {
            let _ = is_done.await;
        }
    }

    /// Processor time used so far, in seconds.
    pub(crate) fn busy_seconds(&self) -> f64 {
        self.used.busy.load(Ordering::Relaxed) as f64 / 1e9
    }

    /// How long work has waited for a thread so far, all together, in seconds.
    pub(crate) fn waited_seconds(&self) -> f64 {
        self.used.waited.load(Ordering::Relaxed) as f64 / 1e9
    }
}

fn burn_all(received: &Mutex<Receiver<Piece>>, used: &Used, rate: f64) {
    loop {
        let next = received.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(Piece { nanos, came, done }) = next else { return };
        used.waited.fetch_add(now_nanos().saturating_sub(came), Ordering::Relaxed);
        let mut left = nanos as f64;
        while left > 0.0 {
            let part = left.min(TOLD_NANOS);
            let before = thread_nanos();
            iterate((part * rate) as u64);
            used.busy.fetch_add(thread_nanos().saturating_sub(before), Ordering::Relaxed);
            left -= part;
        }
        // Who asked may be gone.
        let _ = done.send(());
    }
}

/// Iterations in a nanosecond of a thread's processor time.
fn calibrate() -> f64 {
    let measured = (0..MEASUREMENTS).map(|_| {
        let before = thread_nanos();
        iterate(MEASURED_ITERATIONS);
        thread_nanos().saturating_sub(before).max(1)
    });
    MEASURED_ITERATIONS as f64 / measured.min().expect("it is measured more than once") as f64
}

/// Each iteration waits for the one before, and touches no memory.
fn iterate(count: u64) {
    let mut number = black_box(1_u64);
    for _ in 0..count {
        // Knuth's MMIX generator.
        number = number.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    }
    black_box(number);
}

/// The processor time of this thread.
fn thread_nanos() -> u64 {
    let used = clock_gettime(ClockId::ThreadCPUTime);
    used.tv_sec as u64 * 1_000_000_000 + used.tv_nsec as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_is_processor_time_of_threads_and_waits_for_a_free_one() {
        let runtime = crate::child::runtime().expect("a runtime can be built");
        runtime.block_on(async {
            let burner = Burner::start(1).expect("a thread");
            let [first, second] = [(); 2].map(|()| burner.work(20_000_000));
            tokio::join!(first, second);
            // The rate may change after it was measured, as other threads share a core, but not by orders.
            let busy = burner.busy_seconds();
            assert!((0.01..0.4).contains(&busy), "40 ms of work took {busy} s of processor time");
            assert!(burner.waited_seconds() > 0.005, "the second waited for the first");
        });
    }
}
