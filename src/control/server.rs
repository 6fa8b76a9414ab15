//! The hub's end of the control API: axum on a Unix socket that only its owner may open.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::extract::{DefaultBodyLimit, FromRequestParts, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::serve::Listener;
use axum::{Json, Router};
use serde_json::value::RawValue;
use tokio::net::unix::SocketAddr as UnixSocketAddr;
use tokio::net::{UnixListener, UnixStream};
use tokio_util::sync::CancellationToken;

use crate::control::orchestrator::{self, Orchestrator};
use crate::control::{ask, calls, metrics, pausing};
use crate::core::{Answer, Reason};
use crate::model::{Outcome, ServiceId};
use crate::protocol::control::{
    CallAnswer, CallRequest, Problem, ProblemKind, Raised, RestartRequest, STREAM_LINES, ScaleRequest,
    StreamLine, route,
};
use crate::protocol::error::RemoteError;
use crate::protocol::json;
use crate::protocol::signature::Signature;
use crate::protocol::worker::CallOptions;
use crate::registry::{NameError, Registry, ServiceEntry, TooMany};
use crate::shard::{NewAsk, Part, Shard, items_body};
use crate::supervisor::Failure;

/// Everything that the control API acts on.
pub struct Control {
    pub registry: Registry,
    pub shard: Shard,
    pub orchestrator: Orchestrator,
    /// Functions of `msx.orchestrator`: name, id and signature.
    pub hub_services: Vec<(String, ServiceId, Arc<Signature>)>,
}

/// Where requests come in: at first the hub can only be told to stop.
pub struct Entry {
    /// Cancelled by `down`.
    stop: CancellationToken,
    control: OnceLock<Arc<Control>>,
}

impl Entry {
    pub fn new(stop: CancellationToken) -> Self {
        Self { stop, control: OnceLock::new() }
    }

    /// Everything is there; once.
    pub fn open(&self, control: Control) {
        let _ = self.control.set(Arc::new(control));
    }
}

/// What a request acts on; refused while the hub starts.
pub(super) struct Shared(pub Arc<Control>);

impl FromRequestParts<Arc<Entry>> for Shared {
    type Rejection = Refused;

    async fn from_request_parts(_: &mut Parts, entry: &Arc<Entry>) -> Result<Self, Refused> {
        entry.control.get().cloned().map(Self).ok_or_else(|| {
            Refused::new(ProblemKind::Unavailable, "the hub is starting").help("try again in a moment")
        })
    }
}

/// A socket whose other ends belong to the user of the hub. The file's mode says so already; this holds even where
/// the mode was changed.
pub struct OwnerOnly(UnixListener);

impl Listener for OwnerOnly {
    type Io = UnixStream;
    type Addr = UnixSocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            let (stream, address) = Listener::accept(&mut self.0).await;
            if stream.peer_cred().is_ok_and(|peer| peer.uid() == nix::unistd::getuid().as_raw()) {
                return (stream, address);
            }
        }
    }

    fn local_addr(&self) -> std::io::Result<Self::Addr> {
        self.0.local_addr()
    }
}

/// Listens on `path`, in place of what an earlier hub left there.
pub fn listen(path: &Path) -> std::io::Result<OwnerOnly> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        _ => (),
    }
    let listener = UnixListener::bind(path)?;
    std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
    Ok(OwnerOnly(listener))
}

pub fn router(entry: Arc<Entry>) -> Router {
    Router::new()
        .route(route::STATUS, get(status))
        .route(route::CALL, post(call))
        .route(route::ASK, post(ask::ask).layer(DefaultBodyLimit::max(ask::BODY_BYTES_MAX)))
        .route(route::SCALE, post(scale))
        .route(route::RESTART, post(restart))
        .route(route::DOWN, post(down))
        .route(route::METRICS, get(metrics))
        .merge(calls::router())
        .merge(pausing::router())
        .with_state(entry)
}

