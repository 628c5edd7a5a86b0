//! Texts that name something: metrics with filters, conditions, fault targets, places in a path.

use std::fmt;

use super::{Misread, plain_number};
use crate::threshold::{Aggregate, Comparison, During, Metric};
use crate::units::{Bytes, Rate, Ratio, SimTime};

/// A metric with its filters, as written: `response_time{class:product,during:fault}`, with an aggregate in a published
/// figure: `response_time{avg}`.
#[derive(Clone, Debug, PartialEq)]
pub struct Selector {
    /// What is measured.
    pub metric: Metric,
    /// Only this class.
    pub class: Option<String>,
    /// Only this part of the run. Of one fault it is not known here whether the run has it.
    pub during: During,
    /// Which fault that is, by its number in the file from 1.
    pub fault: Option<usize>,
    /// How it becomes one number, where the selector says so.
    pub aggregate: Option<Aggregate>,
}

impl Selector {
    /// Reads a selector.
    ///
    /// # Errors
    /// Where the text is none.
    pub fn read(text: &str) -> Result<Self, Misread> {
        let form = || {
            let parts = "during:fault, during:no_fault, during:before, during:after, during:faults[1]";
            Misread::new(format!("a metric, with filters if need be (class:NAME, {parts})"))
                .hint("write \"response_time{class:product,during:fault}\"")
        };
        let (name, filters) = match text.split_once('{') {
            Some((name, rest)) => (name, Some(rest.strip_suffix('}').ok_or_else(form)?)),
            None => (text, None),
        };
        let metric = Metric::ALL.into_iter().find(|m| m.name() == name.trim()).ok_or_else(|| {
            let misread = Misread::new(format!(
                "a metric: {}",
                crate::diagnostic::one_of(Metric::ALL.map(Metric::name))
            ));
            match crate::diagnostic::nearest(name.trim(), Metric::ALL.map(Metric::name)) {
                Some(near) => misread.hint(format!("write \"{near}\"")),
                None => misread,
            }
        })?;
        let mut selector = Self { metric, class: None, during: During::Run, fault: None, aggregate: None };
        for filter in filters.into_iter().flat_map(|f| f.split(',')) {
            match filter.split_once(':').map(|(k, v)| (k.trim(), v.trim())) {
                Some(("class", class)) if !class.is_empty() && selector.class.is_none() => {
                    selector.class = Some(class.to_owned());
                }
                Some(("during", part)) if selector.during == During::Run => {
                    (selector.during, selector.fault) = during(part).ok_or_else(form)?;
                }
                None if selector.aggregate.is_none() => {
                    selector.aggregate = Some(aggregate(metric, filter.trim())?)
                }
                _ => return Err(form()),
            }
        }
        if metric.is_of_recovery() && (selector.class.is_some() || selector.during != During::Run) {
            let expected =
                format!("{} without a filter: it is of the whole system after each fault", metric.name());
            return Err(Misread::new(expected).hint(format!("write \"{}\"", metric.name())));
        }
        Ok(selector)
    }
}

/// Reads a part of a run, and which fault's it is.
fn during(text: &str) -> Option<(During, Option<usize>)> {
    Some(match text {
        "fault" => (During::Fault, None),
        "no_fault" => (During::NoFault, None),
        "before" => (During::Before, None),
        "after" => (During::After, None),
        _ => {
            let number = text.strip_prefix("faults[")?.strip_suffix(']')?;
            let number = number.parse().ok().filter(|n| *n >= 1)?;
            (During::OneFault(None), Some(number))
        }
    })
}

