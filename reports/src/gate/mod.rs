//! The regression gate: is the candidate slower than the base, on this machine, now?
//!
//! Stored milliseconds of another machine or another hour say nothing, so base and candidate are measured in turn, in one
//! session. Rounds of three blocks in balanced random order: the base, the base again (the *control*, which tells a
//! disturbed machine from a slow candidate), the candidate; each block starts its server anew and plays the same plan.
//! What a round says is one number a quantity, so whatever disturbs rounds alike falls out.
//!
//! - [`quantity`]: what is compared, and what difference matters
//! - [`rounds`]: what was measured, as it is kept and read again
//! - [`settings`]: margins, errors, time; how many rounds those take
//! - [`judge`]: from rounds to a verdict on each quantity
//! - [`session`]: pilot, screening, confirmation; the same whether rounds are measured or drawn
//! - [`measure`], [`server`]: rounds from servers that are started, stopped and loaded
//! - [`resample`]: rounds drawn from recorded noise, for the gate's own errors
//! - [`accepted`], [`history`]: regressions that were accepted; losses too small for one change
//! - [`words`]: the verdict for terminals, Markdown, JUnit and annotations

pub mod accepted;
pub mod history;
pub mod judge;
pub mod measure;
pub mod quantity;
pub mod resample;
pub mod rounds;
mod server;
pub mod session;
pub mod settings;
mod shift;
pub mod words;
