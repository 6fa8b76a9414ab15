//! Every answer that is not a result: `application/problem+json` (RFC 9457).

use axum::body::Body;
use axum::http::header::{ALLOW, CONTENT_TYPE, RETRY_AFTER, X_CONTENT_TYPE_OPTIONS};
use axum::http::{HeaderName, HeaderValue, Response, StatusCode};
use serde::Serialize;

use crate::protocol::error::RemoteError;
use crate::protocol::signature::Mismatch;

const REASON: HeaderName = HeaderName::from_static("x-msx-reason");

/// Boxed wherever it is an error: it is large, and rare.
#[derive(Debug, Serialize)]
pub(super) struct Problem {
    /// A URI: what a program should branch on.
    r#type: &'static str,
    title: &'static str,
    #[serde(serialize_with = "as_number")]
    status: StatusCode,
    detail: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<Mismatch>,
    #[serde(flatten)]
    raised: Option<Raised>,
    #[serde(skip)]
    headers: Vec<(HeaderName, HeaderValue)>,
}

/// The exception that ended the call.
#[derive(Debug, Serialize)]
struct Raised {
    exception: String,
    message: String,
    traceback: String,
    service: String,
    /// Services that it passed through, the innermost first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    via: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    notes: Vec<String>,
}

impl Problem {
    fn new(
        status: StatusCode,
        r#type: &'static str,
        title: &'static str,
        detail: impl Into<String>,
    ) -> Box<Self> {
        let (detail, errors, headers) = (detail.into(), Vec::new(), Vec::new());
        Box::new(Self { r#type, title, status, detail, errors, raised: None, headers })
    }

    pub fn bad_request(detail: impl Into<String>) -> Box<Self> {
        Self::new(StatusCode::BAD_REQUEST, "urn:msx:bad-request", "Bad request", detail)
    }

    pub fn forbidden(detail: impl Into<String>) -> Box<Self> {
        Self::new(StatusCode::FORBIDDEN, "urn:msx:forbidden", "Forbidden", detail)
    }

    pub fn not_found(detail: impl Into<String>) -> Box<Self> {
        Self::new(StatusCode::NOT_FOUND, "urn:msx:not-found", "Not found", detail)
    }

    pub fn method_not_allowed(allowed: &'static str) -> Box<Self> {
        let (status, detail) = (StatusCode::METHOD_NOT_ALLOWED, format!("this address takes only {allowed}"));
        let problem = Self::new(status, "urn:msx:method", "Method not allowed", detail);
        problem.with(ALLOW, HeaderValue::from_static(allowed))
    }

    pub fn media_type() -> Box<Self> {
        let detail = "arguments are sent with the header `content-type: application/json`";
        let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
        Self::new(status, "urn:msx:media-type", "Unsupported media type", detail)
    }

    pub fn too_large(detail: impl Into<String>) -> Box<Self> {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "urn:msx:too-large", "Arguments too large", detail)
    }

    pub fn slow_request() -> Box<Self> {
        let detail = "the body did not arrive before the request's deadline";
        Self::new(StatusCode::REQUEST_TIMEOUT, "urn:msx:slow-request", "Request timeout", detail)
    }

    pub fn arguments(detail: String, errors: Vec<Mismatch>) -> Box<Self> {
        let status = StatusCode::UNPROCESSABLE_ENTITY;
        let problem = Self::new(status, "urn:msx:arguments", "Arguments do not fit", detail);
        Box::new(Self { errors, ..*problem })
    }

    pub fn result(detail: String) -> Box<Self> {
        let status = StatusCode::INTERNAL_SERVER_ERROR;
        Self::new(status, "urn:msx:result", "Result cannot be shown as JSON", detail)
    }

    pub fn unavailable(reason: &'static str, message: String, retry_after_s: u32) -> Box<Self> {
        let problem =
            Self::new(StatusCode::SERVICE_UNAVAILABLE, "urn:msx:unavailable", "Try again later", message);
        problem.with(RETRY_AFTER, retry_after_s.into()).with(REASON, HeaderValue::from_static(reason))
    }

    pub fn raised(error: RemoteError) -> Box<Self> {
        let (status, r#type, title) = match error.kind.as_str() {
            RemoteError::TIMEOUT => {
                (StatusCode::GATEWAY_TIMEOUT, "urn:msx:timeout", "Call did not end in time")
            }
            RemoteError::INSTANCE_DIED => (StatusCode::BAD_GATEWAY, "urn:msx:instance-died", "Instance died"),
            RemoteError::UNAVAILABLE => {
                (StatusCode::SERVICE_UNAVAILABLE, "urn:msx:unavailable", "Service unavailable")
            }
            RemoteError::IDEMPOTENCY_CONFLICT => (
                StatusCode::UNPROCESSABLE_ENTITY,
                "urn:msx:idempotency-conflict",
                "Idempotency key of another call",
            ),
            RemoteError::CANCELLED => {
                (StatusCode::INTERNAL_SERVER_ERROR, "urn:msx:cancelled", "Call was cancelled")
            }
            _ => (StatusCode::INTERNAL_SERVER_ERROR, "urn:msx:exception", "Exception"),
        };
        let problem = Self::new(status, r#type, title, format!("{}: {}", error.kind, error.message));
        let RemoteError { kind: exception, message, traceback, service, via, notes, .. } = error;
        let raised = Raised { exception, message, traceback, service, via, notes };
        Box::new(Self { raised: Some(raised), ..*problem })
    }

    fn with(mut self: Box<Self>, name: HeaderName, value: HeaderValue) -> Box<Self> {
        self.headers.push((name, value));
        self
    }

    pub fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("texts can always be written as JSON")
    }

    fn into_response(self) -> Response<Body> {
        let mut response = reply(self.status, "application/problem+json", self.to_json());
        response.headers_mut().extend(self.headers);
        response
    }
}

/// The one place where responses are made.
pub(super) fn reply(status: StatusCode, content_type: &'static str, body: Vec<u8>) -> Response<Body> {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

pub(super) fn respond(answer: Result<Response<Body>, Box<Problem>>) -> Response<Body> {
    answer.unwrap_or_else(|problem| problem.into_response())
}

fn as_number<S: serde::Serializer>(status: &StatusCode, target: S) -> Result<S::Ok, S::Error> {
    target.serialize_u16(status.as_u16())
}
