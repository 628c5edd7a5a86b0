//! Exit codes of all programs. Where several hold, the first of this order does: bad scenario, interrupted, invalid,
//! regression, threshold.

/// A good run.
pub const GOOD: u8 = 0;
/// Something that is nobody's verdict: a file that cannot be written, say.
pub const FAILURE: u8 = 1;
/// A threshold does not hold; k6's code.
pub const THRESHOLDS: u8 = 99;
/// A scenario or a configuration that cannot be run, or a record that cannot be read; k6's code.
pub const BAD_SCENARIO: u8 = 104;
/// The run was interrupted; k6's code.
pub const INTERRUPTED: u8 = 105;
/// The run's figures must not be believed.
pub const INVALID: u8 = 111;
/// The candidate is slower than the base.
pub const REGRESSED: u8 = 112;
/// The noise leaves open whether the candidate is slower.
pub const INCONCLUSIVE: u8 = 113;
