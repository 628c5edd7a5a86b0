//! The HTML page.

use results::record::Status;
use results::{Failure, Frame, Recorder, RunRecord, RunWriter, Validity, World};

use crate::run;
use crate::synthetic::{Play, SHOP, outcomes, provenance, record, scenario, started};

const LIMIT: usize = 2_000_000;
/// A shop with a cache, a store and a database of 16 connections, of which half of the nodes die.
const QUICKSTART: &str = include_str!("../../../scenarios/library/quickstart.toml");

/// The figure of this title.
fn figure<'a>(html: &'a str, title: &str) -> &'a str {
    let begun = html.split_once(&format!("<h3>{title}</h3>"));
    let (_, rest) = begun.unwrap_or_else(|| panic!("{title} is on the page"));
    rest.split("</figure>").next().expect("there is a first part")
}

/// Every tag that is opened is closed in the right order.
fn assert_well_formed(html: &str) {
    const VOID: [&str; 3] = ["meta", "!DOCTYPE", "br"];
    let mut open: Vec<&str> = Vec::new();
    let mut rest = html;
    while let Some(start) = rest.find('<') {
        let end = start + rest[start..].find('>').expect("a tag ends");
        let tag = &rest[start + 1..end];
        let name = tag.trim_start_matches('/').split([' ', '/', '\n']).next().unwrap_or_default();
        if tag.starts_with('/') {
            assert_eq!(open.pop(), Some(name), "before {:?}", &rest[end..(end + 80).min(rest.len())]);
        } else if !tag.ends_with('/') && !VOID.contains(&name) {
            open.push(name);
        }
        rest = &rest[end + 1..];
        for raw in ["style", "script"] {
            if name == raw && !tag.starts_with('/') {
                rest = &rest[rest.find(&format!("</{raw}>")).expect("it ends")..];
            }
        }
    }
    assert!(open.is_empty(), "{open:?}");
}

/// Nothing is fetched, nothing is unfinished.
fn assert_self_contained(html: &str) {
    assert!(
        html.matches("<script>").count() <= 1 && !html.contains("<script "),
        "one script, which is in the page"
    );
    // The names of XML's own spaces are no addresses that anybody asks.
    let html = &html.replace("http://www.w3.org/2000/svg", "");
    for forbidden in ["http:", "https:", "src=", "@import", "url(", "NaN", "#01", "<link"] {
        assert!(!html.contains(forbidden), "{forbidden} in the page");
    }
    assert!(html.len() < LIMIT, "{} bytes", html.len());
    assert_well_formed(html);
}

#[test]
fn page_is_self_contained_and_well_formed() {
    for play in [Play::SIM, Play::LOADGEN, Play { dropped: 0.1, ..Play::LOADGEN }] {
        assert_self_contained(&reports::render(&[run(SHOP, play)]));
    }
    assert_self_contained(&reports::render(&[run(SHOP, Play::SIM), run(SHOP, Play::LOADGEN)]));
    assert_self_contained(&reports::render(&[]));
}

#[test]
fn verdict_comes_before_everything_else() {
    let html = reports::render(&[run(SHOP, Play::SIM)]);
    let at = |text: &str| html.find(text).unwrap_or_else(|| panic!("{text} is on the page"));
    assert!(at("1 of 4 thresholds fails") < at("<svg"));
    assert!(html.contains("response_time{class:order} is "));
    assert!(
        at("<section") < at("class=\"verdict bad\"") && at("class=\"verdict bad\"") < at("class=\"cards\"")
    );
}

