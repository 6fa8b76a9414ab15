//! The part of the control API that shows single calls, and cancels them.

mod retry;

use std::sync::Arc;

use axum::routing::post;
use axum::{Json, Router};

use super::server::{Control, Entry, Refused, Shared};
use crate::core::{Filter, NotFound, Whereabouts};
use crate::model::{CallKey, InstanceId, ServiceId};
use crate::protocol::calls::{
    CallInfo, CallStatus, CallsAnswer, CallsRequest, IdRequest, InstanceStacks, StackInfo, StackRequest,
    Stacks, Trace, Why,
};
use crate::protocol::control::{InstanceState, ProblemKind, route};
use crate::protocol::worker::TaskStack;
use crate::registry::Snapshot;
use crate::shard::{STACKS_BOUND, Silent};

pub fn router() -> Router<Arc<Entry>> {
    Router::new()
        .route(route::CALLS, post(calls))
        .route(route::WHY, post(why))
        .route(route::TRACE, post(trace))
        .route(route::CANCEL, post(cancel))
        .merge(retry::router())
        .route(route::STACK, post(stack))
}

type Answer<T> = Result<Json<T>, Refused>;

async fn calls(Shared(control): Shared, Json(request): Json<CallsRequest>) -> Answer<CallsAnswer> {
    let service = request.service.map(|name| control.registry.resolve(&name)).transpose()?;
    let filter = Filter { status: request.status, service, limit: request.limit as usize };
    let labels = labels(&control);
    answered(control.shard.look(move |core, now| core.list(now, &filter, &labels)).await)
}

async fn why(Shared(control): Shared, Json(IdRequest { id }): Json<IdRequest>) -> Answer<Why> {
    let labels = labels(&control);
    let why = control.shard.look(move |core, now| core.why(now, &id, &labels)).await;
    let mut why = found(why)?;
    for step in &mut why.chain {
        if let (CallStatus::Queued, Some(queue)) = (step.call.status, &mut step.queue) {
            let service = control.registry.resolve(&step.call.service)?;
            let measured = control.orchestrator.reporter.measurements.lock();
            queue.decision = measured.decisions.get(&service).cloned();
        }
    }
    Ok(Json(why))
}

async fn trace(Shared(control): Shared, Json(IdRequest { id }): Json<IdRequest>) -> Answer<Trace> {
    let labels = labels(&control);
    let trace = control.shard.look(move |core, now| core.trace(now, &id, &labels)).await;
    Ok(Json(found(trace)?))
}

async fn cancel(Shared(control): Shared, Json(IdRequest { id }): Json<IdRequest>) -> Answer<CallInfo> {
    let cancelled = control.shard.cancel_call(id, labels(&control)).await;
    Ok(Json(found(cancelled)?))
}

/// What instances are called.
fn labels(control: &Control) -> impl Fn(ServiceId, u32) -> String + Send + 'static {
    let snapshot = control.registry.snapshot();
    move |service, number| label(&snapshot, service, number)
}

fn label(snapshot: &Snapshot, service: ServiceId, number: u32) -> String {
    snapshot.get(service).map_or_else(String::new, |service| service.label(number))
}

fn answered<T>(answer: Option<T>) -> Answer<T> {
    answer.map(Json).ok_or_else(stopping)
}

fn found<T>(answer: Option<Result<T, NotFound>>) -> Result<T, Refused> {
    Ok(answer.ok_or_else(stopping)??)
}

fn stopping() -> Refused {
    Refused::new(ProblemKind::Unavailable, "the hub is stopping").help("`msx up` starts it again")
}

impl From<NotFound> for Refused {
    fn from(error: NotFound) -> Self {
        let message = error.to_string();
        match error {
            NotFound::Malformed(_) => {
                Self::usage(message).help("an id looks like 9k2m4xq7 or 9k2m4xq7.0.3; `msx calls` shows those of all calls")
            }
            NotFound::Unknown(_) => Self::usage(message).help(
                "`msx calls` shows the ids; the hub remembers the last 10,000 root calls that ended, for 24 h",
            ),
            NotFound::NotKept(id) => {
                let root = id.split('.').next().unwrap_or_default();
                let help = format!("`msx trace {root}` shows what is kept of it");
                Self::new(ProblemKind::Unavailable, message).help(help)
            }
            NotFound::Ambiguous { .. } => Self::usage(message).help("write more of the id"),
            NotFound::Ended { id, .. } => Self::new(ProblemKind::Unavailable, message)
                .help(format!("`msx trace {id}` shows its course")),
        }
    }
}

