//! A machine's disk: reads and writes that wait for one another.
//!
//! First come, first served with so many at once. As nothing changes the order or the time of an operation once it is
//! asked for, its end is known at that moment (Kiefer and Wolfowitz 1955): no event for the queue.

use scenarios::law::DurationLaw;
use scenarios::rng::Stream;

/// What a disk is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    /// One page from a random place.
    Read,
    /// A write that must be safe on the disk.
    Write,
}

#[derive(Debug)]
pub(crate) struct Disk {
    read: DurationLaw,
    write: DurationLaw,
    /// Bytes a second that it reads in one go.
    pub(crate) throughput: f64,
    /// When each of the operations that it does at once is free again.
    free_at: Vec<u64>,
    stream: Stream,
    /// Busy time not yet reported, in nanoseconds of one of the operations that it does at once.
    busy_nanos: u64,
    /// Whether the last operation was part of a stream: the next part of it is found where the disk is.
    in_stream: bool,
}

impl Disk {
    pub(crate) fn new(
        read: DurationLaw,
        write: DurationLaw,
        parallel: u32,
        throughput: f64,
        stream: Stream,
    ) -> Self {
        Self {
            read,
            write,
            throughput,
            free_at: vec![0; parallel.max(1) as usize],
            stream,
            busy_nanos: 0,
            in_stream: false,
        }
    }

    /// When an operation that is asked for now is done.
    pub(crate) fn ask(&mut self, now: u64, operation: Operation) -> u64 {
        let law = if operation == Operation::Read { self.read } else { self.write };
        let nanos = law.sample(&mut self.stream).as_nanos();
        self.busy_nanos += nanos;
        self.in_stream = false;
        let first = self.free_at.iter_mut().min().expect("a disk does one operation at once or more");
        *first = (*first).max(now) + nanos;
        *first
    }

    /// When `pages` reads, each asked for when the one before is done, are done.
    pub(crate) fn read_pages(&mut self, now: u64, pages: u32) -> u64 {
        (0..pages).fold(now, |at, _| self.ask(at, Operation::Read))
    }

    /// When the next part of what is read or written in one go is done: the whole disk is busy with it. Where it did something
    /// else meanwhile, it has to find the place again, which takes a read.
    pub(crate) fn go_on(&mut self, now: u64, bytes: u64) -> u64 {
        let found = if self.in_stream { 0 } else { self.read.sample(&mut self.stream).as_nanos() };
        let nanos = found + (bytes as f64 / self.throughput * 1e9) as u64;
        self.in_stream = true;
        self.busy_nanos += nanos * self.free_at.len() as u64;
        let begun = self.free_at.iter().copied().max().unwrap_or(0).max(now);
        self.free_at.fill(begun + nanos);
        begun + nanos
    }

    /// The share of its time that it was busy over the `nanos` since this was last asked. Work is counted when it is asked
    /// for, so an interval can come out above 1.
    pub(crate) fn utilisation(&mut self, nanos: u64) -> f64 {
        let busy = std::mem::take(&mut self.busy_nanos);
        busy as f64 / (nanos.max(1) as f64 * self.free_at.len() as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use scenarios::law::Law;
    use scenarios::rng::Purpose;
    use scenarios::units::Seed;

    fn disk(parallel: u32) -> Disk {
        let ten = DurationLaw::from_nanos(Law::Constant(10.0));
        Disk::new(ten, ten, parallel, 1e9, Stream::new(Seed(1), Purpose::named("disk-test"), 0))
    }

    #[test]
    fn operations_wait_for_one_another_beyond_what_is_done_at_once() {
        let mut disk = disk(2);
        let ends: Vec<u64> = [0, 0, 1, 30].map(|now| disk.ask(now, Operation::Read)).to_vec();
        assert_eq!(ends, [10, 10, 20, 40]);
        assert!((disk.utilisation(40) - 0.5).abs() < 1e-9);
    }

    #[test]
    fn a_stream_has_the_whole_disk_and_finds_its_place_again_after_others() {
        // A byte a nanosecond; a read takes 10.
        let mut disk = disk(2);
        assert_eq!(disk.go_on(0, 100), 110);
        assert_eq!(disk.go_on(110, 100), 210);
        assert_eq!(disk.ask(150, Operation::Read), 220, "it waits for the part that is under way");
        assert_eq!(disk.go_on(210, 100), 330);
    }

    #[test]
    fn pages_of_one_reader_come_one_after_another() {
        assert_eq!(disk(8).read_pages(5, 3), 35);
    }
}
