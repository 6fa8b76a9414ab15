//! The hub: the one place that knows all rooms. It starts them in order, wires them, and ends them in order.

mod api;
mod entrance;
mod messages;
mod mistakes;
mod ports;
mod runner;
mod scaling;
pub mod script;
mod setup;
mod watching;
mod wiring;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;

use crate::failure::Failure;
use crate::guard::{self, Guard};
use crate::project::{DYING_MAX, HubLock, Project};
use crate::protocol::progress::Progress;
use api::ControlApi;

/// What `msx up` was asked for.
pub struct UpOptions {
    pub project: Project,
    /// Manifests that lie over each other; none: `services.toml`, or zero configuration.
    pub manifests: Vec<PathBuf>,
    /// Zero configuration: the file or folder to run.
    pub target: Option<PathBuf>,
    pub scale: Vec<(String, u32)>,
    pub watch: bool,
}

/// Tells the terminal how far the start is.
pub type Report = Arc<dyn Fn(Progress) + Send + Sync>;

/// How long the guard may take to end everything that is left.
const GUARD_BOUND: Duration = Duration::from_secs(5);

/// How often the hub looks whether its lock is still there.
const LOCK_LOOK: Duration = Duration::from_secs(1);
/// Far more than the bounds of the rooms add up to on one machine.
const DESCRIPTORS_MAX: u64 = 1 << 20;

/// Runs the hub until a signal or `msx down` ends it.
pub fn run(options: UpOptions, report: Report) -> Result<(), Failure> {
    trace();
    end_on_defect();
    let lock = options.project.acquire(DYING_MAX)?;
    let root = options.project.root();
    let leftovers = guard::end_leftovers(root).map_err(|error| {
        Failure::failed(format!("cannot end what an earlier hub of {} left: {error}", root.display()))
    })?;
    let (result, survivors) = with_guard(root, async |guard| {
        // Not before: a terminal that shows progress has a thread for it, and the guard must be started without any.
        for leftover in leftovers {
            let (pid, command) = (leftover.pid, leftover.command);
            report(Progress::Note(format!("ended process {pid} ({command}), left by an earlier hub")));
        }
        serve(&options, &lock, guard, report).await
    });
    let outcome = result.and(survivors);
    // Before the lock: who gets it finds no file of ours, or the reason that a waiting `down` reports.
    let ended = match options.project.still_holds(&lock) {
        true => options.project.end_hub(&outcome),
        // The file may be that of another hub.
        false => Ok(()),
    };
    drop(lock);
    outcome.and(ended)
}

/// The hub's own log goes to stderr; `MSX_LOG` says how much of it (`info`, `msx::supervisor=debug`, …).
fn trace() {
    let filter = EnvFilter::try_from_env("MSX_LOG").unwrap_or_else(|_| EnvFilter::new("warn"));
    let subscriber = tracing_subscriber::fmt()
        .log_internal_errors(false)
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    // Fails only if there is one already.
    let _ = subscriber.with_ansi(false).try_init();
}

/// A thread of the hub that ended would leave callers waiting; so a defect ends all of it, and the guard the rest.
fn end_on_defect() {
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |defect| {
        report(defect);
        std::process::exit(1);
    }));
}

/// The text of `msx config`.
pub fn config(options: &UpOptions, as_json: bool) -> Result<String, Failure> {
    options.project.prepare()?;
    let (text, survivors) =
        with_guard(options.project.root(), async |guard| setup::show(options, guard, as_json).await);
    survivors.and(text)
}

/// Runs `action` with a guard of its own, and ends afterwards whatever is left. To be called before there is any thread.
/// The second part of the answer says whether something outlived it.
fn with_guard<T>(
    root: &Path,
    action: impl AsyncFnOnce(&Guard) -> Result<T, Failure>,
) -> (Result<T, Failure>, Result<(), Failure>) {
    let result = guard::launch(root).map_err(|error| Failure::failed(error.to_string())).and_then(|launch| {
        raise_descriptor_limit();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("hub")
            .enable_all()
            .build()
            .map_err(|error| Failure::failed(format!("cannot start the hub's runtime: {error}")))?;
        let result = runtime.block_on(async {
            let guard = launch.connect().map_err(|error| Failure::failed(error.to_string()))?;
            let result = action(&guard).await;
            // The hub looks for itself afterwards, so that a guard that hangs does no harm.
            let _ = tokio::time::timeout(GUARD_BOUND, guard.close()).await;
            result
        });
        runtime.shutdown_timeout(Duration::from_secs(1));
        result
    });
    let survivors = guard::end_descendants(GUARD_BOUND).map_err(|pids| {
        Failure::failed(format!("processes {pids:?} could not be ended"))
            .with_help("they may wait for a device or a debugger; `kill -9` them")
    });
    (result, survivors)
}

