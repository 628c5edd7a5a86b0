//! SIGINT and SIGTERM end a run early, with the record of what it had. A second one ends the program at once.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use tokio::signal::unix::{SignalKind, signal};

/// Exit code of an interrupted run.
pub(crate) const EXIT_INTERRUPTED: u8 = 105;

/// Set by the first signal.
static STOP: AtomicBool = AtomicBool::new(false);

/// Listens from now on; the flag that the first signal sets.
pub(crate) fn listen() -> io::Result<&'static AtomicBool> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    let (mut interrupt, mut terminate) = {
        let _inside = runtime.enter();
        (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?)
    };
    thread::Builder::new().name("signals".to_owned()).spawn(move || {
        runtime.block_on(async {
            loop {
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                }
                if STOP.swap(true, Ordering::Relaxed) {
                    // The stack's processes end by themselves when this one does.
                    std::process::exit(i32::from(EXIT_INTERRUPTED));
                }
            }
        });
    })?;
    Ok(&STOP)
}
