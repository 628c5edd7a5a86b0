//! pingora 0.9: its proxy service on one thread, with the hit answered from its request filter.

use async_trait::async_trait;
use bytes::Bytes;
use pingora_core::Result;
use pingora_core::server::Server;
use pingora_core::server::configuration::ServerConf;
use pingora_core::upstreams::peer::HttpPeer;
use pingora_http::{RequestHeader, ResponseHeader};
use pingora_proxy::{ProxyHttp, Session, http_proxy_service};
use spikes::{CACHED, arguments, object};

struct Proxy {
    upstream: std::net::SocketAddr,
    object: Bytes,
}

#[async_trait]
impl ProxyHttp for Proxy {
    type CTX = ();

    fn new_ctx(&self) -> Self::CTX {}

    async fn upstream_peer(&self, _: &mut Session, _: &mut Self::CTX) -> Result<Box<HttpPeer>> {
        Ok(Box::new(HttpPeer::new(self.upstream, false, String::new())))
    }

    async fn request_filter(&self, session: &mut Session, _: &mut Self::CTX) -> Result<bool> {
        if session.req_header().uri.path() != CACHED {
            return Ok(false);
        }
        let mut head = ResponseHeader::build(200, Some(2))?;
        head.insert_header("content-type", "text/plain")?;
        head.insert_header("content-length", "1024")?;
        session.write_response_header(Box::new(head), false).await?;
        session.write_response_body(Some(self.object.clone()), true).await?;
        Ok(true)
    }

    async fn upstream_request_filter(
        &self,
        _: &mut Session,
        upstream_request: &mut RequestHeader,
        _: &mut Self::CTX,
    ) -> Result<()> {
        upstream_request.insert_header("x-forwarded-for", "127.0.0.1")
    }
}

fn main() {
    let (listen, upstream) = arguments();
    let configuration = ServerConf { threads: 1, work_stealing: false, ..ServerConf::default() };
    let mut server = Server::new_with_opt_and_conf(None, configuration);
    server.bootstrap();
    let proxy = Proxy { upstream, object: object().into() };
    let mut service = http_proxy_service(&server.configuration, proxy);
    service.add_tcp(&listen.to_string());
    server.add_service(service);
    server.run_forever();
}
