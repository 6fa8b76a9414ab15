//! Requests that are passed on over HTTP. They wait in the queue of their service and hold slots of its instances, as
//! calls do; of what a call is beyond that, a request has nothing.

use std::time::Instant;

use slab::Slab;

use super::{Core, Effect, Reason, Refusal};
use crate::balancer::{Rank, Verdict};
use crate::model::{CallKey, InstanceId, ServiceId};

/// Keys of requests have this bit, keys of calls do not.
const MARK: u64 = 1 << 63;

/// Whether the key is one of a request.
pub(super) fn is_request(key: CallKey) -> bool {
    key.0 & MARK != 0
}

/// All requests that wait for a slot or hold one.
#[derive(Debug, Default)]
pub(super) struct Permits {
    requests: Slab<(u32, Request)>,
    /// Counts them, so that no key is used twice.
    serial: u32,
}

#[derive(Debug)]
struct Request {
    service: ServiceId,
    accepted: Instant,
    rank: Rank,
    /// The instance whose slot it holds; without one it is queued.
    held: Option<InstanceId>,
    /// Who waits for the slot.
    token: Option<u64>,
}

/// Where a new request stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Requested {
    /// It has a slot of this instance.
    Granted(CallKey, InstanceId),
    /// It waits: `Core::await_permit` says who for.
    Queued(CallKey),
}

/// How an instance failed a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// It took no connection, or closed it before anything was sent on it.
    Unsent,
    /// It may have begun with it. `again`: to do it twice does no harm.
    Broken { again: bool },
}

impl Permits {
    pub fn len(&self) -> usize {
        self.requests.len()
    }

    fn get(&mut self, key: CallKey) -> Option<&mut Request> {
        let (serial, request) = self.requests.get_mut(index(key))?;
        (*serial == serial_of(key)).then_some(request)
    }

    fn remove(&mut self, key: CallKey) -> Option<Request> {
        self.get(key)?;
        Some(self.requests.remove(index(key)).1)
    }

    fn waiting(&self) -> Vec<CallKey> {
        let waiting = self.requests.iter().filter(|(_, (_, request))| request.held.is_none());
        waiting.map(|(index, (serial, _))| key_of(*serial, index)).collect()
    }
}

fn key_of(serial: u32, index: usize) -> CallKey {
    CallKey(MARK | u64::from(serial) << 32 | index as u64)
}

fn index(key: CallKey) -> usize {
    (key.0 & 0xffff_ffff) as usize
}

fn serial_of(key: CallKey) -> u32 {
    ((key.0 & !MARK) >> 32) as u32
}

impl Core {
    /// A request for a service wants a slot.
    pub fn request(
        &mut self,
        now: Instant,
        service: ServiceId,
        out: &mut Vec<Effect>,
    ) -> Result<Requested, Refusal> {
        self.admit(service, None)?;
        self.permits.serial = (self.permits.serial + 1) & (u32::MAX >> 1);
        let entry = self.permits.requests.vacant_entry();
        let key = key_of(self.permits.serial, entry.key());
        let owner = &mut self.services[service.0 as usize];
        owner.budget.count_call();
        let rank = owner.dispatcher.push_new(key, 0, 0, now);
        let request = Request { service, accepted: now, rank, held: None, token: None };
        entry.insert((self.permits.serial, request));
        Ok(self.seek(now, service, key, out))
    }

    /// A slot for a request that is queued, if there is one.
    fn seek(&mut self, now: Instant, service: ServiceId, key: CallKey, out: &mut Vec<Effect>) -> Requested {
        self.touch(service);
        self.pump(now, out);
        match self.permits.get(key).and_then(|request| request.held) {
            Some(instance) => Requested::Granted(key, instance),
            None => Requested::Queued(key),
        }
    }

    /// Who waits for the slot of a request that is queued.
    pub fn await_permit(&mut self, key: CallKey, token: u64) {
        self.permits.get(key).into_iter().for_each(|request| request.token = Some(token));
    }