#[test]
fn what_readers_ask_first_comes_first() {
    let html = reports::render(&[run(SHOP, Play { dropped: 0.01, ..Play::LOADGEN })]);
    let at = |text: &str| {
        assert_eq!(html.matches(text).count(), 1, "{text} is on the page once");
        html.find(text).expect("it was counted")
    };
    let order = [
        "class=\"verdict",
        "<h2>Thresholds</h2>",
        "<h3>The stack</h3>",
        "<h3>Offered and achieved rate</h3>",
        "<h3>Send lag</h3>",
        "<h3>Response time</h3>",
        "<h3>Response times, all of them</h3>",
        "<h3>Distribution of response and service time</h3>",
        "<h3>Utilisation</h3>",
        "<h3>Waiting</h3>",
        "<h3>Failed requests</h3>",
        "<h2>Cost and headroom</h2>",
    ];
    assert!(order.map(at).is_sorted(), "{:?}", order.map(at));
}

#[test]
fn every_time_chart_has_its_fault_band() {
    let html = reports::render(&[run(SHOP, Play::LOADGEN)]);
    let charts: Vec<&str> = html.split("<figure>").skip(1).collect();
    assert!(charts.len() >= 6, "{}", charts.len());
    for chart in charts {
        let chart = chart.split("</figure>").next().unwrap_or_default();
        let title = chart.split("</h3>").next().unwrap_or_default();
        let over_time = !title.contains("Distribution") && !title.contains("The stack");
        assert_eq!(chart.contains("fill=\"var(--band)\""), over_time, "{title}");
        assert_eq!(chart.contains("kill host:app[1]"), over_time, "{title}");
        assert!(chart.contains("<details>"), "{title}");
        let rows = chart.matches("<tr>").count();
        assert!((2..=61).contains(&rows), "{title}: {rows}");
    }
}

#[test]
fn lines_differ_by_more_than_colour() {
    let html = reports::render(&[run(SHOP, Play::SIM)]);
    let chart = html.split("<h3>Response time</h3>").nth(1).expect("the chart is there");
    let chart = chart.split("</figure>").next().expect("it ends");
    for variable in 2..=4 {
        assert!(chart.contains(&format!("stroke=\"var(--s{variable})\" stroke-dasharray=")), "{variable}");
    }
}

#[test]
fn infinite_percentiles_are_marked() {
    let html = reports::render(&[run(SHOP, Play { dropped: 0.1, ..Play::SIM })]);
    assert!(html.contains("∞") && html.contains("▲ at the upper edge: infinite"));
    assert!(html.contains("were dropped because too many were under way"));
    assert!(html.contains("<polygon"));
}

#[test]
fn run_without_requests_renders() {
    let directory = tempfile::tempdir().expect("a temporary directory can be made");
    for status in [Status::Complete, Status::Interrupted] {
        let writer = RunWriter::create(directory.path(), &scenario(SHOP), World::Sim, provenance());
        let record = writer.and_then(|w| w.finish(status, Validity::default())).expect("written");
        let html = reports::render(&[record]);
        assert_self_contained(&html);
        assert!(html.contains("No request was due"));
    }
}

#[test]
fn incomplete_and_invalid_runs_say_so_first() {
    let directory = tempfile::tempdir().expect("a temporary directory can be made");
    drop(started(directory.path(), &scenario(SHOP), Play::SIM));
    let killed = RunRecord::read(directory.path()).expect("the journal is there");
    assert!(reports::render(&[killed]).contains("the run was killed after"));
    let writer = started(directory.path(), &scenario(SHOP), Play::LOADGEN);
    let reasons = vec!["the generator lagged <40 ms>".to_owned()];
    let invalid = writer.finish(Status::Complete, Validity { reasons }).expect("written");
    let html = reports::render(&[invalid]);
    assert!(html.contains("do not believe these figures: the generator lagged &#60;40 ms&#62;"));
    assert_self_contained(&html);
}

