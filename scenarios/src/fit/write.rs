//! The scenario that a log suggests, as text: what was found, and beside it how well it fits.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::Fit;
use super::paths::{Pattern, Segment};
use super::popularity;
use super::sizes::Sizes;

/// The most frequent patterns become classes; the rest is left out and said so.
const CLASSES: usize = 20;
/// Methods that a scenario has.
const METHODS: [&str; 4] = ["GET", "POST", "PUT", "DELETE"];

/// A pattern under the name of its class.
struct Class<'a> {
    name: String,
    path: String,
    pattern: &'a Pattern,
}

pub(super) fn scenario(fit: &Fit, log: &str) -> Option<String> {
    let (first, last) = fit.span?;
    let patterns = fit.paths.patterns();
    let mut names = Names::default();
    let mut keyspaces = Vec::new();
    let kept = patterns.iter().filter(|p| METHODS.contains(&p.method.as_str())).take(CLASSES);
    let classes: Vec<Class<'_>> = kept.map(|pattern| names.class(pattern, &mut keyspaces)).collect();
    if classes.is_empty() {
        return None;
    }
    let mut out = String::new();
    writing(&mut out, fit, log, &classes, &keyspaces, last - first + 1)
        .expect("writing to a string does not fail");
    Some(out)
}

fn writing(
    out: &mut String,
    fit: &Fit,
    log: &str,
    classes: &[Class<'_>],
    keyspaces: &[(String, usize)],
    seconds: i64,
) -> std::fmt::Result {
    let quoted = |text: &str| toml_edit::Value::from(text).to_string();
    let log: String = log.chars().filter(|c| !c.is_control()).collect();
    let share = |part: u64| 100.0 * part as f64 / fit.requests as f64;
    writeln!(out, "# Fitted to {log}: {} requests in {:.1} days.", fit.requests, seconds as f64 / 86_400.0)?;
    writeln!(out, "# {} of {} lines were of another format.", fit.broken, fit.lines)?;
    let (errors, refusals) = (share(fit.errors), share(fit.refusals));
    writeln!(
        out,
        "# Answers of 5xx: {errors:.3}%, of 4xx: {refusals:.3}%; both are part of the traffic below."
    )?;
    writeln!(out, "title = {}", quoted(&format!("Traffic as in {log}")))?;
    writeln!(
        out,
        "\n[run]\nduration = \"{}\"",
        if seconds >= 7 * 86_400 {
            "7d"
        } else if seconds >= 86_400 {
            "1d"
        } else {
            "10m"
        }
    )?;
    writeln!(out, "\n# A log says nothing of what serves the requests: this stack is a stand-in.")?;
    writeln!(out, "[hosts.app]\ncores = 4\n\n[components.app]\nkind = \"service\"\nhost = \"app\"")?;
    if !keyspaces.is_empty() {
        writeln!(out, "\n[hosts.data]\n\n[components.objects]\nkind = \"kv-store\"\nhost = \"data\"")?;
    }
    for (name, place) in keyspaces {
        keyspace(out, fit, name, *place, classes)?;
    }
    for class in classes {
        request(out, class, share(class.pattern.class.requests))?;
    }
    traffic(out, fit, classes)?;
    sessions(out, fit)
}

fn keyspace(
    out: &mut String,
    fit: &Fit,
    name: &str,
    place: usize,
    classes: &[Class<'_>],
) -> std::fmt::Result {
    let (counts, sampled) = fit.paths.keys(place);
    let requests: u64 =
        classes.iter().filter(|c| names_place(c.pattern, place)).map(|c| c.pattern.class.requests).sum();
    let seen = counts.len() as f64 / sampled;
    writeln!(out, "\n[keyspaces.{name}]\nin = \"objects\"")?;
    if sampled < 1.0 {
        writeln!(out, "# Counted in a sample of {:.2}% of the keys.", 100.0 * sampled)?;
    }
    match popularity::fit(&counts, sampled, requests) {
        Some(p) => {
            writeln!(out, "# {seen:.0} keys were asked for; the law has {:.0} in all.", p.keys)?;
            writeln!(out, "keys = {:.0}", p.keys.max(1.0))?;
            let (counted, fitted) = (100.0 * p.top.0, 100.0 * p.top.1);
            writeln!(out, "# Zipf's exponent is {:.3} ± {:.3} (one standard error).", p.exponent, p.error)?;
            writeln!(
                out,
                "# The ten most popular keys took {counted:.2}% of the requests; the law says {fitted:.2}%."
            )?;
            match p.exponent < 0.02 {
                true => writeln!(out, "popularity = \"uniform\"")?,
                false => writeln!(out, "popularity = \"zipf({:.3})\"", p.exponent)?,
            }
        }
        None => {
            writeln!(out, "# {seen:.0} keys were asked for: too few, or too seldom, to tell a law.")?;
            writeln!(out, "keys = {:.0}\npopularity = \"uniform\"", seen.max(1.0))?;
        }
    }
    writeln!(out, "value = \"1kB\" # not in the log")
}

fn names_place(pattern: &Pattern, place: usize) -> bool {
    pattern.segments.iter().any(|s| matches!(s, Segment::Key(p) if *p == place))
}

fn request(out: &mut String, class: &Class<'_>, share: f64) -> std::fmt::Result {
    let c = &class.pattern.class;
    writeln!(out, "\n[requests.{}]", class.name)?;
    let part = |n: u64| 100.0 * n as f64 / c.requests as f64;
    let (errors, refusals) = (part(c.errors), part(c.refusals));
    writeln!(out, "# {} requests, {share:.3}% of all; 5xx {errors:.3}%, 4xx {refusals:.3}%.", c.requests)?;
    if class.pattern.method != "GET" {
        writeln!(out, "method = \"{}\"", class.pattern.method)?;
    }
    writeln!(out, "path = \"{}\"", class.path)?;
    response(out, &c.sizes)
}

/// The log-normal law with the median and the 99th percentile of the sizes, and what it says of the 90th.
fn response(out: &mut String, sizes: &Sizes) -> std::fmt::Result {
    if sizes.count() == 0 {
        return Ok(());
    }
    let (median, p90, p99) = (sizes.quantile(0.5), sizes.quantile(0.9), sizes.quantile(0.99));
    if p99 < median * 1.03 {
        return writeln!(out, "response = \"{median:.0}B\"");
    }
    // The normal law's 90% quantile is 0.5509 times its 99% quantile.
    let law = median * (p99 / median).powf(1.281_552 / 2.326_348);
    writeln!(out, "# 90% of the answers have at most {p90:.0} B; the law says {law:.0} B.")?;
    writeln!(out, "response = \"lognormal(median={median:.0}B, p99={:.0}B)\"", p99.min(median * 9999.0))
}

fn traffic(out: &mut String, fit: &Fit, classes: &[Class<'_>]) -> std::fmt::Result {
    let kept: u64 = classes.iter().map(|c| c.pattern.class.requests).sum();
    let kept = kept as f64 / fit.requests as f64;
    let curve = Curve::of(fit);
    writeln!(out, "\n[traffic.clients]\nto = \"app\"")?;
    if kept < 1.0 {
        writeln!(
            out,
            "# Left out: {:.3}% of the requests, of rarer paths or other methods.",
            100.0 * (1.0 - kept)
        )?;
    }
    match &curve {
        Some(curve) => {
            writeln!(out, "executor = \"curve-arrival-rate\"\ncurve = \"log\"")?;
            writeln!(out, "expected = {:.0}", (curve.values.iter().sum::<f64>() * kept).max(1.0))?;
        }
        None => {
            let (first, last) = fit.span.unwrap_or_default();
            writeln!(out, "# Less than a day: a rate and no curve.\nexecutor = \"constant-arrival-rate\"")?;
            writeln!(out, "rate = \"{:.6}/s\"", fit.requests as f64 * kept / (last - first + 1) as f64)?;
        }
    }
    if let Some(index) = fit.dispersion() {
        let word = match index {
            index if index < 0.67 => "below",
            index if index < 1.5 => "near",
            _ => "above",
        };
        writeln!(
            out,
            "# Minutes vary {index:.2} times as much as those of Poisson arrivals (variance over mean): {word} 1."
        )?;
        if index >= 1.5 {
            writeln!(
                out,
                "# Bursts would be: arrivals = \"bursty\", burst = {{ size = {:.0}, within = \"10s\" }}",
                index.clamp(2.0, 1000.0)
            )?;
        }
    }
    if fit.untimed > 0 {
        writeln!(out, "# The times of {} requests were too far apart to be counted.", fit.untimed)?;
    }
    let mix: Vec<String> =
        classes.iter().map(|c| format!("{} = {}", c.name, c.pattern.class.requests)).collect();
    writeln!(out, "mix = {{ {} }}", mix.join(", "))?;
    let Some(curve) = curve else { return Ok(()) };
    writeln!(out, "\n# Requests an hour. {}", curve.fit)?;
    writeln!(
        out,
        "[curves.log]\nperiod = \"{}\"\nvalues = [",
        if curve.values.len() == 24 { "1d" } else { "7d" }
    )?;
    for day in curve.values.chunks(24) {
        let day: Vec<String> = day.iter().map(|v| format!("{v:.1}")).collect();
        writeln!(out, "  {},", day.join(", "))?;
    }
    writeln!(out, "]")
}

/// Requests an hour, by the hour of the week from Monday 00:00, or of the day.
struct Curve {
    values: Vec<f64>,
    /// How well it fits, in words.
    fit: String,
}

impl Curve {
    /// None where the log is shorter than a day.
    fn of(fit: &Fit) -> Option<Self> {
        let (first, last) = fit.span?;
        let period = match last - first + 1 {
            seconds if seconds >= 7 * 86_400 => 168,
            seconds if seconds >= 86_400 => 24,
            _ => return None,
        };
        // The first of January 1970 was a Thursday.
        let place = |hour: i64| (hour + 72).rem_euclid(period) as usize;
        let hours = fit.hours();
        let mut sums = vec![(0.0, 0.0); period as usize];
        for (hour, (requests, covered)) in &hours {
            let sum = &mut sums[place(*hour)];
            *sum = (sum.0 + *requests as f64, sum.1 + covered);
        }
        let values: Vec<f64> =
            sums.iter().map(|(n, covered)| if *covered > 0.0 { n / covered } else { 0.0 }).collect();
        // How much of what hours differ by the curve explains, where any was seen twice.
        let whole: Vec<(usize, f64)> =
            hours.iter().filter(|(_, h)| h.1 >= 1.0).map(|(hour, h)| (place(*hour), h.0 as f64)).collect();
        let mean = whole.iter().map(|(_, n)| n).sum::<f64>() / whole.len().max(1) as f64;
        let total: f64 = whole.iter().map(|(_, n)| (n - mean).powi(2)).sum();
        let left: f64 = whole.iter().map(|(place, n)| (n - values[*place]).powi(2)).sum();
        let text = match whole.len() as i64 >= 2 * period && total > 0.0 {
            true => {
                format!("The curve explains {:.1}% of what hours differ by.", 100.0 * (1.0 - left / total))
            }
            false => "Most hours were seen once, so this is what was, without an average.".to_owned(),
        };
        Some(Self { values, fit: text })
    }
}

fn sessions(out: &mut String, fit: &Fit) -> std::fmt::Result {
    let Some(visits) = fit.visits.summary() else { return Ok(()) };
    let by = if fit.visits.with_agents { "address and browser" } else { "address alone" };
    writeln!(
        out,
        "\n# Users by {by}: {} users, {} visits, {:.2} requests a visit.",
        visits.users, visits.visits, visits.requests_per_visit
    )?;
    if let Some((median, p99)) = visits.gap {
        writeln!(
            out,
            "# As sessions, in [traffic.clients], with the rate divided by {:.2}:",
            visits.requests_per_visit
        )?;
        let mean = visits.requests_per_visit.clamp(1.0, 100.0);
        let think = format!("lognormal(median={median:.1}s, p99={:.1}s)", p99.max(median * 1.01));
        writeln!(out, "# session = {{ requests = \"geometric(mean={mean:.2})\", think = \"{think}\" }}")?;
        let returns = 100.0 * visits.returns;
        writeln!(
            out,
            "# The pauses hold the answers' times. After {returns:.1}% of the visits the user came back within the log."
        )?;
    }
    Ok(())
}

/// Names that are taken.
#[derive(Default)]
struct Names {
    taken: BTreeMap<String, ()>,
    places: BTreeMap<usize, String>,
}

impl Names {
    /// A name like this one that is still free.
    fn free(&mut self, wish: &str) -> String {
        let plain = |c: char| if c.is_ascii_lowercase() || c.is_ascii_digit() { c } else { '_' };
        let wish: String = wish.to_lowercase().chars().map(plain).take(48).collect();
        let wish = wish.trim_matches('_');
        let wish = if wish.is_empty() { "root" } else { wish };
        let mut name = wish.to_owned();
        let mut number = 1;
        while self.taken.insert(name.clone(), ()).is_some() {
            number += 1;
            name = format!("{wish}_{number}");
        }
        name
    }

    fn class<'a>(&mut self, pattern: &'a Pattern, keyspaces: &mut Vec<(String, usize)>) -> Class<'a> {
        let (mut path, mut wish) = (String::new(), String::new());
        if pattern.method != "GET" {
            wish.push_str(&pattern.method);
        }
        let mut before = "key".to_owned();
        for segment in &pattern.segments {
            path.push('/');
            match segment {
                Segment::Text(text) => {
                    path.push_str(&encoded(text));
                    wish = format!("{wish}_{text}");
                    before.clone_from(text);
                }
                Segment::Key(place) => {
                    let keyspace = match self.places.get(place) {
                        Some(name) => name.clone(),
                        None => {
                            let name = self.free(&format!("{before}_keys"));
                            self.places.insert(*place, name.clone());
                            keyspaces.push((name.clone(), *place));
                            name
                        }
                    };
                    path.push_str(&format!("{{{keyspace}}}"));
                }
            }
        }
        Class { name: self.free(&wish), path, pattern }
    }
}

/// A segment as a path of a scenario may have it.
fn encoded(segment: &str) -> String {
    let mut out = String::new();
    for byte in segment.bytes().take(100) {
        if byte.is_ascii_graphic() && !b"\"#<>\\{}".contains(&byte) {
            out.push(byte as char);
        } else {
            write!(out, "%{byte:02X}").expect("writing to a string does not fail");
        }
    }
    out
}
