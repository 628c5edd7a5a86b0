//! A program that serves pages, and what it answers.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// A server that ends with this.
pub(crate) struct Served {
    child: Child,
    /// Where it listens.
    pub(crate) address: String,
}

impl Served {
    /// Has a program serve a file or a directory.
    pub(crate) fn start(program: &str, what: &Path) -> Self {
        let mut child = Command::new(program)
            .arg("serve")
            .arg(what)
            .stdout(Stdio::piped())
            .spawn()
            .expect("the binary starts");
        let mut line = String::new();
        let out = child.stdout.take().expect("it was asked for");
        BufReader::new(out).read_line(&mut line).expect("it prints its address");
        let address = line.trim().trim_start_matches("http://").trim_end_matches('/').to_owned();
        Self { child, address }
    }

    /// What comes back for these bytes.
    pub(crate) fn say(&self, request: &str) -> String {
        say(&self.address, request)
    }

    pub(crate) fn get(&self, target: &str) -> String {
        self.say(&format!("GET {target} HTTP/1.1\r\nhost: {}\r\n\r\n", self.address))
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What comes back from an address for these bytes.
pub(crate) fn say(address: &str, request: &str) -> String {
    let mut stream = TcpStream::connect(address).expect("it listens");
    stream.write_all(request.as_bytes()).expect("it fits");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("it is text");
    answer
}
