//! Records out of a file, when a store starts: clients are told to wait (`-LOADING`), for longer the more there is.

use std::cell::RefCell;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::process::exit;
use std::rc::Rc;

use super::rdb::{Reader, Step};
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
