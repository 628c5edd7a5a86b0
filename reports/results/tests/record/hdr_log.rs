//! Interval logs, our own and those of other tools.

use std::path::{Path, PathBuf};

use results::buckets::Fine;
use results::{IntervalLog, Scope, TimeUnit};

use crate::synthetic::{Play, SHOP, record, scenario};

fn read(path: &Path) -> IntervalLog {
    IntervalLog::read(path, TimeUnit::Nanoseconds).unwrap_or_else(|e| panic!("the log is right: {e}"))
}

fn written(directory: &tempfile::TempDir, text: &str) -> PathBuf {
    let path = directory.path().join("a.hlog");
    std::fs::write(&path, text).expect("it can be written");
    path
}

/// A histogram of `n` different times, from `from` nanoseconds on.
fn histogram(from: u64, n: u64) -> String {
    let mut times = Fine::default();
    (0..n).for_each(|i| times.add(from + i * i * 1_000));
    times.encode()
}

#[test]
fn our_own_logs_hold_what_the_record_holds() {
    let directory = tempfile::tempdir().expect("a temporary directory can be made");
    let record = record(directory.path(), &scenario(SHOP), Play::LOADGEN);
    let path = directory.path().join("latency.hlog");
    assert!(IntervalLog::is_one(&path));
    assert!(
        !IntervalLog::is_one(&directory.path().join("run.json")) && !IntervalLog::is_one(directory.path())
    );
    let log = read(&path);
    assert_eq!(log.tags.iter().map(|t| t.name.as_str()).collect::<Vec<_>>(), ["order", "product"]);
    let windows = (0..record.frame.windows.len()).map(|w| record.tally(Scope::Window(w), None));
    let answered: u64 = windows.map(|t| t.due() - t.dropped()).sum();
    assert_eq!(log.tags.iter().map(|t| t.times.total()).sum::<u64>(), answered);
    assert_eq!(log.steps.iter().map(|s| s.times.total()).sum::<u64>(), answered);
    assert_eq!((log.interval_s, log.length_s, log.epoch_s), (1.0, 22.0, None));
}

#[test]
fn any_number_of_intervals_makes_a_bounded_number_of_steps_and_loses_nothing() {
    let histograms: Vec<String> = (0..7).map(|i| histogram(1_000_000 * (i + 1), 400 + 100 * i)).collect();
    let mut text = "#[StartTime: 1767225600.000 (seconds since epoch)]\r\n".to_owned();
    let mut values = 0;
    for i in 0..21_000_u64 {
        let which = (i * 5 % 7) as usize;
        let tag = if i % 3 == 0 { "Tag=writes," } else { "" };
        text += &format!("{tag}{:.3},0.500,1.0,{}\r\n", i as f64 * 0.5, histograms[which]);
        values += 400 + 100 * which as u64;
    }
    assert!(text.len() > 8 << 20, "it spans several blocks: {}", text.len());
    let directory = tempfile::tempdir().expect("a temporary directory can be made");
    // The last line may have no end.
    let log = read(&written(&directory, text.trim_end()));
    assert_eq!((log.intervals, log.length_s, log.epoch_s), (21_000, 10_500.0, Some(1_767_225_600.0)));
    assert_eq!(log.steps.iter().map(|s| s.times.total()).sum::<u64>(), values);
    assert_eq!(
        log.tags.iter().map(|t| (t.name.as_str(), t.intervals)).collect::<Vec<_>>(),
        [("", 14_000), ("writes", 7_000)]
    );
    assert!((512..=1_024).contains(&log.steps.len()), "{} steps", log.steps.len());
    assert!(log.steps.windows(2).all(|pair| pair[0].until_s == pair[1].from_s));
    let again = read(&log.path);
    assert_eq!(again, log, "threads have no say in it");
}

#[test]
fn units_are_those_that_are_told() {
    let directory = tempfile::tempdir().expect("a temporary directory can be made");
    let path = written(&directory, &format!("0.0,1.0,5.0,{}\n", histogram(64_000, 1)));
    let greatest = |unit| {
        let log = IntervalLog::read(&path, unit).expect("it is right");
        log.tags[0].times.iter().next_back().expect("there is a value").1
    };
    let nanos = greatest(TimeUnit::Nanoseconds);
    assert!((64_000..64_200).contains(&nanos), "{nanos}");
    let micros = greatest(TimeUnit::Microseconds);
    assert!((64_000_000..64_200_000).contains(&micros), "{micros}");
}

#[test]
fn what_is_wrong_has_a_line() {
    let directory = tempfile::tempdir().expect("a temporary directory can be made");
    let right = format!("0.0,1.0,5.0,{}\n", histogram(64_000, 10));
    let problem = |text: &str| {
        let path = written(&directory, text);
        let error = IntervalLog::read(&path, TimeUnit::Nanoseconds).expect_err("it is wrong");
        error.to_string().split("a.hlog").nth(1).unwrap_or_default().to_owned()
    };
    assert_eq!(
        problem(&format!("#[x]\n{right}1.0,1.0,HISTF\n")),
        ":3: not an interval log of HdrHistogram: found \"HISTF\", expected [Tag=…,]start,length,max,histogram"
    );
    assert!(problem(&format!("{right}{right}1.0,1.0,5.0,SGVsbG8=\n")).starts_with(":3: not an interval log"));
    let cut = written(&directory, &format!("{right}1.0,1.0,5.0,SGVsb"));
    assert_eq!(read(&cut).intervals, 1, "a last line that was cut off counts for nothing");
    assert!(problem("#[nothing]\n").contains("found no interval"));
    assert!(problem("").contains("found no interval"));
}
