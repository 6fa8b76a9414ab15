//! The body of a response on its way to the client, as it comes from the instance.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};

use super::leaving::{self, Hold};
use crate::upstream::IdleTimer;

/// How long an instance may send nothing in the middle of a body (design 5).
pub const IDLE_BOUND: Duration = Duration::from_secs(60);
/// The same of a stream of events, which may be silent for long.
pub const EVENTS_IDLE_BOUND: Duration = Duration::from_secs(3600);

/// What ends a response before its time.
#[derive(Debug, thiserror::Error)]
pub enum Broken {
    #[error("the instance broke off: {0}")]
    Off(#[from] hyper::Error),
    #[error("the instance sent nothing for too long")]
    Idle,
}

/// See the module.
pub struct Download(Source);

enum Source {
    Whole(Bytes),
    /// It comes from an instance, whose slot it holds until it has ended.
    Instance {
        body: Incoming,
        hold: Hold,
        idle: IdleTimer,
    },
    Ended,
}

impl Download {
    pub fn whole(body: Bytes) -> Self {
        Self(Source::Whole(body))
    }

    /// The slot is free at once if there is no body.
    pub fn of_instance(body: Incoming, hold: Hold, idle_bound: Duration) -> Self {
        if body.is_end_stream() {
            hold.finish();
            return Self(Source::Ended);
        }
        Self(Source::Instance { body, hold, idle: IdleTimer::new(idle_bound) })
    }

    fn poll_instance(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        let Source::Instance { body, idle, .. } = &mut self.0 else { return Poll::Ready(None) };
        let Poll::Ready(frame) = Pin::new(&mut *body).poll_frame(context) else {
            ready!(idle.poll(context));
            self.end(Hold::fail);
            return Poll::Ready(Some(Err(Broken::Idle)));
        };
        idle.stop();
        let is_last = frame.is_none() || body.is_end_stream();
        match frame {
            Some(Err(error)) => {
                self.end(Hold::fail);
                Poll::Ready(Some(Err(error.into())))
            }
            frame => {
                if is_last {
                    self.end(Hold::finish);
                }
                Poll::Ready(frame.map(|frame| frame.map_err(Broken::from)))
            }
        }
    }

    fn end(&mut self, how: impl FnOnce(Hold)) {
        if let Source::Instance { hold, .. } = std::mem::replace(&mut self.0, Source::Ended) {
            how(hold);
        }
    }
}

impl Body for Download {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        if let Source::Whole(body) = &mut self.0 {
            let body = std::mem::take(body);
            self.0 = Source::Ended;
            return Poll::Ready(Some(Ok(Frame::data(body))));
        }
        self.poll_instance(context)
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Source::Whole(body) => body.is_empty(),
            Source::Instance { body, .. } => body.is_end_stream(),
            Source::Ended => true,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Source::Whole(body) => SizeHint::with_exact(body.len() as u64),
            Source::Instance { body, .. } => body.size_hint(),
            Source::Ended => SizeHint::with_exact(0),
        }
    }
}

/// The client has left in the middle.
impl Drop for Download {
    fn drop(&mut self) {
        if let Source::Instance { body, hold, .. } = std::mem::replace(&mut self.0, Source::Ended) {
            leaving::from_body(body, hold);
        }
    }
}
