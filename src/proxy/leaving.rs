//! What a request holds in its instance, and what becomes of it when its client leaves: the instance is still working,
//! so the slot stays held until it has answered, or its connection is closed.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::{Request, Response};
use tokio::task::spawn_local;
use tokio::time::timeout;

use super::headers;
use crate::shard::Permit;
use crate::upstream::{ClientFault, Connection, Fate, Sent, Upload};

/// How long the rest of a response that nobody reads is waited for before the instance is told.
const REST_BOUND: Duration = Duration::from_secs(1);
/// How long an instance that was told may take to end the response.
const END_BOUND: Duration = Duration::from_secs(5);

/// A slot of an instance, and the connection that is used with it.
pub struct Hold {
    permit: Permit,
    connection: Connection,
    /// Of the request's body.
    upload: Rc<Cell<Fate>>,
    /// The instance keeps the connection, too.
    keeps: bool,
}

impl Hold {
    /// The head of the response is there.
    pub fn answered(&self) {
        self.permit.answered();
    }

    /// The response has been read to its end: the next request may have the connection and the slot.
    pub fn finish(self) {
        match self.keeps && self.upload.get() == Fate::Complete {
            true => self.permit.pool.put(self.connection),
            false => self.connection.close(),
        }
    }

    /// The instance broke off in the middle.
    pub fn fail(self) {
        self.connection.close();
        self.permit.broke();
    }

    /// Nobody waits for the instance any more, nor it for anybody.
    pub fn close(self) {
        self.connection.close();
    }
}

/// The client of a response is gone: its rest is read and dropped, for a moment; then the instance is told, and it may
/// still say its last words.
pub fn from_body(mut body: Incoming, hold: Hold) {
    spawn_local(async move {
        if timeout(REST_BOUND, drain(&mut body)).await.is_ok_and(|is_whole| is_whole) {
            return hold.finish();
        }
        hold.connection.forsake();
        // Whatever it says: it is not used again.
        let _ = timeout(END_BOUND, drain(&mut body)).await;
        hold.close();
    });
}

/// False: it broke off.
async fn drain(body: &mut Incoming) -> bool {
    loop {
        match body.frame().await {
            Some(Ok(_)) => (),
            Some(Err(_)) => return false,
            None => return true,
        }
    }
}

/// Why a request got no response.
pub enum Unanswered {
    /// Its own body was not sound.
    Client(ClientFault),
    /// Nothing of it was sent.
    Unsent(Box<Request<Upload>>),
    /// The instance has closed the connection, or said what is no HTTP.
    Broke,
    Late,
}

/// A request that was sent and has no answer yet. Dropped, its client is gone.
pub struct Pending {
    parts: Option<(Permit, Connection, Sent)>,
    upload: Rc<Cell<Fate>>,
    /// How long the instance may take to begin its answer once it has the request.
    bound: Duration,
}

impl Pending {
    pub async fn send(
        permit: Permit,
        mut connection: Connection,
        request: Request<Upload>,
        bound: Duration,
    ) -> Self {
        let upload = request.body().fate();
        let sent = connection.send(request).await;
        Self { parts: Some((permit, connection, sent)), upload, bound }
    }

    /// The head of the response.
    pub async fn head(&mut self) -> Result<Response<Incoming>, Unanswered> {
        let Some((_, _, sent)) = &mut self.parts else { return Err(Unanswered::Late) };
        let mut seen = None;
        loop {
            match timeout(self.bound, &mut *sent).await {
                Ok(Ok(response)) => return Ok(response),
                Ok(Err(mut error)) => {
                    return Err(match (error.take_message(), self.upload.get()) {
                        (_, Fate::Failed(fault)) => Unanswered::Client(fault),
                        (Some(request), _) => Unanswered::Unsent(Box::new(request)),
                        (None, _) => Unanswered::Broke,
                    });
                }
                // Until the body has come there is nothing to answer, and its client has a bound of its own. But the
                // instance must take it.
                Err(_) => match self.upload.get() {
                    moving @ Fate::Moving(_) if seen.replace(moving) != Some(moving) => (),
                    _ => return Err(Unanswered::Late),
                },
            }
        }
    }

    /// It was not answered.
    pub fn give_up(mut self) -> Option<Permit> {
        let (permit, connection, _) = self.parts.take()?;
        connection.close();
        Some(permit)
    }

    /// Its response has begun; `keeps`: the instance keeps the connection behind it.
    pub fn hold(mut self, keeps: bool) -> Option<Hold> {
        let (permit, connection, _) = self.parts.take()?;
        Some(Hold { permit, connection, upload: self.upload.clone(), keeps })
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        let Some((permit, connection, sent)) = self.parts.take() else { return };
        let (upload, bound) = (self.upload.clone(), self.bound);
        spawn_local(async move {
            let mut pending = Self { parts: Some((permit, connection, sent)), upload, bound };
            let Ok(response) = pending.head().await else { return drop(pending.give_up()) };
            let keeps = headers::keeps_alive(response.version(), response.headers());
            if let Some(hold) = pending.hold(keeps) {
                hold.answered();
                from_body(response.into_body(), hold);
            }
        });
    }
}
