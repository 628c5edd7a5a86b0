//! Curves of the file's own, as written.

use crate::units::SimTime;

use super::prelude::*;

table! {
    /// A curve of a rate over a period, which repeats: exactly one of `values` and `points`. Only the shape counts; the
    /// traffic that names the curve says how many arrivals a period has.
    OwnCurve {
        /// After which it repeats.
        required period: SimTime,
        /// The rate in equal parts of the period, in any unit: 24 values of a day are its hours. Straight lines join the
        /// middles of the parts.
        default values: List<Share> = List::default(),
        /// Points joined by straight lines, also across the period's end.
        default points: List<Point> = List::default(),
    }
}

table! {
    /// A point of a curve.
    Point {
        /// When, from the period's start.
        required at: SimTime,
        /// The rate there, in any unit.
        required level: Share,
    }
}
