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

use super::server::{Refused, Shared, help_for};
use crate::core::{Answer, Refusal};
use crate::model::Outcome;
use crate::protocol::error::RemoteError;
use crate::protocol::worker::{CallOptions, IDEMPOTENCY_KEY_MAX, MESSAGE_BYTES_MAX};
use crate::shard::{Ask, NewAsk, Part, items_body};

/// The longest message of a worker, as what a worker may ask for may be asked for from outside, too.
pub const BODY_BYTES_MAX: usize = MESSAGE_BYTES_MAX;

/// Tells payloads from the JSON of a [`Problem`](crate::protocol::control::Problem).
const PAYLOAD: &str = "application/vnd.msx+msgpack";
/// Of an answer that has many.
const STREAM: &str = "application/vnd.msx+stream";

/// What stands in the body before the payload of the arguments.
#[derive(Deserialize)]
struct Head {
    service: String,
    /// Nil: until the call ends.
    timeout_ms: Option<u64>,
    /// Calls of a service with the same key are one call.
    #[serde(default)]
    idempotency_key: Option<String>,
    /// It is a generator, whose items are wanted.
    #[serde(default)]
    stream: bool,
}

/// 200 with the payload of the result, or 500 with that of the error, which may be the hub's own.
pub async fn ask(Shared(control): Shared, body: Bytes) -> Result<Response, Refused> {
    let (head, arguments) = split(&body)
        .map_err(|error| Refused::usage(format!("the ask cannot be read: {error}")).help(OTHER_VERSION))?;
    let name = &head.service;
    if head.idempotency_key.as_ref().is_some_and(|key| !(1..=IDEMPOTENCY_KEY_MAX).contains(&key.len())) {
        let message = format!("an idempotency key must be a text of 1 to {IDEMPOTENCY_KEY_MAX} bytes");
        return Err(Refused::usage(message));
    }
    Ok(match control.find(name) {
        Ok((_, signature)) if signature.streams != head.stream => raised(misuse(name, signature.streams)),
        Ok((id, _)) if head.stream => {
            let timeout = head.timeout_ms.map(Duration::from_millis);
            let options = CallOptions::of_stream(timeout);
            let ask = control.shard.ask(NewAsk { service: id, arguments, options });
            stream(name.clone(), timeout, ask).await
        }
        Ok((id, _)) => {
            let timeout = head.timeout_ms.map(Duration::from_millis);
            let options = CallOptions::of_root(timeout, head.idempotency_key.map(Into::into));
            let answer = control.shard.ask(NewAsk { service: id, arguments, options }).await;
            answered(name, timeout, answer)
        }
        Err(Refused(problem)) => {
            let message = [Some(problem.message), problem.help].into_iter().flatten().collect::<Vec<_>>();
            raised(RemoteError::service_unavailable(name, message.join("; ")))
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

fn answered(service: &str, timeout: Option<Duration>, answer: Answer) -> Response {
    match answer {
        Answer::Done(Outcome::Value(payload)) => (StatusCode::OK, payload_of(payload)).into_response(),
        failed => error(error_of(service, timeout, failed)),
    }
}

/// The payload of the error of a call that did not return.
fn error_of(service: &str, timeout: Option<Duration>, failed: Answer) -> Bytes {
    match failed {
        Answer::Done(Outcome::Value(payload) | Outcome::Error(payload)) => payload,
        Answer::Expired => {
            let seconds = timeout.unwrap_or_default().as_secs_f64();
            let message = format!("{service} did not answer within {seconds} s, so the call was cancelled");
            RemoteError::timeout(service, message, "").encode()
        }
        Answer::Refused(Refusal { reason, message, detail }) => {
            let message = format!("{message}; {}", help_for(service, reason));
            let refused = RemoteError::service_unavailable(service, message);
            RemoteError { traceback: detail.unwrap_or_default(), ..refused }.encode()
        }
    }
}

fn misuse(service: &str, streams: bool) -> RemoteError {
    let text = match streams {
        true => "it is a generator, and was called like a function: iterate over its items",
        false => "it is no generator, and was iterated over like one: call it",
    };
    RemoteError::usage(service, text)
}

/// What a part of a stream is, behind its length (u32, little endian).
const ITEM: u8 = 0;
const RETURNED: u8 = 1;
const RAISED: u8 = 2;

/// The items as they come, or the error that comes before the first.
async fn stream(service: String, timeout: Option<Duration>, ask: Ask) -> Response {
    let name = service.clone();
    let render = Box::new(move |part| match part {
        Part::Item(payload) => framed(ITEM, &payload),
        Part::End(Answer::Done(Outcome::Value(payload))) => framed(RETURNED, &payload),
        Part::End(failed) => framed(RAISED, &error_of(&service, timeout, failed)),
    });
    match items_body(ask, render).await {
        Ok(body) => (StatusCode::OK, [(CONTENT_TYPE, STREAM)], body).into_response(),
        Err(failed) => error(error_of(&name, timeout, failed)),
    }
}

fn framed(kind: u8, payload: &[u8]) -> Bytes {
    let length = u32::try_from(payload.len()).unwrap_or(u32::MAX);
    [&length.to_le_bytes()[..], &[kind], payload].concat().into()
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
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_follows_the_head_are_the_arguments() {
        let body = Bytes::from_static(b"\x92\xa3a.a\xcd\x05\xdc\x92\x91\x01\x80");
        let (head, arguments) = split(&body).unwrap();
        assert_eq!((head.service.as_str(), head.timeout_ms), ("a.a", Some(1500)));
        assert_eq!(&arguments[..], b"\x92\x91\x01\x80");
        let keyed = Bytes::from_static(b"\x93\xa3a.a\xc0\xa3key\x92\x91\x01\x80");
        let (head, arguments) = split(&keyed).unwrap();
        assert_eq!((head.timeout_ms, head.idempotency_key.as_deref()), (None, Some("key")));
        assert_eq!(&arguments[..], b"\x92\x91\x01\x80");
        assert!(split(&Bytes::from_static(b"{}")).is_err());
        assert!(split(&Bytes::new()).is_err());
    }

    proptest! {
        /// The arguments are what stands behind the head, whatever it is; any other bytes are refused, or have a head.
        #[test]
        fn any_ask_is_split_or_refused(
            service in ".{0,9}",
            timeout: Option<u64>,
            key in prop::option::of(".{0,9}"),
            payload in prop::collection::vec(any::<u8>(), 0..60),
            at: prop::sample::Index,
            byte: u8,
        ) {
            let mut body = rmp_serde::to_vec(&(&service, timeout, &key)).unwrap();
            let length = body.len();
            body.extend_from_slice(&payload);
            let (head, arguments) = split(&body.clone().into()).unwrap();
            prop_assert_eq!((head.service, head.timeout_ms, head.idempotency_key), (service, timeout, key));
            prop_assert_eq!(&arguments[..], &payload[..]);
            body[at.index(length)] = byte;
            if let Ok((_, arguments)) = split(&body.clone().into()) {
                prop_assert!(body.ends_with(&arguments));
            }
            let _ = split(&payload.into());
        }
    }
}
