//! How far predictions were off where they were held against measurements: what stands beside every answer that rests on them.

use reports::twin::Results;

/// What `benches/twin/run` measured last: what it was measured on, and the results.
const MEASURED: [(&str, &str); 2] = [
    ("our own stack", include_str!("../../../scenarios/library/twin/ours.json")),
    ("HAProxy, Varnish, Redis and MariaDB", include_str!("../../../scenarios/library/twin/real.json")),
];
/// Where all of them stand.
const TABLE: &str = "scenarios/library/twin/results.md";

/// The error of the 99th percentile at about this share of the capacity, in a line; none where nothing was measured.
pub(crate) fn line(load: f64) -> Option<String> {
    let of = |(stack, json): (&str, &str)| {
        let results = Results::parse(stack, json).expect("the library's results are tested");
        Some(format!("on {stack} its {}", results.trust(load)?))
    };
    let told: Vec<String> = MEASURED.into_iter().filter_map(of).collect();
    (!told.is_empty()).then(|| {
        format!(
            "How far to trust it: the simulator was held against measurements; {} (all: {TABLE})",
            told.join(", ")
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_librarys_results_can_be_read() {
        for (stack, json) in MEASURED {
            let results = Results::parse(stack, json).unwrap_or_else(|error| panic!("{error}"));
            assert!(results.repetitions > 0 && !results.cases.is_empty(), "{stack}");
        }
        for load in [0.3, 0.9] {
            if let Some(line) = line(load) {
                assert!(line.contains(" of capacity") && line.contains(TABLE), "{line}");
            }
        }
    }
}
