//! A service's own front: the stable address that `access` returns, where `POST /` calls this one service.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::response::Response;
use axum::routing::any;

use super::problem::{self, Problem};
use super::{Edge, answer, browser};
use crate::model::{ServiceId, ServiceName};

/// Whoever knows the address may call the service, exposed or not: it is on loopback.
pub fn router(edge: Arc<Edge>, id: ServiceId, name: ServiceName) -> Router {
    Router::new().route("/", any(call)).fallback(nothing_here).with_state(Arc::new(Front { edge, id, name }))
}

struct Front {
    edge: Arc<Edge>,
    id: ServiceId,
    name: ServiceName,
}

async fn call(State(front): State<Arc<Front>>, request: Request) -> Response {
    let answer = async {
        browser::check(request.headers())?;
        let target = front.edge.target(front.id)?;
        answer::answer(&front.edge, &target, request).await
    };
    problem::respond(answer.await)
}

async fn nothing_here(State(front): State<Arc<Front>>, request: Request) -> Response {
    problem::respond(browser::check(request.headers()).and_then(|()| {
        Err(Problem::not_found(format!("there is nothing here: {} is called by POST to /", front.name)))
    }))
}