    /// The request was bound to a slot.
    pub(super) fn grant(&mut self, now: Instant, key: CallKey, id: InstanceId, out: &mut Vec<Effect>) {
        let Some(request) = self.permits.get(key) else {
            debug_assert!(false, "a queued request exists");
            self.dispatcher(id.service).end(id, key, now);
            return;
        };
        request.held = Some(id);
        let granted = Ok(id);
        out.extend(request.token.take().map(|token| Effect::Permit { token, granted }));
    }

    pub(super) fn on_answered(&mut self, key: CallKey) {
        let Some(id) = self.permits.get(key).and_then(|request| request.held) else { return };
        self.dispatcher(id.service).answered(id);
        self.touch(id.service);
    }

    pub(super) fn on_released(&mut self, now: Instant, key: CallKey) {
        let Some(Request { service, accepted, rank, held, .. }) = self.permits.remove(key) else { return };
        let dispatcher = self.dispatcher(service);
        match held {
            Some(instance) => {
                dispatcher.end(instance, key, now);
                dispatcher.meter.completed += 1;
                dispatcher.latency.record(now, now.saturating_duration_since(accepted));
            }
            None => drop(dispatcher.remove(rank)),
        }
        self.touch(service);
    }

    /// The instance failed a request, which leaves its slot. It gets another one, if it may be tried again; else it has
    /// ended.
    pub fn fail_request(
        &mut self,
        now: Instant,
        key: CallKey,
        failure: Failure,
        out: &mut Vec<Effect>,
    ) -> Option<Requested> {
        let request = self.permits.get(key)?;
        let (service, rank, accepted) = (request.service, request.rank, request.accepted);
        let instance = request.held.take()?;
        self.dispatcher(service).end(instance, key, now);
        match self.may_go_elsewhere(now, instance, failure, out) {
            true => {
                // What was never sent has waited since it came; what was sent starts to wait again.
                let since = if failure == Failure::Unsent { accepted } else { now };
                self.dispatcher(service).requeue(rank, key, since);
                Some(self.seek(now, service, key, out))
            }
            false => {
                self.permits.remove(key);
                self.dispatcher(service).meter.completed += 1;
                self.touch(service);
                self.pump(now, out);
                None
            }
        }
    }

    fn may_go_elsewhere(
        &mut self,
        now: Instant,
        id: InstanceId,
        failure: Failure,
        out: &mut Vec<Effect>,
    ) -> bool {
        let service = &mut self.services[id.service.0 as usize];
        let Failure::Broken { again } = failure else {
            service.dispatcher.refused(id, now);
            return true;
        };
        match service.dispatcher.failed(id, now) {
            Verdict::GoesOn => (),
            Verdict::Ejected(bound) => out.push(Effect::Ejected { instance: id, bound }),
            Verdict::Hopeless => {
                let why = "it was ejected twice, each time for five requests in a row that it failed";
                out.push(Effect::Unresponsive { instance: id, why: why.to_owned() });
            }
        }
        // It is another one that it goes to: this one gets nothing for a moment.
        again && service.dispatcher.has_other(id) && service.budget.take(now)
    }

    pub(super) fn refuse_request(&mut self, key: CallKey, refusal: Refusal, out: &mut Vec<Effect>) {
        let Some(Request { service, token, .. }) = self.permits.remove(key) else { return };
        self.services[service.0 as usize].refused.count(refusal.reason);
        let granted = Err(refusal);
        out.extend(token.map(|token| Effect::Permit { token, granted }));
    }

    /// msx stops: what waits gets no slot any more.
    pub(super) fn refuse_requests(&mut self, out: &mut Vec<Effect>) {
        for key in self.permits.waiting() {
            let Some(request) = self.permits.get(key) else { continue };
            let (service, rank) = (request.service, request.rank);
            self.dispatcher(service).remove(rank);
            let message = "msx stopped before the request got a slot".to_owned();
            self.refuse_request(key, Refusal { reason: Reason::Stopping, message, detail: None }, out);
        }
    }

    /// A draining instance has had its time: requests that go on in it end with its process.
    pub(super) fn end_requests(&mut self, id: InstanceId, out: &mut Vec<Effect>) {
        let Some(instance) = self.dispatcher(id.service).instance(id) else { return };
        if instance.health.is_some() && !instance.drained_said {
            instance.drained_said = true;
            out.push(Effect::Drained(id));
        }
    }
}
