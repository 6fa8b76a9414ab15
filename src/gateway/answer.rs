//! One request that names a service → one ask → its response.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::{Body, HttpBody};
use axum::extract::Request;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, Method, Response, StatusCode};
use bytes::Bytes;
use http_body_util::{BodyExt, Limited};

use super::problem::{Problem, reply};
use super::{Edge, Outcome, Target, Terms, stream};
use crate::protocol::error::RemoteError;
use crate::protocol::json;
use crate::protocol::signature::BindError;
use crate::protocol::worker::IDEMPOTENCY_KEY_MAX;

/// What one message may carry (`docs/protocol.md`), in JSON and as payload.
const BODY_BYTES_MAX: usize = 32 << 20;
/// How long a client is kept waiting, unless it asks for less.
const ASK_TIMEOUT: Duration = Duration::from_secs(60);

/// Calls the service. The checks of the browser rules are behind us.
pub(super) async fn answer(
    edge: &Edge,
    target: &Target,
    request: Request,
) -> Result<Response<Body>, Box<Problem>> {
    if request.method() != Method::POST {
        return Err(Problem::method_not_allowed("POST"));
    }
    let (parts, body) = request.into_parts();
    require_json(&parts.headers)?;
    let timeout = timeout(&parts.headers)?;
    let deadline = Instant::now() + timeout.unwrap_or(ASK_TIMEOUT);
    let idempotency_key = idempotency_key(&parts.headers)?;
    let body = read(body, deadline).await?;
    let arguments = bind(target, &body)?;
    // The body is no longer needed, and an ask may take long.
    drop(body);
    if target.signature.streams {
        // One that goes on and on is nothing unusual, so only a client's own bound holds.
        let terms = Terms { deadline: timeout.map(|_| deadline), idempotency_key };
        return stream::answer(edge, target, &parts.headers, arguments, terms).await;
    }
    let terms = Terms { deadline: Some(deadline), idempotency_key };
    match (edge.ask)(target.id, arguments, terms).await {
        Outcome::Value(payload) => show(target, &payload),
        failed => Err(problem(failed)),
    }
}

/// Of a call that did not return.
pub(super) fn problem(failed: Outcome) -> Box<Problem> {
    match failed {
        Outcome::Value(payload) | Outcome::Error(payload) => Problem::raised(RemoteError::decode(&payload)),
        Outcome::Refused { reason, message, retry_after_s } => {
            Problem::unavailable(reason, message, retry_after_s)
        }
    }
}

/// Demanded of an empty body too: a page of another origin can send any other type without being asked for leave.
fn require_json(headers: &HeaderMap) -> Result<(), Box<Problem>> {
    let given = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let media_type = given.split(';').next().unwrap_or_default().trim();
    match media_type.eq_ignore_ascii_case("application/json") {
        true => Ok(()),
        false => Err(Problem::media_type()),
    }
}

fn timeout(headers: &HeaderMap) -> Result<Option<Duration>, Box<Problem>> {
    let Some(value) = headers.get("x-request-timeout") else { return Ok(None) };
    let seconds = value.to_str().ok().and_then(|text| text.trim().parse::<f64>().ok());
    match seconds.filter(|seconds| *seconds > 0.0 && seconds.is_finite()) {
        Some(seconds) => Ok(Some(Duration::from_secs_f64(seconds.min(ASK_TIMEOUT.as_secs_f64())))),
        None => {
            Err(Problem::bad_request("X-Request-Timeout must be a number of seconds above 0, like `2.5`"))
        }
    }
}

fn idempotency_key(headers: &HeaderMap) -> Result<Option<Arc<str>>, Box<Problem>> {
    let Some(value) = headers.get("idempotency-key") else { return Ok(None) };
    match value.to_str() {
        Ok(key) if (1..=IDEMPOTENCY_KEY_MAX).contains(&key.len()) => Ok(Some(key.into())),
        _ => Err(Problem::bad_request(format!(
            "Idempotency-Key must be a text of 1 to {IDEMPOTENCY_KEY_MAX} visible ASCII characters"
        ))),
    }
}

async fn read(body: Body, deadline: Instant) -> Result<Bytes, Box<Problem>> {
    let too_large = || Problem::too_large(format!("the body has more than {BODY_BYTES_MAX} bytes"));
    if body.size_hint().lower() > BODY_BYTES_MAX as u64 {
        return Err(too_large());
    }
    let whole = Limited::new(body, BODY_BYTES_MAX).collect();
    match tokio::time::timeout_at(deadline.into(), whole).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<http_body_util::LengthLimitError>() => Err(too_large()),
        Ok(Err(error)) => Err(Problem::bad_request(format!("the body could not be read: {error}"))),
        Err(_) => Err(Problem::slow_request()),
    }
}

fn bind(target: &Target, body: &[u8]) -> Result<Bytes, Box<Problem>> {
    let arguments = target.signature.bind_json(body).map_err(|error| {
        let detail = target.signature.explain(target.name.alias(), &error);
        match error {
            BindError::Malformed(_) => Problem::bad_request(detail),
            BindError::Mismatches(mismatches) => Problem::arguments(detail, mismatches),
        }
    })?;
    // A list of short floats takes more room as a payload.
    match arguments.len() <= BODY_BYTES_MAX {
        true => Ok(arguments),
        false => Err(Problem::too_large(format!("the arguments take more than {BODY_BYTES_MAX} bytes"))),
    }
}

fn show(target: &Target, payload: &[u8]) -> Result<Response<Body>, Box<Problem>> {
    let mut result = Vec::with_capacity(payload.len() + 16);
    match json::to_json(payload, &mut result) {
        Ok(()) => Ok(reply(StatusCode::OK, "application/json", result)),
        Err(error) => Err(Problem::result(format!("the result of {}: {error}", target.name))),
    }
}
