//! What is planned, as written: knobs and what there is to choose from, and the circumstances in which thresholds must hold.

use toml::de::{DeTable, DeValue};

use crate::quantity::Misread;
use crate::rate::Growth;
use crate::scenario::{Choice, Day, Knob, Setting};
use crate::units::SimTime;

use super::decode::{Keyed, describe, join};
use super::policy::Number;
use super::prelude::*;
use super::threshold::Limit;

/// The most choices of one knob.
const CHOICES: usize = 1000;

table! {
    /// Which designs are looked through for the cheapest that holds: `sim plan FILE`.
    Plan {
        /// What may be chosen, by the path of what it changes: a range of whole numbers (`"hosts.app.count" = "1..20"`, `"1..64 by
        /// 4"`), of which a later one is taken to be at least as good as an earlier one; a list of values; or a list of tables
        /// with a `name`, whose other keys are set below the path and those under `set` anywhere in the file: machine types.
        required knobs: Knobs,
        /// In which circumstances the thresholds must hold beside those of the file, by name.
        default conditions: Named<PlanCondition> = Named::default(),
        /// What must hold, as in the file's `thresholds`, whose place it takes.
        default thresholds: Keyed<List<Limit>> = Keyed::default(),
        /// How the load grows: says when a set-up is exhausted, and how much there is `after` a time.
        optional growth: Growth,
        /// The day that the file's load is of, so that answers can name a date.
        optional today: Day,
        /// Where on the timeline the part starts that candidates are held against; by default where the load is greatest.
        optional from: SimTime,
        /// How long that part is; by default as long as 40,000 requests take, within 10s to 5m.
        optional length("for"): SimTime,
        /// With how many seeds the answer is confirmed.
        default replications: Count<2, 1000> = Count(5),
    }
}

table! {
    /// Circumstances in which the thresholds must hold. What it says applies at once.
    PlanCondition {
        /// Hosts of which one machine is dead: the first of each, one host after the other. `any`: of each host that there is.
        default down: List<String> = List::default(),
        /// The load after so long a time, by the plan's `growth`.
        optional after: SimTime,
        /// How many times the load.
        default load: Number<0, 1000> = Number(1.0),
        /// Whether the caches are emptied as the measured part begins.
        default cold: bool = false,
    }
}

/// Knobs by the path of what they change.
#[derive(Clone, Debug, Default)]
pub(crate) struct Knobs(pub(crate) Vec<Knob>);

impl Decode for Knobs {
    fn decode(node: &Node<'_>, at: &str, d: &mut Decoder<'_>) -> Option<Self> {
        let DeValue::Table(table) = node.get_ref() else {
            d.wrong_type(node, at, "a table of knobs by path", None);
            return None;
        };
        let mut entries: Vec<_> = table.iter().collect();
        entries.sort_by_key(|(key, _)| key.span().start);
        let mut knobs = Vec::new();
        for (key, value) in entries {
            let path: &str = key.get_ref();
            let at = join(at, path);
            d.enter(&at, key.span().start, value);
            knobs.extend(knob(path, value, &at, d));
        }
        Some(Self(knobs))
    }

    fn schema(_: &mut Definitions) -> serde_json::Value {
        serde_json::json!({
            "type": "object",
            "minProperties": 1,
            "additionalProperties": { "anyOf": [
                {
                    "type": "string",
                    "pattern": r"^\s*[0-9_]+\s*\.\.\s*[0-9_]+\s*(by\s+[0-9_]+\s*)?$",
                    "examples": ["1..20"],
                },
                { "type": "array", "minItems": 1, "maxItems": CHOICES },
            ] },
        })
    }
}

