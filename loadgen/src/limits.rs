//! Limits that the surroundings set: in a shared environment no scenario may ask for more.

use std::env;

use scenarios::Scenario;
use scenarios::scenario::{Executor, Traffic};
use scenarios::units::SimTime;

/// Requests a second, summed over the traffics at their peaks, with what is sent again: of sessions all that they make, of a closed loop
/// as many as its users make of a server that answers at once.
pub const MAX_RATE: &str = "REHEARSAL_MAX_RATE";
/// Seconds of run, warm-up included.
pub const MAX_DURATION: &str = "REHEARSAL_MAX_DURATION";

/// A scenario asks for more than the surroundings allow.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum LimitError {
    /// Too fast.
    #[error(
        "the scenario reaches {found}/s, the limit {MAX_RATE} is {limit}/s\nhint: play it slower with --rate"
    )]
    Rate {
        /// The peak.
        found: f64,
        /// The limit.
        limit: f64,
    },
    /// Too long.
    #[error(
        "the run takes {found} s, the limit {MAX_DURATION} is {limit} s\nhint: play a part of it with --from and --for"
    )]
    Duration {
        /// Its length.
        found: f64,
        /// The limit.
        limit: f64,
    },
    /// The limit itself is no number.
    #[error("{name}: found {found:?}, expected a number above zero, in {unit}")]
    Unreadable {
        /// The variable.
        name: &'static str,
        /// Its value.
        found: String,
        /// The unit of its value.
        unit: &'static str,
    },
}

/// Holds a scenario against the environment's limits.
///
/// # Errors
/// Which limit it breaks.
pub fn check(scenario: &Scenario) -> Result<(), LimitError> {
    let rate = scenario.traffic.iter().map(peak).sum();
    let variable = |name| env::var_os(name).map(|value| value.to_string_lossy().into_owned());
    hold(rate, scenario.run.total(), variable(MAX_RATE), variable(MAX_DURATION))
}

/// The most requests a second that a traffic can ask for; infinite of users who do not think.
fn peak(traffic: &Traffic) -> f64 {
    let first = match &traffic.executor {
        Executor::Users(users) => users.level.peak() / users.think.mean().as_secs_f64(),
        _ => traffic.rate.peak() * traffic.requests_per_arrival(),
    };
    first + again(traffic, first)
}

/// What is sent again of so many requests a second, where all fail: as often as it may be, or as the budget allows in the long run.
fn again(traffic: &Traffic, first: f64) -> f64 {
    let Some(retries) = traffic.retries.as_ref().filter(|retries| retries.times > 0) else { return 0.0 };
    let every = first * f64::from(retries.times);
    retries
        .budget
        .as_ref()
        .map_or(every, |budget| every.min(first * budget.share.get() + budget.min_rate.as_per_second()))
}

fn hold(rate: f64, total: SimTime, most: Option<String>, longest: Option<String>) -> Result<(), LimitError> {
    if let Some(limit) = read(MAX_RATE, most, "requests a second")?.filter(|limit| rate > *limit) {
        return Err(LimitError::Rate { found: rate, limit });
    }
    let seconds = total.as_secs_f64();
    if let Some(limit) = read(MAX_DURATION, longest, "seconds")?.filter(|limit| seconds > *limit) {
        return Err(LimitError::Duration { found: seconds, limit });
    }
    Ok(())
}

fn read(name: &'static str, value: Option<String>, unit: &'static str) -> Result<Option<f64>, LimitError> {
    let Some(found) = value else { return Ok(None) };
    match found.trim().parse::<f64>() {
        Ok(limit) if limit > 0.0 => Ok(Some(limit)),
        _ => Err(LimitError::Unreadable { name, found, unit }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_of_the_surroundings_hold() {
        let set = |text: &str| Some(text.to_owned());
        let total = SimTime::from_secs(33);
        assert_eq!(hold(300.0, total, None, None), Ok(()));
        assert_eq!(hold(300.0, total, set("300"), set("33")), Ok(()));
        assert!(matches!(hold(301.0, total, set("300"), None), Err(LimitError::Rate { .. })));
        assert!(matches!(hold(1.0, total, None, set("32.5")), Err(LimitError::Duration { .. })));
        assert!(matches!(hold(1.0, total, set("many"), None), Err(LimitError::Unreadable { .. })));
    }

    /// The peak of a traffic with these lines.
    fn of(lines: &str) -> f64 {
        let text = format!(
            "title = \"t\"\n[run]\nduration = \"5s\"\n[hosts.a]\n[components.w]\nkind = \"service\"\nhost = \"a\"\n\
             [requests.r]\npath = \"/\"\n[traffic.t]\nto = \"w\"\nmix = {{ r = 1 }}\n{lines}\n"
        );
        let scenario = Scenario::parse("t.toml", text).unwrap_or_else(|problems| panic!("{problems}"));
        peak(&scenario.traffic[0])
    }

    #[test]
    fn users_who_do_not_think_have_no_greatest_rate() {
        let users = |more: &str| of(&format!("executor = \"constant-vus\"\nvus = 10\n{more}"));
        assert_eq!((users("think = \"0s\""), users("think = \"2s\"")), (f64::INFINITY, 5.0));
        assert_eq!(users("think = \"0s\"\nretries = { times = 3 }"), f64::INFINITY);
    }

    #[test]
    fn what_is_sent_again_counts() {
        let rate =
            |more: &str| of(&format!("executor = \"constant-arrival-rate\"\nrate = \"100/s\"\n{more}"));
        assert_eq!(rate(""), 100.0);
        assert_eq!(rate("retries = { times = 3 }"), 400.0);
        let budget = "budget = { share = \"20%\", min_rate = \"1/s\", window = \"10s\" }";
        assert!((rate(&format!("retries = {{ times = 3, {budget} }}")) - 121.0).abs() < 1e-9);
    }
}
