//! The cores of one host, held for drawn durations, first come first served.
//!
//! Durations are known on arrival and nobody gives a core back early, so the moment at which a piece of work ends is
//! known on arrival too (Kiefer and Wolfowitz, 1955): the core that is free first takes it. A core's next piece starts
//! where the one before was *scheduled* to end, so late wake-ups delay those who wait for them but never add up.
//!
//! All cores go at one speed, which can change: the schedule is kept on a clock of its own, which counts the work that a core
//! could have done so far, and whoever works is told when that clock turns faster.
//!
//! Where processes share a host, they share its [`Book`]: a file that each reads and writes under a lock, in some microseconds.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use tokio::sync::Notify;

use super::clock::now_nanos;
use super::{Burner, Timer};

/// A process that stands still with the lock in its hand must not stop the others: they go on without after so long, and
/// what it writes when it goes on is of the past.
const LOCK_PATIENCE_NANOS: u64 = 1_000_000;

/// A host's cores.
#[derive(Debug)]
pub(crate) struct Cores {
    timer: Timer,
    shelf: Shelf,
    /// How the schedule's clock goes, as far as this process knows.
    pace: Cell<Pace>,
    own: RefCell<Own>,
    faster: Notify,
    /// The threads that work instead, where this machine's processors are to be used.
    burner: Option<Burner>,
}

/// How the schedule's clock goes: by `speed` nanoseconds a nanosecond since the last change.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Pace {
    speed: f64,
    /// The last change, on the real clock and on the schedule's.
    since: u64,
    at_since: u64,
}

impl Pace {
    const EVEN: Self = Self { speed: 1.0, since: 0, at_since: 0 };

    /// What the schedule's clock shows at a moment.
    fn scheduled(self, now: u64) -> u64 {
        let passed = now.saturating_sub(self.since);
        self.at_since + if self.speed == 1.0 { passed } else { (passed as f64 * self.speed) as u64 }
    }

    /// When the schedule's clock will show this.
    fn moment(self, scheduled: u64) -> u64 {
        let left = scheduled.saturating_sub(self.at_since);
        let takes = if self.speed == 1.0 { left } else { (left as f64 / self.speed).ceil() as u64 };
        self.since.saturating_add(takes)
    }

    fn at(self, speed: f64, now: u64) -> Self {
        Self { speed, since: now, at_since: self.scheduled(now) }
    }
}

/// What the cores are at.
#[derive(Clone, Debug, PartialEq)]
struct Book {
    pace: Pace,
    /// When each core is free, on the schedule's clock.
    free_at: Vec<u64>,
}

/// A piece of work, on the schedule's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Piece {
    came: u64,
    start: u64,
    end: u64,
}

impl Book {
    fn new(cores: u32) -> Self {
        Self { pace: Pace::EVEN, free_at: vec![0; cores.max(1) as usize] }
    }

    /// Takes the core that is free first.
    fn assign(&mut self, now: u64, nanos: u64) -> Piece {
        let came = self.pace.scheduled(now);
        let first = self.free_at.iter_mut().min().expect("a host has at least one core");
        let start = came.max(*first);
        *first = start.saturating_add(nanos);
        Piece { came, start, end: *first }
    }

    /// The same for a piece that is given up at a moment, whether it has a core by then or not; whether it is done before.
    fn assign_until(&mut self, now: u64, nanos: u64, deadline: u64) -> (Piece, bool) {
        let came = self.pace.scheduled(now);
        let last = self.pace.scheduled(deadline).max(came);
        let first = self.free_at.iter_mut().min().expect("a host has at least one core");
        let start = came.max(*first);
        if start >= last {
            return (Piece { came, start: last, end: last }, false);
        }
        let held = nanos.min(last - start);
        *first = start + held;
        (Piece { came, start, end: *first }, held == nanos)
    }

    fn bytes(&self) -> Vec<u8> {
        let pace = [self.pace.speed.to_bits(), self.pace.since, self.pace.at_since];
        pace.iter().chain(&self.free_at).flat_map(|number| number.to_le_bytes()).collect()
    }

    /// From what [`Book::bytes`] made; none where nobody has written it yet.
    fn read(bytes: &[u8], cores: u32) -> Option<Self> {
        let (numbers, _) = bytes.as_chunks::<8>();
        let numbers: Vec<u64> = numbers.iter().map(|bytes| u64::from_le_bytes(*bytes)).collect();
        let [speed, since, at_since, free_at @ ..] = &numbers[..] else { return None };
        let pace = Pace { speed: f64::from_bits(*speed), since: *since, at_since: *at_since };
        (free_at.len() == cores.max(1) as usize).then(|| Self { pace, free_at: free_at.to_vec() })
    }
}

/// Where the book is kept.
#[derive(Debug)]
enum Shelf {
    Own(RefCell<Book>),
    /// In a file, for several processes.
    Shared {
        file: File,
        cores: u32,
    },
}