async fn status(Shared(control): Shared) -> Response {
    Json(control.orchestrator.reporter.status().await).into_response()
}

async fn metrics(Shared(control): Shared) -> Response {
    let text = control.orchestrator.reporter.metrics().await;
    ([(CONTENT_TYPE, metrics::TEXT)], text).into_response()
}

async fn down(State(entry): State<Arc<Entry>>) -> StatusCode {
    entry.stop.cancel();
    StatusCode::ACCEPTED
}

async fn call(Shared(control): Shared, Json(request): Json<CallRequest>) -> Result<Response, Refused> {
    let (id, signature) = control.find(&request.service)?;
    let arguments = signature.bind_words(&request.arguments).map_err(|error| {
        Refused::usage(signature.explain(&request.service, &error))
            .help("`k=v` gives a parameter by name; lists and objects are written as JSON")
    })?;
    let timeout = request.timeout_ms.map(Duration::from_millis);
    if signature.streams {
        return stream(&control, request, id, arguments).await;
    }
    let options = CallOptions::of_root(timeout, request.idempotency_key.map(Into::into));
    let answer = control.shard.ask(NewAsk { service: id, arguments, options }).await;
    answered(&request.service, timeout, answer).map(IntoResponse::into_response)
}

/// The items of a generator, each on a line as it comes.
async fn stream(
    control: &Control,
    request: CallRequest,
    service: ServiceId,
    arguments: axum::body::Bytes,
) -> Result<Response, Refused> {
    if request.idempotency_key.is_some() {
        return Err(no_key_for_items(&request.service));
    }
    let (name, timeout) = (request.service, request.timeout_ms.map(Duration::from_millis));
    let options = CallOptions::of_stream(timeout);
    let ask = control.shard.ask(NewAsk { service, arguments, options });
    let of_failure = name.clone();
    let render = Box::new(move |part| line(part, |answer| answered(&name, timeout, answer)).into());
    let body =
        items_body(ask, render).await.map_err(|failed| match answered(&of_failure, timeout, failed) {
            Err(refused) => refused,
            Ok(_) => Refused::new(ProblemKind::Internal, "a stream that ended well was refused"),
        })?;
    Ok(([(CONTENT_TYPE, STREAM_LINES)], body).into_response())
}

fn line(part: Part, answered: impl Fn(Answer) -> Result<Json<CallAnswer>, Refused>) -> Vec<u8> {
    let line = match part {
        Part::Item(payload) => shown(&payload).map(StreamLine::Item),
        Part::End(Answer::Done(Outcome::Value(_))) => Ok(StreamLine::End),
        Part::End(failed) => answered(failed).map(|_| StreamLine::End),
    };
    let line = line.unwrap_or_else(|refused| StreamLine::Error(refused.0));
    let mut text = serde_json::to_vec(&line).expect("texts can always be written as JSON");
    text.push(b'\n');
    text
}

pub(super) fn no_key_for_items(name: &str) -> Refused {
    Refused::usage(format!("{name} is a generator, and its items cannot be kept for an idempotency key"))
}

fn shown(payload: &[u8]) -> Result<Box<RawValue>, Refused> {
    let mut text = Vec::new();
    json::to_json(payload, &mut text).map_err(|e| Refused::unreadable(&e.to_string()))?;
    let text = String::from_utf8(text).map_err(|e| Refused::unreadable(&e.to_string()))?;
    RawValue::from_string(text).map_err(|e| Refused::unreadable(&e.to_string()))
}

