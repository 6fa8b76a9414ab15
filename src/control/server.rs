//! The hub's end of the control API: axum on a Unix socket that only its owner may open.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, OnceLock};

use axum::extract::{DefaultBodyLimit, FromRequestParts, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::serve::Listener;
use axum::{Json, Router};
use tokio::net::unix::SocketAddr as UnixSocketAddr;
use tokio::net::{UnixListener, UnixStream};
use tokio_util::sync::CancellationToken;

use crate::control::orchestrator::{self, Orchestrator};
use crate::control::{ask, call, calls, metrics, pausing};
use crate::core::Reason;
use crate::model::ServiceId;
use crate::protocol::control::{
    Problem, ProblemKind, Raised, RestartRequest, ScaleRequest, ScaleTarget, route,
};
use crate::protocol::error::RemoteError;
use crate::protocol::signature::Signature;
use crate::registry::{NameError, Registry, ServiceEntry, TooMany};
use crate::shard::Shard;
use crate::supervisor::{Failure, RestartError};

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
        .route(route::CALL, post(call::call))
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
    let targets = control.targets(&request)?;
    // All are asked for before the first is waited for.
    let waits = targets.into_iter().map(|(id, target)| {
        let (control, instances) = (control.clone(), target.instances);
        let (wait, force) = (request.wait, request.force);
        let scaling = async move { control.orchestrator.supervisor.scale(id, instances, wait, force).await };
        (target, tokio::spawn(scaling))
    });
    for (target, wait) in waits.collect::<Vec<_>>() {
        let scaled = wait.await.map_err(|error| Refused::new(ProblemKind::Internal, error.to_string()))?;
        scaled.map_err(|error| not_scaled(target, &error))?;
    }
    Ok(StatusCode::NO_CONTENT)
}

fn not_scaled(target: &ScaleTarget, error: &Failure) -> Refused {
    let number = target.instances.map_or("auto".to_owned(), |number| number.to_string());
    let message = format!("cannot scale {} to {number}: {error}", target.service);
    Refused::unavailable(message, error.help(), error.detail())
}

async fn restart(
    Shared(control): Shared,
    Json(request): Json<RestartRequest>,
) -> Result<StatusCode, Refused> {
    let named = request.services.iter().map(|name| control.registry.resolve(name));
    let mut ids = named.collect::<Result<BTreeSet<ServiceId>, NameError>>()?;
    if ids.is_empty() {
        ids.extend(control.registry.snapshot().services.iter().map(|service| service.id));
    }
    let restarted = control.orchestrator.supervisor.restart(ids.into_iter().collect(), false).await;
    restarted.map(|()| StatusCode::NO_CONTENT).map_err(|failures| not_restarted(&failures))
}

fn not_restarted(failures: &RestartError) -> Refused {
    let help = failures.0.first().and_then(|first| match first {
        Failure::Fell { .. } => {
            Some("the old instances go on; correct the code and restart again".to_owned())
        }
        other => other.help(),
    });
    let details: Vec<String> = failures.0.iter().filter_map(Failure::detail).collect();
    let details = (!details.is_empty()).then(|| details.join("\n\n"));
    Refused::unavailable(format!("cannot restart: {failures}"), help, details)
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
                .help(format!("the hub answers {}", functions.join(", "))));
        }
        let snapshot = self.registry.snapshot();
        let id = snapshot.resolve(name)?;
        if let Some(refused) = snapshot.get(id).and_then(not_callable) {
            return Err(refused);
        }
        let signature = snapshot.get(id).map(|service| service.signature.clone());
        Ok((id, signature.ok_or_else(|| Refused::new(ProblemKind::Internal, "a service without an entry"))?))
    }

    /// Each service with what is wanted of it, once all of them may be scaled so.
    fn targets<'a>(
        &self,
        request: &'a ScaleRequest,
    ) -> Result<BTreeMap<ServiceId, &'a ScaleTarget>, Refused> {
        let mut targets = BTreeMap::new();
        for target in &request.targets {
            let id = self.registry.resolve(&target.service)?;
            self.check(id, target.instances, request.force)?;
            if targets.insert(id, target).is_some() {
                let message = format!("cannot scale {}: it is given two numbers", target.service);
                return Err(Refused::usage(message).help("name each service once"));
            }
        }
        Ok(targets)
    }

    /// What the supervisor checks as well: here before the first of several targets is asked for.
    fn check(&self, id: ServiceId, instances: Option<u32>, force: bool) -> Result<(), Refused> {
        let snapshot = self.registry.snapshot();
        let Some((service, wanted)) = snapshot.get(id).zip(instances) else { return Ok(()) };
        service.allows(wanted, force).map_err(|error| {
            let or_force = if matches!(error, TooMany::ForService { .. }) { ", or use --force" } else { "" };
            Refused::usage(error.to_string()).help(format!("{}{or_force}", error.help()))
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

    pub(super) fn unreadable(error: &str) -> Self {
        Self::new(ProblemKind::Internal, format!("the result cannot be shown as JSON: {error}"))
    }

    pub(super) fn remote(error: RemoteError) -> Self {
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

    pub(super) fn help(mut self, help: impl Into<String>) -> Self {
        self.0.help = Some(help.into());
        self
    }
}

impl From<NameError> for Refused {
    fn from(error: NameError) -> Self {
        Self::usage(error.to_string()).help(error.help())
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
