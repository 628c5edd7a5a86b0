//! The PROXY protocol, versions 1 and 2: whoever passes a connection on says whose it is, before anything else
//! (`doc/proxy-protocol.txt` of HAProxy's sources, sections 2.1 and 2.2).

use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use scenarios::scenario::ProxyVersion;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

/// What a header of version 2 begins with.
const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
/// What one of version 1 begins with.
const WORD: &[u8; 6] = b"PROXY ";
/// No header is shorter: `PROXY UNKNOWN` and the end of its line.
const SHORTEST: usize = 15;
/// The longest header of version 1, the end of its line included (section 2.1).
const LINE_LIMIT: usize = 107;
/// The part of a header of version 2 that says how long the rest is.
const FIXED: usize = 16;
/// The longest header of version 2 that is taken: addresses, and what else the sender has to say, which nobody reads here.
const LIMIT: usize = 4096;

/// What a header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    /// The sender's own connection (a health check), or one of which it knows nothing.
    Nothing,
    /// Another's connection.
    Client {
        /// The client.
        from: SocketAddr,
        /// Where the client connected to.
        to: SocketAddr,
    },
}

/// No header of the PROXY protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed;

/// Reads a header and nothing of what follows it.
///
/// # Errors
/// The connection's, or `InvalidData`.
pub(crate) async fn read(stream: &mut TcpStream) -> io::Result<Told> {
    let mut header = Vec::new();
    loop {
        match parse(&header) {
            Ok(Parsed::Whole(told)) => return Ok(told),
            Ok(Parsed::Missing(count)) => {
                let start = header.len();
                header.resize(start + count, 0);
                stream.read_exact(&mut header[start..]).await?;
            }
            Err(Malformed) => return Err(io::ErrorKind::InvalidData.into()),
        }
    }
}

/// How far a header goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Parsed {
    /// It ends with these bytes.
    Whole(Told),
    /// At least so many bytes more belong to it.
    Missing(usize),
}

fn parse(bytes: &[u8]) -> Result<Parsed, Malformed> {
    if bytes.len() < SHORTEST {
        return Ok(Parsed::Missing(SHORTEST - bytes.len()));
    }
    if bytes.starts_with(SIGNATURE) {
        return parse_binary(bytes);
    }
    if !bytes.starts_with(WORD) {
        return Err(Malformed);
    }
    match bytes {
        [line @ .., b'\r', b'\n'] => Ok(Parsed::Whole(parse_line(line)?)),
        _ if bytes.len() >= LINE_LIMIT || bytes.contains(&b'\n') => Err(Malformed),
        [.., b'\r'] => Ok(Parsed::Missing(1)),
        // The end of the line is two bytes long.
        _ => Ok(Parsed::Missing(2.min(LINE_LIMIT - bytes.len()))),
    }
}

fn parse_line(line: &[u8]) -> Result<Told, Malformed> {
    let text = std::str::from_utf8(line).map_err(|_| Malformed)?;
    let words: Vec<&str> = text.split(' ').collect();
    if words.get(1) == Some(&"UNKNOWN") {
        return Ok(Told::Nothing);
    }
    let &[_, family, from, to, from_port, to_port] = &words[..] else { return Err(Malformed) };
    let address = |text: &str| -> Option<IpAddr> {
        match family {
            "TCP4" => text.parse::<Ipv4Addr>().ok().map(IpAddr::V4),
            "TCP6" => text.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
            _ => None,
        }
    };
    let port = |text: &str| text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse::<u16>().ok())?;
    let place = |text, number| Some(SocketAddr::new(address(text)?, port(number)?));
    let client = place(from, from_port).zip(place(to, to_port));
    client.map(|(from, to)| Told::Client { from, to }).ok_or(Malformed)
}

fn parse_binary(bytes: &[u8]) -> Result<Parsed, Malformed> {
    let Some((head, rest)) = bytes.split_first_chunk::<FIXED>() else {
        return Ok(Parsed::Missing(FIXED - bytes.len()));
    };
    let [.., command, family, high, low] = *head;
    let length = usize::from(u16::from_be_bytes([high, low]));
    if FIXED + length > LIMIT {
        return Err(Malformed);
    }
    if rest.len() < length {
        return Ok(Parsed::Missing(length - rest.len()));
    }
    let told = match (command, family) {
        (0x20, _) => Told::Nothing,
        // Connections over TCP with IPv4 and IPv6.
        (0x21, 0x11) => places::<4>(rest)?,
        (0x21, 0x21) => places::<16>(rest)?,
        // Unspecified, or over a socket of the sender's machine.
        (0x21, 0x00 | 0x31) => Told::Nothing,
        _ => return Err(Malformed),
    };
    Ok(Parsed::Whole(told))
}

/// Two addresses of `N` bytes and their ports.
fn places<const N: usize>(bytes: &[u8]) -> Result<Told, Malformed>
where
    IpAddr: From<[u8; N]>,
{
    let take = |at: usize| -> Option<[u8; N]> { bytes.get(at..at + N)?.try_into().ok() };
    let port =
        |at: usize| -> Option<u16> { Some(u16::from_be_bytes(bytes.get(at..at + 2)?.try_into().ok()?)) };
    let place = |address, number| Some(SocketAddr::new(IpAddr::from(take(address)?), port(number)?));
    let client = place(0, 2 * N).zip(place(N, 2 * N + 2));
    client.map(|(from, to)| Told::Client { from, to }).ok_or(Malformed)
}

