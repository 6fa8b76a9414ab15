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

use std::pin::Pin;
use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::response::Response;
use axum::routing::any;
use bytes::Bytes;

use crate::model::{ServiceId, ServiceName};
use crate::protocol::signature::Signature;
use problem::Problem;

/// Services under this name answer for the hub itself and are for its own user only.
const PRIVATE: &str = "msx.";

/// What the entrance asks of the rest of the hub.
pub struct Edge {
    /// A service by its canonical or short name.
    pub lookup: Arc<Lookup>,
    /// Every service, for the index.
    pub services: Arc<dyn Fn() -> Vec<Target> + Send + Sync>,
    /// Starts a root call with this payload of arguments; dropping the future cancels it. The time is its deadline.
    pub ask: Arc<dyn Fn(ServiceId, Bytes, Option<Instant>) -> Answer + Send + Sync>,
}

pub type Lookup = dyn Fn(&str) -> Result<Target, Refusal> + Send + Sync;

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

/// Why a name names no service: unknown, or ambiguous. A whole sentence.
pub struct Refusal {
    pub message: String,
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
        .with_state(edge)
}

async fn call(
    State(edge): State<Arc<Edge>>,
    name: Result<Path<String>, PathRejection>,
    request: Request,
) -> Response {
    let answer = async {
        browser::check(request.headers())?;
        let target = match name {
            Ok(Path(name)) => exposed(&edge, &name)?,
            Err(_) => return Err(Problem::not_found("the name of the service is not UTF-8")),
        };
        answer::answer(&edge, &target, request).await
    };
    problem::respond(answer.await)
}

/// A service that is not exposed is answered like one that does not exist: nothing can be learnt about it.
fn exposed(edge: &Edge, name: &str) -> Result<Target, Box<Problem>> {
    let target = (edge.lookup)(name).map_err(|refusal| Problem::not_found(refusal.message))?;
    match target.exposed && !target.name.as_str().starts_with(PRIVATE) {
        true => Ok(target),
        // The words of the registry for a name that it does not know.
        false => Err(Problem::not_found(format!("there is no service `{name}`"))),
    }
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
