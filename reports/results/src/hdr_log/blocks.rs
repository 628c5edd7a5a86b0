//! A file in blocks of whole lines, read by one thread and worked on by others, of which never more than a few are held.

use std::fs::File;
use std::io::{self, Read as _};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread;

/// The usual length of a block, and the greatest of a line, in bytes.
const BLOCK: usize = 1 << 22;
const LINE: usize = 1 << 26;
/// Blocks that wait for each worker.
const AHEAD: usize = 2;

/// Whole lines, and where in the file the first of them begins.
pub(super) struct Block {
    pub(super) at: u64,
    pub(super) lines: Vec<u8>,
}

/// Cuts a file into blocks.
pub(super) struct Blocks {
    file: File,
    at: u64,
    rest: Vec<u8>,
    ended: bool,
}

impl Blocks {
    pub(super) fn of(file: File) -> Self {
        Self { file, at: 0, rest: Vec::new(), ended: false }
    }

    /// The next block, which ends with a line; the last one may end without.
    pub(super) fn next(&mut self) -> io::Result<Option<Block>> {
        while !self.ended {
            let begin = self.rest.len();
            self.rest.reserve(BLOCK);
            let read = self.file.by_ref().take(BLOCK as u64).read_to_end(&mut self.rest)?;
            self.ended = read == 0;
            if let Some(end) = self.rest[begin..].iter().rposition(|b| *b == b'\n') {
                let rest = self.rest.split_off(begin + end + 1);
                return Ok(Some(self.block(rest)));
            }
            if self.rest.len() > LINE {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "a line of more than 64 MiB"));
            }
        }
        Ok((!self.rest.is_empty()).then(|| self.block(Vec::new())))
    }

    fn block(&mut self, rest: Vec<u8>) -> Block {
        let lines = std::mem::replace(&mut self.rest, rest);
        let at = self.at;
        self.at += lines.len() as u64;
        Block { at, lines }
    }
}

/// Has `work` done on all blocks by as many threads as there are cores, each with a state of its own; the states. A thread ends at
/// its first error; the error that stands first in the file is told.
pub(super) fn each<S: Send, E: Send + From<io::Error>>(
    first: Option<Block>,
    blocks: &mut Blocks,
    state: impl Fn() -> S + Sync,
    work: impl Fn(&mut S, &Block) -> Result<(), E> + Sync,
) -> Result<Vec<S>, E> {
    let threads = thread::available_parallelism().map_or(1, usize::from).min(8);
    thread::scope(|scope| {
        let (send, receive) = mpsc::sync_channel::<Block>(AHEAD * threads);
        // The workers own it together: where all of them have ended, nothing can be sent any more.
        let receive = Arc::new(Mutex::new(receive));
        let (state, work) = (&state, &work);
        let worker = |receive: Arc<Mutex<mpsc::Receiver<Block>>>| {
            move || {
                let mut state = state();
                loop {
                    // A worker that panicked is heard of when it is joined.
                    let block = receive.lock().unwrap_or_else(PoisonError::into_inner).recv();
                    let Ok(block) = block else { return Ok(state) };
                    if let Err(error) = work(&mut state, &block) {
                        return Err((block.at, error));
                    }
                }
            }
        };
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(worker(Arc::clone(&receive)))).collect();
        drop(receive);
        let mut failed = None;
        let mut next = first;
        loop {
            let block = match next.take() {
                Some(block) => block,
                None => match blocks.next() {
                    Ok(Some(block)) => block,
                    Ok(None) => break,
                    Err(error) => {
                        failed = Some((blocks.at, error.into()));
                        break;
                    }
                },
            };
            // One worker that met an error is enough to stop.
            if workers.iter().any(thread::ScopedJoinHandle::is_finished) || send.send(block).is_err() {
                break;
            }
        }
        drop(send);
        let mut states = Vec::new();
        for worker in workers {
            match worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)) {
                Ok(state) => states.push(state),
                Err((at, error)) if failed.as_ref().is_none_or(|(first, _)| at < *first) => {
                    failed = Some((at, error));
                }
                Err(_) => {}
            }
        }
        failed.map_or(Ok(states), |(_, error)| Err(error))
    })
}
