//! A browser without a screen.

use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// How long a browser may take to draw a page, on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

pub(crate) fn chromium() -> Option<PathBuf> {
    let paths = std::env::var_os("PATH").unwrap_or_default();
    let names = ["chromium", "chromium-browser", "google-chrome"];
    let found = std::env::split_paths(&paths)
        .flat_map(|path| names.map(|name| path.join(name)))
        .find(|p| p.is_file());
    assert!(found.is_some() || !is_required(), "there is no chromium, though REHEARSAL_REQUIRE names it");
    found
}

fn is_required() -> bool {
    std::env::var("REHEARSAL_REQUIRE").is_ok_and(|list| list.split(',').any(|r| r == "chromium"))
}

/// How often a browser that is required may be started for a page; one that is not gets one chance.
const ATTEMPTS: u32 = 3;

/// Nothing listens there, so nothing leaves the machine: but for loopback itself, every request fails, and says so on the console.
const NOWHERE: &str = "--proxy-server=http://127.0.0.1:9";

/// What a browser did with a page.
pub(crate) struct Seen {
    /// Lines of its log that come from the page's console.
    pub(crate) console: Vec<String>,
    /// What it wrote to its standard output.
    pub(crate) output: String,
}

/// Opens an address without a screen, with further arguments. None where the browser did not come to an end in time, unless it is
/// required.
pub(crate) fn open(chromium: &Path, address: &str, arguments: &[&str]) -> Option<Seen> {
    let required = is_required();
    let attempts = if required { ATTEMPTS } else { 1 };
    let seen = (0..attempts).find_map(|_| attempt(chromium, address, arguments));
    assert!(
        seen.is_some() || !required,
        "the browser did not come to an end with {address} in {} s, {ATTEMPTS} times, though REHEARSAL_REQUIRE names it",
        PATIENCE.as_secs()
    );
    seen
}

fn attempt(chromium: &Path, address: &str, arguments: &[&str]) -> Option<Seen> {
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
        .arg(NOWHERE)
        .arg(format!("--user-data-dir={}", profile.path().display()))
        .args(arguments)
        .arg(address)
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
