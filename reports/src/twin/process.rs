//! A program that makes a run and leaves its record in a directory.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// How often is looked whether a program has ended.
const LOOK: Duration = Duration::from_millis(20);
/// What a program may say that is told.
const SAID: usize = 600;

/// A program that is running.
#[derive(Debug)]
pub(super) struct Running {
    child: Child,
    log: PathBuf,
    until: Instant,
}

/// How it ended.
#[derive(Debug)]
pub(super) enum Ended {
    /// By itself.
    With(ExitStatus),
    /// It took too long and was ended.
    Late,
    /// Somebody asked for the end of all, and it ended.
    Interrupted,
}

impl Running {
    /// Starts `program run FILE --out OUT --quiet` and more; what it says goes to `log`.
    ///
    /// # Errors
    /// If it cannot be started.
    pub(super) fn start(
        program: &Path,
        file: &Path,
        out: &Path,
        more: &[String],
        log: PathBuf,
        most: Duration,
    ) -> io::Result<Self> {
        let said = File::create(&log)?;
        let child = Command::new(program)
            .arg("run")
            .arg(file)
            .args(["--quiet", "--out"])
            .arg(out)
            .args(more)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(said)
            .spawn()?;
        Ok(Self { child, log, until: Instant::now() + most })
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// The kernel's.
    pub(super) fn end(&mut self, stop: &AtomicBool) -> io::Result<Ended> {
        let mut asked = false;
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(if asked { Ended::Interrupted } else { Ended::With(status) });
            }
            if Instant::now() > self.until {
                // The stack's processes end with whoever started them.
                self.child.kill()?;
                self.child.wait()?;
                return Ok(if asked { Ended::Interrupted } else { Ended::Late });
            }
            if stop.load(Ordering::Relaxed) && !asked {
                // A terminal tells the whole group of processes; whoever was told alone passes it on, and waits a moment.
                asked = true;
                let child = rustix::process::Pid::from_child(&self.child);
                let _ = rustix::process::kill_process(child, rustix::process::Signal::TERM);
                self.until = self.until.min(Instant::now() + Duration::from_secs(10));
            }
            thread::sleep(LOOK);
        }
    }

    /// The end of what it said, in one line.
    pub(super) fn said(&self) -> String {
        let text = fs::read(&self.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        let from = text.char_indices().rev().nth(SAID).map_or(0, |(at, _)| at);
        text[from..].to_owned()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Whoever has ended already needs no signal.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
