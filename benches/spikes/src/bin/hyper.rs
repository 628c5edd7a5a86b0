//! hyper 1.x on tokio's current-thread runtime, with a pool of connections of our own.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;

use bytes::Bytes;
use http_body_util::{BodyExt, Either, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::{CONNECTION, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use spikes::{CACHED, arguments, object};
use tokio::net::{TcpListener, TcpStream};

struct Proxy {
    upstream: SocketAddr,
    idle: RefCell<Vec<SendRequest<Incoming>>>,
    object: Bytes,
}

type Answer = Response<Either<Full<Bytes>, Incoming>>;

async fn answer(proxy: Rc<Proxy>, mut request: Request<Incoming>) -> hyper::Result<Answer> {
    if request.uri().path() == CACHED {
        let mut response = Response::new(Either::Left(Full::new(proxy.object.clone())));
        response.headers_mut().insert("content-type", HeaderValue::from_static("text/plain"));
        return Ok(response);
    }
    let idle = proxy.idle.borrow_mut().pop();
    let mut sender = match idle {
        Some(sender) => sender,
        None => {
            let stream = TcpStream::connect(proxy.upstream).await.expect("the upstream listens");
            stream.set_nodelay(true).expect("an open socket");
            let (sender, connection) = handshake(TokioIo::new(stream)).await?;
            tokio::task::spawn_local(connection);
            sender
        }
    };
    request.headers_mut().remove(CONNECTION);
    request.headers_mut().append("x-forwarded-for", HeaderValue::from_static("127.0.0.1"));
    sender.ready().await?;
    let mut response = sender.send_request(request).await?;
    response.headers_mut().remove(CONNECTION);
    proxy.idle.borrow_mut().push(sender);
    Ok(response.map(Either::Right))
}

fn main() {
    let (listen, upstream) = arguments();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build_local(Default::default());
    runtime.expect("a runtime").block_on(async {
        let listener = TcpListener::bind(listen).await.expect("the address is free");
        let proxy = Rc::new(Proxy { upstream, idle: RefCell::default(), object: object().into() });
        loop {
            let (client, _) = listener.accept().await.expect("accepted");
            client.set_nodelay(true).expect("an open socket");
            let proxy = Rc::clone(&proxy);
            let service = service_fn(move |request| {
                let proxy = Rc::clone(&proxy);
                async move { answer(proxy, request).await.map(|r| r.map(|body| body.boxed_unsync())) }
            });
            tokio::task::spawn_local(async move {
                let _ = http1::Builder::new().pipeline_flush(true).serve_connection(TokioIo::new(client), service).await;
            });
        }
    });
}
