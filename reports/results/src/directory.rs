//! Where runs are kept.

use std::path::{Path, PathBuf};
use std::{fs, io};

use jiff::Timestamp;
use scenarios::Scenario;

use crate::error::Error;
use crate::outcome::World;

/// Makes a new directory for a run under `root`: `<UTC yyyymmdd-hhmmss>-<scenario>-<world>`, with `-2`, `-3` … after it
/// where that is taken.
///
/// # Errors
/// If the directory cannot be made.
pub fn run_directory(root: impl AsRef<Path>, scenario: &Scenario, world: World) -> Result<PathBuf, Error> {
    let stem = scenario.source.path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    reserve(root.as_ref(), &stem, world, Timestamp::now())
}

fn reserve(root: &Path, stem: &str, world: World, now: Timestamp) -> Result<PathBuf, Error> {
    let failed = |path: &Path, source| Error::Write { path: path.to_owned(), source };
    fs::create_dir_all(root).map_err(|e| failed(root, e))?;
    let tame = |c: char| if c.is_alphanumeric() || "-_.".contains(c) { c } else { '_' };
    let stem: String = stem.chars().map(tame).collect();
    let stem = if stem.is_empty() { "scenario" } else { &stem };
    let name = format!("{}-{stem}-{}", now.strftime("%Y%m%d-%H%M%S"), world.name());
    for attempt in 1.. {
        let suffix = if attempt == 1 { String::new() } else { format!("-{attempt}") };
        let path = root.join(format!("{name}{suffix}"));
        match fs::create_dir(&path) {
            Ok(()) => return Ok(path),
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
            Err(e) => return Err(failed(&path, e)),
        }
    }
    unreachable!("the loop ends with a free name or an error")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_of_the_same_second_have_directories_of_their_own() {
        let root = tempfile::tempdir().expect("a temporary directory can be made");
        let now = "2026-01-02T03:04:05Z".parse().expect("a timestamp");
        let name = |stem| {
            let path = reserve(root.path(), stem, World::Sim, now).expect("a directory can be made");
            path.file_name().expect("it has a name").to_string_lossy().into_owned()
        };
        assert_eq!(name("quickstart"), "20260102-030405-quickstart-sim");
        assert_eq!(name("quickstart"), "20260102-030405-quickstart-sim-2");
        assert_eq!(name("a b/c"), "20260102-030405-a_b_c-sim");
    }
}
