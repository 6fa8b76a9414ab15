//! Every answer of the proxy's own: `application/problem+json` (RFC 9457), with the reason for programs in a header.

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER};
use http::{Response, StatusCode};

use crate::core::Refusal;
use crate::upstream::ClientFault;

const REASON: HeaderName = HeaderName::from_static("x-msx-reason");

/// Why a request was not passed on, or its response not back.
#[derive(Clone, Debug, PartialEq)]
pub struct Refused {
    status: StatusCode,
    reason: &'static str,
    detail: String,
    retry_after_s: Option<u32>,
    /// What follows on the connection cannot be told from what belongs to this request.
    closes: bool,
}

impl Refused {
    fn new(status: StatusCode, reason: &'static str, detail: impl Into<String>) -> Self {
        Self { status, reason, detail: detail.into(), retry_after_s: None, closes: false }
    }

    pub fn bad_request(detail: &str) -> Self {
        Self { closes: true, ..Self::new(StatusCode::BAD_REQUEST, "bad_request", detail) }
    }

    pub fn no_tunnel() -> Self {
        let detail = "msx makes no tunnels (CONNECT)";
        Self { closes: true, ..Self::new(StatusCode::NOT_IMPLEMENTED, "not_implemented", detail) }
    }

    /// The client's own body is at fault.
    pub fn client(fault: ClientFault) -> Self {
        let (status, reason) = match fault {
            ClientFault::Broken => (StatusCode::BAD_REQUEST, "bad_request"),
            ClientFault::Idle => (StatusCode::REQUEST_TIMEOUT, "slow_request"),
        };
        Self { closes: true, ..Self::new(status, reason, fault.to_string()) }
    }

    /// It got no slot.
    pub fn unavailable(Refusal { reason, message, .. }: Refusal) -> Self {
        let refused = Self::new(StatusCode::SERVICE_UNAVAILABLE, reason.as_str(), message);
        Self { retry_after_s: Some(reason.retry_after_s()), ..refused }
    }

    pub fn broke(service: &str) -> Self {
        let detail = format!(
            "the instance of {service} broke off before it had answered; `msx logs {service}` may show why"
        );
        Self::new(StatusCode::BAD_GATEWAY, "upstream_broke", detail)
    }

    pub fn late(service: &str, seconds: u64) -> Self {
        let detail = format!("the instance of {service} did not begin to answer within {seconds} s");
        Self::new(StatusCode::GATEWAY_TIMEOUT, "upstream_timeout", detail)
    }

    /// The response, whose body is short and whole.
    pub fn into_response(self) -> Response<Bytes> {
        let body = serde_json::json!({
            "type": format!("urn:msx:{}", self.reason.replace('_', "-")),
            "title": self.status.canonical_reason().unwrap_or_default(),
            "status": self.status.as_u16(),
            "detail": self.detail,
        });
        let mut response = Response::new(Bytes::from(body.to_string()));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(REASON, HeaderValue::from_static(self.reason));
        self.retry_after_s.into_iter().for_each(|s| drop(headers.insert(RETRY_AFTER, s.into())));
        if self.closes {
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}
