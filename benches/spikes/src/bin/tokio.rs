//! httparse on tokio's current-thread runtime: a task a connection.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;

use spikes::{CACHED, arguments, object};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

struct Proxy {
    upstream: SocketAddr,
    idle: RefCell<Vec<TcpStream>>,
    object: Vec<u8>,
}

fn content_length(headers: &[httparse::Header<'_>]) -> usize {
    let field = headers.iter().find(|h| h.name.eq_ignore_ascii_case("content-length"));
    field.map_or(0, |h| std::str::from_utf8(h.value).expect("digits").parse().expect("a length"))
}

async fn serve(proxy: Rc<Proxy>, mut client: TcpStream) -> std::io::Result<()> {
    client.set_nodelay(true)?;
    let (mut input, mut answer, mut out) = (Vec::with_capacity(16384), Vec::with_capacity(16384), Vec::new());
    loop {
        let mut fields = [httparse::EMPTY_HEADER; 64];
        let mut request = httparse::Request::new(&mut fields);
        let used = match request.parse(&input) {
            Ok(httparse::Status::Complete(used)) => used,
            Ok(httparse::Status::Partial) => {
                if client.read_buf(&mut input).await? == 0 {
                    return Ok(());
                }
                continue;
            }
            Err(_) => return Ok(()),
        };
        out.clear();
        if request.path == Some(CACHED) {
            out.extend_from_slice(b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 1024\r\n\r\n");
            out.extend_from_slice(&proxy.object);
            client.write_all(&out).await?;
            input.drain(..used);
            continue;
        }
        out.extend_from_slice(request.method.unwrap_or("").as_bytes());
        out.push(b' ');
        out.extend_from_slice(request.path.unwrap_or("").as_bytes());
        out.extend_from_slice(b" HTTP/1.1\r\n");
        for field in request.headers.iter() {
            out.extend_from_slice(field.name.as_bytes());
            out.extend_from_slice(b": ");
            out.extend_from_slice(field.value);
            out.extend_from_slice(b"\r\n");
        }
        out.extend_from_slice(b"x-forwarded-for: 127.0.0.1\r\n\r\n");
        input.drain(..used);
        let idle = proxy.idle.borrow_mut().pop();
        let mut upstream = match idle {
            Some(stream) => stream,
            None => TcpStream::connect(proxy.upstream).await?,
        };
        upstream.set_nodelay(true)?;
        upstream.write_all(&out).await?;
        answer.clear();
        let length = loop {
            upstream.read_buf(&mut answer).await?;
            let mut fields = [httparse::EMPTY_HEADER; 64];
            let mut response = httparse::Response::new(&mut fields);
            if let Ok(httparse::Status::Complete(head)) = response.parse(&answer) {
                let length = content_length(response.headers);
                out.clear();
                out.extend_from_slice(b"HTTP/1.1 200 OK\r\n");
                for field in response.headers.iter().filter(|h| !h.name.eq_ignore_ascii_case("connection")) {
                    out.extend_from_slice(field.name.as_bytes());
                    out.extend_from_slice(b": ");
                    out.extend_from_slice(field.value);
                    out.extend_from_slice(b"\r\n");
                }
                out.extend_from_slice(b"\r\n");
                out.extend_from_slice(&answer[head..]);
                break head + length;
            }
        };
        let mut have = answer.len();
        while have < length {
            let before = out.len();
            upstream.read_buf(&mut out).await?;
            have += out.len() - before;
        }
        proxy.idle.borrow_mut().push(upstream);
        client.write_all(&out).await?;
    }
}

fn main() {
    let (listen, upstream) = arguments();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build_local(Default::default());
    runtime.expect("a runtime").block_on(async {
        let listener = TcpListener::bind(listen).await.expect("the address is free");
        let proxy = Rc::new(Proxy { upstream, idle: RefCell::default(), object: object() });
        loop {
            let (client, _) = listener.accept().await.expect("accepted");
            tokio::task::spawn_local(serve(Rc::clone(&proxy), client));
        }
    });
}
