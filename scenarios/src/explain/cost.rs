//! What machines and delivery cost in a month, from prices, counts, mean rates and mean sizes.

use super::Numbers;
use crate::scenario::{ComponentKind, HostId, Scenario};
use crate::units::Price;

/// A month is a twelfth of a year of 365.25 days.
const SECONDS_PER_MONTH: f64 = 365.25 * 86_400.0 / 12.0;

/// Each thing that costs something, and the sum of each currency where there are several things.
pub(super) fn per_month(scenario: &Scenario) -> Vec<(String, Price)> {
    let mut all = items(scenario, &|_| None);
    if all.len() > 1 {
        all.extend(totals(scenario, &|_| None).into_iter().map(|price| ("all".to_owned(), price)));
    }
    all
}

/// The sum of each currency, in the order in which they first stand in the file, for so many machines of each host.
pub(super) fn totals(scenario: &Scenario, machines: &dyn Fn(HostId) -> Option<f64>) -> Vec<Price> {
    let mut totals: Vec<Price> = Vec::new();
    for (_, price) in items(scenario, machines) {
        match totals.iter_mut().find(|total| total.currency == price.currency) {
            Some(total) => total.per_month += price.per_month,
            None => totals.push(price),
        }
    }
    totals
}

fn items(scenario: &Scenario, machines: &dyn Fn(HostId) -> Option<f64>) -> Vec<(String, Price)> {
    let mut items = Vec::new();
    for (host, id) in scenario.hosts.iter().zip(scenario.host_ids()) {
        if let Some(price) = &host.price {
            let at_most = if scenario.scaled_on(id).is_empty() { "" } else { " at most" };
            let count = if host.count > 1 { format!(" × {}{at_most}", host.count) } else { String::new() };
            let per_month = price.per_month * machines(id).unwrap_or(f64::from(host.count));
            items.push((format!("host {}{count}", host.name), Price { per_month, ..price.clone() }));
        }
    }
    for id in scenario.component_ids() {
        let component = scenario.component(id);
        if let ComponentKind::Cdn(cdn) = &component.kind
            && let Some(price) = &cdn.price
        {
            // Only what comes straight from the clients: a network behind another is seldom, and not charged for twice.
            let to_it = scenario.traffic.iter().filter(|t| t.to == id);
            let bytes_per_second: f64 = to_it
                .map(|traffic| {
                    let rate = Numbers::of(scenario, traffic).mean;
                    let size = |class| scenario.class(class).response.mean();
                    traffic.mix.iter().map(|(class, share)| rate * share.get() * size(*class)).sum::<f64>()
                })
                .sum();
            let gigabytes = bytes_per_second * SECONDS_PER_MONTH / 1e9;
            let (per_month, currency) = (price.per_gigabyte * gigabytes, price.currency.clone());
            items.push((format!("{}, {gigabytes:.0} GB", component.name), Price { per_month, currency }));
        }
    }
    items
}
