//! The load at which the simulator has the 99th percentile that was measured.
//!
//! Near its capacity a queue's percentiles grow without bound while the load hardly changes, so that their relative error says
//! little of the model. What an engineer asks is at which load it gets so slow; that is what the simulator is judged by there.
//!
//! The scenario is simulated under a few loads around the one that was played, with all seeds; ln p99, the mean over the seeds, is
//! taken as straight between neighbouring loads. By how far the measured value of each pair lies off, and by the slope, follows each
//! pair's own error and so the noise.

/// Loads are tried in steps of this share.
const STEP: f64 = 0.03;
/// And so far in either direction.
const STEPS: u32 = 10;
/// Half the span over which the slope is taken.
const SPAN: f64 = 0.06;
/// Where p99 grows by less than this per cent for each per cent of load, it is not the load that makes it.
const LEAST_SLOPE: f64 = 1.0;

/// What was found.
#[derive(Clone, Debug, PartialEq)]
pub struct Equal {
    /// The load at which the simulated value is the measured one, over the load that was played, minus 1.
    pub error: f64,
    /// The same by each pair, along the slope.
    pub errors: Vec<f64>,
}

/// Looks for it: `pairs` are the values at the load that was played, predicted and measured; `at` simulates with all seeds under so
/// many times that load, or fails.
///
/// None where the value hardly depends on the load, or is infinite: then it has to be compared as it is.
///
/// # Errors
/// Those of `at`.
pub fn load<E>(
    pairs: &[(f64, f64)],
    mut at: impl FnMut(f64) -> Result<Vec<f64>, E>,
) -> Result<Option<Equal>, E> {
    let is_usable = |value: f64| value.is_finite() && value > 0.0;
    if pairs.is_empty() || !pairs.iter().all(|(p, m)| is_usable(*p) && is_usable(*m)) {
        return Ok(None);
    }
    let mean = |values: &[f64]| {
        let usable = values.len() == pairs.len() && values.iter().all(|v| is_usable(*v));
        usable.then(|| values.iter().map(|v| v.ln()).sum::<f64>() / values.len() as f64)
    };
    let (predicted, measured): (Vec<f64>, Vec<f64>) = pairs.iter().copied().unzip();
    let (Some(here), Some(goal)) = (mean(&predicted), mean(&measured)) else { return Ok(None) };
    let (Some(below), Some(above)) = (mean(&at(1.0 - SPAN)?), mean(&at(1.0 + SPAN)?)) else {
        return Ok(None);
    };
    let mut slope = (above - below) / ((1.0 + SPAN).ln() - (1.0 - SPAN).ln());
    if slope < LEAST_SLOPE {
        return Ok(None);
    }
    let sign = if goal >= here { 1.0 } else { -1.0 };
    let (mut before, mut found) = ((1.0, here), None);
    for step in 1..=STEPS {
        let factor = 1.0 + sign * STEP * f64::from(step);
        // Past a load at which requests are dropped the value is infinite, and so beyond any that was measured.
        let value = match mean(&at(factor)?) {
            Some(value) => value,
            None => break,
        };
        if (goal - value) * sign <= 0.0 {
            let share = if value == before.1 { 0.0 } else { (goal - before.1) / (value - before.1) };
            let crossing: f64 = before.0 + share * (factor - before.0);
            // A crossing far away says more of the slope on the way there than what lies around the load that was played.
            if (crossing - 1.0).abs() > SPAN {
                slope = ((goal - here) / crossing.ln()).max(LEAST_SLOPE);
            }
            found = Some(crossing);
            break;
        }
        before = (factor, value);
    }
    // Where it was not found it is at least so far away.
    let error = found.unwrap_or(before.0) - 1.0;
    let errors = pairs.iter().map(|(p, m)| ((m.ln() - p.ln()) / slope).exp() - 1.0).collect();
    Ok(Some(Equal { error, errors }))
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    /// A queue: with a load of 0.8 the value is 1/(1 − 0.8 × factor).
    fn queue(factor: f64) -> f64 {
        1.0 / (1.0 - 0.8 * factor)
    }

    fn found(measured: f64) -> Option<Equal> {
        let pairs = [(queue(1.0), measured), (queue(1.0), measured)];
        load::<Infallible>(&pairs, |factor| Ok(vec![queue(factor); 2])).unwrap_or_else(|never| match never {})
    }

    #[test]
    fn the_load_of_a_slower_measurement_is_greater() {
        for factor in [1.02, 1.05, 1.11, 0.97, 0.9, 0.8] {
            let equal = found(queue(factor)).expect("there is such a load");
            assert!((equal.error - (factor - 1.0)).abs() < 0.003, "{factor}: {equal:?}");
        }
    }

    #[test]
    fn pairs_errors_are_about_the_error() {
        let equal = found(queue(1.02)).expect("there is such a load");
        assert!(equal.errors.iter().all(|e| (e - 0.02).abs() < 0.005), "{equal:?}");
    }

    #[test]
    fn what_does_not_depend_on_the_load_has_no_such_load() {
        let flat = load::<Infallible>(&[(1.0, 2.0), (1.0, 2.0)], |_| Ok(vec![1.0; 2]));
        assert_eq!(flat, Ok(None));
        let never = load::<Infallible>(&[(1.0, f64::INFINITY)], |_| Ok(vec![1.0]));
        assert_eq!(never, Ok(None));
    }

    #[test]
    fn a_load_that_is_out_of_reach_is_at_least_so_far() {
        let equal = found(1e6).expect("it grows with the load");
        assert!(equal.error > 0.2, "{equal:?}");
    }
}
