//! Who hears what: the supervisor's and the shard's words, carried to each other and to the orchestrator.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;

use super::scaling::Cold;
use crate::control::orchestrator::{self, Orchestrator};
use crate::core::Event;
use crate::model::{CallKey, InstanceId, ServiceId, ServiceName, WorkerKind};
use crate::protocol::signature::Signature;
use crate::protocol::worker::{FromControl, ToControl, VERSION};
use crate::shard::{Shard, Teller, Told};
use crate::supervisor::{Hello, Outward, OutwardFn, Supervisor};

/// The rooms that the shard's words go to; they are made after it.
pub type Late = Arc<OnceLock<Orchestrator>>;

/// What the supervisor tells goes to the shard.
pub fn of_supervisor(shard: Shard) -> OutwardFn {
    Arc::new(move |told| match told {
        Outward::Attach { instance, channels, slots, max_parked, kind } => {
            let event = Event::Attached { instance, kind, slots, max_parked };
            shard.attach(event, instance, (slots + max_parked) as usize, channels);
        }
        Outward::Serve { instance, slots, upstream } => shard.attach_http(instance, slots, upstream),
        Outward::Unready { instance } => shard.event(Event::Unready(instance)),
        Outward::Ready { instance } => shard.event(Event::Ready(instance)),
        Outward::Drain { instance, replay_now } => shard.event(Event::Drain { instance, replay_now }),
        Outward::Finish { instance } => shard.control(instance, ToControl::Drain),
        Outward::Gone { instance, reason } => shard.gone(instance, reason),
        Outward::Down { service, reason } => shard.event(Event::Down { service, reason }),
        Outward::Zero { service, is_zero } => shard.event(Event::ScaledToZero { service, is_zero }),
    })
}

/// What the shard tells goes to the supervisor and, for calls of the hub's own services, to the orchestrator.
/// Those services have the ids from `first` on.
pub fn of_shard(late: Late, cold: Arc<Cold>, first: ServiceId) -> Teller {
    let runtime = tokio::runtime::Handle::current();
    Box::new(move |told| {
        // At the very first a word may come a moment before they are there; it must not be lost.
        let hub = late.wait();
        match told {
            Told::Hello(instance, message) => on_hello(&hub.supervisor, instance, &message),
            Told::Closed(instance, why) => hub.supervisor.severed(instance, why),
            Told::Drained(instance) => hub.supervisor.drained(instance),
            Told::Unresponsive(instance, why) => hub.supervisor.unresponsive(instance, why),
            Told::Cold(service) => cold.add(service),
            Told::Ejected(instance, bound) => hub.tell_ejected(instance, bound),
            Told::Unheld(service) => hub.tell_resumed(service, "by itself, because its time was over"),
            Told::Orchestrate { call, service, arguments } => {
                if let Some(name) = orchestrator::names().nth((service.0 - first.0) as usize) {
                    runtime.spawn(orchestrate(hub.clone(), call, name, arguments));
                }
            }
        }
    })
}

async fn orchestrate(hub: Orchestrator, call: CallKey, name: ServiceName, arguments: Bytes) {
    let outcome = hub.answer(&name, &arguments).await;
    hub.reporter.shard.event(Event::Orchestrated { call, outcome });
}

fn on_hello(supervisor: &Supervisor, instance: InstanceId, message: &FromControl) {
    let FromControl::Hello { version, python, pid, kind, signature, .. } = message else { return };
    let kind = if kind == "async" { WorkerKind::Async } else { WorkerKind::Def };
    match (Signature::parse(signature), *version == VERSION) {
        (Ok(signature), true) => {
            let (pid, python, signature) = (*pid, python.clone(), Arc::new(signature));
            supervisor.hello(instance, Hello { pid, kind, signature, python });
        }
        (Err(error), true) => {
            let why = format!("it sent a signature that cannot be read: {error}");
            supervisor.severed(instance, Some(why));
        }
        (_, false) => {
            let why = format!("it speaks version {version} of the worker protocol, this hub {VERSION}");
            supervisor.severed(instance, Some(why));
        }
    }
}