/// Reads an aggregate that fits the metric.
fn aggregate(metric: Metric, text: &str) -> Result<Aggregate, Misread> {
    let misread = || {
        Misread::new(match metric {
            Metric::ResponseTime | Metric::ServiceTime => "avg, min, med, max or p(N) with N from 0 to 100",
            Metric::Failed => "rate or count",
            Metric::RecoveryTime | Metric::DisruptionTime => {
                "max, avg, min, med or p(N) with N from 0 to 100"
            }
            Metric::Rate => "rate, avg or count",
        })
        .hint(match metric {
            Metric::ResponseTime | Metric::ServiceTime => "write \"p(99)<250ms\"",
            Metric::Failed => "write \"rate<0.1%\"",
            Metric::RecoveryTime | Metric::DisruptionTime => "write \"max<30s\"",
            Metric::Rate => "write \"rate>290/s\"",
        })
    };
    let percentile = || {
        let number = plain_number(text.strip_prefix("p(")?.strip_suffix(')')?)?;
        (number <= 100.0).then_some(Aggregate::Percentile(number))
    };
    let times = matches!(metric, Metric::ResponseTime | Metric::ServiceTime) || metric.is_of_recovery();
    match text {
        "avg" if times => Ok(Aggregate::Average),
        "min" if times => Ok(Aggregate::Minimum),
        "max" if times => Ok(Aggregate::Maximum),
        "med" if times => Ok(Aggregate::Percentile(50.0)),
        "rate" if !times => Ok(Aggregate::Rate),
        "avg" if metric == Metric::Rate => Ok(Aggregate::Rate),
        "count" if !times => Ok(Aggregate::Count),
        _ if times => percentile().ok_or_else(misread),
        _ => Err(misread()),
    }
}

/// A threshold's condition: `p(99)<250ms`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Condition {
    /// How the metric becomes one number.
    pub aggregate: Aggregate,
    /// How that is compared.
    pub comparison: Comparison,
    /// To what: in seconds, per second, or as a fraction.
    pub limit: f64,
}

impl Condition {
    /// Reads a condition on a metric, the limit in the metric's unit.
    ///
    /// # Errors
    /// Where the text is none, or the aggregate or the unit does not fit the metric.
    pub fn read(metric: Metric, text: &str) -> Result<Self, Misread> {
        let found = SIGNS
            .iter()
            .find_map(|(sign, comparison)| text.split_once(sign).map(|parts| (parts, *comparison)));
        let ((left, right), comparison) = found.ok_or_else(|| {
            Misread::new("a condition with <, <=, > or >=").hint("write \"p(99)<250ms\" or \"rate<0.1%\"")
        })?;
        let aggregate = aggregate(metric, left.trim())?;
        Ok(Self { aggregate, comparison, limit: limit(metric, aggregate, right)? })
    }
}

/// How comparisons are written, the longer first.
const SIGNS: [(&str, Comparison); 4] = [
    ("<=", Comparison::LessOrEqual),
    (">=", Comparison::GreaterOrEqual),
    ("<", Comparison::Less),
    (">", Comparison::Greater),
];

/// Reads the comparison that a text begins with: `<0.1%`. The comparison, and what it is with.
///
/// # Errors
/// Where it begins with none.
pub fn comparison(text: &str) -> Result<(Comparison, &str), Misread> {
    let found =
        SIGNS.iter().find_map(|(sign, comparison)| Some((*comparison, text.trim().strip_prefix(sign)?)));
    found.ok_or_else(|| Misread::new("a limit with <, <=, > or >= before it").hint("write \"<0.1%\""))
}

/// Reads a value of anything that is observed: a plain number, a share, an amount of bytes, a duration or a rate, the last
/// two in seconds.
///
/// # Errors
/// Where the text is none of them.
pub fn amount(text: &str) -> Result<f64, Misread> {
    let text = text.trim();
    let found = plain_number(text)
        .or_else(|| text.parse::<Ratio>().ok().map(Ratio::get))
        .or_else(|| text.parse::<Bytes>().ok().map(|bytes| bytes.get() as f64))
        .or_else(|| text.parse::<Rate>().ok().map(Rate::as_per_second))
        .or_else(|| text.parse::<SimTime>().ok().map(SimTime::as_secs_f64));
    found.ok_or_else(|| {
        Misread::new("a number, or one with a unit").hint("write \"40%\", \"160000000\" or \"100GB\"")
    })
}

