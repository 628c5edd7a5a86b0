//! Reports: draws run records as self-contained HTML, and compares two of them.
//!
//! Start at [`render`] and [`Comparison`]. What a figure is and how far it may be off is the `results` crate's; this
//! one draws it, and the gate decides by it.
//!
//! - `format`, `table`: numbers and tables as readers see them, for terminals, Markdown and HTML
//! - `observation`: a number of whatever was observed, with its unit
//! - `moments`: a run over time, in as many steps as a chart or a table has room for
//! - `chart`: lines and shades over an axis, as inline SVG that follows the page's colours
//! - `phases`, `room`, `verdict`: key figures by phase; how much more load there is room for; the run in one sentence
//! - `agents`: the machines that played a run together
//! - `page`: the HTML of a run, of a run in short, of a comparison, and of an interval log
//! - `png`: charts as PNG (feature `png`)
//! - [`mod@compare`]: two or more runs of one scenario
//! - [`serve`]: runs in the browser; [`web`]: the server that this takes
//! - `loads`: latency against load, over several runs
//! - `summary`: a run on a terminal; `waterfall`: a single request
//! - `paired`: two configurations with common random numbers; `sheet`: a page of tables and charts that programs put together
//! - [`gate`]: is the candidate slower than the base? A session of paired runs, and what it came to
//! - [`twin`]: cases of a scenario in both worlds, and how far they are apart
//! - `exact`: what must not change at all
//! - `trust`: recoveries, replications, and how far to trust a run

mod agents;
mod chart;
pub mod compare;
mod exact;
mod format;
pub mod gate;
mod loads;
mod moments;
mod observation;
mod page;
mod paired;
mod phases;
#[cfg(feature = "png")]
mod png;
mod room;
pub mod serve;
mod sheet;
mod summary;
mod table;
mod trust;
pub mod twin;
mod verdict;
mod waterfall;
pub mod web;

pub use compare::{Comparison, Comparisons, compare, compare_all};
pub use exact::{Exact, exact};
pub use loads::{Loads, loads};
pub use observation::shown;
pub use page::{outline, page as framed, render, render_logs};
pub use paired::Paired;
#[cfg(feature = "png")]
pub use png::{Error as PictureError, Picture, pictures};
pub use room::{Bottleneck, bottleneck};
pub use sheet::Sheet;
pub use summary::summary;
pub use table::Table;
pub use waterfall::waterfall;
