//! A session in words: for terminals, Markdown, JUnit, and the annotations that code hosts show beside a change.

use std::fmt::Write as _;

use results::escaped;

use super::judge::{Finding, Judgement};
use super::session::{Session, Verdict};
use crate::table::Table;

/// Code hosts show a few annotations; a change is not to drown in them.
const ANNOTATIONS: usize = 3;

impl Verdict {
    /// A word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Improved => "improved",
            Self::Regressed => "regressed",
            Self::Inconclusive => "inconclusive",
            Self::Invalid => "invalid",
        }
    }
}

fn found(judgement: &Judgement) -> &'static str {
    match judgement.finding {
        Finding::Pass => "pass",
        Finding::Improved => "improved",
        Finding::Regressed => "regressed",
        Finding::Accepted => "accepted",
        Finding::Open if judgement.rules.gated => "open",
        Finding::Open => "open, not gated",
    }
}

fn sentence(judgement: &Judgement) -> String {
    let show = |v| judgement.quantity.metric.show(v);
    let (of, estimate) = (&judgement.quantity, show(judgement.estimate));
    let interval = format!("{} to {}", show(judgement.low), show(judgement.high));
    match judgement.finding {
        Finding::Regressed => format!("{of} is worse: {estimate} ({interval})"),
        Finding::Accepted => format!("{of} is worse, as accepted: {estimate} ({interval})"),
        Finding::Improved => format!("{of} is better: {estimate} ({interval})"),
        Finding::Pass => format!("{of} is not worse: {estimate} ({interval})"),
        Finding::Open => format!(
            "{of} is open: {estimate} ({interval}); with this noise, nothing below {} would be noticed",
            show(judgement.visible)
        ),
    }
}

/// What came of a session in a sentence.
pub fn headline(session: &Session) -> String {
    let rounds = session.first.rounds.len() + session.second.rounds.len();
    let effort = format!("{rounds} rounds, {:.0} s", session.took.as_secs_f64());
    let of = |finding: Finding| session.judgements.iter().filter(move |j| j.finding == finding);
    let all = |finding: Finding| of(finding).map(sentence).collect::<Vec<_>>().join("; ");
    match session.verdict {
        Verdict::Pass if of(Finding::Accepted).next().is_some() => {
            format!("pass: {} ({effort})", all(Finding::Accepted))
        }
        Verdict::Pass => format!("pass: the candidate is not slower than the base ({effort})"),
        Verdict::Improved => format!("improved: {} ({effort})", all(Finding::Improved)),
        Verdict::Regressed => format!("regressed: {} ({effort})", all(Finding::Regressed)),
        Verdict::Inconclusive => {
            let gated = of(Finding::Open).filter(|j| j.rules.gated).map(sentence);
            format!("inconclusive: {} ({effort})", gated.collect::<Vec<_>>().join("; "))
        }
        Verdict::Invalid => {
            let reason = session.reason.as_deref().unwrap_or("no reason is known");
            format!("invalid: {reason} ({effort})")
        }
    }
}

fn table(session: &Session) -> Table {
    let head = ["quantity", "candidate", "from", "to", "margin", "noticed from", "p", "finding"];
    let mut table = Table::new(&head);
    for judgement in &session.judgements {
        let show = |v| judgement.quantity.metric.show(v);
        table.rows.push(vec![
            judgement.quantity.to_string(),
            show(judgement.estimate),
            show(judgement.low),
            show(judgement.high),
            show(judgement.rules.margin),
            show(judgement.visible),
            format!("{:.4}", judgement.p),
            found(judgement).to_owned(),
        ]);
    }
    table
}

fn effort(session: &Session) -> String {
    let (first, second) = (session.first.rounds.len(), session.second.rounds.len());
    let mut text = format!("{first} rounds, of {} that the pilot's noise asked for", session.needed);
    if second > 0 {
        let _ = write!(text, "; {second} more to confirm what they suspected");
    }
    if session.repeated > 0 {
        let _ = write!(text, "; {} played again, disturbed", session.repeated);
    }
    text
}