impl Shelf {
    fn with<T>(&self, act: impl FnOnce(&mut Book) -> T) -> T {
        let (file, cores) = match self {
            Self::Own(book) => return act(&mut book.borrow_mut()),
            Self::Shared { file, cores } => (file, *cores),
        };
        let until = now_nanos() + LOCK_PATIENCE_NANOS;
        while file.try_lock().is_err() && now_nanos() < until {
            std::hint::spin_loop();
        }
        let mut bytes = vec![0; 8 * (cores.max(1) as usize + 3)];
        let read = file.read_at(&mut bytes, 0).ok().and_then(|count| Book::read(&bytes[..count], cores));
        let mut book = read.unwrap_or_else(|| Book::new(cores));
        let result = act(&mut book);
        // The file is in memory or on a disk for temporary files; where that is full, the work is not seen by others.
        let _ = file.write_all_at(&book.bytes(), 0);
        let _ = file.unlock();
        result
    }
}

/// What this process has used, for its figures.
#[derive(Debug, Default)]
struct Own {
    /// Those that are not over, and perhaps some that are; in the order of their starts.
    pieces: VecDeque<Piece>,
    /// Busy and waiting nanoseconds of those that are over, on the schedule's clock.
    over: [u64; 2],
    /// The same of all on the real clock until the last change of speed, and on the schedule's until then.
    real: [f64; 2],
    until: [u64; 2],
}

impl Own {
    fn add(&mut self, piece: Piece) {
        while let Some(first) = self.pieces.front().filter(|first| first.end <= piece.came) {
            self.over[0] += first.end - first.start;
            self.over[1] += first.start - first.came;
            self.pieces.pop_front();
        }
        self.pieces.push_back(piece);
    }

    /// Busy and waiting nanoseconds, on the schedule's clock.
    fn used(&self, now: u64) -> [u64; 2] {
        let busy: u64 = self.pieces.iter().map(|p| now.clamp(p.start, p.end) - p.start).sum();
        let waited: u64 = self.pieces.iter().map(|p| now.clamp(p.came, p.start) - p.came).sum();
        [self.over[0] + busy, self.over[1] + waited]
    }

    /// The same on the real clock.
    fn real(&self, pace: Pace, now: u64) -> [f64; 2] {
        let used = self.used(pace.scheduled(now));
        std::array::from_fn(|i| self.real[i] + used[i].saturating_sub(self.until[i]) as f64 / pace.speed)
    }

    fn change(&mut self, before: Pace, after: Pace, now: u64) {
        self.real = self.real(before, now);
        self.until = self.used(after.scheduled(now));
    }
}

impl Cores {
    /// A host with this many cores, all idle.
    pub(crate) fn new(cores: u32, timer: Timer) -> Self {
        Self::on(Shelf::Own(RefCell::new(Book::new(cores))), timer)
    }

    /// A host whose cores other processes use as well, by way of this file.
    ///
    /// # Errors
    /// Where it cannot be opened.
    pub(crate) fn shared(cores: u32, file: &Path, timer: Timer) -> io::Result<Self> {
        let file = File::options().read(true).write(true).open(file)?;
        Ok(Self::on(Shelf::Shared { file, cores }, timer))
    }

    /// A host whose cores are threads, which use this machine's.
    ///
    /// # Errors
    /// Where these are not to be had.
    pub(crate) fn burning(cores: u32, timer: Timer) -> io::Result<Self> {
        Ok(Self { burner: Some(Burner::start(cores)?), ..Self::new(cores, timer) })
    }

    fn on(shelf: Shelf, timer: Timer) -> Self {
        let pace = Cell::new(shelf.with(|book| book.pace));
        Self { timer, shelf, pace, own: RefCell::default(), faster: Notify::new(), burner: None }
    }

    /// Holds a core for `nanos` of its work as soon as one is free; returns when that is over.
    pub(crate) async fn work(&self, nanos: u64) {
        if nanos == 0 {
            return;
        }
        if let Some(burner) = &self.burner {
            return burner.work((nanos as f64 / self.pace.get().speed) as u64).await;
        }
        let (piece, pace) = self.shelf.with(|book| (book.assign(now_nanos(), nanos), book.pace));
        self.hold(piece, pace, u64::MAX).await;
    }

    /// As [`Cores::work`], but gives up at a moment (of `now_nanos`'s clock), with the core that it has by then; whether it was done
    /// before. Work that is done in earnest is done to its end.
    pub(crate) async fn work_until(&self, nanos: u64, deadline: u64) -> bool {
        if self.burner.is_some() {
            self.work(nanos).await;
            return now_nanos() <= deadline;
        }
        let assigned = self.shelf.with(|book| (book.assign_until(now_nanos(), nanos, deadline), book.pace));
        let ((piece, is_whole), pace) = assigned;
        self.hold(piece, pace, deadline).await && is_whole
    }

    /// Waits for a piece's end, or until a moment; whether the end came.
    async fn hold(&self, piece: Piece, pace: Pace, deadline: u64) -> bool {
        // Whoever is told of a change later than others that share the cores learns of it here.
        self.go_at(pace, now_nanos());
        self.own.borrow_mut().add(piece);
        loop {
            let (moment, now) = (self.pace.get().moment(piece.end), now_nanos());
            if moment <= now || deadline <= now {
                return moment <= now;
            }
            tokio::select! {
                () = self.timer.sleep_until(moment.min(deadline)) => {}
                () = self.faster.notified() => {}
            }
        }
    }

