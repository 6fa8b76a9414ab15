//! Serves gateway and fronts on the shard, and tells the gateway's room how to look up and ask.

use std::net::TcpListener;
use std::sync::Arc;
use std::time::Instant;

use crate::core::{Answer, Reason, Refusal};
use crate::gateway::{self, Edge, Outcome, Target, Terms};
use crate::model::{self, ServiceId};
use crate::protocol::error::RemoteError;
use crate::protocol::worker::CallOptions;
use crate::registry::{Registry, ServiceEntry};
use crate::shard::{NewAsk, Shard};

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
        ask: Arc::new(move |service, arguments, terms| {
            let Terms { deadline, idempotency_key } = terms;
            let timeout = deadline.map(|at| at.saturating_duration_since(Instant::now()));
            let options = CallOptions::of_root(timeout, idempotency_key);
            let (ask, named) = (shard.ask(NewAsk { service, arguments, options }), named.clone());
            Box::pin(async move {
                match ask.await {
                    Answer::Done(ended) => outcome(ended),
                    Answer::Refused(refusal) => refused(refusal),
                    Answer::Expired => timed_out(&named, service),
                }
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

fn outcome(ended: model::Outcome) -> Outcome {
    match ended {
        model::Outcome::Value(payload) => Outcome::Value(payload),
        model::Outcome::Error(payload) => Outcome::Error(payload),
    }
}

fn refused(Refusal { reason, message, .. }: Refusal) -> Outcome {
    let (reason, retry_after_s) = match reason {
        Reason::QueueFull => ("queue_full", 1),
        Reason::QueueTimeout => ("queue_timeout", 1),
        Reason::ScaledToZero => ("scaled_to_zero", 30),
        Reason::CrashLoop => ("crash_loop", 30),
        Reason::Stopping => ("draining", 5),
    };
    Outcome::Refused { reason, message, retry_after_s }
}

fn timed_out(registry: &Registry, service: ServiceId) -> Outcome {
    let snapshot = registry.peek();
    let name = snapshot.get(service).map_or("", |entry| entry.spec.name.as_str());
    let message =
        format!("{name} did not answer before the deadline of the request, so the call was cancelled");
    Outcome::Error(RemoteError::timeout(name, message, "").encode())
}