// ---- stacks ----

async fn stack(Shared(control): Shared, Json(StackRequest { target }): Json<StackRequest>) -> Answer<Stacks> {
    let snapshot = control.registry.snapshot();
    let (instances, only) = match named(&snapshot, &target) {
        Some(instances) => (instances, None),
        None => {
            let (instance, call) = of_call(&control, &snapshot, target).await?;
            (vec![instance], Some(call))
        }
    };
    // All are asked before the first is waited for.
    let asked =
        instances.into_iter().map(|instance| tokio::spawn(stacks_of(control.clone(), instance, only)));
    let mut instances = Vec::new();
    for stacks in asked.collect::<Vec<_>>() {
        instances.push(stacks.await.map_err(|error| Refused::new(ProblemKind::Internal, error.to_string()))?);
    }
    Ok(Json(Stacks { instances }))
}

/// An instance and what it is called.
type Named = (InstanceId, String);

/// The instances of a service, or the one of this name, as far as they have a process that runs calls.
fn named(snapshot: &Snapshot, target: &str) -> Option<Vec<Named>> {
    let serves = |state| matches!(state, InstanceState::Ready | InstanceState::Draining);
    if let Ok(id) = snapshot.resolve(target) {
        let service = snapshot.get(id)?;
        let serving = service.instances.iter().filter(|instance| serves(instance.state));
        return Some(serving.map(|instance| (instance.id, instance.label.clone())).collect());
    }
    let mut all = snapshot.services.iter().flat_map(|service| &service.instances);
    all.find(|instance| instance.label == target).map(|instance| vec![(instance.id, instance.label.clone())])
}

async fn of_call(
    control: &Control,
    snapshot: &Snapshot,
    target: String,
) -> Result<(Named, (CallKey, u32)), Refused> {
    let id = target.clone();
    let at = control.shard.look(move |core, now| core.whereabouts(now, &id)).await.ok_or_else(stopping)?;
    let Whereabouts { id, key, attempt, status, instance } =
        at.map_err(|error| no_target(error, snapshot, &target))?;
    let instance = instance.ok_or_else(|| {
        let message = format!("no instance runs the call {id}: it is {}", status.as_str());
        Refused::new(ProblemKind::Unavailable, message)
            .help(format!("`msx why {id}` shows what it waits for"))
    })?;
    let label = label(snapshot, instance.service, instance.number);
    Ok(((instance, label), (key, attempt)))
}

/// The target is no call either, and may have been meant as anything.
fn no_target(error: NotFound, snapshot: &Snapshot, target: &str) -> Refused {
    match (error, snapshot.resolve(target)) {
        (NotFound::Malformed(_) | NotFound::Unknown(_), Err(unknown)) => {
            let message = format!("`{target}` is neither a service nor an instance nor a call");
            Refused::usage(message).help(format!("{}; `msx calls` shows the ids of calls", unknown.help()))
        }
        (error, _) => error.into(),
    }
}

async fn stacks_of(
    control: Arc<Control>,
    (instance, label): Named,
    only: Option<(CallKey, u32)>,
) -> InstanceStacks {
    match control.shard.stacks(instance).await {
        Ok(mut stacks) => {
            stacks.retain(|stack| only.is_none() || stack.call == only);
            let stacks = with_ids(&control, stacks).await;
            InstanceStacks { instance: label, problem: None, stacks }
        }
        Err(silent) => InstanceStacks { instance: label, problem: Some(problem(silent)), stacks: Vec::new() },
    }
}

fn problem(silent: Silent) -> String {
    match silent {
        Silent::Gone => "its process has ended".to_owned(),
        Silent::TooLate => format!(
            "it did not answer within {} s: some code holds Python's interpreter lock, such as a long call into a C \
             library, or the process is stopped",
            STACKS_BOUND.as_secs()
        ),
    }
}

async fn with_ids(control: &Control, stacks: Vec<TaskStack>) -> Vec<StackInfo> {
    let keys: Vec<Option<CallKey>> = stacks.iter().map(|stack| stack.call.map(|(key, _)| key)).collect();
    let ids = control.shard.look(move |core, _| -> Vec<Option<String>> {
        keys.into_iter().map(|key| key.and_then(|key| core.id_of(key))).collect()
    });
    let ids = ids.await.unwrap_or_default().into_iter().chain(std::iter::repeat(None));
    let infos = stacks.into_iter().zip(ids).map(|(stack, call)| {
        let TaskStack { name, state, text, .. } = stack;
        StackInfo { name, call, state, text }
    });
    infos.collect()
}
