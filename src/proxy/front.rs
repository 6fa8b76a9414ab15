//! The connections that clients make to the front of a service.

use std::cell::RefCell;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

use super::download::Download;
use super::exchange::exchange;
use super::headers::Client;
use super::tunnel::Tunnel;
use crate::model::ServiceId;
use crate::shard::{Serve, Shard};

/// How long a client may take to send the head of a request, and to begin with the next one (design 5).
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
/// The largest head of a request, and what a connection reads ahead: each may hold so much memory.
const HEAD_BYTES_MAX: usize = 64 * 1024;

/// The service behind a front.
pub(super) struct Front {
    pub shard: Shard,
    pub service: ServiceId,
    /// What a person calls it.
    pub name: String,
    /// Whatever is asked of it may be done twice.
    pub is_idempotent: bool,
}

/// One connection of a client.
pub(super) struct Session {
    pub front: Arc<Front>,
    pub client: Client,
    /// What the connection becomes behind its last response.
    pub tunnel: RefCell<Option<Tunnel>>,
}

/// Passes requests on to the instances of this service.
pub fn front(shard: &Shard, service: ServiceId, name: &str, is_idempotent: bool) -> Serve {
    let front = Arc::new(Front { shard: shard.clone(), service, name: name.to_owned(), is_idempotent });
    Box::new(move |stream, peer, ending| Box::pin(serve(front.clone(), stream, peer, ending)))
}

async fn serve(front: Arc<Front>, stream: TcpStream, peer: SocketAddr, ending: CancellationToken) {
    let session = Rc::new(Session { front, client: Client::new(peer.ip()), tunnel: RefCell::default() });
    speak(&session, stream, &ending).await;
    let tunnel = session.tunnel.take();
    if let Some(tunnel) = tunnel {
        ending.run_until_cancelled(tunnel.run()).await;
    }
}

/// How a connection ends is its client's affair.
async fn speak(session: &Rc<Session>, stream: TcpStream, ending: &CancellationToken) {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEADER_TIMEOUT).max_buf_size(HEAD_BYTES_MAX);
    http.max_header_size(HEAD_BYTES_MAX);
    let service = service_fn(|request| answer(session.clone(), request));
    let connection = http.serve_connection(TokioIo::new(stream), service).with_upgrades();
    let mut connection = std::pin::pin!(connection);
    tokio::select! {
        _ = connection.as_mut() => return,
        () = ending.cancelled() => connection.as_mut().graceful_shutdown(),
    }
    let _ = connection.await;
}

async fn answer(session: Rc<Session>, request: Request<Incoming>) -> Result<Response<Download>, Infallible> {
    let answer = exchange(&session, request).await;
    Ok(answer.unwrap_or_else(|refused| refused.into_response().map(Download::whole)))
}