/// Appends the header of a connection that is passed on.
pub(crate) fn write(version: ProxyVersion, from: SocketAddr, to: SocketAddr, out: &mut Vec<u8>) {
    let (family, from_ip, to_ip) = match (from.ip(), to.ip()) {
        (IpAddr::V4(from), IpAddr::V4(to)) => (4, from.octets().to_vec(), to.octets().to_vec()),
        // One family for both.
        (from, to) => (6, widened(from).octets().to_vec(), widened(to).octets().to_vec()),
    };
    match version {
        ProxyVersion::V1 if family == 4 => {
            let (from_port, to_port) = (from.port(), to.port());
            write!(out, "PROXY TCP4 {} {} {from_port} {to_port}\r\n", from.ip(), to.ip())
        }
        ProxyVersion::V1 => {
            let (a, b) = (widened(from.ip()), widened(to.ip()));
            write!(out, "PROXY TCP6 {a} {b} {} {}\r\n", from.port(), to.port())
        }
        ProxyVersion::V2 => {
            let ports = [from.port().to_be_bytes(), to.port().to_be_bytes()].concat();
            let places = [from_ip, to_ip, ports].concat();
            out.extend_from_slice(SIGNATURE);
            out.extend_from_slice(&[0x21, if family == 4 { 0x11 } else { 0x21 }, 0, places.len() as u8]);
            out.extend_from_slice(&places);
            Ok(())
        }
    }
    .expect("writing to a vector cannot fail");
}

/// The header of a connection of one's own.
pub(crate) fn own(version: ProxyVersion) -> &'static [u8] {
    match version {
        ProxyVersion::V1 => b"PROXY UNKNOWN\r\n",
        ProxyVersion::V2 => b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0",
    }
}

fn widened(address: IpAddr) -> Ipv6Addr {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped(),
        IpAddr::V6(address) => address,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Reads a header as it would come from a connection; what it says, and how many bytes it took.
    fn parsed(bytes: &[u8]) -> Result<(Told, usize), Malformed> {
        let mut taken = 0;
        loop {
            match parse(&bytes[..taken])? {
                Parsed::Whole(told) => return Ok((told, taken)),
                Parsed::Missing(count) => taken += count,
            }
            assert!(taken <= bytes.len(), "{taken} of {} bytes are wanted", bytes.len());
        }
    }

    #[test]
    fn what_is_written_is_understood_and_no_byte_more_is_taken() {
        for (from, to) in [
            ("192.0.2.1:56324", "198.51.100.9:443"),
            ("[2001:db8::1]:1", "[2001:db8::2]:65535"),
            ("255.255.255.255:65535", "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535"),
        ] {
            let (from, to): (SocketAddr, SocketAddr) = (from.parse().expect("one"), to.parse().expect("one"));
            for version in [ProxyVersion::V1, ProxyVersion::V2] {
                let mut bytes = Vec::new();
                write(version, from, to, &mut bytes);
                let len = bytes.len();
                assert!(len <= LINE_LIMIT);
                bytes.extend_from_slice(b"GET / HTTP/1.1\r\n\r\n");
                let (told, taken) = parsed(&bytes).expect("it is ours");
                let Told::Client { from: a, to: b } = told else { panic!("{told:?}") };
                assert_eq!((a.ip().to_canonical(), a.port(), taken), (from.ip(), from.port(), len));
                assert_eq!((b.ip().to_canonical(), b.port()), (to.ip(), to.port()));
                let own = own(version);
                assert_eq!(parsed(&[own, b"GET /"].concat()), Ok((Told::Nothing, own.len())));
            }
        }
    }

    #[test]
    fn what_is_no_header_is_refused() {
        for line in [
            "GET / HTTP/1.1\r\n\r\n",
            "PROXY TCP4 1.2.3.4 1.2.3.4 1\r\n",
            "PROXY TCP4 1.2.3.4 1.2.3.4 1 2 3\r\n",
            "PROXY TCP4 1.2.3.4 ::1 1 2\r\n",
            "PROXY TCP6 1.2.3.4 1.2.3.4 1 2\r\n",
            "PROXY TCP4 1.2.3.4 1.2.3.4 +1 2\r\n",
            "PROXY TCP4 1.2.3.4 1.2.3.4 1 65536\r\n",
            "PROXY UDP4 1.2.3.4 1.2.3.4 1 2\r\n",
            "PROXY TCP4  1.2.3.4 1.2.3.4 1 2\r\n",
            "PROXY TCP4 1.2.3.4 1.2.3.4 1 2\nGET / HTTP/1.1\r\n\r\n",
        ] {
            assert_eq!(parsed(line.as_bytes()), Err(Malformed), "{line:?}");
        }
        let endless = format!("PROXY TCP4 {}", "1".repeat(200));
        assert_eq!(parsed(endless.as_bytes()), Err(Malformed));
        let binary = |tail: &[u8]| parsed(&[&SIGNATURE[..], tail, &[0; 40]].concat());
        assert_eq!(binary(&[0x11, 0x11, 0, 12]), Err(Malformed), "another version");
        assert_eq!(binary(&[0x22, 0x11, 0, 12]), Err(Malformed), "another command");
        assert_eq!(binary(&[0x21, 0x11, 0, 11]), Err(Malformed), "too short for its addresses");
        assert_eq!(binary(&[0x21, 0x12, 0, 12]), Err(Malformed), "datagrams");
        assert_eq!(binary(&[0x21, 0x11, 255, 255]), Err(Malformed), "too long");
        assert!(binary(&[0x21, 0x11, 0, 20]).is_ok(), "what else is said is passed over");
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), binary: bool) {
            let start: &[u8] = if binary { SIGNATURE } else { WORD };
            for end in 0..bytes.len() {
                let _ = parse(&[start, &bytes[..end]].concat());
                let _ = parse(&bytes[..end]);
            }
        }
    }
}
