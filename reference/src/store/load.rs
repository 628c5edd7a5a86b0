//! Records out of a file, when a store starts: clients are told to wait (`-LOADING`), for longer the more there is.

use std::cell::RefCell;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::exit;
use std::rc::Rc;
use std::time::SystemTime;

use super::rdb::{self, Reader, Step, crc64};
use super::server::Server;
use crate::emulated::clock::now_nanos;
use crate::process::complain;

/// Read at once.
const READ_SIZE: usize = 1 << 20;
/// Records taken in before clients have their turn.
const STEPS: usize = 1000;

/// What is known of loading.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Loading {
    /// Whether it is under way.
    pub(super) is_on: bool,
    pub(super) total_bytes: u64,
    pub(super) loaded_bytes: u64,
    pub(super) keys_expired: u64,
    pub(super) took_nanos: u64,
}

/// Fills the store from a file, if it is there, while clients wait.
///
/// # Errors
/// Where the file cannot be read.
pub(super) fn load(server: &Rc<RefCell<Server>>, path: &Path) -> io::Result<()> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(io::Error::new(error.kind(), format!("{}: {error}", path.display()))),
    };
    let total_bytes = file.metadata()?.len();
    server.borrow_mut().loading = Loading { is_on: true, total_bytes, ..Loading::default() };
    // Lifetimes are told by everybody's clock.
    server.borrow_mut().data.clock.start();
    let (server, path) = (Rc::clone(server), path.to_owned());
    tokio::task::spawn_local(async move {
        if let Err(error) = take_all(&server, file).await {
            // A store without its records is none.
            complain(&format!("{}: {error}", path.display()));
            exit(1);
        }
    });
    Ok(())
}

/// Fills the store from the newer of two files that has all of a moment, if one has, while clients wait. It is read twice: nothing
/// is taken in before it is known that all of it is there.
pub(super) fn load_newest(server: &Rc<RefCell<Server>>, files: &[PathBuf; 2]) {
    server.borrow_mut().loading.is_on = true;
    let (server, files) = (Rc::clone(server), files.clone());
    tokio::task::spawn_local(async move {
        let began = now_nanos();
        let Some(newest) = newest(&files).await else {
            server.borrow_mut().loading.is_on = false;
            return;
        };
        server.borrow_mut().saves.turn = 1 - newest;
        let taken = async {
            let file = File::open(&files[newest])?;
            let total_bytes = file.metadata()?.len();
            server.borrow_mut().loading.total_bytes = total_bytes;
            // Lifetimes are told by everybody's clock.
            server.borrow_mut().data.clock.start();
            take_all(&server, file).await
        };
        if let Err(error) = taken.await {
            // A store without its records is none.
            complain(&format!("the last snapshot: {error}"));
            exit(1);
        }
        server.borrow_mut().loading.took_nanos = now_nanos() - began;
    });
}

/// Which of two files has all of a moment, and the later one where both have.
async fn newest(files: &[PathBuf; 2]) -> Option<usize> {
    let mut newest: Option<(Option<SystemTime>, usize)> = None;
    for (index, path) in files.iter().enumerate() {
        // One that cannot be read has nothing.
        if let Ok(true) = is_whole(path).await {
            let written = std::fs::metadata(path).and_then(|metadata| metadata.modified()).ok();
            newest = newest.max(Some((written, index)));
        }
    }
    newest.map(|(_, index)| index)
}

/// Whether a file ends with the checksum of what is before it, as one does of which all was written.
async fn is_whole(path: &Path) -> io::Result<bool> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    let mut written = [0; 8];
    let Some(mut left) = length.checked_sub(written.len() as u64) else { return Ok(false) };
    if left < (rdb::START.len() + 1) as u64 {
        return Ok(false);
    }
    let (mut bytes, mut crc) = (vec![0; READ_SIZE], 0);
    while left > 0 {
        let most = usize::try_from(left).map_or(READ_SIZE, |left| left.min(READ_SIZE));
        let count = file.read(&mut bytes[..most])?;
        if count == 0 {
            return Ok(false);
        }
        crc = crc64(crc, &bytes[..count]);
        left -= count as u64;
        tokio::task::yield_now().await;
    }
    file.read_exact(&mut written)?;
    // Nothing but zeros has the checksum zero.
    Ok(crc != 0 && crc == u64::from_le_bytes(written))
}

