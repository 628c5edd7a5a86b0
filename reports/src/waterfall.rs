//! A single request as a waterfall, in plain text.

use std::fmt::Write as _;

use results::Trace;

use crate::format::Unit;

/// Columns of the bars.
const WIDTH: usize = 40;

/// The request's spans, each with its beginning, its length, and a bar over the request's life.
///
/// Spans appear in the order of their beginning, indented by how many calls deep they are.
pub fn waterfall(trace: &Trace) -> String {
    let start = trace.due.as_secs_f64();
    let last = trace.spans.iter().map(|s| s.until).fold(trace.done, Ord::max);
    let whole = last.saturating_sub(trace.due).as_secs_f64();
    let took = trace.done.saturating_sub(trace.due).as_secs_f64();
    let mut text = format!(
        "request {} ({}), due at {:.6} s: {} after {}\n",
        trace.request,
        trace.class,
        start,
        trace.outcome,
        Unit::Seconds.show(took)
    );
    let column = |at: f64| ((at / whole.max(1e-12)) * WIDTH as f64).clamp(0.0, WIDTH as f64);
    for span in &trace.spans {
        let from = span.from.saturating_sub(trace.due).as_secs_f64();
        let until = span.until.saturating_sub(trace.due).as_secs_f64();
        // Even what takes no time is seen.
        let first = (column(from).floor() as usize).min(WIDTH - 1);
        let end = (column(until).round() as usize).clamp(first + 1, WIDTH);
        let bar: String = (0..WIDTH).map(|i| if (first..end).contains(&i) { '█' } else { '·' }).collect();
        let place = if span.component.is_empty() {
            "client".to_owned()
        } else {
            format!("{}[{}]", span.component, span.instance + 1)
        };
        let indent = "  ".repeat(span.depth as usize);
        let (from, length) = (Unit::Seconds.show(from), Unit::Seconds.show(until - from));
        // Writing to a string does not fail.
        let _ = writeln!(text, "{from:>9} {length:>9}  {bar}  {indent}{place}: {}", span.what);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use results::Span;
    use scenarios::units::SimTime;

    #[test]
    fn spans_stand_under_each_other_by_their_time() {
        let millis = SimTime::from_millis;
        let span = |component: &str, what: &str, from, until, depth| Span {
            component: component.to_owned(),
            instance: 0,
            what: what.to_owned(),
            from: millis(from),
            until: millis(until),
            depth,
        };
        let trace = Trace {
            request: 17,
            class: "product".to_owned(),
            due: millis(1_000),
            done: millis(1_040),
            outcome: "ok".to_owned(),
            spans: vec![
                span("", "waits for a connection", 1_000, 1_010, 0),
                span("shop", "work", 1_010, 1_040, 1),
            ],
        };
        let expected = "\
request 17 (product), due at 1.000000 s: ok after 40.0 ms
      0 s   10.0 ms  ██████████······························  client: waits for a connection
  10.0 ms   30.0 ms  ··········██████████████████████████████    shop[1]: work
";
        assert_eq!(waterfall(&trace), expected);
    }
}