#[test]
fn long_runs_with_many_classes_stay_small() {
    let classes: String = (0..5)
        .map(|i| format!("[requests.c{i}]\npath = \"/{i}\"\n[[requests.c{i}.steps]]\nwork = \"1ms\"\n"))
        .collect();
    let text = format!(
        "title = \"Long\"\n[run]\nduration = \"1000s\"\n[hosts.app]\ncount = 7\n[components.shop]\nkind = \"service\"\n\
         host = \"app\"\n{classes}\n[traffic.all]\nto = \"shop\"\nexecutor = \"constant-arrival-rate\"\n\
         rate = \"60/s\"\nmix = {{ c0 = 1, c1 = 1, c2 = 1, c3 = 1, c4 = 1 }}\n\
         [[faults]]\nat = \"100s\"\nfor = \"300s\"\nkill = \"host:app[1]\"\n"
    );
    let directory = tempfile::tempdir().expect("a temporary directory can be made");
    let record = record(directory.path(), &scenario(&text), Play { dropped: 0.01, ..Play::LOADGEN });
    assert_eq!(record.frame.intervals(), 1_000);
    let html = reports::render(std::slice::from_ref(&record));
    assert_self_contained(&html);
    assert!(html.len() < 700_000, "{} bytes", html.len());
    let size = std::fs::metadata(directory.path().join("run.json")).expect("it was written").len();
    assert!(size < 20_000_000, "{size}");
}

#[test]
fn a_run_of_five_seconds_and_one_of_a_week_have_the_same_page() {
    for [duration, at, lasts, rate] in [["5s", "2s", "1s", "200/s"], ["7d", "2d", "10h", "100/h"]] {
        let text = SHOP
            .replace("duration = \"20s\"", &format!("duration = \"{duration}\""))
            .replace("at = \"8s\"", &format!("at = \"{at}\""))
            .replace("for = \"6s\"", &format!("for = \"{lasts}\""))
            .replace("rate = \"200/s\"", &format!("rate = \"{rate}\""));
        let html = reports::render(&[run(&text, Play::LOADGEN)]);
        assert_self_contained(&html);
        for title in
            ["Offered and achieved rate", "Response time", "Response times, all of them", "Utilisation"]
        {
            let chart = figure(&html, title);
            assert!(chart.contains("kill host:app[1]"), "{duration}: {title}");
            assert!((2..=61).contains(&chart.matches("<tr>").count()), "{duration}: {title}");
        }
    }
}

#[test]
fn the_stack_is_drawn_with_who_asks_whom_and_the_busiest_marked() {
    let html = reports::render(&[run(SHOP, Play::LOADGEN)]);
    let picture = html.split("class=\"stack\"").nth(1).expect("there is a picture").split("</svg>").next();
    let picture = picture.expect("it ends");
    assert!(picture.contains("traffic</text>") && picture.contains("class=\"tip\""), "{picture}");
    assert_eq!(picture.matches("busiest").count(), 1, "{picture}");
    // The machines stand below, with what runs on them.
    assert_eq!(picture.matches("class=\"host\"").count(), 2, "{picture}");
    for text in ["edge", "1 core", "runs balancer", "app × 2", "4 cores", "runs shop"] {
        assert!(picture.contains(&format!(">{text}</text>")), "{text}: {picture}");
    }
}

#[test]
fn all_response_times_are_shaded() {
    let html = reports::render(&[run(SHOP, Play::LOADGEN)]);
    let picture = html.split("Response times over time, as shades").nth(1).expect("there is a picture");
    assert!(picture.split("</svg>").next().is_some_and(|svg| svg.contains("var(--h10)")), "there are shades");
}

#[test]
fn interval_logs_of_other_tools_are_drawn() {
    let directory = tempfile::tempdir().expect("a temporary directory can be made");
    record(directory.path(), &scenario(SHOP), Play::LOADGEN);
    let path = directory.path().join("latency.hlog");
    let log = results::IntervalLog::read(&path, results::TimeUnit::Nanoseconds).expect("it is our own");
    let html = reports::render_logs(&[log]);
    assert_self_contained(&html);
    for text in
        ["22 s", "By tag", "product", "Response time over time", "as shades", "Percentiles of all values"]
    {
        assert!(html.contains(text), "{text} is on the page");
    }
}

