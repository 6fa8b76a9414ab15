//! Asks of programs that are not services: `msx.connect()` and `msx run`.
//!
//! Beside `call`, which is made for people: here arguments, results and errors are the payloads of the worker protocol,
//! which the hub carries and does not read, so that values keep their types and exceptions their class.

use std::time::Duration;

use axum::body::Bytes;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;

use super::server::{Control, Refused, Shared, help_for};
use crate::core::{Answer, Refusal};
use crate::model::{Outcome, ServiceId};
use crate::protocol::error::RemoteError;
use crate::protocol::worker::MESSAGE_BYTES_MAX;

/// The longest message of a worker, as what a worker may ask for may be asked for from outside, too.
pub const BODY_BYTES_MAX: usize = MESSAGE_BYTES_MAX;

/// Tells payloads from the JSON of a [`Problem`](crate::protocol::control::Problem).
const PAYLOAD: &str = "application/vnd.msx+msgpack";

/// What stands in the body before the payload of the arguments.
#[derive(Deserialize)]
struct Head {
    service: String,
    /// Nil: until the call ends.
    timeout_ms: Option<u64>,
}

/// 200 with the payload of the result, or 500 with that of the error, which may be the hub's own.
pub async fn ask(Shared(control): Shared, body: Bytes) -> Result<Response, Refused> {
    let (head, arguments) = split(&body)
        .map_err(|error| Refused::usage(format!("the ask cannot be read: {error}")).help(OTHER_VERSION))?;
    let Head { service, timeout_ms } = head;
    Ok(match control.find(&service) {
        Ok((id, _)) => answered(&service, run(&control, id, &service, arguments, timeout_ms).await),
        Err(Refused(problem)) => {
            let message = [Some(problem.message), problem.help].into_iter().flatten().collect::<Vec<_>>();
            raised(RemoteError::service_unavailable(&service, message.join("; ")))
        }
    })
}

const OTHER_VERSION: &str = "the program's msx may be of another version than the hub: `msx version`";

fn split(body: &Bytes) -> Result<(Head, Bytes), rmp_serde::decode::Error> {
    let mut reader = rmp_serde::Deserializer::new(std::io::Cursor::new(&body[..]));
    let head = Head::deserialize(&mut reader)?;
    let at = usize::try_from(reader.position()).unwrap_or(body.len());
    Ok((head, body.slice(at.min(body.len())..)))
}

async fn run(
    control: &Control,
    id: ServiceId,
    service: &str,
    arguments: Bytes,
    timeout_ms: Option<u64>,
) -> Result<Answer, RemoteError> {
    let ask = control.shard.ask(id, arguments);
    let Some(bound) = timeout_ms.map(Duration::from_millis) else { return Ok(ask.await) };
    tokio::time::timeout(bound, ask).await.map_err(|_| {
        let seconds = bound.as_secs_f64();
        let message = format!("{service} did not answer within {seconds} s, so the call was cancelled");
        RemoteError::timeout(service, message, "")
    })
}

fn answered(service: &str, answer: Result<Answer, RemoteError>) -> Response {
    match answer {
        Ok(Answer::Done(Outcome::Value(payload))) => (StatusCode::OK, payload_of(payload)).into_response(),
        Ok(Answer::Done(Outcome::Error(payload))) => error(payload),
        Ok(Answer::Refused(Refusal { reason, message, detail })) => {
            let message = format!("{message}; {}", help_for(service, reason));
            let refused = RemoteError::service_unavailable(service, message);
            raised(RemoteError { traceback: detail.unwrap_or_default(), ..refused })
        }
        Err(timed_out) => raised(timed_out),
    }
}

fn raised(error_of_hub: RemoteError) -> Response {
    error(error_of_hub.encode())
}

fn error(payload: Bytes) -> Response {
    (StatusCode::INTERNAL_SERVER_ERROR, payload_of(payload)).into_response()
}

fn payload_of(payload: Bytes) -> impl IntoResponse {
    ([(CONTENT_TYPE, PAYLOAD)], payload)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_follows_the_head_are_the_arguments() {
        let body = Bytes::from_static(b"\x92\xa3a.a\xcd\x05\xdc\x92\x91\x01\x80");
        let (head, arguments) = split(&body).unwrap();
        assert_eq!((head.service.as_str(), head.timeout_ms), ("a.a", Some(1500)));
        assert_eq!(&arguments[..], b"\x92\x91\x01\x80");
        assert!(split(&Bytes::from_static(b"{}")).is_err());
        assert!(split(&Bytes::new()).is_err());
    }
}
