//! Differences with their intervals, decile by decile.
//!
//! After G. A. Rousselet, C. R. Pernet, R. R. Wilcox, *Beyond differences in means*, European Journal of Neuroscience 46, 2017: a shift
//! of the whole, of the tail alone, or a wider spread look different, where a difference of means looks the same.

use std::fmt::Write as _;

use super::axis::nice_step;
use super::{FONT, SIZE};
use crate::format;

const LEFT: f64 = 150.0;
const RIGHT: f64 = 36.0;
const TOP: f64 = 20.0;
const BOTTOM: f64 = 48.0;
/// Half the width of a mark.
const MARK: f64 = 9.0;

/// A decile's difference.
#[derive(Clone, Debug)]
pub(crate) struct Shift {
    /// `p10`.
    pub(crate) name: &'static str,
    /// As a share of what it is held against.
    pub(crate) relative: f64,
    /// Half the width of its 95% interval.
    pub(crate) noise: f64,
}

/// The picture: the deciles of each comparison beside each other.
pub(crate) fn shifts(label: &str, comparisons: &[Vec<Shift>]) -> String {
    let all = || comparisons.iter().flatten();
    let most = all().map(|s| s.relative.abs() + s.noise).fold(0.005, f64::max) * 1.1;
    let (width, height) = (f64::from(SIZE.0), f64::from(SIZE.1));
    let middle = TOP + 0.5 * (height - TOP - BOTTOM);
    let y = |share: f64| middle - share / most * 0.5 * (height - TOP - BOTTOM);
    // A comparison may lack a decile that another has: its place is the same in all.
    let mut names: Vec<&str> = Vec::new();
    for shift in all() {
        if !names.contains(&shift.name) {
            names.push(shift.name);
        }
    }
    names.sort_unstable();
    let step_x = (width - LEFT - RIGHT) / names.len().max(1) as f64;
    let label = results::escaped(label);
    let mut svg = format!(
        "<svg viewBox=\"0 0 {width} {height}\" role=\"img\" aria-label=\"{label}\" font-size=\"{FONT}\">"
    );
    let mut put =
        |text: std::fmt::Arguments<'_>| svg.write_fmt(text).expect("writing to memory does not fail");
    let step = nice_step(most / 3.0);
    for tick in -3..=3 {
        let (share, stroke) = (f64::from(tick) * step, if tick == 0 { "--text" } else { "--grid" });
        if share.abs() <= most {
            let (at, right) = (y(share), width - RIGHT);
            put(format_args!(
                "<line x1=\"{LEFT}\" y1=\"{at:.0}\" x2=\"{right:.0}\" y2=\"{at:.0}\" stroke=\"var({stroke})\"/>\
                 <text x=\"{:.0}\" y=\"{:.0}\" text-anchor=\"end\" fill=\"var(--text)\">{}</text>",
                LEFT - 12.0,
                at + 9.0,
                format::relative(share)
            ));
        }
    }
    for (place, name) in names.iter().enumerate() {
        put(format_args!(
            "<text x=\"{:.0}\" y=\"{:.0}\" text-anchor=\"middle\" fill=\"var(--text)\">{name}</text>",
            LEFT + (place as f64 + 0.5) * step_x,
            height - 12.0
        ));
    }
    for (number, shifts) in comparisons.iter().enumerate() {
        let aside = (number as f64 - 0.5 * (comparisons.len() - 1) as f64) * 3.0 * MARK;
        let color = number % super::DASHES.len() + 2;
        for shift in shifts {
            let Some(place) = names.iter().position(|name| *name == shift.name) else { continue };
            let x = LEFT + (place as f64 + 0.5) * step_x + aside;
            let (low, high, at) =
                (y(shift.relative - shift.noise), y(shift.relative + shift.noise), y(shift.relative));
            put(format_args!(
                "<path class=\"line-{number}\" d=\"M{x:.0} {low:.0}V{high:.0}M{0:.0} {low:.0}h{MARK}M{0:.0} {high:.0}h{MARK}\" \
                 fill=\"none\" stroke=\"var(--s{color})\" stroke-width=\"3\"/>{1}",
                x - 0.5 * MARK,
                mark(number, x, at, color)
            ));
        }
    }
    svg + "</svg>\n"
}

/// Comparisons are told apart by shape as well.
fn mark(number: usize, x: f64, y: f64, color: usize) -> String {
    let path = match number % 4 {
        0 => format!("M{x:.0} {:.0}l{MARK} {MARK}l-{MARK} {MARK}l-{MARK} -{MARK}z", y - MARK),
        1 => format!("M{:.0} {:.0}h{2}v{2}h-{2}z", x - 0.8 * MARK, y - 0.8 * MARK, 1.6 * MARK),
        2 => format!("M{x:.0} {:.0}l{MARK} {1}h-{1}z", y - MARK, 2.0 * MARK),
        _ => format!("M{x:.0} {:.0}l{MARK} -{1}h-{1}z", y + MARK, 2.0 * MARK),
    };
    format!("<path class=\"line-{number}\" d=\"{path}\" fill=\"var(--s{color})\"/>")
}

/// A sample of a comparison's mark, for a legend.
pub(crate) fn shift_swatch(number: usize) -> String {
    let color = number % super::DASHES.len() + 2;
    format!(
        "<svg class=\"swatch\" viewBox=\"0 0 80 24\" aria-hidden=\"true\">{}</svg>",
        mark(number, 40.0, 12.0, color)
    )
}
