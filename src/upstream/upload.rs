//! The body of a request on its way to the instance, as it comes from the client.

use std::cell::Cell;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tokio::sync::Notify;

use super::IdleTimer;

/// How long a client may send nothing in the middle of a body (design 5).
const IDLE_BOUND: Duration = Duration::from_secs(60);

/// What the client did wrong in the middle of its body.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClientFault {
    #[error("the body of the request is not complete, or not as HTTP has it")]
    Broken,
    #[error("nothing more of the body of the request came for 60 s")]
    Idle,
}

/// How far a body has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Nothing of it was asked for.
    Untouched,
    /// So many parts of it were taken.
    Moving(u64),
    Complete,
    Failed(ClientFault),
}

impl Fate {
    fn parts(self) -> u64 {
        if let Self::Moving(parts) = self { parts } else { 0 }
    }
}

/// The client is asked for its body only when the instance wants it (`Expect: 100-continue`).
#[derive(Clone, Debug, Default)]
pub struct Gate {
    shared: Arc<(AtomicBool, Notify)>,
}

impl Gate {
    pub fn open(&self) {
        self.shared.0.store(true, Ordering::Release);
        self.shared.1.notify_one();
    }

    async fn opened(self) {
        if !self.shared.0.load(Ordering::Acquire) {
            self.shared.1.notified().await;
        }
    }
}

/// See the module.
pub struct Upload {
    /// What came first and was looked at already.
    first: Option<Frame<Bytes>>,
    rest: Option<Incoming>,
    gate: Option<Pin<Box<dyn Future<Output = ()>>>>,
    idle: IdleTimer,
    fate: Rc<Cell<Fate>>,
}

impl Upload {
    pub fn new(first: Option<Frame<Bytes>>, rest: Option<Incoming>, gate: Option<Gate>) -> Self {
        let is_empty = first.is_none() && rest.as_ref().is_none_or(Body::is_end_stream);
        let fate = if is_empty { Fate::Complete } else { Fate::Untouched };
        let gate = gate.map(|gate| Box::pin(gate.opened()) as Pin<Box<dyn Future<Output = ()>>>);
        Self { first, rest, gate, idle: IdleTimer::new(IDLE_BOUND), fate: Rc::new(Cell::new(fate)) }
    }

    /// All of it, if all of it has come; without trailers.
    pub fn whole(&self) -> Option<Bytes> {
        match (&self.first, &self.rest) {
            (None, None) => Some(Bytes::new()),
            (Some(first), None) => first.data_ref().cloned(),
            (_, Some(_)) => None,
        }
    }

    /// Tells how far it has come, also when it is elsewhere.
    pub fn fate(&self) -> Rc<Cell<Fate>> {
        self.fate.clone()
    }

    fn next(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, ClientFault>>> {
        if let Some(gate) = &mut self.gate {
            std::task::ready!(gate.as_mut().poll(context));
            self.gate = None;
        }
        if let Some(first) = self.first.take() {
            return Poll::Ready(Some(Ok(first)));
        }
        let Some(rest) = &mut self.rest else { return Poll::Ready(None) };
        match Pin::new(rest).poll_frame(context) {
            Poll::Ready(frame) => {
                self.idle.stop();
                Poll::Ready(frame.map(|frame| frame.map_err(|_| ClientFault::Broken)))
            }
            Poll::Pending => self.idle.poll(context).map(|()| Some(Err(ClientFault::Idle))),
        }
    }
}

impl Body for Upload {
    type Data = Bytes;
    type Error = ClientFault;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, ClientFault>>> {
        let frame = std::task::ready!(self.next(context));
        self.fate.set(match &frame {
            None => Fate::Complete,
            Some(Err(fault)) => Fate::Failed(*fault),
            Some(Ok(_)) if self.is_end_stream() => Fate::Complete,
            Some(Ok(_)) => Fate::Moving(self.fate.get().parts() + 1),
        });
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.first.is_none() && self.rest.as_ref().is_none_or(Body::is_end_stream)
    }

    /// Without what was looked at it would be the length of the rest, so it says nothing: the head does.
    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}
