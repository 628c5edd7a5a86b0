//! The planner against simulations of every candidate.

use super::*;
use crate::executor::Threads;
use crate::plan::search::Evaluator as _;

/// Who makes the runs.
const TWO: Threads = Threads(2);

/// Two kinds of machines, one to eight of them, a database in two sizes, with thresholds that hold with one node down and with
/// half as much load again. The small nodes cost less a core, the large ones need fewer spares: the cheapest is not obvious.
const TEXT: &str = r#"
title = "A shop that grows"
[run]
duration = "12s"
warmup = "2s"
[hosts.edge]
[hosts.app]
count = 2
cores = 2
price = "60 USD/month"
[hosts.db]
cores = 2
price = "100 USD/month"
[components.balancer]
kind = "load-balancer"
host = "edge"
to = "shop"
health_check = { http = "/health", interval = "500ms", fall = 2, rise = 2 }
retries = 3
redispatch = true
[components.shop]
kind = "service"
host = "app"
workers = 32
[components.archive]
kind = "sql-store"
host = "db"
connections = 100
read = "exponential(mean=4ms)"
write = "exponential(mean=4ms)"
[keyspaces.items]
in = "archive"
keys = 1000
value = "1kB"
[requests.page]
path = "/{items}"
[[requests.page.steps]]
work = "exponential(mean=20ms)"
[[requests.page.steps]]
select = { from = "archive", keyspace = "items" }
[traffic.users]
to = "balancer"
executor = "constant-arrival-rate"
rate = "250/s"
mix = { page = 1 }
timeout = "2s"
[thresholds]
response_time = ["p(95)<180ms"]
failed = ["rate<2%"]
[plan]
for = "8s"
growth = "10%/month"
today = "2015-01-01"
replications = 3
knobs."hosts.app.count" = "1..8"
knobs."hosts.app" = [
    { name = "small", cores = 2, price = "60 USD/month" },
    { name = "large", cores = 4, price = "128 USD/month" },
]
knobs."hosts.db.cores" = "2..3"
knobs."components.shop.workers" = [16, 32]
conditions.one-down = { down = ["app"] }
conditions.later = { load = 1.5 }
"#;

fn shop(text: &str) -> (Scenario, Planning) {
    let whole = Scenario::parse("shop.toml", text).unwrap_or_else(|problems| panic!("{problems}"));
    let planning = whole.planning.clone().expect("it plans");
    (trials::for_planning(&whole).expect("it is a scenario"), planning)
}

fn tries<'a>(
    base: &'a Scenario,
    planning: &'a Planning,
    space: &'a Space,
    stop: &'a AtomicBool,
) -> Tries<'a> {
    Tries {
        base,
        planning,
        space,
        circumstances: tries::circumstances(planning, &trials::part(base, planning.from, planning.length)),
        replications: planning.replications,
        by: &TWO,
        stop,
        progress: Mutex::new(Progress::new(false)),
        open: space.len(),
        hardest: 0,
        outcomes: BTreeMap::new(),
        runs: 0,
    }
}

#[test]
fn the_answer_is_the_cheapest_of_simulating_every_candidate() {
    let (base, planning) = shop(TEXT);
    let stop = AtomicBool::new(false);
    let how = How { replications: planning.replications, threads: 2, by: &TWO, stop: &stop, shows: false };
    let answer = plan(&base, &planning, &how).expect("the simulator takes it").expect("nobody interrupts");
    let space = &answer.screened.space;
    assert_eq!(space.len(), 64);
    let mut all = tries(&base, &planning, space, &stop);
    let everything: Vec<usize> = (0..space.len()).collect();
    let verdicts = all.evaluate(&everything, CONFIRMED, everything.len());
    let verdicts = verdicts.unwrap_or_else(|problem| panic!("{problem:?}"));
    let holding = everything.iter().copied().filter(|candidate| verdicts[*candidate].holds);
    let cheapest = holding.min_by(|a, b| space.cost(*a).total_cmp(&space.cost(*b)).then(a.cmp(b)));
    let cheapest = cheapest.expect("eight large machines hold");
    let best = answer.best.expect("something was found");
    assert_eq!(space.cost(best), space.cost(cheapest), "{}", answer.text());
    assert!(verdicts[best].holds, "{}", answer.text());
    assert!(answer.tried < 40, "trying nearly everything is no search: {}", answer.text());
    // When it is exhausted is told for both set-ups, also with a machine down, where that comes no later.
    let told: Vec<(usize, usize)> = answer.exhausted.iter().map(|l| (l.candidate, l.circumstance)).collect();
    assert_eq!(told, [(64, 0), (64, 1), (best, 0), (best, 1)], "{}", answer.text());
    for pair in answer.exhausted.chunks(2) {
        assert!(pair[1].breaks.order() <= 1.1 * pair[0].breaks.order(), "{}", answer.text());
    }
    assert!(answer.text().contains("The answer is exhausted on 2015-"), "{}", answer.text());
    // Nothing that was discarded unseen would have done.
    for of in answer.screened.overloaded.values() {
        for candidate in of {
            assert!(!verdicts[*candidate].holds, "candidate {candidate} was taken for overloaded");
        }
    }
    assert!(!answer.screened.overloaded.is_empty(), "some are asked for more than they have");
}

#[test]
fn answers_do_not_depend_on_the_number_of_threads() {
    let text = TEXT.replace("\"1..8\"", "[3, 5]").replace("replications = 3", "replications = 2");
    let (base, planning) = shop(&text);
    let stop = AtomicBool::new(false);
    let told = |threads| {
        let by = Threads(threads);
        let how = How { replications: 2, threads, by: &by, stop: &stop, shows: false };
        let answer =
            plan(&base, &planning, &how).expect("the simulator takes it").expect("nobody interrupts");
        (answer.text(), answer.json().to_string(), answer.html())
    };
    assert_eq!(told(1), told(3));
}

#[test]
fn where_nothing_holds_the_nearest_is_named() {
    let (base, planning) = shop(&TEXT.replace("\"1..8\"", "[5]").replace("p(95)<180ms", "p(95)<2ms"));
    let stop = AtomicBool::new(false);
    let how = How { replications: 2, threads: 2, by: &TWO, stop: &stop, shows: false };
    let answer = plan(&base, &planning, &how).expect("the simulator takes it").expect("nobody interrupts");
    assert_eq!(answer.best, None);
    assert!(answer.text().contains("None of 8 candidates holds"), "{}", answer.text());
}