async fn take_all(server: &RefCell<Server>, mut file: File) -> io::Result<()> {
    let began = now_nanos();
    let mut reader = Reader::of_file();
    let (mut bytes, mut used) = (Vec::new(), 0);
    loop {
        let step = server.borrow_mut().take_from_file(&mut reader, &bytes, &mut used)?;
        match step {
            Step::End(_) => break,
            Step::Used(_) => {}
            Step::More => {
                bytes.drain(..used);
                used = 0;
                let before = bytes.len();
                bytes.resize(before + READ_SIZE, 0);
                let count = file.read(&mut bytes[before..])?;
                bytes.truncate(before + count);
                if count == 0 {
                    return Err(io::Error::new(
                        io::ErrorKind::UnexpectedEof,
                        "the file ends within its records",
                    ));
                }
            }
        }
        tokio::task::yield_now().await;
    }
    let mut server = server.borrow_mut();
    server.saves.last_changes = server.data.changes();
    let loading = &mut server.loading;
    (loading.is_on, loading.keys_expired, loading.took_nanos) = (false, reader.expired, now_nanos() - began);
    Ok(())
}

impl Server {
    /// Takes some records in; what the last step was.
    fn take_from_file(&mut self, reader: &mut Reader, bytes: &[u8], used: &mut usize) -> io::Result<Step> {
        self.data.tick();
        let before = *used;
        let mut last = Step::More;
        for _ in 0..STEPS {
            last = reader.step(&bytes[*used..], &mut self.data).map_err(io::Error::other)?;
            match last {
                Step::Used(count) => *used += count,
                Step::End(count) => {
                    *used += count;
                    break;
                }
                Step::More => break,
            }
        }
        self.loading.loaded_bytes += (*used - before) as u64;
        Ok(last)
    }
}

#[cfg(test)]
mod tests {
    use scenarios::scenario::Eviction;
    use scenarios::units::Seed;

    use super::super::data::{Data, Expiry, Limits};
    use super::super::record::Value;
    use super::super::save::Place;
    use super::*;

    /// Two files with a save each, the second one the later.
    fn saved(directory: &Path) -> [PathBuf; 2] {
        let files = ["one", "other"].map(|name| directory.join(name));
        files.iter().for_each(|path| drop(File::create(path).expect("a file")));
        let mut server = store(&files);
        for value in [&b"first"[..], b"second"] {
            server.data.set(b"key", Value::Bytes(value), Expiry::In(600_000));
            assert!(server.save());
        }
        // However coarse the clock of the file system is.
        let later = SystemTime::now() + std::time::Duration::from_secs(1);
        File::options().write(true).open(&files[1]).and_then(|file| file.set_modified(later)).expect("ours");
        files
    }

    fn store(files: &[PathBuf; 2]) -> Server {
        let mut server = Server::new(Data::new(Limits::new(None, Eviction::NoEviction, 5), Seed(1)), 0);
        server.saves.files.place = Some(Place::ByTurns(files.clone()));
        server
    }

    /// What a store that starts with these files has, and which of them it would write next.
    fn loaded(files: &[PathBuf; 2]) -> (Option<Vec<u8>>, usize) {
        let server = Rc::new(RefCell::new(store(files)));
        let runtime = crate::child::runtime().expect("a runtime");
        runtime.block_on(async {
            load_newest(&server, files);
            assert!(server.borrow().loading.is_on, "clients wait from the start");
            while server.borrow().loading.is_on {
                tokio::task::yield_now().await;
            }
        });
        let mut server = server.borrow_mut();
        assert_eq!(server.data.volatile_len() as u64, server.data.len(), "lifetimes are kept");
        let value = server.data.get(b"key").expect("a string").map(Value::to_vec);
        (value, server.saves.turn)
    }

    #[test]
    fn a_store_starts_with_the_newer_save_and_with_the_older_where_that_is_not_whole() {
        let directory = tempfile::tempdir().expect("a directory");
        let files = saved(directory.path());
        assert_eq!(loaded(&files), (Some(b"second".to_vec()), 0));
        let whole = std::fs::read(&files[1]).expect("it is there");
        let mut broken = whole.clone();
        broken[whole.len() / 2] ^= 1;
        let zeros = vec![0; whole.len()];
        let parts = [&whole[..whole.len() - 1], &whole[..whole.len() / 2], &whole[..5], &whole[..0]];
        for bytes in parts.into_iter().chain([&broken[..], &zeros[..]]) {
            std::fs::write(&files[1], bytes).expect("ours");
            assert_eq!(loaded(&files), (Some(b"first".to_vec()), 1), "{bytes:?}");
        }
        std::fs::write(&files[0], b"").expect("ours");
        assert_eq!(loaded(&files), (None, 0), "none of them is whole");
    }
}
