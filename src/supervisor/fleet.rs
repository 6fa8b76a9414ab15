//! All services together: start order, requests that wait for their effect, and the end. Pure.

use std::time::{Duration, Instant};

use super::event::{Effect, Event, Failure, Ticket};
use super::order::Order;
use super::service::Service;
use super::state;
use crate::model::{InstanceId, ServiceId};
use crate::registry::ServiceEntry;

/// The longest wait of a `scale`: a start takes at most 60 s, a drain 30 s; what is slower goes on without a witness.
const SCALE_BOUND: Duration = Duration::from_secs(120);

/// A request that is answered once this holds.
struct Waiter {
    ticket: Ticket,
    want: Want,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Want {
    /// Every service has what it wants, at least. Bounded by the bound on each start, which fails it.
    AllReady,
    /// This service has exactly what it wants.
    Settled { service: ServiceId, until: Instant },
}

/// The supervisor's whole decision making.
pub struct Fleet {
    services: Vec<Service>,
    order: Order,
    waiters: Vec<Waiter>,
    /// When msx stops: the layers that are not vacant yet; the last one is next.
    ending: Option<Vec<Vec<usize>>>,
    has_ended: bool,
}

impl Fleet {
    /// Nothing starts before the first event.
    pub fn new(services: &[ServiceEntry], order: Order) -> Self {
        let services = services.iter().map(Service::new).collect();
        Self { services, order, waiters: Vec::new(), ending: None, has_ended: false }
    }

    /// Takes one event; what is to be done about it is appended to `out`.
    pub fn handle(&mut self, now: Instant, event: Event, out: &mut Vec<Effect>) {
        match event {
            Event::Spawned { instance, pid } => self.of(instance, |service| service.spawned(instance, pid)),
            Event::Hello { instance, hello } => {
                self.of(instance, |service| service.hello(now, instance, hello, out));
            }
            Event::Probed { instance, health } => {
                self.of(instance, |service| service.probed(now, instance, health, out));
            }
            Event::Severed { instance, why } => {
                self.of(instance, |service| service.severed(now, instance, why, out));
            }
            Event::Drained { instance } => self.heard(now, instance, state::Event::Drained, out),
            Event::Unresponsive { instance, why } => {
                self.of(instance, |service| service.condemned(now, instance, why, out));
            }
            Event::Exited { instance, fall, jitter } => {
                let mut failure = None;
                self.of(instance, |service| failure = service.exited(now, instance, fall, jitter, out));
                if let Some(failure) = failure {
                    self.fail_waiters(instance.service, &failure, out);
                }
            }
            Event::Emptied { instance } => self.of(instance, |service| service.emptied(now, instance, out)),
            Event::Tick => self.services.iter_mut().for_each(|service| service.expire(now, out)),
            Event::Kill => self.services.iter_mut().for_each(|service| service.kill(now, out)),
            Event::Shutdown => self.begin_end(now, out),
            Event::Steer { service, instances } => self.service(service, |service| service.steer(instances)),
            Event::Scale { ticket, .. } | Event::Restart { ticket, .. } | Event::AwaitReady { ticket }
                if self.ending.is_some() =>
            {
                out.push(Effect::Reply { ticket, outcome: Err(Failure::Stopping) });
            }
            Event::Scale { service, target, wait, ticket } => {
                self.service(service, |service| service.scale(target, out));
                self.await_scale(now, service, wait, ticket, out);
            }
            Event::Restart { service, replay_now, ticket } => {
                self.service(service, |service| service.restart(now, ticket, replay_now, out));
            }
            Event::AwaitReady { ticket } => self.await_ready(ticket, out),
        }
        self.advance(now, out);
    }

    /// When [`Event::Tick`] is due.
    pub fn next_deadline(&self) -> Option<Instant> {
        let waits = self.waiters.iter().filter_map(|waiter| match waiter.want {
            Want::Settled { until, .. } => Some(until),
            Want::AllReady => None,
        });
        self.services.iter().filter_map(Service::next_deadline).chain(waits).min()
    }

    /// The services, in the order of the table.
    pub fn services(&self) -> &[Service] {
        &self.services
    }

    pub fn is_ending(&self) -> bool {
        self.ending.is_some()
    }

    /// Whether the shutdown is over: no event has any effect now.
    pub fn has_ended(&self) -> bool {
        self.has_ended
    }

