//! Serves gateway and fronts on the shard, and tells the gateway's room how to look up and ask.

use std::net::TcpListener;
use std::sync::Arc;
use std::time::Instant;

use crate::core::{Answer, Refusal};
use crate::gateway::{self, Edge, Outcome, Target, Terms};
use crate::model::{self, ServiceId};
use crate::protocol::error::RemoteError;
use crate::protocol::worker::CallOptions;
use crate::proxy;
use crate::registry::{Registry, ServiceEntry};
use crate::shard::{self, NewAsk, Shard};

/// `fronts` in the order of the registry.
pub fn serve(shard: &Shard, registry: &Registry, gateway: TcpListener, fronts: Vec<Option<TcpListener>>) {
    let edge = Arc::new(edge(shard, registry));
    shard.serve(gateway, shard::routed(gateway::router(edge.clone())));
    for (service, front) in registry.snapshot().services.iter().zip(fronts) {
        let Some(front) = front else { continue };
        let serve = match service.spec.command() {
            None => {
                let name = service.spec.name.clone();
                shard::routed(gateway::front::router(edge.clone(), service.id, name))
            }
            Some(_) => proxy::front(shard, service.id, service.short(), service.spec.idempotent),
        };
        shard.serve(front, serve);
    }
}

fn edge(shard: &Shard, registry: &Registry) -> Edge {
    let (streams, streamed) = (shard.clone(), registry.clone());
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
            Box::pin(async move { told(ask.await, &named, service) })
        }),
        stream: Arc::new(move |service, arguments, terms, mut render| {
            let timeout = terms.deadline.map(|at| at.saturating_duration_since(Instant::now()));
            let options = CallOptions::of_stream(timeout);
            let (ask, named) = (streams.ask(NewAsk { service, arguments, options }), streamed.clone());
            let again = named.clone();
            let render: shard::Render = Box::new(move |part| match part {
                shard::Part::Item(item) => render(gateway::Part::Item(item)),
                shard::Part::End(answer) => render(gateway::Part::End(told(answer, &named, service))),
            });
            Box::pin(async move {
                shard::items_body(ask, render).await.map_err(|failed| told(failed, &again, service))
            })
        }),
    }
}

fn target(entry: &ServiceEntry) -> Target {
    Target {
        id: entry.id,
        name: entry.spec.name.clone(),
        signature: entry.signature.clone(),
        exposed: entry.spec.expose && entry.spec.command().is_none(),
    }
}

fn told(answer: Answer, registry: &Registry, service: ServiceId) -> Outcome {
    match answer {
        Answer::Done(ended) => outcome(ended),
        Answer::Refused(refusal) => refused(refusal),
        Answer::Expired => timed_out(registry, service),
    }
}

fn outcome(ended: model::Outcome) -> Outcome {
    match ended {
        model::Outcome::Value(payload) => Outcome::Value(payload),
        model::Outcome::Error(payload) => Outcome::Error(payload),
    }
}

fn refused(Refusal { reason, message, .. }: Refusal) -> Outcome {
    let (reason, retry_after_s) = (reason.as_str(), reason.retry_after_s());
    Outcome::Refused { reason, message, retry_after_s }
}

fn timed_out(registry: &Registry, service: ServiceId) -> Outcome {
    let snapshot = registry.peek();
    let name = snapshot.get(service).map_or("", |entry| entry.spec.name.as_str());
    let message =
        format!("{name} did not answer before the deadline of the request, so the call was cancelled");
    Outcome::Error(RemoteError::timeout(name, message, "").encode())
}
