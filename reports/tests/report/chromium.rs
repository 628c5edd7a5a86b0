//! Pages in a real browser: they say nothing on its console, ask nobody for anything, and can be printed.

use std::path::{Path, PathBuf};

use crate::browser::{self, PATIENCE, Seen, chromium};
use crate::run;
use crate::served::Served;
use crate::synthetic::{Play, SHOP, record, scenario};

/// Writes down in the page itself what it asked for. A browser asks for things of its own as well, which are not the page's.
const WITNESS: &str = "<script>addEventListener('load', () => { document.documentElement.dataset.asked = \
    performance.getEntriesByType('resource').map((entry) => entry.name).join(' '); });</script>";

/// Moves over the middle of the first chart, presses the first name of a legend, and writes down what came of it: how many crosshairs there are
/// in how many charts over time, whether the line is shown, and how it is displayed.
const HAND: &str = "<script>addEventListener('load', () => { \
    const charts = document.querySelectorAll('svg[data-plot]'), box = charts[0].getBoundingClientRect(); \
    const middle = { clientX: box.left + box.width / 2, clientY: box.top + box.height / 2 }; \
    charts[0].dispatchEvent(new PointerEvent('pointermove', middle)); \
    const toggle = document.querySelector('.legend button'); toggle.click(); \
    const line = toggle.closest('figure').querySelector('.line-0'); \
    document.documentElement.dataset.hand = [document.querySelectorAll('line.crosshair').length, charts.length, \
        toggle.getAttribute('aria-pressed'), getComputedStyle(line).display].join(' '); });</script>";

/// Opens a file; it cannot even ask this machine.
fn open(chromium: &Path, page: &Path, what: &str) -> Option<Seen> {
    let address = format!("file://{}", page.display());
    browser::open(chromium, &address, &["--proxy-bypass-list=<-loopback>", what])
}

/// What a page wrote down of its asking.
fn asked(output: &str) -> &str {
    written(output, "data-asked=\"")
}

/// What a page wrote down in an attribute of itself.
fn written<'a>(output: &'a str, attribute: &str) -> &'a str {
    let value = output.split(attribute).nth(1).and_then(|rest| rest.split('"').next());
    value.unwrap_or("it did not come to its end")
}

/// The pages of a run, of a comparison, and of an interval log, each in a file.
fn pages(at: &Path) -> Vec<PathBuf> {
    let (sim, measured) = (run(SHOP, Play::SIM), run(SHOP, Play { dropped: 0.01, ..Play::LOADGEN }));
    let log = at.join("latency.hlog");
    let mut times = results::buckets::Fine::default();
    (1..1_000).for_each(|i| times.add(i * 50_000));
    let lines: String = (0..60).map(|i| format!("Tag=a,{i}.000,1.000,50.0,{}\n", times.encode())).collect();
    std::fs::write(&log, lines).expect("it can be written");
    let log = results::IntervalLog::read(&log, results::TimeUnit::default()).expect("it is right");
    let comparison = reports::compare(&sim, &measured).expect("the scenario is the same").html();
    let pages = [reports::render(&[measured]), comparison, reports::render_logs(&[log])];
    let names = ["run.html", "compared.html", "log.html"].map(|name| at.join(name));
    for (name, page) in names.iter().zip(&pages) {
        std::fs::write(name, page.replace("</head>", &format!("{WITNESS}</head>")))
            .expect("it can be written");
    }
    names.to_vec()
}

