//! What is planned: knobs that lead somewhere, circumstances that there can be, and something that must hold.

use super::Validator;
use crate::derive::leads_into;
use crate::scenario::{Host, Knob, PlanCondition, Planning, Run, Window};
use crate::threshold::Threshold;
use crate::wire::decode::join;

/// The most candidates: each is read as a scenario of its own before any is simulated.
const CANDIDATES: usize = 20_000;
/// What stands for every host of the file, where none is called so.
const ANY_HOST: &str = "any";

impl Validator<'_> {
    /// The section `[plan]`; what choices set is read when candidates are made of them.
    pub(super) fn planning(
        &mut self,
        run: &Run,
        hosts: &[Host],
        file_thresholds: &[Threshold],
    ) -> Option<Planning> {
        let file = self.file.plan.take()?;
        // A key that is missing is a problem already.
        let is_there = file.knobs.is_some();
        let knobs = file.knobs.unwrap_or_default().0;
        if knobs.is_empty() && is_there {
            let hint = Some("add knobs.\"hosts.app.count\" = \"1..20\"".to_owned());
            self.d.problem("plan.knobs", "no knob", "something that may be chosen", hint);
        }
        knobs.iter().for_each(|knob| self.knob(knob));
        let count = knobs.iter().try_fold(1usize, |all, knob| all.checked_mul(knob.choices.len()));
        if count.is_none_or(|count| count > CANDIDATES) {
            let found = count.map_or_else(|| "more than can be counted".to_owned(), |n| n.to_string());
            let hint = Some("leave out choices, or write ranges with \" by \"".to_owned());
            self.d.problem(
                "plan.knobs",
                format!("{found} candidates"),
                format!("at most {CANDIDATES}"),
                hint,
            );
        }
        let thresholds = self.thresholds("plan.thresholds", &file.thresholds.0);
        if thresholds.is_empty() && file_thresholds.is_empty() {
            let hint = Some("add thresholds.failed = [\"rate<0.1%\"]".to_owned());
            self.d.problem("plan", "no thresholds", "thresholds here or in the file", hint);
        }
        let mut conditions = Vec::new();
        for (name, condition) in &file.conditions.0 {
            let at = join("plan.conditions", name);
            let is_any = |name: &str| name == ANY_HOST && hosts.iter().all(|host| host.name != ANY_HOST);
            for (i, host) in condition.down.0.iter().filter(|(_, host)| !is_any(host)) {
                self.resolve(|v| &v.hosts, &format!("{at}.down[{i}]"), host);
            }
            let load = condition.load.0;
            if load <= 0.0 {
                self.problem(&format!("{at}.load"), "a number above 0", None);
            }
            let grown = match (condition.after, file.growth) {
                (Some(after), Some(growth)) => growth.factor_after(after.as_secs_f64()),
                (Some(_), None) => {
                    let hint = Some("add growth = \"4%/month\" to [plan]".to_owned());
                    self.problem(&format!("{at}.after"), "a plan that says how the load grows", hint);
                    1.0
                }
                (None, _) => 1.0,
            };
            if !(1e-3..=1e3).contains(&(load * grown)) && load > 0.0 {
                self.problem(&at, "0.001 to 1000 times the load", None);
            }
            let down: Vec<String> = match condition.down.0.iter().any(|(_, host)| is_any(host)) {
                true => hosts.iter().map(|host| host.name.clone()).collect(),
                false => condition.down.0.iter().map(|(_, host)| host.clone()).collect(),
            };
            let cold = condition.cold;
            if down.is_empty() && load * grown == 1.0 && !cold {
                let hint = Some("add down = [\"app\"], load = 1.5 or cold = true".to_owned());
                self.problem(&at, "something that is different from the file", hint);
            }
            conditions.push(PlanCondition { name: name.clone(), down, load: load * grown, cold });
        }
        if hosts.iter().all(|host| host.price.is_none()) {
            let hint = Some("add price = \"120 USD/month\" to the hosts".to_owned());
            self.d.problem("plan", "no prices", "hosts with prices: the cheapest is looked for", hint);
        }
        if file.from.is_some() || file.length.is_some() {
            self.window("plan", run, Window { from: file.from, length: file.length, rate: None });
        }
        Some(Planning {
            knobs,
            conditions,
            thresholds,
            growth: file.growth,
            today: file.today,
            from: file.from,
            length: file.length,
            replications: file.replications.0 as u32,
        })
    }

    fn knob(&mut self, knob: &Knob) {
        let at = join("plan.knobs", &knob.path);
        let mut reported: Vec<&str> = Vec::new();
        for setting in knob.choices.iter().flat_map(|choice| &choice.settings) {
            let path = setting.path.as_str();
            if !leads_into(&self.d.locations, path) && !reported.contains(&path) {
                let expected = "the path of a key of something that the file has";
                self.d.problem(&at, format!("{path:?}"), expected, None);
                reported.push(path);
            }
        }
        let names = knob.choices.iter().map(|choice| &choice.name);
        let again = names.clone().enumerate().find(|(i, name)| names.clone().take(*i).any(|n| n == *name));
        if let Some((i, name)) = again {
            let at = if knob.is_monotone { at } else { format!("{at}[{}]", i + 1) };
            self.d.problem(&at, format!("{name:?} again"), "choices that differ by their names", None);
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::Scenario;

    const TEXT: &str = r#"
title = "Shop"
[run]
duration = "10s"
[hosts.app]
price = "100 USD/month"
[components.shop]
kind = "service"
host = "app"
[requests.home]
path = "/"
[[requests.home.steps]]
work = "1ms"
[traffic.users]
to = "shop"
executor = "constant-arrival-rate"
rate = "10/s"
mix = { home = 1 }
[thresholds]
failed = ["rate<1%"]
[plan]
"#;

    fn read(plan: &str) -> Result<Scenario, String> {
        Scenario::parse("shop.toml", format!("{TEXT}{plan}")).map_err(|problems| problems.to_string())
    }

    #[test]
    fn ranges_lists_and_machine_types_become_choices() {
        let plan = r#"
growth = "4%/month"
today = "2015-03-01"
knobs."hosts.app.count" = "1..3"
knobs."components.shop.workers" = [8, 16]
knobs."hosts.app" = [
    { name = "small", cores = 2, price = "50 USD/month" },
    { name = "large", cores = 8, price = "200 USD/month", set."components.shop.backlog" = 1000 },
]
conditions.grown = { after = "52w", down = ["app"] }
thresholds.response_time = ["p(99)<1s"]
"#;
        let planning = read(plan).expect("the plan is good").planning.expect("there is one");
        let knobs: Vec<_> =
            planning.knobs.iter().map(|k| (k.path.as_str(), k.choices.len(), k.is_monotone)).collect();
        assert_eq!(
            knobs,
            [("hosts.app.count", 3, true), ("components.shop.workers", 2, false), ("hosts.app", 2, false)]
        );
        let large = &planning.knobs[2].choices[1];
        let settings: Vec<String> = large.settings.iter().map(ToString::to_string).collect();
        assert_eq!(large.name, "large");
        assert_eq!(
            settings,
            ["hosts.app.cores = 8", "hosts.app.price = \"200 USD/month\"", "components.shop.backlog = 1000"]
        );
        assert!((planning.conditions[0].load - 1.04f64.powf(52.0 * 7.0 * 12.0 / 365.0)).abs() < 1e-9);
        assert_eq!(planning.thresholds.len(), 1);
        assert_eq!(planning.today.map(|day| day.to_string()).as_deref(), Some("2015-03-01"));
    }

    #[test]
    fn any_host_is_each_of_them_unless_one_is_called_so() {
        let down = |hosts: &str| {
            let plan = "knobs.\"hosts.app.count\" = \"1..3\"\nconditions.a = { down = [\"any\"] }\n";
            let scenario = read(&format!("{plan}{hosts}")).expect("the plan is good");
            scenario.planning.expect("there is one").conditions.remove(0).down
        };
        assert_eq!(down("[hosts.data]"), ["app", "data"]);
        assert_eq!(down("[hosts.any]"), ["any"]);
    }

    #[test]
    fn what_leads_nowhere_is_told_with_its_place() {
        for (plan, expected) in [
            ("replications = 3", "plan.knobs: found nothing"),
            ("knobs.\"hosts.ap.count\" = \"1..3\"", "found \"hosts.ap.count\""),
            ("knobs.\"hosts.app.count\" = \"3..1\"", "a range that rises"),
            ("knobs.\"hosts.app.count\" = 3", "a range such as \"1..20\""),
            ("knobs.\"hosts.app\" = [{ cores = 3 }]", "the key \"name\""),
            ("knobs.\"hosts.app.count\" = [1, 1]", "\"1\" again"),
            (
                "knobs.\"hosts.app.count\" = \"1..900\"\nknobs.\"hosts.app.cores\" = \"1..900\"",
                "810000 candidates",
            ),
            ("knobs.\"hosts.app.count\" = \"1..3\"\nconditions.a = { down = [\"ap\"] }", "write \"app\""),
            ("knobs.\"hosts.app.count\" = \"1..3\"\nconditions.a = { after = \"4w\" }", "how the load grows"),
            ("knobs.\"hosts.app.count\" = \"1..3\"\nconditions.a = {}", "different from the file"),
            ("knobs.\"hosts.app.count\" = \"1..3\"\nfor = \"11s\"", "a part of the run"),
            ("knobs.\"hosts.app.count\" = \"1..3\"\ntoday = \"2015-02-29\"", "a day from"),
        ] {
            let told = read(plan).expect_err(plan);
            assert!(told.contains(expected), "{plan}: {told}");
        }
        let bare = TEXT.replace("[thresholds]\nfailed = [\"rate<1%\"]", "").replace("price", "zone");
        let bare = bare.replace("100 USD/month", "a");
        let problems = Scenario::parse("shop.toml", format!("{bare}knobs.\"hosts.app.count\" = \"1..3\""))
            .expect_err("nothing is held and nothing costs")
            .to_string();
        assert!(problems.contains("no thresholds") && problems.contains("no prices"), "{problems}");
    }
}
