//! The command line's end of the control API: one typed method per request.

use std::path::{Path, PathBuf};
use std::time::Duration;

use reqwest::header::CONTENT_TYPE;
use reqwest::{Method, Response};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use crate::failure::Failure;
use crate::protocol::calls::{
    CallInfo, CallsAnswer, CallsRequest, IdRequest, Retried, RetryRequest, StackRequest, Stacks, Trace, Why,
};
use crate::protocol::control::{
    CallAnswer, CallRequest, PauseRequest, Problem, RestartRequest, ResumeRequest, STREAM_LINES,
    ScaleRequest, Status, StreamLine, route,
};

/// Requests that the hub answers from what it knows.
const QUICK_MAX: Duration = Duration::from_secs(10);
/// Requests that wait for instances; the hub bounds each start and drain much more tightly.
const SLOW_MAX: Duration = Duration::from_secs(15 * 60);
/// Requests that see a call replayed, for which the hub waits for 10 s.
const RETRY_MAX: Duration = Duration::from_secs(30);

/// A connection to one hub.
pub struct Client {
    http: reqwest::Client,
    socket: PathBuf,
}

/// What comes of a call.
pub enum Called {
    Returned(CallAnswer),
    Items(Items),
}

/// The items of a generator.
pub struct Items {
    response: Response,
    /// Behind the last whole line.
    read: Vec<u8>,
}

impl Items {
    /// `None` at the end.
    pub async fn next(&mut self) -> Result<Option<Box<RawValue>>, ClientError> {
        let line = loop {
            if let Some(end) = self.read.iter().position(|byte| *byte == b'\n') {
                break self.read.drain(..=end).collect::<Vec<u8>>();
            }
            match self.response.chunk().await.map_err(|e| ClientError::Lost(cause(&e)))? {
                Some(chunk) => self.read.extend_from_slice(&chunk),
                None => return Err(ClientError::Lost("the stream was cut off".to_owned())),
            }
        };
        match serde_json::from_slice(&line).map_err(|e| ClientError::Malformed(e.to_string()))? {
            StreamLine::Item(item) => Ok(Some(item)),
            StreamLine::End => Ok(None),
            StreamLine::Error(problem) => Err(ClientError::Refused(problem)),
        }
    }
}

/// Why a request has no answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The hub answered, and the answer is no.
    #[error("{}", .0.message)]
    Refused(Box<Problem>),
    /// Nothing listens on the socket.
    #[error("the hub does not accept a connection on {}: {reason}", socket.display())]
    Unreachable { socket: PathBuf, reason: String },
    /// The hub ended, or stopped answering, in the middle of a request.
    #[error("the connection to the hub was lost: {0}")]
    Lost(String),
    #[error("the hub did not answer within {} s", .0.as_secs())]
    Slow(Duration),
    /// Another version, or a defect.
    #[error("the answer of the hub cannot be read: {0}")]
    Malformed(String),
}

impl Client {
    pub fn new(socket: &Path) -> Result<Self, ClientError> {
        let built = reqwest::Client::builder().unix_socket(socket).build();
        let http = built.map_err(|e| unreachable_hub(socket, &e))?;
        Ok(Self { http, socket: socket.to_path_buf() })
    }

    pub async fn status(&self) -> Result<Status, ClientError> {
        json(self.send(Method::GET, route::STATUS, None::<&()>, Some(QUICK_MAX)).await?).await
    }

    /// Waits until the call ends, however long that is, or a generator's first item comes; dropping the future, or the
    /// items, cancels the call.
    pub async fn call(&self, call: &CallRequest) -> Result<Called, ClientError> {
        let response = self.send(Method::POST, route::CALL, Some(call), None).await?;
        let media_type = response.headers().get(CONTENT_TYPE);
        match media_type.is_some_and(|media_type| media_type == STREAM_LINES) {
            true => Ok(Called::Items(Items { response, read: Vec::new() })),
            false => json(response).await.map(Called::Returned),
        }
    }

    pub async fn scale(&self, scale: &ScaleRequest) -> Result<(), ClientError> {
        self.send(Method::POST, route::SCALE, Some(scale), Some(SLOW_MAX)).await.map(drop)
    }

    pub async fn restart(&self, restart: &RestartRequest) -> Result<(), ClientError> {
        self.send(Method::POST, route::RESTART, Some(restart), Some(SLOW_MAX)).await.map(drop)
    }

    /// With `wait` it returns when no call of them runs.
    pub async fn pause(&self, pause: &PauseRequest) -> Result<(), ClientError> {
        self.send(Method::POST, route::PAUSE, Some(pause), Some(SLOW_MAX)).await.map(drop)
    }

