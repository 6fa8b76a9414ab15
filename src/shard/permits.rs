//! Slots for requests that are passed on over HTTP, for whoever is on the shard's own thread.

use std::rc::Rc;
use std::time::Instant;

use tokio::sync::oneshot;

use super::Shard;
use super::local::{self, Local};
use crate::core::{Core, Effect, Event, Failure, Reason, Refusal, Requested};
use crate::model::{CallKey, InstanceId, ServiceId, Upstream};
use crate::upstream::Pool;

pub(super) type Granted = Result<InstanceId, Refusal>;

impl Shard {
    /// Lets requests be sent to a new instance, so many at once.
    pub fn attach_http(&self, instance: InstanceId, slots: u32, upstream: Upstream) {
        self.on_local(move |local| {
            local.pools.borrow_mut().insert(instance, Rc::new(Pool::new(upstream)));
            local.handle([Event::AttachedHttp { instance, slots }]);
        });
    }

    /// A slot for a request of this service, on the shard's own thread.
    pub async fn permit(&self, service: ServiceId) -> Result<Permit, Refusal> {
        let message = || "the hub is stopping".to_owned();
        let stopping = || Refusal { reason: Reason::Stopping, message: message(), detail: None };
        let local = local::here().ok_or_else(stopping)?;
        let requested = local.act(|core, out| core.request(Instant::now(), service, out))?;
        local.permit(requested).await
    }
}

/// A slot of an instance. Whoever drops it gives it back.
pub struct Permit {
    request: Option<CallKey>,
    pub pool: Rc<Pool>,
    local: Rc<Local>,
}

impl Permit {
    /// The instance has sent the head of a response.
    pub fn answered(&self) {
        if self.pool.prove() {
            self.local.handle(self.request.map(Event::Answered));
        }
    }

    /// The instance failed the request. Answers another slot for it, if it may be tried again.
    pub async fn failed(mut self, failure: Failure) -> Option<Result<Self, Refusal>> {
        self.pool.doubt();
        let request = self.request.take()?;
        let local = self.local.clone();
        let requested = local.fail(request, failure)?;
        Some(local.permit(requested).await)
    }

    /// The instance broke off in the middle of its response.
    pub fn broke(mut self) {
        self.pool.doubt();
        if let Some(request) = self.request.take() {
            let _ = self.local.fail(request, Failure::Broken { again: false });
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if let Some(request) = self.request.take() {
            self.local.handle([Event::Released(request)]);
        }
    }
}

/// A request that has no slot yet. Dropped, it wants none any more.
struct Waiting<'a> {
    request: Option<CallKey>,
    token: usize,
    granted: oneshot::Receiver<Granted>,
    local: &'a Rc<Local>,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if let Some(request) = self.request.take() {
            self.local.applicants.borrow_mut().try_remove(self.token);
            self.local.handle([Event::Released(request)]);
        }
    }
}

impl Local {
    async fn permit(self: &Rc<Self>, mut requested: Requested) -> Result<Permit, Refusal> {
        loop {
            let (request, instance) = match requested {
                Requested::Granted(request, instance) => (request, instance),
                Requested::Queued(request) => (request, self.wait(request).await?),
            };
            let pool = self.pools.borrow().get(&instance).cloned();
            if let Some(pool) = pool {
                return Ok(Permit { request: Some(request), pool, local: self.clone() });
            }
            // It is going in this very moment.
            let Some(again) = self.fail(request, Failure::Unsent) else { return Err(gone()) };
            requested = again;
        }
    }

    async fn wait(self: &Rc<Self>, request: CallKey) -> Granted {
        let (sender, granted) = oneshot::channel();
        let token = self.applicants.borrow_mut().insert(sender);
        self.act(|core: &mut Core, _: &mut Vec<Effect>| core.await_permit(request, token as u64));
        let mut waiting = Waiting { request: Some(request), token, granted, local: self };
        let granted = (&mut waiting.granted).await.unwrap_or_else(|_| Err(gone()));
        // It holds a slot now, or was refused: in both cases it does not wait any more.
        waiting.request = None;
        granted
    }

    fn fail(self: &Rc<Self>, request: CallKey, failure: Failure) -> Option<Requested> {
        self.act(|core, out| core.fail_request(Instant::now(), request, failure, out))
    }

    pub(super) fn granted(&self, token: u64, granted: Granted) {
        let applicant = self.applicants.borrow_mut().try_remove(token as usize);
        // Who waited may be going in this very turn, and gives the slot back.
        applicant.map(|applicant| applicant.send(granted));
    }

    /// Closes connections that nobody has used for a while.
    pub fn sweep_pools(&self, now: Instant) {
        self.pools.borrow().values().for_each(|pool| pool.sweep(now));
    }
}

fn gone() -> Refusal {
    let message = "the instance went away".to_owned();
    Refusal { reason: Reason::Stopping, message, detail: None }
}
