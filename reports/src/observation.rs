//! A number of whatever was observed in a run, as readers see it.

use scenarios::scenario::Observed;
use scenarios::threshold::Aggregate;

use crate::format::Unit;
use crate::verdict;

/// What was observed, with the unit of its metric.
pub fn shown(observed: &Observed, value: f64) -> String {
    unit(observed).show(value)
}

fn unit(observed: &Observed) -> Unit {
    let Observed::Series { of, metric, aggregate } = observed else {
        let Observed::Requests(figure) = observed else { return Unit::Count };
        return verdict::unit(figure.metric, figure.aggregate);
    };
    match (metric.as_str(), aggregate) {
        ("hit_ratio" | "utilisation" | "disk" | "nic_out" | "nic_in" | "up" | "steal", _) => Unit::Share,
        (_, Aggregate::Rate) if of == "failures" => Unit::Share,
        (_, Aggregate::Rate) => Unit::PerSecond,
        (name, _) if name.ends_with("_bytes") => Unit::Bytes,
        _ => Unit::Count,
    }
}
