//! The monotonic clock in nanoseconds, as the kernel's timers count it.

use rustix::time::{ClockId, clock_gettime};

/// Now, in nanoseconds since an arbitrary point that all processes of the machine share.
pub(crate) fn now_nanos() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

/// Processor time that this process has really used, in seconds.
pub(crate) fn process_cpu_seconds() -> f64 {
    process_cpu_nanos() as f64 / 1e9
}

/// As [`process_cpu_seconds`], in nanoseconds.
pub(crate) fn process_cpu_nanos() -> u64 {
    let used = clock_gettime(ClockId::ProcessCPUTime);
    used.tv_sec as u64 * 1_000_000_000 + used.tv_nsec as u64
}
