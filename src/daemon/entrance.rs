//! Serves gateway and fronts on the shard, and tells the gateway's room how to look up and ask.

use std::net::TcpListener;
use std::sync::Arc;

use crate::core::{Answer, Reason, Refusal};
use crate::gateway::{self, Edge, Outcome, Target};
use crate::model::{self, ServiceId};
use crate::protocol::error::RemoteError;
use crate::registry::{Registry, ServiceEntry};
use crate::shard::Shard;

/// `fronts` in the order of the registry.
pub fn serve(shard: &Shard, registry: &Registry, gateway: TcpListener, fronts: Vec<TcpListener>) {
    let edge = Arc::new(edge(shard, registry));
    shard.serve(gateway, gateway::router(edge.clone()));
    for (service, front) in registry.snapshot().services.iter().zip(fronts) {
        shard.serve(front, gateway::front::router(edge.clone(), service.id, service.spec.name.clone()));
    }
}

fn edge(shard: &Shard, registry: &Registry) -> Edge {
    let (lookup, services, named, shard) =
        (registry.clone(), registry.clone(), registry.clone(), shard.clone());
    Edge {
        lookup: Arc::new(move |id| lookup.peek().get(id).map(target)),
        services: Arc::new(move || services.peek().services.iter().map(target).collect()),
        ask: Arc::new(move |service, arguments, deadline| {
            let (ask, named) = (shard.ask(service, arguments), named.clone());
            Box::pin(async move {
                let Some(deadline) = deadline else { return outcome(ask.await) };
                let answer = tokio::time::timeout_at(deadline.into(), ask).await;
                answer.map_or_else(|_| timed_out(&named, service), outcome)
            })
        }),
    }
}

fn target(entry: &ServiceEntry) -> Target {
    Target {
        id: entry.id,
        name: entry.spec.name.clone(),
        signature: entry.signature.clone(),
        exposed: entry.spec.expose,
    }
}

fn outcome(answer: Answer) -> Outcome {
    match answer {
        Answer::Done(model::Outcome::Value(payload)) => Outcome::Value(payload),
        Answer::Done(model::Outcome::Error(payload)) => Outcome::Error(payload),
        Answer::Refused(Refusal { reason, message, .. }) => {
            let (reason, retry_after_s) = match reason {
                Reason::QueueFull => ("queue_full", 1),
                Reason::QueueTimeout => ("queue_timeout", 1),
                Reason::ScaledToZero => ("scaled_to_zero", 30),
                Reason::CrashLoop => ("crash_loop", 30),
                Reason::Stopping => ("draining", 5),
            };
            Outcome::Refused { reason, message, retry_after_s }
        }
    }
}

fn timed_out(registry: &Registry, service: ServiceId) -> Outcome {
    let snapshot = registry.peek();
    let name = snapshot.get(service).map_or("", |entry| entry.spec.name.as_str());
    let message =
        format!("{name} did not answer before the deadline of the request, so the call was cancelled");
    Outcome::Error(RemoteError::timeout(name, message, "").encode())
}