/// For a terminal.
pub fn text(session: &Session, notes: &[String]) -> String {
    let mut text = format!("{}\n\n{}\n{}\n", headline(session), table(session).text(), effort(session));
    notes.iter().for_each(|note| text += &format!("{note}\n"));
    text
}

/// For a job's summary.
pub fn markdown(session: &Session, notes: &[String]) -> String {
    let mut text =
        format!("**{}**\n\n{}\n{}.\n", headline(session), table(session).markdown(), effort(session));
    notes.iter().for_each(|note| text += &format!("\n{note}.\n"));
    text
}

/// As workflow commands of GitHub, the worst first.
pub fn annotations(session: &Session) -> String {
    let level = |j: &Judgement| match j.finding {
        Finding::Regressed => Some((0, "error")),
        Finding::Open if j.rules.gated => Some((1, "warning")),
        Finding::Improved => Some((2, "notice")),
        _ => None,
    };
    let mut lines: Vec<(u8, String)> = Vec::new();
    if session.verdict == Verdict::Invalid {
        lines.push((0, format!("::warning title=performance gate::{}", headline(session))));
    } else {
        lines.extend(session.judgements.iter().filter_map(|j| {
            level(j).map(|(rank, level)| (rank, format!("::{level} title=performance gate::{}", sentence(j))))
        }));
    }
    lines.sort_by_key(|(rank, _)| *rank);
    lines.into_iter().take(ANNOTATIONS).map(|(_, line)| encoded(&line) + "\n").collect()
}

/// A message of a workflow command has these escaped.
fn encoded(line: &str) -> String {
    line.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

/// As JUnit has it, a case for the session, which is an error where that is invalid, and one for each quantity: regressed ones fail,
/// open ones and those of an invalid session are skipped.
pub fn junit(session: &Session) -> String {
    let invalid = session.verdict == Verdict::Invalid;
    let problem = invalid.then(|| session.reason.as_deref().unwrap_or("no reason is known"));
    let case = |j: &Judgement| {
        let message = escaped(&sentence(j));
        let inner = match (problem, j.finding) {
            (Some(problem), _) => format!("<skipped message=\"{}\"/>", escaped(problem)),
            (_, Finding::Regressed) => format!("<failure message=\"{message}\"/>"),
            (_, Finding::Open) => format!("<skipped message=\"{message}\"/>"),
            _ => format!("<system-out>{message}</system-out>"),
        };
        let (name, of) = (j.quantity.metric.name(), escaped(&j.quantity.scenario));
        format!("    <testcase classname=\"gate.{of}\" name=\"{name}\">{inner}</testcase>\n")
    };
    let count = |finding: Finding| session.judgements.iter().filter(|j| j.finding == finding).count();
    let failures = if invalid { 0 } else { count(Finding::Regressed) };
    let skipped = if invalid { session.judgements.len() } else { count(Finding::Open) };
    let cases = session_case(problem) + &session.judgements.iter().map(case).collect::<String>();
    let counts = [1 + session.judgements.len(), failures, usize::from(invalid), skipped];
    suite(&cases, counts, session.took.as_secs_f64())
}

/// The case that the session as a whole is.
fn session_case(problem: Option<&str>) -> String {
    let error = problem.map_or_else(String::new, |problem| {
        let lines: Vec<String> = problem.lines().map(escaped).collect();
        let first = lines.first().map_or("", String::as_str);
        format!("<error message=\"{first}\">{}</error>", lines.join("\n"))
    });
    format!("    <testcase classname=\"gate\" name=\"the session is valid\">{error}</testcase>\n")
}

fn suite(cases: &str, [tests, failures, errors, skipped]: [usize; 4], seconds: f64) -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n  <testsuite name=\"performance gate\" tests=\"{tests}\" \
         failures=\"{failures}\" errors=\"{errors}\" skipped=\"{skipped}\" time=\"{seconds:.3}\">\n{cases}  \
         </testsuite>\n</testsuites>\n"
    )
}