    pub async fn resume(&self, resume: &ResumeRequest) -> Result<(), ClientError> {
        self.send(Method::POST, route::RESUME, Some(resume), Some(QUICK_MAX)).await.map(drop)
    }

    pub async fn metrics(&self) -> Result<String, ClientError> {
        let response = self.send(Method::GET, route::METRICS, None::<&()>, Some(QUICK_MAX)).await?;
        response.text().await.map_err(|e| ClientError::Lost(cause(&e)))
    }

    pub async fn calls(&self, request: &CallsRequest) -> Result<CallsAnswer, ClientError> {
        self.post(route::CALLS, request, QUICK_MAX).await
    }

    pub async fn why(&self, call: &IdRequest) -> Result<Why, ClientError> {
        self.post(route::WHY, call, QUICK_MAX).await
    }

    pub async fn trace(&self, call: &IdRequest) -> Result<Trace, ClientError> {
        self.post(route::TRACE, call, QUICK_MAX).await
    }

    /// Answers the call as it was.
    pub async fn cancel(&self, call: &IdRequest) -> Result<CallInfo, ClientError> {
        self.post(route::CANCEL, call, QUICK_MAX).await
    }

    /// Has a paused call replayed.
    pub async fn retry(&self, request: &RetryRequest) -> Result<Retried, ClientError> {
        self.post(route::RETRY, request, RETRY_MAX).await
    }

    pub async fn stack(&self, request: &StackRequest) -> Result<Stacks, ClientError> {
        self.post(route::STACK, request, QUICK_MAX).await
    }

    /// Asks the hub to drain and end; it has not ended when this returns.
    pub async fn down(&self) -> Result<(), ClientError> {
        self.send(Method::POST, route::DOWN, None::<&()>, Some(QUICK_MAX)).await.map(drop)
    }

    /// A request whose answer is JSON.
    async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
        bound: Duration,
    ) -> Result<T, ClientError> {
        json(self.send(Method::POST, path, Some(body), Some(bound)).await?).await
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<&impl Serialize>,
        bound: Option<Duration>,
    ) -> Result<Response, ClientError> {
        // The host is never resolved: the socket is what is connected to.
        let mut request = self.http.request(method, format!("http://localhost{path}"));
        if let Some(body) = body {
            request = request.json(body);
        }
        if let Some(bound) = bound {
            request = request.timeout(bound);
        }
        let response = request.send().await.map_err(|e| self.broken(&e, bound))?;
        if response.status().is_success() { Ok(response) } else { Err(refusal(response).await) }
    }

    fn broken(&self, error: &reqwest::Error, bound: Option<Duration>) -> ClientError {
        match bound {
            _ if error.is_connect() => unreachable_hub(&self.socket, error),
            Some(bound) if error.is_timeout() => ClientError::Slow(bound),
            _ => ClientError::Lost(cause(error)),
        }
    }
}

async fn json<T: DeserializeOwned>(response: Response) -> Result<T, ClientError> {
    let body = response.bytes().await.map_err(|e| ClientError::Lost(cause(&e)))?;
    serde_json::from_slice(&body).map_err(|e| ClientError::Malformed(e.to_string()))
}

async fn refusal(response: Response) -> ClientError {
    let status = response.status();
    match json::<Problem>(response).await {
        Ok(problem) => ClientError::Refused(Box::new(problem)),
        Err(ClientError::Malformed(_)) => ClientError::Malformed(format!("HTTP status {status}")),
        Err(other) => other,
    }
}

fn unreachable_hub(socket: &Path, error: &reqwest::Error) -> ClientError {
    ClientError::Unreachable { socket: socket.to_path_buf(), reason: cause(error) }
}

/// The innermost reason: reqwest's own text names only the URL.
fn cause(error: &reqwest::Error) -> String {
    let mut source: &dyn std::error::Error = error;
    while let Some(inner) = source.source() {
        source = inner;
    }
    source.to_string()
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        let message = error.to_string();
        match error {
            ClientError::Refused(problem) => (*problem).into(),
            ClientError::Unreachable { .. } => {
                Self::failed(message).with_help("it may be starting or ending: try again in a moment")
            }
            ClientError::Lost(_) => Self::failed(message)
                .with_help("`msx ps` shows whether a hub runs; `.msx/logs/hub.log` may say why it ended"),
            ClientError::Slow(_) => {
                Self::failed(message).with_help("`msx ps` shows what its services are doing")
            }
            ClientError::Malformed(_) => Self::failed(message)
                .with_help("it may be of another version: `msx version`, then `msx down` and `msx up`"),
        }
    }
}
