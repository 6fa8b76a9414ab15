//! One connection to an instance.

use std::fmt;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::pin::Pin;
use std::time::{Duration, Instant};

use hyper::body::Incoming;
use hyper::client::conn::TrySendError;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, Shutdown, recv, shutdown};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::task::spawn_local;

use super::Upload;
use crate::model::Upstream;

/// The largest head of a response, and what a connection reads ahead: each may hold so much memory.
const HEAD_BYTES_MAX: usize = 64 * 1024;

/// A request that was sent; its answer is the head of the response.
pub type Sent = Pin<Box<dyn Future<Output = Result<Response<Incoming>, TrySendError<Request<Upload>>>>>>;

/// See the module.
pub struct Connection {
    sender: SendRequest<Upload>,
    /// Names the same socket as the one that hyper owns.
    socket: OwnedFd,
    resting_since: Instant,
    /// Nothing has been sent on it yet.
    pub is_new: bool,
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("socket", &self.socket).finish_non_exhaustive()
    }
}

impl Connection {
    pub async fn dial(upstream: &Upstream) -> io::Result<Self> {
        match upstream {
            Upstream::Tcp(address) => {
                let stream = TcpStream::connect(address).await?;
                // Small requests must not wait for the instance's acknowledgement.
                stream.set_nodelay(true)?;
                Self::over(stream).await
            }
            Upstream::Unix(path) => Self::over(UnixStream::connect(path).await?).await,
        }
    }

    async fn over(stream: impl AsyncRead + AsyncWrite + AsFd + Unpin + Send + 'static) -> io::Result<Self> {
        let socket = stream.as_fd().try_clone_to_owned()?;
        let mut http = http1::Builder::new();
        http.max_buf_size(HEAD_BYTES_MAX).max_header_size(HEAD_BYTES_MAX);
        let (sender, connection) = http.handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
        // How it ends is told to whoever waits for a response.
        spawn_local(async move { drop(connection.with_upgrades().await) });
        Ok(Self { sender, socket, resting_since: Instant::now(), is_new: true })
    }

    /// Sends the request as soon as the response before is over.
    pub async fn send(&mut self, request: Request<Upload>) -> Sent {
        self.is_new = false;
        // If it is closed meanwhile, sending says so, and gives the request back.
        let _ = self.sender.ready().await;
        Box::pin(self.sender.try_send_request(request))
    }

    /// Whether a request may still be sent on it.
    pub fn is_fit(&self, now: Instant, bound: Duration) -> bool {
        !self.sender.is_closed() && now.saturating_duration_since(self.resting_since) < bound
    }

    /// Asks the system whether the other side has closed it, or has sent what nobody asked for.
    pub fn is_open(&self) -> bool {
        let flags = MsgFlags::MSG_PEEK | MsgFlags::MSG_DONTWAIT;
        recv(self.socket.as_raw_fd(), &mut [0], flags) == Err(Errno::EAGAIN)
    }

    pub fn rest(&mut self, now: Instant) {
        self.resting_since = now;
    }

    /// Tells the instance that nobody waits for its answer any more. It may still send it.
    pub fn forsake(&self) {
        // The other side may have closed it already.
        let _ = shutdown(self.socket.as_raw_fd(), Shutdown::Write);
    }

    /// Closes it for good, whatever is under way.
    pub fn close(&self) {
        let _ = shutdown(self.socket.as_raw_fd(), Shutdown::Both);
    }
}
