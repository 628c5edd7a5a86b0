//! Pages in a real browser: they say nothing on its console, ask nobody for anything, and can be printed.

use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::run;
use crate::synthetic::{Play, SHOP};

/// How long a browser may take to draw a page, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);

fn chromium() -> Option<PathBuf> {
    let paths = std::env::var_os("PATH").unwrap_or_default();
    let names = ["chromium", "chromium-browser", "google-chrome"];
    let found = std::env::split_paths(&paths)
        .flat_map(|path| names.map(|name| path.join(name)))
        .find(|p| p.is_file());
    let required =
        std::env::var("REHEARSAL_REQUIRE").is_ok_and(|list| list.split(',').any(|r| r == "chromium"));
    assert!(found.is_some() || !required, "there is no chromium, though REHEARSAL_REQUIRE names it");
    found
}

/// Writes down in the page itself what it asked for. A browser asks for things of its own as well, which are not the page's.
const WITNESS: &str = "<script>addEventListener('load', () => { document.documentElement.dataset.asked = \
    performance.getEntriesByType('resource').map((entry) => entry.name).join(' '); });</script>";
/// Nothing listens there, so nothing leaves the machine.
const NOWHERE: &str = "--proxy-server=http://127.0.0.1:9";

/// What a browser did with a page.
struct Seen {
    /// Lines of its log that come from the page's console.
    console: Vec<String>,
    output: String,
}

/// Opens a page without a screen. None where the browser did not come to an end in time.
fn open(chromium: &Path, page: &Path, what: &str) -> Option<Seen> {
    let profile = tempfile::tempdir().expect("a temporary directory can be made");
    let mut child = Command::new(chromium)
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"])
        .args([
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--disable-extensions",
        ])
        .args([
            "--disable-default-apps",
            "--disable-client-side-phishing-detection",
            "--enable-logging=stderr",
            "--v=0",
        ])
        .args([NOWHERE, "--proxy-bypass-list=<-loopback>"])
        .arg(format!("--user-data-dir={}", profile.path().display()))
        .arg(what)
        .arg(format!("file://{}", page.display()))
        .env("HOME", profile.path())
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("chromium starts");
    let group = rustix::process::Pid::from_child(&child);
    // Both are read while it runs: a full pipe would hold it up.
    let reader = |mut from: Box<dyn std::io::Read + Send>| {
        thread::spawn(move || {
            let mut bytes = Vec::new();
            let _ = from.read_to_end(&mut bytes);
            String::from_utf8_lossy(&bytes).into_owned()
        })
    };
    let output = reader(Box::new(child.stdout.take().expect("it was asked for")));
    let log = reader(Box::new(child.stderr.take().expect("it was asked for")));
    let begun = Instant::now();
    let ended = loop {
        match child.try_wait().expect("it is ours") {
            Some(status) => break status.success(),
            None if begun.elapsed() > PATIENCE => break false,
            None => thread::sleep(Duration::from_millis(20)),
        }
    };
    // Its helpers hold the pipes too.
    let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
    let _ = child.wait();
    let (output, log) = (output.join().expect("it only reads"), log.join().expect("it only reads"));
    let console = log.lines().filter(|line| line.contains(":CONSOLE")).map(str::to_owned).collect();
    ended.then_some(Seen { console, output })
}

/// What a page wrote down of its asking.
fn asked(output: &str) -> &str {
    output
        .split("data-asked=\"")
        .nth(1)
        .and_then(|rest| rest.split('"').next())
        .unwrap_or("it did not come to its end")
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
