//! A `nats-server` of one's own on loopback, for tests: it has a free port, and ends with what holds it.

use std::fs;
use std::io::{self, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::error::Error;
use crate::options::{Options, Place};

/// The program.
const PROGRAM: &str = "nats-server";
/// Where Debian keeps it, which is not on every user's path.
const ELSEWHERE: &str = "/usr/sbin/nats-server";
/// It must accept connections in this time.
const PATIENCE: Duration = Duration::from_secs(20);
const LOOK: Duration = Duration::from_millis(10);

/// A server that was started here.
#[derive(Debug)]
pub struct Server {
    child: Option<Child>,
    port: u16,
    directory: PathBuf,
    arguments: Vec<String>,
}

/// Whether there is a `nats-server` to be tested with. Where there is none, this says that a test is skipped, which then passes.
///
/// # Panics
/// If there is none though `REHEARSAL_REQUIRE` names it.
pub fn is_there() -> bool {
    let there = Command::new(program())
        .arg("--version")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success());
    let required = std::env::var("REHEARSAL_REQUIRE").is_ok_and(|list| list.split(',').any(|r| r == PROGRAM));
    assert!(there || !required, "{PROGRAM} is not installed, though REHEARSAL_REQUIRE names it");
    if !there {
        // Nobody reads it where standard output is closed.
        let _ = writeln!(io::stdout(), "SKIPPED: {PROGRAM} is not installed");
    }
    there
}

fn program() -> &'static str {
    if Path::new(ELSEWHERE).exists() { ELSEWHERE } else { PROGRAM }
}

impl Server {
    /// Starts one with further arguments, such as `-js`; what it stores is in `directory`, which must be there.
    ///
    /// # Errors
    /// Where it does not start.
    pub fn start(directory: &Path, arguments: &[&str]) -> Result<Self, Error> {
        let arguments = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        let mut server = Self { child: None, port: 0, directory: directory.to_owned(), arguments };
        server.launch()?;
        Ok(server)
    }

    /// Ends it at once, as SIGKILL does.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            // One that is gone already is as good.
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Kills it and starts it anew, at the same port and with what it had stored.
    ///
    /// # Errors
    /// Where it does not start.
    pub fn restart(&mut self) -> Result<(), Error> {
        self.kill();
        self.launch()
    }

    /// Where it is.
    pub fn place(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    /// Options that lead to it.
    ///
    /// # Panics
    /// Never: its place is one.
    pub fn options(&self) -> Options {
        let place: Place = self.place().parse().expect("its place is one");
        Options { nats: Some(place), ..Options::default() }
    }

    fn launch(&mut self) -> Result<(), Error> {
        let failed = |problem| move |source| Error::Server { problem, source };
        let wanted = if self.port == 0 { "-1".to_owned() } else { self.port.to_string() };
        let mut command = Command::new(program());
        command.args(["-a", "127.0.0.1", "-p", &wanted]);
        command.arg("--ports_file_dir").arg(&self.directory).arg("-sd").arg(&self.directory);
        let log = fs::File::create(self.directory.join("nats-server.log")).map_err(failed("no log"))?;
        let child = command
            .args(&self.arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .map_err(failed("it cannot be started"))?;
        let ports = self.directory.join(format!("{PROGRAM}_{}.ports", child.id()));
        self.child = Some(child);
        let until = Instant::now() + PATIENCE;
        while Instant::now() < until {
            if let Some(port) = fs::read_to_string(&ports).ok().as_deref().and_then(port_of)
                && TcpStream::connect(SocketAddr::from((Ipv4Addr::LOCALHOST, port))).is_ok()
            {
                self.port = port;
                return Ok(());
            }
            thread::sleep(LOOK);
        }
        self.kill();
        Err(failed("it does not accept connections")(io::Error::from(io::ErrorKind::TimedOut)))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The port of clients in the file that the server writes: `{"nats":["nats://127.0.0.1:43211"], …}`.
fn port_of(text: &str) -> Option<u16> {
    let ports: serde_json::Value = serde_json::from_str(text).ok()?;
    ports["nats"][0].as_str()?.rsplit_once(':')?.1.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_read_from_what_the_server_wrote() {
        assert_eq!(port_of(r#"{"nats":["nats://127.0.0.1:43211"]}"#), Some(43_211));
        assert_eq!(port_of("{}"), None);
        assert_eq!(port_of(r#"{"nats":["#), None);
    }

    #[test]
    fn a_server_answers_and_comes_back_where_it_was() {
        if !is_there() {
            return;
        }
        let directory = tempfile::tempdir().expect("a temporary directory can be made");
        let mut server = Server::start(directory.path(), &[]).expect("it starts");
        let runtime = crate::runtime().expect("a runtime");
        let place = server.place();
        for _ in 0..2 {
            runtime.block_on(async {
                let link = server.options().connect("test").await.expect("it is there");
                assert!(link.stands() && link.most_bytes() == crate::MOST_BYTES);
                link.listen("fleet.test").await.expect("it takes it");
                let large = "x".repeat(link.most_bytes());
                let refused = link.send("a text", "fleet.test", &large).await.expect_err("two quotes more");
                assert!(refused.to_string().starts_with("a text: found 1048578 bytes"), "{refused}");
            });
            server.restart().expect("it starts again");
            assert_eq!(server.place(), place);
        }
    }
}