fn answered(name: &str, timeout: Option<Duration>, answer: Answer) -> Result<Json<CallAnswer>, Refused> {
    match answer {
        Answer::Expired => {
            let bound = timeout.unwrap_or_default().as_secs_f64();
            let message = format!("{name} did not answer within {bound} s, so the call was cancelled");
            let help = format!("`--timeout` gives it longer; `msx logs {name}` shows what it printed");
            Err(Refused::new(ProblemKind::Timeout, message).help(&help))
        }
        Answer::Done(Outcome::Value(payload)) => Ok(Json(CallAnswer { result: shown(&payload)? })),
        Answer::Done(Outcome::Error(payload)) => Err(Refused::remote(RemoteError::decode(&payload))),
        Answer::Refused(refusal) => {
            let help = help_for(name, refusal.reason);
            let mut refused = Refused::new(ProblemKind::Unavailable, refusal.message).help(&help);
            refused.0.detail = refusal.detail;
            Err(refused)
        }
    }
}

/// What to do about a call that was not admitted.
pub(super) fn help_for(name: &str, reason: Reason) -> String {
    match reason {
        Reason::QueueFull | Reason::QueueTimeout | Reason::Overloaded { .. } => {
            "`msx ps` shows the queue; try again later".to_owned()
        }
        Reason::ScaledToZero => {
            format!("`msx scale {name}=1` starts an instance, `{name}=auto` lets it scale itself")
        }
        Reason::Stopping => "`msx up` starts it again".to_owned(),
        Reason::CrashLoop => format!(
            "`msx logs {name}` has the whole log; it is tried again every 30 s, `msx restart {name}` does so at once"
        ),
    }
}

async fn scale(Shared(control): Shared, Json(request): Json<ScaleRequest>) -> Result<StatusCode, Refused> {
    let mut targets = BTreeMap::new();
    for target in &request.targets {
        let id = control.registry.resolve(&target.service)?;
        control.check(id, target.instances, request.force)?;
        if targets.insert(id, target).is_some() {
            let message = format!("cannot scale {}: it is given two numbers", target.service);
            return Err(Refused::usage(message).help("name each service once"));
        }
    }
    // All are asked for before the first is waited for.
    let waits = targets.into_iter().map(|(id, target)| {
        let (control, instances) = (control.clone(), target.instances);
        let (wait, force) = (request.wait, request.force);
        let scaling = async move { control.orchestrator.supervisor.scale(id, instances, wait, force).await };
        (target, tokio::spawn(scaling))
    });
    for (target, wait) in waits.collect::<Vec<_>>() {
        let scaled = wait.await.map_err(|error| Refused::new(ProblemKind::Internal, error.to_string()))?;
        scaled.map_err(|error| {
            let number = target.instances.map_or("auto".to_owned(), |number| number.to_string());
            let message = format!("cannot scale {} to {number}: {error}", target.service);
            Refused::unavailable(message, error.help(), error.detail())
        })?;
    }
    Ok(StatusCode::NO_CONTENT)
}

async fn restart(
    Shared(control): Shared,
    Json(request): Json<RestartRequest>,
) -> Result<StatusCode, Refused> {
    let ids: BTreeSet<ServiceId> = match request.services.is_empty() {
        true => control.registry.snapshot().services.iter().map(|service| service.id).collect(),
        false => request
            .services
            .iter()
            .map(|name| control.registry.resolve(name))
            .collect::<Result<_, NameError>>()?,
    };
    let restarted = control.orchestrator.supervisor.restart(ids.into_iter().collect(), false).await;
    restarted.map_err(|error| {
        let help = error.0.first().and_then(|first| match first {
            Failure::Fell { .. } => {
                Some("the old instances go on; correct the code and restart again".to_owned())
            }
            other => other.help(),
        });
        let details: Vec<String> = error.0.iter().filter_map(Failure::detail).collect();
        let details = (!details.is_empty()).then(|| details.join("\n\n"));
        Refused::unavailable(format!("cannot restart: {error}"), help, details)
    })?;
    Ok(StatusCode::NO_CONTENT)
}