#[test]
fn what_there_is_to_know_of_components_has_a_chart() {
    let html = reports::render(&[run(QUICKSTART, Play::LOADGEN)]);
    assert_self_contained(&html);
    for (title, of) in [
        ("Utilisation", "shop[2]"),
        ("Waiting", "archive"),
        ("In service", "archive"),
        ("Connections", "objects"),
        ("Hit ratio", "objects"),
        ("Evictions", "objects"),
        ("Keys with a lifetime", "objects"),
        ("Memory", "objects"),
        ("Behind the original", "objects"),
        ("Not applied yet", "archive"),
    ] {
        let figure = figure(&html, title);
        assert!(figure.contains(&format!(">{of}</th>")), "{title}: {of} has a column of the table");
        assert!(figure.contains("<polyline"), "{title}: {of} has a line");
    }
    // Of 170 keys found and 30 not.
    assert!(figure(&html, "Hit ratio").contains("85.0%"));
    assert!(!html.contains("<h3>Instances</h3>"), "nothing is added or taken away");
}

#[test]
fn a_database_without_a_free_connection_is_told_to_give_first() {
    // Its processors are busy for half of the time, and 14 or 15 of its 16 connections are in use while a node is dead.
    let html = reports::render(&[run(QUICKSTART, Play::SIM)]);
    assert!(html.contains("first to give is archive (connections, busy "));
    let picture = html.split("class=\"stack\"").nth(1).and_then(|rest| rest.split("</svg>").next());
    let marked = picture.expect("there is a picture").split("busiest").next().unwrap_or_default();
    assert!(marked.rfind("archive") > marked.rfind("objects"), "the mark stands in its box: {marked}");
}

#[test]
fn no_two_lines_of_a_chart_look_the_same_however_many_components_there_are() {
    let services: String = (0..11)
        .map(|i| {
            format!(
                "[components.s{i}]\nkind = \"service\"\nhost = \"app\"\n[traffic.t{i}]\nto = \"s{i}\"\n\
                 executor = \"constant-arrival-rate\"\nrate = \"5/s\"\nmix = {{ page = 1 }}\n"
            )
        })
        .collect();
    let text = format!(
        "title = \"Many\"\n[run]\nduration = \"10s\"\n[hosts.app]\n[requests.page]\npath = \"/\"\n\
         steps = [{{ work = \"1ms\" }}]\n{services}"
    );
    let html = reports::render(&[run(&text, Play::SIM)]);
    let chart = figure(&html, "Utilisation");
    assert!(chart.contains("Of 11 lines, the 8 that reach highest."), "{chart}");
    assert_eq!(chart.matches("<li>").count(), 8, "{chart}");
}

#[test]
fn kinds_of_failure_beyond_the_styles_of_lines_are_told_together() {
    let shop = scenario(SHOP);
    let kinds: Vec<Failure> = Failure::ALL.into_iter().filter(|kind| *kind != Failure::Dropped).collect();
    let mut recorder = Recorder::new(&Frame::new(&shop));
    for (n, mut outcome) in outcomes(&shop, Play::SIM).into_iter().enumerate() {
        // The first seven kinds come twice as often as the last three.
        outcome.result = match n % 20 {
            kind @ 0..10 => Err(kinds[kind]),
            again @ 10..17 => Err(kinds[again - 10]),
            _ => Ok(()),
        };
        recorder.record(&outcome);
    }
    let html = reports::render(&[RunRecord::in_memory(&shop, World::Sim, &recorder.take(), &[])]);
    let chart = figure(&html, "Failed requests");
    assert_eq!(chart.matches("<li>").count(), 8, "{chart}");
    let rare: Vec<&str> = kinds[7..].iter().map(|kind| kind.name()).collect();
    assert!(chart.contains(&format!("{}</li>", rare.join(", "))), "{chart}");
}
