//! `msx call`: arguments are the words as typed, results and errors are JSON and text for people.

use std::time::Duration;

use axum::Json;
use axum::body::Bytes;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use serde_json::value::RawValue;

use super::server::{Refused, Shared, help_for};
use crate::core::Answer;
use crate::model::Outcome;
use crate::protocol::control::{CallAnswer, CallRequest, ProblemKind, STREAM_LINES, StreamLine};
use crate::protocol::error::RemoteError;
use crate::protocol::json;
use crate::protocol::worker::CallOptions;
use crate::shard::{Ask, NewAsk, Part, items_body};

pub async fn call(Shared(control): Shared, Json(request): Json<CallRequest>) -> Result<Response, Refused> {
    let CallRequest { service: name, arguments, timeout_ms, idempotency_key } = request;
    let (service, signature) = control.find(&name)?;
    let arguments = signature.bind_words(&arguments).map_err(|error| {
        Refused::usage(signature.explain(&name, &error))
            .help("`k=v` gives a parameter by name; lists and objects are written as JSON")
    })?;
    let timeout = timeout_ms.map(Duration::from_millis);
    if !signature.streams {
        let options = CallOptions::of_root(timeout, idempotency_key.map(Into::into));
        let answer = control.shard.ask(NewAsk { service, arguments, options }).await;
        let result = shown(&returned(&name, timeout, answer)?)?;
        return Ok(Json(CallAnswer { result }).into_response());
    }
    if idempotency_key.is_some() {
        return Err(no_key_for_items(&name));
    }
    let options = CallOptions::of_stream(timeout);
    stream(name, timeout, control.shard.ask(NewAsk { service, arguments, options })).await
}

/// The items of a generator, each on a line as it comes; a failure before the first one is no stream.
async fn stream(name: String, timeout: Option<Duration>, ask: Ask) -> Result<Response, Refused> {
    let of_lines = name.clone();
    let render = Box::new(move |part| line(&of_lines, timeout, part));
    match items_body(ask, render).await {
        Ok(body) => Ok(([(CONTENT_TYPE, STREAM_LINES)], body).into_response()),
        Err(failed) => Err(match returned(&name, timeout, failed) {
            Err(refused) => refused,
            Ok(_) => Refused::new(ProblemKind::Internal, "a stream that ended well was refused"),
        }),
    }
}

fn line(name: &str, timeout: Option<Duration>, part: Part) -> Bytes {
    let line = match part {
        Part::Item(payload) => shown(&payload).map(StreamLine::Item),
        Part::End(answer) => returned(name, timeout, answer).map(|_| StreamLine::End),
    };
    let line = line.unwrap_or_else(|refused| StreamLine::Error(refused.0));
    let mut text = serde_json::to_vec(&line).expect("texts can always be written as JSON");
    text.push(b'\n');
    text.into()
}

pub(super) fn no_key_for_items(name: &str) -> Refused {
    Refused::usage(format!("{name} is a generator, and its items cannot be kept for an idempotency key"))
}

/// A payload as JSON.
fn shown(payload: &[u8]) -> Result<Box<RawValue>, Refused> {
    let mut text = Vec::new();
    json::to_json(payload, &mut text).map_err(|e| Refused::unreadable(&e.to_string()))?;
    let text = String::from_utf8(text).map_err(|e| Refused::unreadable(&e.to_string()))?;
    RawValue::from_string(text).map_err(|e| Refused::unreadable(&e.to_string()))
}

/// The payload of the result.
fn returned(name: &str, timeout: Option<Duration>, answer: Answer) -> Result<Bytes, Refused> {
    match answer {
        Answer::Done(Outcome::Value(payload)) => Ok(payload),
        Answer::Done(Outcome::Error(payload)) => Err(Refused::remote(RemoteError::decode(&payload))),
        Answer::Expired => {
            let bound = timeout.unwrap_or_default().as_secs_f64();
            let message = format!("{name} did not answer within {bound} s, so the call was cancelled");
            let help = format!("`--timeout` gives it longer; `msx logs {name}` shows what it printed");
            Err(Refused::new(ProblemKind::Timeout, message).help(help))
        }
        Answer::Refused(refusal) => {
            let help = help_for(name, refusal.reason);
            let mut refused = Refused::new(ProblemKind::Unavailable, refusal.message).help(help);
            refused.0.detail = refusal.detail;
            Err(refused)
        }
    }
}