impl Control {
    /// A service of the project or a function of the hub.
    pub(super) fn find(&self, name: &str) -> Result<(ServiceId, Arc<Signature>), Refused> {
        if let Some((_, id, signature)) = self.hub_services.iter().find(|(known, ..)| known == name) {
            return Ok((*id, signature.clone()));
        }
        if name.starts_with(orchestrator::MODULE) {
            let functions: Vec<&str> = self.hub_services.iter().map(|(known, ..)| known.as_str()).collect();
            return Err(Refused::usage(format!("there is no service `{name}`"))
                .help(&format!("the hub answers {}", functions.join(", "))));
        }
        let snapshot = self.registry.snapshot();
        let id = snapshot.resolve(name)?;
        if let Some(refused) = snapshot.get(id).and_then(not_callable) {
            return Err(refused);
        }
        let signature = snapshot.get(id).map(|service| service.signature.clone());
        Ok((id, signature.ok_or_else(|| Refused::new(ProblemKind::Internal, "a service without an entry"))?))
    }

    /// What the supervisor checks as well: here before the first of several targets is asked for.
    fn check(&self, id: ServiceId, instances: Option<u32>, force: bool) -> Result<(), Refused> {
        let snapshot = self.registry.snapshot();
        let Some((service, wanted)) = snapshot.get(id).zip(instances) else { return Ok(()) };
        service.allows(wanted, force).map_err(|error| {
            let or_force = if matches!(error, TooMany::ForService { .. }) { ", or use --force" } else { "" };
            Refused::usage(error.to_string()).help(&format!("{}{or_force}", error.help()))
        })
    }
}

/// Why a program cannot be called.
fn not_callable(service: &ServiceEntry) -> Option<Refused> {
    service.spec.command()?;
    let name = service.short();
    let help = match service.address {
        Some(address) => {
            format!("it serves requests at http://{address}/; `msx ps` shows where each instance is")
        }
        None => format!("msx only runs it; `msx logs {name}` shows what it prints"),
    };
    Some(Refused::usage(format!("{name} is a program and cannot be called")).help(&help))
}

/// A request that was not done.
pub(super) struct Refused(pub Box<Problem>);

impl Refused {
    pub(super) fn new(kind: ProblemKind, message: impl Into<String>) -> Self {
        Self(Box::new(Problem { kind, message: message.into(), help: None, detail: None, raised: None }))
    }

    pub(super) fn usage(message: impl Into<String>) -> Self {
        Self::new(ProblemKind::Usage, message)
    }

    fn unavailable(message: String, help: Option<String>, detail: Option<String>) -> Self {
        Self(Box::new(Problem { help, detail, ..*Self::new(ProblemKind::Unavailable, message).0 }))
    }

    fn unreadable(error: &str) -> Self {
        Self::new(ProblemKind::Internal, format!("the result cannot be shown as JSON: {error}"))
    }

    fn remote(error: RemoteError) -> Self {
        let kind = error.kind.strip_prefix("builtins.").unwrap_or(&error.kind);
        let last_line = match error.message.as_str() {
            "" => kind.to_owned(),
            message => format!("{kind}: {message}"),
        };
        let RemoteError { kind: exception, message, service, via, notes, traceback, .. } = error;
        let detail = Some(traceback).filter(|text| !text.is_empty());
        let raised = Some(Raised { exception, message, service, via, notes });
        Self(Box::new(Problem { detail, raised, ..*Self::new(ProblemKind::Remote, last_line).0 }))
    }

    pub(super) fn help(mut self, help: &str) -> Self {
        self.0.help = Some(help.to_owned());
        self
    }
}

impl From<NameError> for Refused {
    fn from(error: NameError) -> Self {
        Self::usage(error.to_string()).help(&error.help())
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let status = match self.0.kind {
            ProblemKind::Usage => StatusCode::UNPROCESSABLE_ENTITY,
            ProblemKind::Timeout => StatusCode::GATEWAY_TIMEOUT,
            ProblemKind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            ProblemKind::Remote | ProblemKind::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        };
        (status, Json(*self.0)).into_response()
    }
}