/// Reads a value in the unit of an aggregated metric: seconds, per second, a fraction, or a count.
///
/// # Errors
/// Where the text is none.
pub fn limit(metric: Metric, aggregate: Aggregate, text: &str) -> Result<f64, Misread> {
    match (metric, aggregate) {
        (_, Aggregate::Count) => plain_number(text)
            .filter(|n| *n <= 1e15)
            .ok_or_else(|| Misread::new("a count").hint("write \"count<100\"")),
        (Metric::ResponseTime | Metric::ServiceTime | Metric::RecoveryTime | Metric::DisruptionTime, _) => {
            text.parse::<SimTime>().map(SimTime::as_secs_f64)
        }
        (Metric::Failed, _) => text.parse::<Ratio>().map(Ratio::get),
        (Metric::Rate, _) => text.parse::<Rate>().map(Rate::as_per_second),
    }
}

/// What a fault hits, as written: `host:app[1]`, `component:shop[2]`, `component:shop[*]`, `zone:a`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// What is named.
    pub of: TargetOf,
    /// Its name.
    pub name: String,
    /// Which of them.
    pub instance: Which,
}

/// What a target names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TargetOf {
    /// Machines, with all that runs on them.
    Host,
    /// Instances of a component.
    Component,
    /// All machines of a zone.
    Zone,
}

impl TargetOf {
    const ALL: [(&'static str, Self); 3] =
        [("host", Self::Host), ("component", Self::Component), ("zone", Self::Zone)];

    const fn name(self) -> &'static str {
        match self {
            Self::Host => "host",
            Self::Component => "component",
            Self::Zone => "zone",
        }
    }
}

/// Which of several equal ones a target means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// The text does not say.
    Unsaid,
    /// This one, from 1.
    Number(u32),
    /// All of them: `[*]`.
    All,
}

impl Target {
    /// Reads a target.
    ///
    /// # Errors
    /// Where the text is none.
    pub fn read(text: &str) -> Result<Self, Misread> {
        let misread = || {
            Misread::new("\"host:NAME[N]\" or \"component:NAME[N]\", counted from 1, or \"zone:NAME\"")
                .hint("write \"host:app[1]\", or \"host:app[*]\" for all of them")
        };
        let (kind, rest) = text.trim().split_once(':').ok_or_else(misread)?;
        let (_, of) = TargetOf::ALL.into_iter().find(|(name, _)| *name == kind).ok_or_else(misread)?;
        let (name, instance) = match rest.split_once('[') {
            Some((name, "*]")) => (name, Which::All),
            Some((name, number)) => {
                let number = number.strip_suffix(']').and_then(|n| n.parse::<u32>().ok()).filter(|n| *n >= 1);
                (name, Which::Number(number.ok_or_else(misread)?))
            }
            None => (rest, Which::Unsaid),
        };
        if name.is_empty() || (of == TargetOf::Zone && instance != Which::Unsaid) {
            return Err(misread());
        }
        Ok(Self { of, name: name.to_owned(), instance })
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.of.name(), self.name)?;
        match self.instance {
            Which::Unsaid => Ok(()),
            Which::Number(n) => write!(f, "[{n}]"),
            Which::All => f.write_str("[*]"),
        }
    }
}

/// A piece of a path as written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// Text.
    Text(String),
    /// A place for a key of the keyspace with this name.
    Key(String),
}

/// Reads a path with `{keyspace}` places.
///
/// # Errors
/// Where the text is no absolute path, or its braces do not pair.
pub fn path(text: &str) -> Result<Vec<Piece>, Misread> {
    let misread = |hint: &str| {
        Misread::new("an absolute path of printable ASCII without spaces, keys in braces")
            .hint(hint.to_owned())
    };
    if !text.starts_with('/') {
        return Err(misread(&format!("write \"/{}\"", text.trim_start())));
    }
    if text.len() > 1024
        || !text.chars().all(|c| c.is_ascii_graphic() && !matches!(c, '"' | '#' | '<' | '>' | '\\'))
    {
        return Err(misread("percent-encode other characters, at most 1024 in all"));
    }
    let mut pieces = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let end = rest.find(['{', '}']).unwrap_or(rest.len());
        if end > 0 {
            pieces.push(Piece::Text(rest[..end].to_owned()));
        }
        rest = &rest[end..];
        if let Some(inside) = rest.strip_prefix('{') {
            let (name, after) = inside.split_once('}').ok_or_else(|| misread("close the brace"))?;
            if name.is_empty() || name.contains('{') {
                return Err(misread("put a keyspace's name between the braces"));
            }
            pieces.push(Piece::Key(name.to_owned()));
            rest = after;
        } else if rest.starts_with('}') {
            return Err(misread("open the brace"));
        }
    }
    Ok(pieces)
}