/// An instance costs the hub some descriptors, and each parked call and each HTTP connection one. After the guard was
/// started, so that instances keep the limit that the person gave.
fn raise_descriptor_limit() {
    if let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) {
        // Who then lacks a descriptor says so.
        let _ = setrlimit(Resource::RLIMIT_NOFILE, hard.min(DESCRIPTORS_MAX).max(soft), hard);
    }
}

async fn serve(options: &UpOptions, lock: &HubLock, guard: &Guard, report: Report) -> Result<(), Failure> {
    let signals = Signals::listen()?;
    let api = ControlApi::start(&options.project, signals.stop.clone())?;
    options.project.write_hub(&api.hub_file(false))?;
    let outcome = tokio::select! {
        outcome = start_and_stop(options, lock, guard, report, &signals, &api) => outcome,
        () = guard.lost() => options.project.write_hub(&api.hub_file(true)).and(Err(guard_lost())),
    };
    api.stop().await;
    outcome
}

async fn start_and_stop(
    options: &UpOptions,
    lock: &HubLock,
    guard: &Guard,
    report: Report,
    signals: &Signals,
    api: &ControlApi,
) -> Result<(), Failure> {
    let plan = tokio::select! {
        plan = setup::plan(options, guard, &report) => plan?,
        () = signals.stop.cancelled() => return Err(Failure::interrupted("stopped while starting")),
    };
    let hub = wiring::Hub::start(options, plan, guard, &report, api)?;
    report(Progress::Gateway { url: hub.gateway.to_string() });
    let announced = tokio::spawn(hub.clone().announce_ready(report.clone()));
    let told = tokio::select! {
        () = signals.stop.cancelled() => Ok(()),
        () = lock_lost(&options.project, lock) => Err(Failure::failed("the folder .msx was removed, so the hub has stopped")
            .with_help("`msx down` comes before `rm -r .msx`; `msx up` starts it all again")),
    };
    announced.abort();
    report(Progress::Stopping);
    // Calls have their time to end even if that cannot be put on record.
    let recorded = told.and_then(|()| options.project.write_hub(&api.hub_file(true)));
    hub.stop(signals.kill.clone()).await;
    match signals.kill.is_cancelled() {
        true => Err(Failure::interrupted("killed: calls that ran were not waited for")),
        false => recorded,
    }
}

/// Returns when another hub could take the project, which would not find this one.
async fn lock_lost(project: &Project, lock: &HubLock) {
    while project.still_holds(lock) {
        tokio::time::sleep(LOCK_LOOK).await;
    }
}

fn guard_lost() -> Failure {
    Failure::failed("the guard, which owns the instances, ended; everything was stopped")
        .with_help("`msx up` starts it all again")
}

/// The first signal drains, the second kills.
struct Signals {
    stop: CancellationToken,
    kill: CancellationToken,
}

impl Signals {
    fn listen() -> Result<Self, Failure> {
        let signals = Self { stop: CancellationToken::new(), kill: CancellationToken::new() };
        let (stop, kill) = (signals.stop.clone(), signals.kill.clone());
        let cannot = |error| Failure::failed(format!("cannot listen to signals: {error}"));
        let mut interrupt = signal(SignalKind::interrupt()).map_err(cannot)?;
        let mut terminate = signal(SignalKind::terminate()).map_err(cannot)?;
        let mut hangup = signal(SignalKind::hangup()).map_err(cannot)?;
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    _ = interrupt.recv() => (),
                    _ = terminate.recv() => (),
                    _ = hangup.recv() => (),
                }
                match stop.is_cancelled() {
                    false => stop.cancel(),
                    true => kill.cancel(),
                }
            }
        });
        Ok(signals)
    }
}
