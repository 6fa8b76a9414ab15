//! `tcp`, and what `http` begins with: whether a connection is accepted.

use std::io;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};

use crate::config::command::Target;
use crate::model::Upstream;

/// Where a question goes.
#[derive(Clone, Debug)]
pub enum Endpoint {
    /// `host:port`
    Host(String),
    Own(Upstream),
}

impl Endpoint {
    /// `own`: where the instance takes connections; one that takes none is asked elsewhere only.
    pub fn of(target: &Target, own: Option<&Upstream>) -> Self {
        match (target, own) {
            (Target::At(host), _) => Self::Host(host.clone()),
            (Target::Own, Some(own)) => Self::Own(own.clone()),
            (Target::Own, None) => Self::Host(String::new()),
        }
    }

    /// What a request names as its host.
    pub fn host(&self) -> String {
        match self {
            Self::Host(host) => host.clone(),
            Self::Own(Upstream::Tcp(address)) => address.to_string(),
            Self::Own(Upstream::Unix(_)) => "localhost".to_owned(),
        }
    }

    pub async fn dial(&self) -> io::Result<Box<dyn Connection>> {
        Ok(match self {
            Self::Host(host) => Box::new(TcpStream::connect(host).await?),
            Self::Own(Upstream::Tcp(address)) => Box::new(TcpStream::connect(address).await?),
            Self::Own(Upstream::Unix(path)) => Box::new(UnixStream::connect(path).await?),
        })
    }
}

/// A connection of either kind.
pub trait Connection: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Connection for T {}

pub async fn ask(endpoint: &Endpoint) -> Result<(), String> {
    endpoint.dial().await.map(drop).map_err(|error| error.to_string())
}