/// Reads a tag with `{keyspace}` places: as a path, without the slash that a path begins with.
///
/// # Errors
/// Where the text is empty or no part of a path.
pub fn tag(text: &str) -> Result<Vec<Piece>, Misread> {
    let misread = || {
        Misread::new("a tag of printable ASCII without spaces, keys in braces")
            .hint("write \"product:{products}\"")
    };
    let mut pieces = path(&format!("/{text}")).map_err(|_| misread())?;
    match pieces.first_mut() {
        Some(Piece::Text(first)) if first == "/" => drop(pieces.remove(0)),
        Some(Piece::Text(first)) => drop(first.remove(0)),
        _ => {}
    }
    if pieces.is_empty() { Err(misread()) } else { Ok(pieces) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn selectors_read_their_filters() {
        let selector = Selector::read("response_time{class:product,during:fault}").expect("both filters");
        assert_eq!((selector.class.as_deref(), selector.during), (Some("product"), During::Fault));
        for (text, part, fault) in [
            ("failed{during:before}", During::Before, None),
            ("failed{during:after}", During::After, None),
            ("failed{during:faults[2]}", During::OneFault(None), Some(2)),
        ] {
            let selector = Selector::read(text).expect("a part of the run");
            assert_eq!((selector.during, selector.fault), (part, fault));
        }
        for text in ["failed{during:faults[0]}", "failed{during:faults}", "failed{during:faults[x]}"] {
            assert!(Selector::read(text).is_err(), "{text}");
        }
        let published = Selector::read("response_time{avg}").expect("an aggregate");
        assert_eq!(published.aggregate, Some(Aggregate::Average));
        for text in ["responsetime", "response_time{", "response_time{during:never}", "failed{p(99)}"] {
            assert!(Selector::read(text).is_err(), "{text}");
        }
    }

    #[test]
    fn conditions_take_limits_in_the_metrics_unit() {
        let condition = Condition::read(Metric::ResponseTime, "p(99.9) <= 250ms").expect("a percentile");
        assert_eq!((condition.aggregate, condition.limit), (Aggregate::Percentile(99.9), 0.25));
        assert_eq!(Condition::read(Metric::Failed, "rate<0.1%").expect("a share").limit, 0.001);
        assert_eq!(Condition::read(Metric::Rate, "rate>290/s").expect("a rate").limit, 290.0);
        for (metric, text) in [
            (Metric::ResponseTime, "p(99)<250"),
            (Metric::ResponseTime, "p(101)<1s"),
            (Metric::Failed, "p(99)<1%"),
            (Metric::Failed, "rate=1%"),
        ] {
            assert!(Condition::read(metric, text).is_err(), "{text}");
        }
    }

    #[test]
    fn targets_count_from_one() {
        let target = Target::read("host:app[1]").expect("a host");
        let found = (target.name.as_str(), target.instance, target.of);
        assert_eq!(found, ("app", Which::Number(1), TargetOf::Host));
        for text in ["host:app[1]", "component:shop[*]", "zone:a", "host:app"] {
            assert_eq!(Target::read(text).expect("a target").to_string(), text);
        }
        for text in ["app[1]", "zone:a[1]", "host:app[0]", "host:app[x]", "host:"] {
            assert!(Target::read(text).is_err(), "{text}");
        }
    }

    #[test]
    fn paths_split_at_their_braces() {
        let pieces = path("/a/{products}.json").expect("a path");
        assert_eq!(
            pieces,
            [Piece::Text("/a/".into()), Piece::Key("products".into()), Piece::Text(".json".into())]
        );
        let pieces = tag("product:{products}").expect("a tag");
        assert_eq!(pieces, [Piece::Text("product:".into()), Piece::Key("products".into())]);
        assert_eq!(tag("{products}").expect("a tag"), [Piece::Key("products".into())]);
        assert!(tag("").is_err() && tag("a b").is_err());
        for text in ["a", "/{a", "/a}", "/{}", "/a b"] {
            assert!(path(text).is_err(), "{text}");
        }
    }
}
