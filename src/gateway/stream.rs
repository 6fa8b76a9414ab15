//! The items of a generator as they come: a line of JSON each, or an event each (SSE).

use axum::body::Body;
use axum::http::header::{ACCEPT, CACHE_CONTROL, HeaderValue};
use axum::http::{HeaderMap, Response, StatusCode};
use bytes::Bytes;

use super::problem::{Problem, reply};
use super::{Edge, Outcome, Target, Terms, answer};
use crate::protocol::json;

/// What a response is made of.
pub enum Part {
    /// Payload of an item.
    Item(Bytes),
    /// The last one.
    End(Outcome),
}

#[derive(Clone, Copy)]
enum Form {
    Lines,
    Events,
}

/// Calls the generator. What fails before its first item is answered as with any call.
pub(super) async fn answer(
    edge: &Edge,
    target: &Target,
    headers: &HeaderMap,
    arguments: Bytes,
    terms: Terms,
) -> Result<Response<Body>, Box<Problem>> {
    if terms.idempotency_key.is_some() {
        return Err(Problem::bad_request(format!(
            "{} is a generator, and its items cannot be kept for an Idempotency-Key",
            target.name
        )));
    }
    let form = Form::wanted(headers);
    let render = Box::new(move |part| form.render(part).into());
    match (edge.stream)(target.id, arguments, terms, render).await {
        Ok(body) => {
            let mut response = reply(StatusCode::OK, form.media_type(), Vec::new());
            response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
            *response.body_mut() = body;
            Ok(response)
        }
        Err(Outcome::Value(_)) => Ok(reply(StatusCode::OK, form.media_type(), Vec::new())),
        Err(failed) => Err(answer::problem(failed)),
    }
}

impl Form {
    /// Lines, unless the client asks for events.
    fn wanted(headers: &HeaderMap) -> Self {
        let accepted = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
        let types = accepted.flat_map(|value| value.split(','));
        let mut types = types.map(|accepted| accepted.split(';').next().unwrap_or_default().trim());
        match types.any(|accepted| accepted.eq_ignore_ascii_case("text/event-stream")) {
            true => Self::Events,
            false => Self::Lines,
        }
    }

    fn media_type(self) -> &'static str {
        match self {
            Self::Lines => "application/x-ndjson",
            Self::Events => "text/event-stream",
        }
    }

    fn render(self, part: Part) -> Vec<u8> {
        match part {
            Part::Item(payload) => {
                let mut text = Vec::with_capacity(payload.len() + 16);
                match json::to_json(&payload, &mut text) {
                    Ok(()) => self.frame(None, &text),
                    Err(error) => self.error(&Problem::result(format!("an item: {error}"))),
                }
            }
            Part::End(Outcome::Value(_)) => match self {
                Self::Lines => Vec::new(),
                // So that a browser's EventSource can tell it from a connection that broke.
                Self::Events => self.frame(Some("end"), b"null"),
            },
            Part::End(failed) => self.error(&answer::problem(failed)),
        }
    }

    fn error(self, problem: &Problem) -> Vec<u8> {
        self.frame(Some("error"), &problem.to_json())
    }

    /// JSON has no line ends of its own here: `json` and `serde_json` write it on one line.
    fn frame(self, event: Option<&str>, json: &[u8]) -> Vec<u8> {
        let (head, tail): (String, &[u8]) = match (self, event) {
            (Self::Lines, _) => (String::new(), b"\n"),
            (Self::Events, None) => ("data: ".to_owned(), b"\n\n"),
            (Self::Events, Some(event)) => (format!("event: {event}\ndata: "), b"\n\n"),
        };
        [head.as_bytes(), json, tail].concat()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::error::RemoteError;

    fn text(form: Form, part: Part) -> String {
        String::from_utf8(form.render(part)).unwrap()
    }

    fn item() -> Part {
        Part::Item(Bytes::from_static(b"\x92\x01\xa1a"))
    }

    #[test]
    fn an_item_is_a_line_or_an_event() {
        assert_eq!(text(Form::Lines, item()), "[1,\"a\"]\n");
        assert_eq!(text(Form::Events, item()), "data: [1,\"a\"]\n\n");
    }

    #[test]
    fn the_end_is_told_to_who_reads_events() {
        let end = || Part::End(Outcome::Value(Bytes::from_static(b"\xc0")));
        assert_eq!(text(Form::Lines, end()), "");
        assert_eq!(text(Form::Events, end()), "event: end\ndata: null\n\n");
    }

    #[test]
    fn an_error_is_the_last_line_or_event() {
        let failed = || Part::End(Outcome::Error(RemoteError::instance_died("a.a", "killed").encode()));
        let line = text(Form::Lines, failed());
        assert!(line.starts_with("{\"type\":\"urn:msx:instance-died\"") && line.ends_with("}\n"), "{line}");
        let event = text(Form::Events, failed());
        assert_eq!(event, format!("event: error\ndata: {line}\n"));
    }

    #[test]
    fn events_are_for_who_asks_for_them() {
        let wanted = |accept: &'static str| {
            let headers = HeaderMap::from_iter([(ACCEPT, HeaderValue::from_static(accept))]);
            Form::wanted(&headers).media_type()
        };
        assert_eq!(wanted("*/*"), "application/x-ndjson");
        assert_eq!(wanted("application/json, Text/Event-Stream;q=0.9"), "text/event-stream");
    }
}
