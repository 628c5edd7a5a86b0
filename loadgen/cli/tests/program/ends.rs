//! However a run ends, it leaves a record and no process.

use results::{RunRecord, Scope, Status, sample};
use rustix::process::{Pid, Signal, kill_process};

use crate::support::{Place, errors, until};
use crate::target::Target;

#[test]
fn killing_the_program_leaves_no_process_and_the_next_run_starts_cleanly() {
    let place = Place::new();
    place.shop("600s", "");
    let mut program = place.start(&["run", "shop.toml", "--quiet"]);
    let run = place.journalled();
    // Program, supervisor, balancer, two nodes, store.
    let running = place.processes().len();
    assert!(running >= 6, "{running} processes");
    program.kill().expect("it is running");
    program.wait().expect("it was started here");
    place.all_gone();

    let record = RunRecord::read(&run).expect("the journal can be read");
    assert_eq!(record.status, Status::Killed);
    assert!(record.tally(Scope::Run, None).ok > 0);

    place.shop("1s", "");
    let output = place.run(&["run", "shop.toml", "--quiet", "--no-report"]);
    // A machine that stood still makes the run invalid, which is no fault of the start.
    assert!([Some(0), Some(111)].contains(&output.status.code()), "{}", errors(&output));
    let record = RunRecord::read(place.runs().pop().expect("there is a run")).expect("it has a record");
    assert_eq!(record.status, Status::Complete);
    assert!(record.tally(Scope::Run, None).ok > 0);
    place.all_gone();
}

/// Every second is journalled when it is over: of a hundred requests a second, what was answered in the second under way is lost, and
/// where the machine is busy that of the one being written.
#[test]
fn a_run_that_is_killed_can_be_read_up_to_its_last_second() {
    let place = Place::new();
    place.target("600s", "");
    let target = Target::quick();
    let mut program =
        place.start(&["run", "target.toml", "--quiet", "--no-report", "--target", &target.url()]);
    // Fifty of the warm-up, and more than four seconds.
    until("some seconds were played", || (target.answered() >= 480).then_some(()));
    program.kill().expect("it is running");
    program.wait().expect("it was started here");
    let answered = target.answered();
    let run = place.runs().pop().expect("there is a run");
    let record = RunRecord::read(&run).expect("the journal can be read");
    assert_eq!(record.status, Status::Killed);
    let tally = record.tally(Scope::Run, None);
    assert_eq!(tally.failed(), 0, "{:?}", tally.failures);
    let recorded = 50 + tally.ok;
    assert!(recorded + 200 > answered && recorded <= answered + 5, "{recorded} of {answered}");
    // What was told of the generator itself is there, too.
    let lag = record.series(sample::GENERATOR, sample::WAKEUP_LAG_MAX_S).next().expect("it tells of itself");
    assert!(lag.values.iter().flatten().count() >= 2, "{lag:?}");
}

#[test]
fn an_interrupted_run_leaves_the_record_of_what_it_had() {
    for signal in [Signal::INT, Signal::TERM] {
        let place = Place::new();
        place.shop("600s", "");
        let mut program = place.start(&["run", "shop.toml", "--quiet"]);
        let run = place.journalled();
        kill_process(Pid::from_child(&program), signal).expect("it is running");
        let status = program.wait().expect("it was started here");
        assert_eq!(status.code(), Some(105));
        let record = RunRecord::read(&run).expect("there is a record");
        assert_eq!((record.status, record.exit_code()), (Status::Interrupted, 105));
        assert!(record.tally(Scope::Run, None).ok > 0);
        assert!(!run.join(results::writer::JOURNAL).exists() && run.join("report.html").exists());
        place.all_gone();
    }
}

#[test]
fn an_interruption_of_the_start_leaves_nothing() {
    let place = Place::new();
    // A store that takes its time to fill.
    place.shop(
        "600s",
        "[keyspaces.many]\nin = \"objects\"\nkeys = 20_000_000\npersistent = true\nvalue = \"1B\"",
    );
    let mut program = place.start(&["run", "shop.toml"]);
    until("the stack is being started", || (place.processes().len() > 1).then_some(()));
    kill_process(Pid::from_child(&program), Signal::INT).expect("it is running");
    assert_eq!(program.wait().expect("it was started here").code(), Some(105));
    assert_eq!(place.runs(), Vec::<std::path::PathBuf>::new());
    place.all_gone();
}
