//! Where the knobs stand: from an address and back to one, and the scenario that it means.

use scenarios::derive::{self, Adjustment, Breaks};
use scenarios::scenario::Setting;
use scenarios::units::SimTime;
use scenarios::{Scenario, quantity};

use super::knobs::Knobs;

/// How much may be asked for, in per cent of what the file says.
pub(super) const LOAD: std::ops::RangeInclusive<u32> = 1..=1_000;
/// A fault lasts no longer than this, in seconds.
pub(super) const LASTS: u64 = 604_800;

/// What breaks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Broken {
    /// What the file says.
    File,
    Nothing,
    /// The target at this place.
    Target(usize),
}

/// Where all knobs stand.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct State {
    /// In the order of the knobs, as they stand in addresses.
    pub(super) values: Vec<String>,
    /// In per cent of what the file says.
    pub(super) load: u32,
    pub(super) broken: Broken,
    /// When what is killed dies, in seconds of the part that is simulated.
    pub(super) at: u64,
    /// For how many seconds.
    pub(super) lasts: u64,
    /// The variant at this place.
    pub(super) variant: Option<usize>,
    /// Where the part that is simulated starts on the timeline.
    pub(super) from: SimTime,
    /// How long it is.
    pub(super) window: SimTime,
    pub(super) seed: u64,
}

/// A scenario that is going to be simulated.
#[derive(Debug)]
pub(super) struct Prepared {
    pub(super) scenario: Scenario,
    /// What it does not keep of the file.
    pub(super) notes: Vec<String>,
}

impl State {
    /// Reads the arguments of an address; whatever it leaves out is as in the file.
    pub(super) fn read(knobs: &Knobs, arguments: &[(String, String)]) -> Result<Self, String> {
        let mut state = knobs.initial();
        let wrong =
            |key: &str, found: &str, expected: &str| format!("{key}: found {found:?}, expected {expected}");
        for (key, text) in arguments {
            let number = |most: u64| {
                let expected = format!("a whole number up to {most}");
                let number = text.parse::<u64>().ok().filter(|n| *n <= most);
                number.ok_or_else(|| wrong(key, text, &expected))
            };
            let time = || {
                text.parse::<SimTime>()
                    .map_err(|misread: quantity::Misread| wrong(key, text, &misread.expected))
            };
            match key.as_str() {
                "load" => {
                    let percent = text.parse::<u32>().ok().filter(|percent| LOAD.contains(percent));
                    let expected = format!("per cent from {} to {}", LOAD.start(), LOAD.end());
                    state.load = percent.ok_or_else(|| wrong(key, text, &expected))?;
                }
                "kill" => {
                    let target = || knobs.targets.iter().position(|target| target.what == *text);
                    state.broken = match text.as_str() {
                        "file" => Broken::File,
                        "nothing" => Broken::Nothing,
                        _ => Broken::Target(target().ok_or_else(|| {
                            let known: Vec<&str> = knobs.targets.iter().map(|t| t.what.as_str()).collect();
                            wrong(key, text, &format!("file, nothing, or one of {}", known.join(", ")))
                        })?),
                    };
                }
                "at" => state.at = number(LASTS)?,
                "for" => state.lasts = number(LASTS)?.max(1),
                "variant" if text.is_empty() => state.variant = None,
                "variant" => {
                    let known = || knobs.variants.iter().map(|v| v.0.as_str()).collect::<Vec<_>>().join(", ");
                    let place = knobs.variants.iter().position(|variant| variant.0 == *text);
                    state.variant =
                        Some(place.ok_or_else(|| wrong(key, text, &format!("one of {}", known())))?);
                }
                "from" => state.from = time()?,
                "window" => {
                    let most = knobs.moments.lengths.last().copied().unwrap_or(knobs.moments.length);
                    state.window = time()?;
                    if state.window > most || state.window < SimTime::from_millis(100) {
                        return Err(wrong(key, text, &format!("a time from 100ms to {most}")));
                    }
                }
                "seed" => state.seed = number(i64::MAX as u64)?,
                path => {
                    let knob = knobs.knobs.iter().position(|knob| knob.path == path);
                    let place = knob.ok_or_else(|| {
                        format!("found {path:?}, expected the name of something that this page has")
                    })?;
                    state.values[place] = knobs.knobs[place].read(text)?;
                }
            }
        }
        Ok(state)
    }

    /// What tells it from others: all that differs from the file, in a fixed order.
    pub(super) fn key(&self, knobs: &Knobs) -> String {
        let moved = knobs.knobs.iter().zip(&self.values).filter(|(knob, value)| knob.file() != **value);
        let mut key: String = moved.map(|(knob, value)| format!("{}={value}&", knob.path)).collect();
        // When nothing is killed here, when it would be does not matter.
        match self.broken {
            Broken::File => {}
            Broken::Nothing => key += "kill=nothing&",
            Broken::Target(target) => {
                key += &format!("kill={}&at={}&for={}&", knobs.targets[target].what, self.at, self.lasts);
            }
        }
        if let Some(variant) = self.variant {
            key += &format!("variant={}&", knobs.variants[variant].0);
        }
        format!("{key}load={}&from={}&window={}&seed={}", self.load, self.from, self.window, self.seed)
    }

