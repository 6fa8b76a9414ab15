//! The body of an HTTP response that grows with the items of a stream. It takes the next one when the connection can
//! send it, so that a client who does not read holds the stream; one who goes away drops the body, which cancels the call.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use axum::body::{Body, HttpBody};
use bytes::Bytes;
use hyper::body::Frame;

use super::Ask;
use crate::core::Answer;
use crate::model::Outcome;

/// What a response is made of.
pub enum Part {
    Item(Bytes),
    /// The last one: how the call ended.
    End(Answer),
}

/// How a part is written.
pub type Render = Box<dyn FnMut(Part) -> Bytes + Send>;

struct Items {
    ask: Ask,
    /// What has been taken already.
    next: Option<Part>,
    is_done: bool,
    render: Render,
}

/// Waits for the first item: a call that fails before is answered as any other.
pub async fn body(mut ask: Ask, render: Render) -> Result<Body, Answer> {
    let next = match ask.next_item().await {
        Some(item) => Part::Item(item),
        None => match (&mut ask).await {
            end @ Answer::Done(Outcome::Value(_)) => Part::End(end),
            failed => return Err(failed),
        },
    };
    Ok(Body::new(Items { ask, next: Some(next), is_done: false, render }))
}

impl Items {
    fn poll_part(&mut self, context: &mut Context<'_>) -> Poll<Part> {
        if let Some(part) = self.next.take() {
            return Poll::Ready(part);
        }
        match ready!(self.ask.poll_item(context)) {
            Some(item) => Poll::Ready(Part::Item(item)),
            None => Pin::new(&mut self.ask).poll(context).map(Part::End),
        }
    }
}

impl HttpBody for Items {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.is_done {
            return Poll::Ready(None);
        }
        let part = ready!(self.poll_part(context));
        self.is_done = matches!(part, Part::End(_));
        let written = (self.render)(part);
        Poll::Ready(Some(Ok(Frame::data(written))))
    }
}