    /// The cores go at this share of their speed from now on, also with what they work on. All processes that share them are
    /// told the same.
    pub(crate) fn set_speed(&self, speed: f64) {
        let now = now_nanos();
        let after = self.shelf.with(|book| {
            if book.pace.speed != speed {
                book.pace = book.pace.at(speed, now);
            }
            book.pace
        });
        self.go_at(after, now);
    }

    /// The share of their speed at which they go, as far as this process knows.
    #[cfg(test)]
    pub(crate) fn speed(&self) -> f64 {
        self.pace.get().speed
    }

    fn go_at(&self, after: Pace, now: u64) {
        let before = self.pace.replace(after);
        if before == after {
            return;
        }
        self.own.borrow_mut().change(before, after, now);
        if after.speed > before.speed {
            self.faster.notify_waiters();
        }
    }

    /// How long work has waited for a core so far, all together, in seconds.
    pub(crate) fn waited_seconds(&self) -> f64 {
        match &self.burner {
            Some(burner) => burner.waited_seconds(),
            None => self.own.borrow().real(self.pace.get(), now_nanos())[1] / 1e9,
        }
    }

    /// Core time used so far, in seconds: what is stolen of it counts, as the machine's own accounting has it.
    pub(crate) fn busy_seconds(&self) -> f64 {
        match &self.burner {
            Some(burner) => burner.busy_seconds(),
            None => self.own.borrow().real(self.pace.get(), now_nanos())[0] / 1e9,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_cores_serve_in_order_of_arrival() {
        let (mut book, mut own) = (Book::new(2), Own::default());
        let mut assign = |now, nanos| {
            let piece = book.assign(now, nanos);
            own.add(piece);
            (piece.end, own.used(now))
        };
        assert_eq!(assign(0, 10).0, 10);
        assert_eq!(assign(0, 4).0, 4);
        assert_eq!(assign(1, 3).0, 7, "starts when the second core is free at 4");
        assert_eq!(assign(20, 5).0, 25, "an idle core starts at once");
        assert_eq!(
            assign(22, 10),
            (32, [10 + 4 + 3 + 2, 3]),
            "the other core is idle; one waited from 1 to 4"
        );
        assert_eq!(assign(22, 1).0, 26, "starts when the first core is free at 25");
        assert_eq!(own.used(23), [10 + 4 + 3 + 3 + 1, 3 + 1]);
        assert_eq!(own.used(40), [10 + 4 + 3 + 5 + 10 + 1, 3 + 3]);
    }

    #[test]
    fn what_is_given_up_keeps_no_core_from_others() {
        let mut book = Book::new(1);
        let piece = |came, start, end| Piece { came, start, end };
        assert_eq!(book.assign_until(0, 10, 20), (piece(0, 0, 10), true));
        assert_eq!(book.assign_until(1, 30, 21), (piece(1, 10, 21), false), "it has the core until then");
        assert_eq!(book.assign_until(2, 1, 15), (piece(2, 15, 15), false), "it never has the core");
        assert_eq!(book.assign(3, 5).end, 26);
        let half = Book { pace: book.pace.at(0.5, 0), ..Book::new(1) };
        assert_eq!(half.clone().assign_until(0, 10, 20), (piece(0, 0, 10), true), "just done");
        assert!(!half.clone().assign_until(0, 10, 19).1);
    }

    #[test]
    fn a_change_of_speed_reaches_what_is_under_way() {
        let (mut book, mut own) = (Book::new(1), Own::default());
        let [first, second] = [(); 2].map(|()| book.assign(1_000, 100));
        own.add(first);
        own.add(second);
        let moments = |pace: Pace| (pace.moment(first.end), pace.moment(second.end));
        assert_eq!(moments(book.pace), (1_100, 1_200));
        let half = book.pace.at(0.5, 1_050);
        own.change(book.pace, half, 1_050);
        assert_eq!(moments(half), (1_150, 1_350), "half of the first was left");
        let whole = half.at(1.0, 1_250);
        own.change(half, whole, 1_250);
        assert_eq!(moments(whole).1, 1_300, "half of the second was left");
        assert_eq!(
            own.real(whole, 2_000),
            [300.0, 150.0],
            "busy all the time, and the second waited for the first"
        );
    }

    #[test]
    fn processes_that_share_a_book_wait_for_each_other() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        let open = || Shelf::Shared {
            file: File::options().read(true).write(true).open(file.path()).expect("it is there"),
            cores: 1,
        };
        let (one, other) = (open(), open());
        assert_eq!(one.with(|book| book.assign(1_000, 50)).end, 1_050);
        assert_eq!(
            other.with(|book| book.assign(1_010, 50)),
            Piece { came: 1_010, start: 1_050, end: 1_100 }
        );
        one.with(|book| book.pace = book.pace.at(0.5, 2_000));
        assert_eq!(other.with(|book| book.pace).speed, 0.5);
    }
}
