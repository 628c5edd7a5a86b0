//! A run that was killed leaves what it had.

use proptest::prelude::*;
use results::{Outcome, Recorder, RunRecord, RunWriter, World};
use results::{record::Status, record::Validity};

use crate::synthetic::{Play, SHOP, outcomes, provenance, record, scenario, started};

#[test]
fn killed_run_is_read_from_its_journal() {
    let directory = tempfile::tempdir().expect("a temporary directory can be made");
    let scenario = scenario(SHOP);
    drop(started(directory.path(), &scenario, Play::SIM));
    let killed = RunRecord::read(directory.path()).expect("the journal is there");
    assert_eq!(killed.status, Status::Killed);
    assert_eq!(killed.exit_code(), 105);
    let whole = record(tempfile::tempdir().expect("a directory").path(), &scenario, Play::SIM);
    assert_eq!((&killed.tallies, &killed.series), (&whole.tallies, &whole.series));
}

#[test]
fn cut_off_line_loses_only_itself() {
    let directory = tempfile::tempdir().expect("a temporary directory can be made");
    drop(started(directory.path(), &scenario(SHOP), Play::SIM));
    let path = directory.path().join("run.journal");
    let text = std::fs::read_to_string(&path).expect("the journal is there");
    let whole = RunRecord::read(&path).expect("it is whole");
    // Cut within the third line: two remain, the header and one delta.
    let third = text.match_indices('\n').nth(1).expect("it has lines").0;
    std::fs::write(&path, &text[..third + 40]).expect("it can be written");
    let cut = RunRecord::read(&path).expect("a truncated journal is readable");
    assert!(cut.tallies.latest() > scenarios::units::SimTime::ZERO);
    assert!(cut.tallies.latest() < whole.tallies.latest());
    // A rate refers to the time that was covered, not to what had been planned.
    assert!(cut.covered() < cut.frame.total);
    std::fs::write(&path, format!("{}garbage\n{}", &text[..=third], &text[third + 1..])).expect("written");
    let message = RunRecord::read(&path).expect_err("damage in the middle is no truncation").to_string();
    assert!(message.contains("run.journal:3:"), "{message}");
}

#[test]
fn interrupted_run_is_marked() {
    let directory = tempfile::tempdir().expect("a temporary directory can be made");
    let writer = started(directory.path(), &scenario(SHOP), Play::SIM);
    writer.finish(Status::Interrupted, Validity::default()).expect("it can be written");
    let read = RunRecord::read(directory.path()).expect("a record was written");
    assert_eq!((read.status, read.exit_code()), (Status::Interrupted, 105));
}

#[test]
fn what_is_put_away_while_a_run_goes_on_is_in_its_record() {
    let scenario = scenario(&SHOP.replacen("duration = \"20s\"", "duration = \"200s\"", 1));
    let outcomes = outcomes(&scenario, Play::LOADGEN);
    let directory = tempfile::tempdir().expect("a temporary directory can be made");
    let mut writer =
        RunWriter::create(directory.path(), &scenario, World::Loadgen, provenance()).expect("created");
    let (mut recorder, mut direct) = (Recorder::new(writer.frame()), Recorder::new(writer.frame()));
    outcomes.iter().for_each(|outcome| direct.record(outcome));
    for part in outcomes.chunks(outcomes.len() / 50 + 1) {
        part.iter().for_each(|outcome| recorder.record(outcome));
        writer.append(&recorder.take(), &[]).expect("the journal can be written");
    }
    let (intervals, kept) = (writer.frame().intervals(), writer.so_far().tallies);
    let held = (0..intervals).filter(|at| kept.due(*at) > 0).count();
    assert!(intervals > 120 && held < 100, "{held} of {intervals} intervals are in memory at the end");
    let names =
        std::fs::read_dir(directory.path()).expect("it is there").flatten().map(|entry| entry.file_name());
    assert!(names.into_iter().all(|name| name != "run.spill"), "it has no name");
    let whole = writer.finish(Status::Complete, Validity::default()).expect("written");
    assert_eq!(&whole.tallies, direct.take().tallies());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    /// However the outcomes are spread over threads and appended in parts, the journal holds the same as one recorder.
    #[test]
    fn journal_equals_direct_recording(
        salt in 0u64..1_000,
        dropped in 0.0..0.3f64,
        cuts in proptest::collection::vec(0usize..3_000, 0..6),
        threads in 1usize..4,
    ) {
        let scenario = scenario(SHOP);
        let outcomes = outcomes(&scenario, Play { salt, dropped, ..Play::LOADGEN });
        let directory = tempfile::tempdir().expect("a temporary directory can be made");
        let mut writer = RunWriter::create(directory.path(), &scenario, World::Loadgen, provenance()).expect("created");
        let mut direct = Recorder::new(writer.frame());
        outcomes.iter().for_each(|o| direct.record(o));
        let mut cuts: Vec<_> = cuts.into_iter().map(|c| c.min(outcomes.len())).collect();
        cuts.extend([0, outcomes.len()]);
        cuts.sort_unstable();
        for part in cuts.windows(2) {
            let part: &[Outcome] = &outcomes[part[0]..part[1]];
            let mut recorders = vec![Recorder::new(writer.frame()); threads];
            part.iter().enumerate().for_each(|(i, o)| recorders[i % threads].record(o));
            let mut all = recorders.pop().expect("there is one");
            recorders.into_iter().for_each(|r| all.merge(r));
            writer.append(&all.take(), &[]).expect("appended");
            prop_assert_eq!(all.take(), Recorder::new(writer.frame()).take());
        }
        let journalled = RunRecord::read(directory.path()).expect("the journal is there");
        let whole = writer.finish(Status::Complete, Validity::default()).expect("written");
        let direct = direct.take();
        prop_assert_eq!(&journalled.tallies, direct.tallies());
        prop_assert_eq!(&journalled.tallies, &whole.tallies);
        let read = RunRecord::read(directory.path()).expect("the record is there");
        prop_assert_eq!(&read.tallies, &whole.tallies);
    }
}