/// Why a session came to no verdict, such as a candidate that does not start: as JUnit has it.
pub fn junit_of_problem(problem: &str, seconds: f64) -> String {
    suite(&session_case(Some(problem)), [1, 0, 1, 0], seconds)
}

/// The same for a job's summary.
pub fn markdown_of_problem(problem: &str) -> String {
    // A block of code: what a server said is no Markdown.
    let lines: String = problem.lines().map(|line| format!("    {line}\n")).collect();
    format!("**error: the gate came to no verdict**\n\n{lines}\n")
}

/// The same as a workflow command of GitHub.
pub fn annotation_of_problem(problem: &str) -> String {
    encoded(&format!("::error title=performance gate::{problem}")) + "\n"
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::gate::quantity::{Metric, Quantity};
    use crate::gate::rounds::Rounds;
    use crate::gate::settings::Settings;

    fn judged(metric: Metric, finding: Finding) -> Judgement {
        let rules = Settings::default().rules(metric);
        let quantity = Quantity { scenario: "a & b".to_owned(), metric };
        Judgement { quantity, rules, estimate: 0.05, low: 0.04, high: 0.06, p: 0.001, visible: 0.03, finding }
    }

    fn session(judgements: Vec<Judgement>) -> Session {
        Session {
            verdict: Verdict::Regressed,
            reason: None,
            judgements,
            first: Rounds::default(),
            second: Rounds::default(),
            needed: 36,
            repeated: 2,
            took: Duration::from_secs(90),
        }
    }

    #[test]
    fn there_are_three_annotations_at_most_and_the_worst_come_first() {
        use Finding::{Improved, Open, Pass, Regressed};
        let found = [
            (Metric::P50, Improved),
            (Metric::CpuPerRequest, Open),
            (Metric::P99, Regressed),
            (Metric::Throughput, Pass),
            (Metric::Failed, Regressed),
        ];
        let session = session(found.map(|(metric, finding)| judged(metric, finding)).to_vec());
        let lines = annotations(&session);
        let levels: Vec<&str> =
            lines.lines().map(|line| line.split_once(' ').expect("each has a title").0).collect();
        assert_eq!(levels, ["::error", "::error", "::warning"]);
        assert!(lines.contains("+5.1%25 (") && !lines.contains("% "), "{lines}");
        let junit = junit(&session);
        assert!(
            junit.contains("tests=\"6\" failures=\"2\" errors=\"0\" skipped=\"1\" time=\"90.000\""),
            "{junit}"
        );
        assert!(junit.contains("classname=\"gate.a &amp; b\" name=\"failed\"><failure message="), "{junit}");
    }

    #[test]
    fn an_invalid_session_is_an_error_and_skips_what_it_judged() {
        let judged = vec![judged(Metric::P50, Finding::Regressed)];
        let reason = Some("the base differs from itself".to_owned());
        let junit = junit(&Session { verdict: Verdict::Invalid, reason, ..session(judged) });
        assert!(junit.contains("tests=\"2\" failures=\"0\" errors=\"1\" skipped=\"1\""), "{junit}");
        assert!(junit.contains("name=\"the session is valid\"><error message=\"the base differs"), "{junit}");
        assert!(junit.contains("name=\"p50\"><skipped message=\"the base differs"), "{junit}");
    }

    #[test]
    fn a_problem_is_told_in_full_wherever_it_is_told() {
        let problem = "./new --port 1: ended; it said:\n<100% & \"more\">";
        let junit = junit_of_problem(problem, 1.5);
        let error = "<error message=\"./new --port 1: ended; it said:\">./new --port 1: ended; it said:\n\
                     &lt;100% &amp; &quot;more&quot;&gt;</error>";
        assert!(
            junit.contains(error) && junit.contains("errors=\"1\" skipped=\"0\" time=\"1.500\""),
            "{junit}"
        );
        assert!(markdown_of_problem(problem).ends_with(":\n    <100% & \"more\">\n\n"));
        assert_eq!(annotation_of_problem(problem).lines().count(), 1);
        assert!(annotation_of_problem(problem).ends_with("it said:%0A<100%25 & \"more\">\n"));
    }
}
