//! A server for the gate's own tests: it answers every request after so many rounds of arithmetic. Takes the port on
//! loopback and the rounds; a thread a connection.

use std::hint::black_box;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::thread;

/// What one request costs: a chain in which each product waits for the one before. Its time is the multiplier's, so that it does not
/// matter to it on which address the linker put the loop, as it does where a few instructions are as fast as they can be fetched.
fn work(rounds: u64) -> u64 {
    (0..rounds).fold(black_box(1), |x: u64, round| x.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ round)
}

fn converse(stream: &TcpStream, rounds: u64) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut lines = BufReader::new(stream);
    let mut line = String::new();
    loop {
        line.clear();
        if lines.read_line(&mut line)? == 0 {
            return Ok(());
        }
        if line == "\r\n" {
            black_box(work(rounds));
            let mut stream = stream;
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")?;
        }
    }
}

fn main() -> std::io::Result<()> {
    let mut arguments =
        std::env::args().skip(1).map(|a| a.parse::<u64>().expect("a port and a number of rounds"));
    let port = arguments.next().and_then(|port| u16::try_from(port).ok()).expect("the port comes first");
    let rounds = arguments.next().expect("then the rounds");
    for stream in TcpListener::bind((Ipv4Addr::LOCALHOST, port))?.incoming() {
        let stream = stream?;
        // A client that goes away ends its thread, nothing else.
        thread::spawn(move || converse(&stream, rounds));
    }
    Ok(())
}
