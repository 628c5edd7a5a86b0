//! The machines that played a run together, side by side.

use results::RunRecord;

use crate::format::{self, Unit};
use crate::table::Table;

/// How each of them did; none of a run that one machine played.
pub(crate) fn table(record: &RunRecord) -> Option<Table> {
    let head = ["agent", "segment", "cores", "requests", "send lag p99", "cores used", "began", "clock"];
    let mut table = Table::new(&head);
    let or_dash = |value: Option<String>| value.unwrap_or_else(|| "–".to_owned());
    for agent in &record.provenance.agents {
        table.rows.push(vec![
            agent.name.clone(),
            format!("{}/{}", agent.segment, record.provenance.segments.len()),
            agent.cores.to_string(),
            format::grouped(agent.requests),
            or_dash(agent.send_lag_p99_s.map(|lag| Unit::Seconds.show(lag))),
            or_dash(agent.cpu_cores.map(|cores| format!("{cores:.2}"))),
            match (&agent.lost, agent.start_skew_s) {
                (Some(_), None) => "lost".to_owned(),
                (Some(_), Some(skew)) => format!("{}, lost", Unit::Seconds.show_difference(skew)),
                (None, skew) => or_dash(skew.map(|skew| Unit::Seconds.show_difference(skew))),
            },
            format!(
                "{} ± {}",
                Unit::Seconds.show_difference(agent.clock_offset_s),
                Unit::Seconds.show(agent.clock_error_s)
            ),
        ]);
    }
    (!table.rows.is_empty()).then_some(table)
}

/// What each found of its machine when it came, a line each.
pub(crate) fn limits(record: &RunRecord) -> Vec<String> {
    let told = record.provenance.agents.iter().filter(|agent| !agent.limits.is_empty());
    told.map(|agent| format!("{}: {}", agent.name, agent.limits.join("; "))).collect()
}

#[cfg(test)]
mod tests {
    use results::{Agent, Recorder, World};
    use scenarios::Scenario;
    use scenarios::library::QUICKSTART;

    use super::*;

    #[test]
    fn agents_stand_side_by_side() {
        let scenario = Scenario::parse("quickstart.toml", QUICKSTART).expect("it is a scenario");
        let delta = Recorder::new(&results::Frame::new(&scenario)).take();
        let mut record = RunRecord::in_memory(&scenario, World::Loadgen, &delta, &[]);
        assert!(table(&record).is_none(), "one machine played it");
        let start = "2026-01-31T20:00:00Z".parse().expect("a time");
        record.provenance.segments = (1..=2).map(|index| results::Segment { index, of: 2, start }).collect();
        let good = Agent {
            name: "web1".to_owned(),
            segment: 1,
            cores: 4,
            limits: vec!["20,000 open files".to_owned(), "up to 60,000 requests/s".to_owned()],
            clock_offset_s: -0.000_25,
            clock_error_s: 0.000_1,
            start_skew_s: Some(0.000_03),
            requests: 12_345,
            send_lag_p99_s: Some(0.000_2),
            cpu_cores: Some(0.5),
            lost: None,
        };
        let lost = Agent {
            name: "web2".to_owned(),
            segment: 2,
            lost: Some("silent".to_owned()),
            ..Agent::default()
        };
        record.provenance.agents = vec![good, lost];
        let rows = table(&record).expect("two played it").rows;
        let first = ["web1", "1/2", "4", "12,345", "200 µs", "0.50", "+30.0 µs", "−250 µs ± 100 µs"];
        assert_eq!(rows[0], first);
        assert_eq!((rows[1][1].as_str(), rows[1][6].as_str()), ("2/2", "lost"));
        let html = crate::render(std::slice::from_ref(&record));
        assert!(html.contains("<h2>Agents</h2>") && html.contains("web1"), "they are on the page");
        let text = crate::summary(&record);
        assert!(text.contains("\nAgents\n"), "and in the summary");
        let limits = "web1: 20,000 open files; up to 60,000 requests/s";
        assert!(text.contains(limits) && html.contains(limits), "with what their machines can do");
    }
}
