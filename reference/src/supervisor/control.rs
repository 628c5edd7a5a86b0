//! The socket on which orders come: on the loopback interface, open to whoever knows the token.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Read};
use std::rc::Rc;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

use super::Supervisor;
use crate::message::{self, Reply, Request};

/// The longest line that a client may send.
const LINE_LIMIT: u64 = 4096;

/// 128 random bits in hexadecimal.
pub(super) fn token() -> io::Result<String> {
    let mut bytes = [0_u8; 16];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes.iter().fold(String::new(), |mut hex, byte| {
        write!(hex, "{byte:02x}").expect("writing to a string cannot fail");
        hex
    }))
}

/// Serves clients for ever.
pub(super) async fn listen(supervisor: Rc<Supervisor>, listener: TcpListener, token: String) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                let (supervisor, token) = (Rc::clone(&supervisor), token.clone());
                tokio::task::spawn_local(async move {
                    // A broken connection concerns its client alone.
                    let _ = serve(&supervisor, stream, &token).await;
                });
            }
            Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    }
}

async fn serve(supervisor: &Rc<Supervisor>, stream: TcpStream, token: &str) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let (read, mut write) = stream.into_split();
    let mut read = BufReader::new(read);
    if next(&mut read).await?.as_deref() != Some(token) {
        return Ok(());
    }
    while let Some(line) = next(&mut read).await? {
        let done = |result: Result<(), String>| match result {
            Ok(()) => Reply::Done,
            Err(message) => Reply::Failed(message),
        };
        let reply = match message::read::<Request>(&line) {
            Some(Request::Begin) => {
                supervisor.begin();
                Reply::Done
            }
            Some(Request::BeginFault(fault)) => done(supervisor.begin_fault(fault).await),
            Some(Request::EndFault(fault)) => done(supervisor.end_fault(fault).await),
            Some(Request::Stats) => Reply::Stats(supervisor.figures().await),
            Some(Request::Stop) => {
                supervisor.stop.notify_one();
                Reply::Done
            }
            None => Reply::Failed("the request was not understood".to_owned()),
        };
        write.write_all(message::line(&reply).as_bytes()).await?;
    }
    Ok(())
}

async fn next(read: &mut BufReader<tokio::net::tcp::OwnedReadHalf>) -> io::Result<Option<String>> {
    let mut line = String::new();
    let read = read.take(LINE_LIMIT).read_line(&mut line).await?;
    Ok((read > 0).then(|| line.trim_end().to_owned()))
}