#[test]
fn a_browser_draws_pages_in_silence_and_alone_and_prints_them() {
    let Some(chromium) = chromium() else { return println!("SKIPPED: there is no chromium") };
    let directory = tempfile::tempdir().expect("a temporary directory can be made");
    for page in pages(directory.path()) {
        let name = page.display();
        let Some(seen) = open(&chromium, &page, "--dump-dom") else {
            return println!(
                "SKIPPED: the browser did not come to an end in {} s with {name}",
                PATIENCE.as_secs()
            );
        };
        assert!(
            seen.output.contains("</html>") && seen.output.matches("<svg").count() > 3,
            "{name} was drawn"
        );
        assert_eq!(seen.console, Vec::<String>::new(), "{name}");
        assert!(seen.output.contains("data-asked=\"\""), "{name} asked: {}", asked(&seen.output));
        let pdf = page.with_extension("pdf");
        let Some(seen) = open(&chromium, &page, &format!("--print-to-pdf={}", pdf.display())) else {
            return println!("SKIPPED: the browser did not print {name} in {} s", PATIENCE.as_secs());
        };
        assert_eq!(seen.console, Vec::<String>::new(), "{name}, printed");
        let printed = std::fs::read(&pdf).expect("it was printed");
        assert!(printed.starts_with(b"%PDF") && printed.len() > 20_000, "{name}: {} bytes", printed.len());
    }
}

#[test]
fn a_crosshair_runs_through_all_charts_and_lines_can_be_hidden() {
    let Some(chromium) = chromium() else { return println!("SKIPPED: there is no chromium") };
    let directory = tempfile::tempdir().expect("a temporary directory can be made");
    let page = directory.path().join("run.html");
    let html = reports::render(&[run(SHOP, Play::LOADGEN)]);
    std::fs::write(&page, html.replace("</head>", &format!("{HAND}</head>"))).expect("it can be written");
    let Some(seen) = open(&chromium, &page, "--dump-dom") else {
        return println!("SKIPPED: the browser did not come to an end in {} s", PATIENCE.as_secs());
    };
    assert_eq!(seen.console, Vec::<String>::new());
    let told: Vec<&str> = written(&seen.output, "data-hand=\"").split(' ').collect();
    assert!(told.len() == 4 && told[0] == told[1] && told[0] != "0", "a crosshair in each chart: {told:?}");
    assert_eq!(told[2..], ["false", "none"], "the line is hidden");
}

#[test]
fn a_browser_shows_served_runs_in_silence() {
    let Some(chromium) = chromium() else { return println!("SKIPPED: there is no chromium") };
    let directory = tempfile::tempdir().expect("a temporary directory can be made");
    record(&directory.path().join("one-sim"), &scenario(SHOP), Play::SIM);
    record(&directory.path().join("two-loadgen"), &scenario(SHOP), Play::LOADGEN);
    let served = Served::start(env!("CARGO_BIN_EXE_report"), directory.path());
    for (target, text) in [
        ("/", "/run?name=one-sim"),
        ("/run?name=one-sim", "By phase"),
        ("/compare?a=one-sim&b=two-loadgen", "Prediction error"),
    ] {
        let address = format!("http://{}{target}", served.address);
        let Some(seen) = browser::open(&chromium, &address, &["--dump-dom"]) else {
            return println!("SKIPPED: the browser did not come to an end in {} s", PATIENCE.as_secs());
        };
        // Whatever it asks of anybody else fails, and would be said here.
        assert_eq!(seen.console, Vec::<String>::new(), "{target}");
        assert!(seen.output.contains(text), "{target}:\n{}", seen.output);
    }
}

#[test]
fn a_page_that_complains_and_asks_around_is_found_out() {
    let Some(chromium) = chromium() else { return println!("SKIPPED: there is no chromium") };
    let directory = tempfile::tempdir().expect("a temporary directory can be made");
    let page = directory.path().join("bad.html");
    let text = format!(
        "<!DOCTYPE html><html><head>{WITNESS}</head><body><img src=\"http://elsewhere.example/a.png\">\
         <script>console.error('oh')</script>"
    );
    std::fs::write(&page, text).expect("it can be written");
    let Some(seen) = open(&chromium, &page, "--dump-dom") else {
        return println!("SKIPPED: the browser did not come to an end in {} s", PATIENCE.as_secs());
    };
    assert!(seen.console.iter().any(|line| line.contains("oh")), "{:?}", seen.console);
    assert!(asked(&seen.output).contains("elsewhere.example"), "{}", seen.output);
}
