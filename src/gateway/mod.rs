//! The public HTTP entrance: JSON in, one ask, JSON out.
//!
//! A request is checked in the order of what it may cost: headers, then the name, then the body, then the arguments;
//! only then a call exists. The room knows neither queues nor instances: what it needs of them are the functions in
//! [`Edge`]. A client that goes away drops the handler's future, and with it the ask.

mod answer;
mod browser;
pub mod front;
mod index;
mod problem;
mod stream;

use std::pin::Pin;
use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::response::Response;
use axum::routing::any;
use bytes::Bytes;

use crate::model::{ServiceId, ServiceName};
use crate::protocol::signature::Signature;
use crate::registry::Names;
use problem::Problem;
pub use stream::Part;

/// Services under this name answer for the hub itself and are for its own user only.
const PRIVATE: &str = "msx.";

/// What the entrance asks of the rest of the hub.
pub struct Edge {
    /// The service with this id, as it is now.
    pub lookup: Arc<dyn Fn(ServiceId) -> Option<Target> + Send + Sync>,
    /// Every service. Which there are, and which of them are exposed, never changes.
    pub services: Arc<dyn Fn() -> Vec<Target> + Send + Sync>,
    /// Starts a root call with this payload of arguments; dropping the future cancels it.
    pub ask: Arc<dyn Fn(ServiceId, Bytes, Terms) -> Answer + Send + Sync>,
    /// The same of a generator; dropping the body cancels it.
    pub stream: Arc<dyn Fn(ServiceId, Bytes, Terms, Render) -> Begun + Send + Sync>,
}

/// What a client asks for beside the arguments.
pub struct Terms {
    pub deadline: Option<Instant>,
    /// Calls of a service with the same key are one call.
    pub idempotency_key: Option<Arc<str>>,
}

/// The body of a response that grows with a stream, or how it ended before its first item.
pub type Begun = Pin<Box<dyn Future<Output = Result<Body, Outcome>> + Send>>;

/// Writes a part of such a body.
pub type Render = Box<dyn FnMut(Part) -> Bytes + Send>;

pub type Answer = Pin<Box<dyn Future<Output = Outcome> + Send>>;

/// A service that can be asked.
#[derive(Clone)]
pub struct Target {
    pub id: ServiceId,
    pub name: ServiceName,
    pub signature: Arc<Signature>,
    /// Whether the gateway may call it. Its own front always may.
    pub exposed: bool,
}

/// How an ask ended.
pub enum Outcome {
    /// Payload of the returned value.
    Value(Bytes),
    /// Payload of the error.
    Error(Bytes),
    /// It was not started, and may be later.
    Refused {
        /// For programs: `queue_full`, `queue_timeout`, `scaled_to_zero`, `draining`.
        reason: &'static str,
        message: String,
        retry_after_s: u32,
    },
}

/// The gateway: `POST /call/{service}`, and an index for people at `/`.
pub fn router(edge: Arc<Edge>) -> Router {
    Router::new()
        .route("/call/{service}", any(call))
        .route("/", any(index::index))
        .fallback(nothing_here)
        .with_state(Arc::new(Gateway::new(edge)))
}

impl Edge {
    /// To be asked for each call: a reload may have changed the signature.
    fn target(&self, id: ServiceId) -> Result<Target, Box<Problem>> {
        (self.lookup)(id).ok_or_else(|| Problem::not_found("this service is not there any more"))
    }
}

/// What the gateway may call. A service that is not exposed is not among it: whatever name is tried, the answer is the
/// one that would be given if it did not exist, so that nothing can be learnt about it.
struct Gateway {
    edge: Arc<Edge>,
    /// Knows a service by its position in `exposed`.
    names: Names,
    exposed: Vec<ServiceId>,
}

impl Gateway {
    fn new(edge: Arc<Edge>) -> Self {
        let exposed = (edge.services)().into_iter().filter(Target::is_public);
        let (exposed, names) = exposed.map(|target| (target.id, target.name)).unzip();
        Self { edge, names: Names::new(names), exposed }
    }

    fn find(&self, name: &str) -> Result<Target, Box<Problem>> {
        let position = self.names.resolve(name).map_err(|error| Problem::not_found(error.to_string()))?;
        self.edge.target(self.exposed[position.0 as usize])
    }
}

impl Target {
    fn is_public(&self) -> bool {
        self.exposed && !self.name.as_str().starts_with(PRIVATE)
    }
}

async fn call(
    State(gateway): State<Arc<Gateway>>,
    name: Result<Path<String>, PathRejection>,
    request: Request,
) -> Response {
    let answer = async {
        browser::check(request.headers())?;
        let target = match name {
            Ok(Path(name)) => gateway.find(&name)?,
            Err(_) => return Err(Problem::not_found("the name of the service is not UTF-8")),
        };
        answer::answer(&gateway.edge, &target, request).await
    };
    problem::respond(answer.await)
}

async fn nothing_here(request: Request) -> Response {
    problem::respond(browser::check(request.headers()).and_then(|()| {
        Err(Problem::not_found(
            "there is nothing here: calls go by POST to /call/SERVICE, and GET / lists the services",
        ))
    }))
}

#[cfg(test)]
mod tests;