    /// The same part of the timeline with everything else as the file has it.
    pub(super) fn beside(&self, initial: &Self) -> Self {
        Self { from: self.from, window: self.window, seed: self.seed, ..initial.clone() }
    }

    /// The scenario that it means.
    pub(super) fn scenario(&self, file: &Scenario, knobs: &Knobs) -> Result<Prepared, derive::Error> {
        let mut notes = Vec::new();
        let mut scenario = match self.variant {
            Some(place) => derive::variant(file, &knobs.variants[place].0)?.scenario,
            None => file.clone(),
        };
        let run = scenario.run;
        if (self.from, self.window, self.seed) != (run.from, run.duration, run.seed.0) {
            let part = derive::window(&scenario, Some(self.from), Some(self.window), None, Some(self.seed))?;
            notes.extend(part.warnings);
            scenario = part.scenario;
        }
        if scenario.run.finds_warmup {
            // Finding it out would take a run of its own for each answer.
            let quarter = SimTime::from_nanos(self.window.as_nanos() / 4);
            scenario = derive::with_warmup(&scenario, quarter)?.scenario;
        }
        let moved = knobs.knobs.iter().zip(&self.values).filter(|(knob, value)| knob.file() != **value);
        let adjustment = Adjustment {
            values: moved.map(|(knob, value)| Setting::new(&knob.path, knob.toml(value))).collect(),
            load: (self.load != 100).then(|| f64::from(self.load) / 100.0),
            breaks: match self.broken {
                Broken::File => Breaks::AsWritten,
                Broken::Nothing => Breaks::Nothing,
                Broken::Target(place) => Breaks::Kill {
                    what: knobs.targets[place].what.clone(),
                    at: self.from.saturating_add(SimTime::from_secs(self.at)),
                    length: SimTime::from_secs(self.lasts),
                },
            },
        };
        if adjustment != Adjustment::default() {
            let adjusted = derive::adjusted(&scenario, &adjustment)?;
            notes.extend(adjusted.warnings);
            scenario = adjusted.scenario;
        }
        Ok(Prepared { scenario, notes })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn knobs() -> (Scenario, Knobs) {
        let file = Scenario::parse("quickstart.toml", scenarios::library::QUICKSTART).expect("it is tested");
        let knobs = Knobs::of(&file);
        (file, knobs)
    }

    fn read(knobs: &Knobs, arguments: &[(&str, &str)]) -> Result<State, String> {
        let owned: Vec<_> = arguments.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        State::read(knobs, &owned)
    }

    #[test]
    fn what_an_address_says_is_what_is_simulated() {
        let (file, knobs) = knobs();
        let moved = [
            ("hosts.app.count", "3"),
            ("components.objects.max_memory", "6MiB"),
            ("load", "150"),
            ("kill", "host:app[1]"),
            ("at", "4"),
            ("for", "5"),
            ("seed", "9"),
        ];
        let state = read(&knobs, &moved).expect("all of it is right");
        let scenario = state.scenario(&file, &knobs).expect("it is a scenario").scenario;
        assert_eq!(scenario.hosts.iter().find(|host| host.name == "app").map(|host| host.count), Some(3));
        assert_eq!(scenario.run.seed.0, 9);
        assert!(scenario.source.text.contains("rate = \"450/s\""), "{}", scenario.source.text);
        let fault = &scenario.faults[0];
        let lasts = fault.until.saturating_sub(fault.from);
        assert_eq!((fault.name.as_str(), lasts), ("kill host:app[1]", SimTime::from_secs(5)));
        assert_eq!(fault.from.saturating_sub(scenario.run.warmup), SimTime::from_secs(4));
    }

    #[test]
    fn the_file_itself_is_simulated_where_nothing_is_moved() {
        let (file, knobs) = knobs();
        let same = read(&knobs, &[]).expect("nothing is wrong").scenario(&file, &knobs);
        assert_eq!(same.expect("it is a scenario").scenario.source.hash, file.source.hash);
        let said_again = [("hosts.app.count", "2"), ("load", "100"), ("kill", "file"), ("at", "11")];
        let (again, initial) = (read(&knobs, &said_again).expect("nothing is wrong"), knobs.initial());
        assert_eq!(again.key(&knobs), initial.key(&knobs));
    }

    #[test]
    fn what_is_out_of_range_or_unknown_is_told() {
        let (_, knobs) = knobs();
        for (key, value, told) in [
            ("hosts.app.count", "1000", "from 1 to 6"),
            ("hosts.nowhere.count", "1", "the name of something"),
            ("load", "100000", "from 1 to 1000"),
            ("load", "-5", "from 1 to 1000"),
            ("kill", "host:app[7]", "host:app[1]"),
            ("window", "9h", "100ms to 30s"),
            ("window", "soon", "a duration"),
            ("seed", "-1", "a whole number"),
            ("variant", "better", "one of"),
        ] {
            let wrong = read(&knobs, &[(key, value)]).expect_err("it is wrong");
            assert!(wrong.contains(told) && wrong.contains(key), "{key}={value}: {wrong}");
        }
    }
}
