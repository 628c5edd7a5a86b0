//! The workspace's own binaries, run by tests that compare what they leave behind.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// The workspace's binaries of these names, which `cargo test --workspace` builds beside the tests; none where one is
/// missing.
///
/// # Panics
/// Where one is missing and `REHEARSAL_REQUIRE` names `binaries`.
pub fn binaries<const N: usize>(names: [&str; N]) -> Option<[PathBuf; N]> {
    let test = std::env::current_exe().expect("a test knows its own file");
    let directory = test.parent()?.parent()?;
    let paths = names.map(|name| directory.join(name));
    if paths.iter().all(|path| path.exists()) {
        return Some(paths);
    }
    let required =
        std::env::var("REHEARSAL_REQUIRE").is_ok_and(|list| list.split(',').any(|r| r == "binaries"));
    assert!(!required, "the binaries are not built, though REHEARSAL_REQUIRE names them");
    None
}

/// Runs a program to its end.
///
/// # Panics
/// Where it does not start.
pub fn run(program: &Path, arguments: &[&str]) -> Output {
    Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|error| panic!("{} does not start: {error}", program.display()))
}

/// The directory of the only run in `runs`.
///
/// # Panics
/// Where there is none.
pub fn only_run(runs: &Path) -> PathBuf {
    let mut entries = std::fs::read_dir(runs).expect("the run left a directory");
    entries.next().expect("there is a run").expect("its entry can be read").path()
}
