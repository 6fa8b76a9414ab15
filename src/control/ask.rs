//! Asks of programs that are not services: `msx.connect()` and `msx run`.
//!
//! Beside `call`, which is made for people: here arguments, results and errors are the payloads of the worker protocol,
//! which the hub carries and does not read, so that values keep their types and exceptions their class.

use std::time::Duration;

use axum::body::Bytes;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};

use super::call::no_key_for_items;
use super::server::{Refused, Shared, help_for};
use crate::core::{Answer, Refusal};
use crate::model::Outcome;
use crate::protocol::control::Problem;
use crate::protocol::error::RemoteError;
use crate::protocol::worker::{AskHead, IDEMPOTENCY_KEY_MAX, MESSAGE_BYTES_MAX};
use crate::shard::{Ask, NewAsk, Part, items_body};

/// The longest message of a worker, as what a worker may ask for may be asked for from outside, too.
pub const BODY_BYTES_MAX: usize = MESSAGE_BYTES_MAX;

/// Tells payloads from the JSON of a [`Problem`].
const PAYLOAD: &str = "application/vnd.msx+msgpack";
/// Of an answer that has many.
const STREAM: &str = "application/vnd.msx+stream";

/// 200 with the payload of the result, or 500 with that of the error, which may be the hub's own.
pub async fn ask(Shared(control): Shared, body: Bytes) -> Result<Response, Refused> {
    let (AskHead { service: name, options }, at) = AskHead::decode(&body).map_err(|_| no_ask())?;
    let asked = options.as_deref().cloned().unwrap_or_default();
    if let Some(key) = asked.key_out_of_bounds() {
        let message = format!("the option {key} must be a text of 1 to {IDEMPOTENCY_KEY_MAX} bytes");
        return Err(Refused::usage(message));
    }
    if asked.stream && asked.idempotency_key.is_some() {
        return Err(no_key_for_items(&name));
    }
    let (service, signature) = match control.find(&name) {
        Ok(found) => found,
        Err(Refused(problem)) => return Ok(unknown(&name, *problem)),
    };
    if signature.streams != asked.stream {
        return Ok(raised(misuse(&name, signature.streams)));
    }
    let ask = control.shard.ask(NewAsk { service, arguments: body.slice(at..), options });
    Ok(match asked.stream {
        true => stream(name, asked.timeout, ask).await,
        false => answered(&name, asked.timeout, ask.await),
    })
}

fn no_ask() -> Refused {
    Refused::usage("the ask cannot be read")
        .help("the program's msx may be of another version than the hub: `msx version`")
}

fn unknown(name: &str, problem: Problem) -> Response {
    let message = [Some(problem.message), problem.help].into_iter().flatten().collect::<Vec<_>>();
    raised(RemoteError::service_unavailable(name, message.join("; ")))
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