    fn service(&mut self, id: ServiceId, act: impl FnOnce(&mut Service)) {
        if let Some(service) = self.services.get_mut(id.0 as usize) {
            act(service);
        }
    }

    fn of(&mut self, instance: InstanceId, act: impl FnOnce(&mut Service)) {
        self.service(instance.service, act);
    }

    fn heard(&mut self, now: Instant, instance: InstanceId, event: state::Event, out: &mut Vec<Effect>) {
        self.of(instance, |service| service.heard(now, instance, event, out));
    }

    // ── requests that wait ───────────────────────────────────────────────────────────────────────────────────────

    fn await_scale(
        &mut self,
        now: Instant,
        service: ServiceId,
        wait: bool,
        ticket: Ticket,
        out: &mut Vec<Effect>,
    ) {
        if wait {
            let want = Want::Settled { service, until: now + SCALE_BOUND };
            return self.waiters.push(Waiter { ticket, want });
        }
        // Without a wait the effect is that instances were asked to start or to leave.
        self.service(service, |service| service.advance(now, out));
        out.push(Effect::Reply { ticket, outcome: Ok(()) });
    }

    fn await_ready(&mut self, ticket: Ticket, out: &mut Vec<Effect>) {
        match self.services.iter().find_map(Service::failed_start) {
            Some(failure) => out.push(Effect::Reply { ticket, outcome: Err(failure) }),
            None => self.waiters.push(Waiter { ticket, want: Want::AllReady }),
        }
    }

    fn fail_waiters(&mut self, fallen: ServiceId, failure: &Failure, out: &mut Vec<Effect>) {
        let concerned = self.waiters.extract_if(.., |waiter| match waiter.want {
            Want::AllReady => true,
            Want::Settled { service, .. } => service == fallen,
        });
        out.extend(concerned.map(|waiter| reply(waiter, Err(failure.clone()))));
    }

    fn answer_waiters(&mut self, now: Instant, out: &mut Vec<Effect>) {
        let services = &self.services;
        let answer = |want: Want| match want {
            Want::AllReady => services.iter().all(Service::is_ready).then_some(Ok(())),
            Want::Settled { service, until } => {
                let service = services.get(service.0 as usize)?;
                match service.is_settled() {
                    true => Some(Ok(())),
                    false => (now >= until).then(|| Err(service.late(SCALE_BOUND))),
                }
            }
        };
        self.waiters.retain(|waiter| match answer(waiter.want) {
            Some(outcome) => {
                out.push(Effect::Reply { ticket: waiter.ticket, outcome });
                false
            }
            None => true,
        });
    }

    // ── start and end ────────────────────────────────────────────────────────────────────────────────────────────

    fn advance(&mut self, now: Instant, out: &mut Vec<Effect>) {
        self.open_services();
        self.services.iter_mut().for_each(|service| service.advance(now, out));
        self.answer_waiters(now, out);
        self.advance_end(now, out);
    }

    fn open_services(&mut self) {
        // By layers, so that a chain of services that want no instance opens in one go.
        for index in self.order.layers.iter().flatten().copied() {
            if self.order.depends_on[index]
                .iter()
                .all(|(other, until)| self.services[*other].has_come(*until))
            {
                self.services[index].open();
            }
        }
    }

    fn begin_end(&mut self, now: Instant, out: &mut Vec<Effect>) {
        if self.ending.is_some() {
            return;
        }
        self.ending = Some(self.order.layers.clone());
        out.extend(self.waiters.drain(..).map(|waiter| reply(waiter, Err(Failure::Stopping))));
        self.services.iter_mut().for_each(|service| service.freeze(now, out));
    }

    fn advance_end(&mut self, now: Instant, out: &mut Vec<Effect>) {
        let Some(layers) = &mut self.ending else { return };
        while let Some(layer) = layers.last() {
            layer.iter().for_each(|index| self.services[*index].stop(now, out));
            if !layer.iter().all(|index| self.services[*index].is_vacant()) {
                return;
            }
            layers.pop();
        }
        if !self.has_ended {
            self.has_ended = true;
            out.push(Effect::Ended {
                survivors: self.services.iter().flat_map(Service::survivors).collect(),
            });
        }
    }
}

fn reply(waiter: Waiter, outcome: Result<(), Failure>) -> Effect {
    Effect::Reply { ticket: waiter.ticket, outcome }
}