fn knob(path: &str, node: &Node<'_>, at: &str, d: &mut Decoder<'_>) -> Option<Knob> {
    match node.get_ref() {
        DeValue::String(text) => {
            let numbers = d.read(text, at, range)?;
            let choice = |n: u64| Choice::new(n.to_string(), vec![Setting::new(path, n.to_string())]);
            let choices = numbers.into_iter().map(choice).collect();
            Some(Knob { path: path.to_owned(), choices, is_monotone: true })
        }
        DeValue::Array(values) if (1..=CHOICES).contains(&values.len()) => {
            let mut choices = Vec::new();
            for (i, value) in values.iter().enumerate() {
                let at = format!("{at}[{}]", i + 1);
                d.enter(&at, value.span().start, value);
                choices.extend(match value.get_ref() {
                    DeValue::Table(table) => machine(path, table, &at, d),
                    _ => {
                        let value = written(value, d);
                        let name = value.trim_matches(['"', '\'']).to_owned();
                        Some(Choice::new(name, vec![Setting::new(path, value)]))
                    }
                });
            }
            // One that does not decode is a problem already.
            (choices.len() == values.len()).then(|| Knob {
                path: path.to_owned(),
                choices,
                is_monotone: false,
            })
        }
        value => {
            let expected = format!("a range such as \"1..20\", or a list of 1 to {CHOICES} values");
            d.problem(at, describe(value), expected, None);
            None
        }
    }
}

/// A choice with a name: what stands beside it is set below the knob's path, what stands under `set` from the file's root.
fn machine(path: &str, table: &DeTable<'_>, at: &str, d: &mut Decoder<'_>) -> Option<Choice> {
    let name = decode::required::<String>(table, at, "name", d)?;
    let mut entries: Vec<_> = table.iter().collect();
    entries.sort_by_key(|(key, _)| key.span().start);
    let mut settings = Vec::new();
    for (key, value) in entries {
        let key: &str = key.get_ref();
        match (key, value.get_ref()) {
            ("name", _) => {}
            ("set", DeValue::Table(values)) => {
                let mut values: Vec<_> = values.iter().collect();
                values.sort_by_key(|(key, _)| key.span().start);
                for (key, value) in values {
                    settings.push(Setting::new(key.get_ref().to_string(), written(value, d)));
                }
            }
            _ => settings.push(Setting::new(join(path, key), written(value, d))),
        }
    }
    if settings.is_empty() {
        d.problem(at, "no value", "something that this choice sets", Some("add cores = 8".to_owned()));
        return None;
    }
    Some(Choice::new(name, settings))
}

/// A value as it may stand after an equals sign. Only tables that were put together of keys with points are not written so.
fn written(node: &Node<'_>, d: &Decoder<'_>) -> String {
    let raw = d.raw(node);
    match node.get_ref() {
        DeValue::Table(table) if !raw.starts_with('{') => {
            let mut entries: Vec<_> = table.iter().collect();
            entries.sort_by_key(|(key, _)| key.span().start);
            let mut pairs = Vec::new();
            for (key, value) in entries {
                pairs.push(format!("{} = {}", join("", key.get_ref()), written(value, d)));
            }
            format!("{{ {} }}", pairs.join(", "))
        }
        _ => raw.to_owned(),
    }
}

/// Whole numbers from one to another: `1..20`, `16..128 by 16`.
fn range(text: &str) -> Result<Vec<u64>, Misread> {
    let misread = || Misread::new("a range of whole numbers").hint("write \"1..20\" or \"16..128 by 16\"");
    let (range, step) = text.split_once(" by ").unwrap_or((text, "1"));
    let (from, to) = range.split_once("..").ok_or_else(misread)?;
    let number = |text: &str| text.trim().replace('_', "").parse::<u64>().ok().filter(|n| *n < 1 << 53);
    let (Some(from), Some(to), Some(step)) = (number(from), number(to), number(step)) else {
        return Err(misread());
    };
    if step == 0 || from > to || (to - from) / step >= CHOICES as u64 {
        let form = Misread::new(format!("a range that rises, with at most {CHOICES} numbers"));
        return Err(form.hint("write \"1..20\" or \"16..128 by 16\""));
    }
    Ok((from..=to).step_by(step as usize).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_hold_both_ends_and_go_by_steps() {
        assert_eq!(range("1..4").expect("a range"), [1, 2, 3, 4]);
        assert_eq!(range(" 16 .. 1_00 by 32 ").expect("a range"), [16, 48, 80]);
        assert_eq!(range("3..3").expect("a range"), [3]);
        for wrong in ["4..1", "1..", "..4", "1..4 by 0", "1..2000", "1-4", "a..b", "1..4by 2"] {
            assert!(range(wrong).is_err(), "{wrong}");
        }
    }
}
