//! The running hub: core, shard, supervisor, gateway and fronts, joined.

use std::ffi::OsString;
use std::net::TcpListener;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use super::api::ControlApi;
use super::setup::{Plan, Planned};
use super::{Report, UpOptions, entrance, ports, scaling, watching};
use crate::control::orchestrator::{self, Orchestrator};
use crate::control::server::Control;
use crate::control::status::{Measurements, Reporter};
use crate::core::{Core, Event, ServiceSetup};
use crate::failure::Failure;
use crate::guard::Guard;
use crate::model::{CallKey, InstanceId, ServiceId, ServiceName, WorkerKind};
use crate::protocol::progress::Progress;
use crate::protocol::signature::Signature;
use crate::protocol::worker::{FromControl, ToControl, VERSION};
use crate::registry::{Offer, Registry};
use crate::shard::{Handlers, Shard};
use crate::supervisor::logs::LogStore;
use crate::supervisor::watch::Watch;
use crate::supervisor::{Hello, Outward, Settings, Supervisor, Wiring};

/// A hub whose rooms run.
#[derive(Clone)]
pub struct Hub {
    pub supervisor: Supervisor,
    pub shard: Shard,
    pub gateway: Arc<str>,
    /// Kept as long as the hub.
    watch: Option<Arc<Watch>>,
}

/// How long admitted calls may take to end when msx stops (design: drain).
const DRAIN_BOUND: Duration = Duration::from_secs(30);
/// The supervisor, for handlers that are made before it.
type Late = Arc<OnceLock<Orchestrator>>;

impl Hub {
    /// Binds everything, then starts the instances.
    pub fn start(
        options: &UpOptions,
        plan: Plan,
        guard: &Guard,
        report: &Report,
        api: &ControlApi,
    ) -> Result<Self, Failure> {
        let state = options.project.state();
        let (gateway, note) = ports::bind_gateway(plan.manifest.gateway.listen.value)?;
        if let Some(note) = note {
            report(Progress::Note(note));
        }
        let mut fronts = Vec::new();
        let mut kept = ports::Ports::load(&state);
        for service in &plan.services {
            fronts.push(kept.bind_front(&service.spec.name, service.spec.listen)?);
        }
        kept.save()?;
        let logs = options.project.logs();
        let logs = LogStore::new(&logs)
            .map_err(|error| Failure::failed(format!("cannot keep logs in {}: {error}", logs.display())))?;
        let found = plan.services.iter().map(|s| (s.spec.name.to_string(), s.spec.instances.min));
        report(Progress::Found { services: found.collect() });
        let registry = registry(&plan.services, &fronts);
        let late = Late::default();
        let shard = Shard::start(core(&plan.services), handlers(&late, &plan.services))
            .map_err(|error| Failure::failed(format!("cannot start the shard: {error}")))?;
        let supervisor = Supervisor::start(Wiring {
            settings: settings(options, &plan)?,
            guard: guard.clone(),
            registry: registry.clone(),
            logs,
            outward: outward(shard.clone()),
            report: report.clone(),
        })
        .map_err(|error| Failure::usage(error.to_string()).with_help(error.help()))?;
        let url: Arc<str> = gateway_url(&gateway).into();
        let reporter = Reporter {
            project: plan.manifest.project.name.value.clone().unwrap_or_else(|| folder_name(options)).into(),
            gateway: url.clone(),
            guard_pid: guard.pid(),
            python: plan.environment.version.as_str().into(),
            registry: registry.clone(),
            shard: shard.clone(),
            measurements: Arc::new(Mutex::new(Measurements::default())),
            started: api.started,
        };
        let orchestrator = Orchestrator {
            registry: registry.clone(),
            supervisor: supervisor.clone(),
            reporter: reporter.clone(),
        };
        // Nothing was called yet, so that nothing has missed it.
        let _ = late.set(orchestrator.clone());
        entrance::serve(&shard, &registry, gateway, fronts);
        let hub_services = hub_services(plan.services.len());
        api.open(Control {
            registry: registry.clone(),
            shard: shard.clone(),
            orchestrator: orchestrator.clone(),
            hub_services,
        });
        tokio::spawn(scaling::run(reporter, supervisor.clone()));
        let mut hub = Self { supervisor: supervisor.clone(), shard, gateway: url, watch: None };
        if options.watch {
            let watched = watching::watched(&plan.services);
            hub.watch =
                Some(Arc::new(watching::start(options.project.root(), watched, supervisor, report.clone())?));
        }
        scale_as_asked(options, &orchestrator)?;
        Ok(hub)
    }

    /// Tells the terminal when all services are ready, or why one is not; the hub goes on either way.
    pub async fn announce_ready(self, report: Report) {
        match self.supervisor.wait_ready().await {
            Ok(()) => report(Progress::Ready),
            Err(failure) => report(Progress::Note(match failure.detail() {
                Some(detail) => format!("{failure}\n{detail}"),
                None => failure.to_string(),
            })),
        }
    }

    /// Drains and stops everything. Whether anything outlived it is for the hub to see when the guard has gone as well.
    pub async fn stop(self, kill: CancellationToken) {
        self.finish_calls(&kill).await;
        if let Err(pids) = self.supervisor.shutdown(kill).await {
            tracing::warn!("the guard has not told that the process groups {pids:?} ended");
        }
        self.shard.stop().await;
    }

    /// Lets the calls that were admitted end, while all services still answer each other. Those that do not end in
    /// time are failed, so that nobody waits for an answer that does not come; and what nobody waits for any more
    /// holds no instance back.
    async fn finish_calls(&self, kill: &CancellationToken) {
        tokio::select! {
            () = self.shard.close() => (),
            () = tokio::time::sleep(DRAIN_BOUND) => (),
            () = kill.cancelled() => (),
        }
        self.shard.event(Event::Abandon);
    }
}

fn gateway_url(listener: &TcpListener) -> String {
    listener.local_addr().map_or_else(|_| String::new(), |address| format!("http://{address}/"))
}

fn folder_name(options: &UpOptions) -> String {
    options
        .project
        .root()
        .file_name()
        .map_or_else(|| "project".into(), |name| name.to_string_lossy().into_owned())
}

fn registry(services: &[Planned], fronts: &[TcpListener]) -> Registry {
    let offers = services.iter().zip(fronts).map(|(service, front)| Offer {
        spec: service.spec.clone(),
        kind: service.kind,
        signature: service.signature.clone(),
        address: front.local_addr().ok(),
    });
    Registry::new(offers.collect())
}

fn core(services: &[Planned]) -> Core {
    let own = services.iter().map(|service| ServiceSetup {
        name: service.spec.name.clone(),
        queue: service.spec.queue,
        run_timeout: service.spec.run_timeout,
        is_hub: false,
    });
    let of_hub = orchestrator::names().map(ServiceSetup::of_hub);
    let replays_always = std::env::var_os("MSX_REPLAY").is_some_and(|value| value == "always");
    Core::new(own.chain(of_hub).collect(), replays_always)
}

/// The hub's own services come behind the project's.
fn hub_services(first: usize) -> Vec<(String, ServiceId, Arc<Signature>)> {
    let numbered = (first as u32..).map(ServiceId).zip(orchestrator::names());
    numbered.map(|(id, name)| (name.to_string(), id, Arc::new(orchestrator::signature(&name)))).collect()
}

/// One seed for all instances of the project, so that sets iterate alike wherever a call is replayed.
fn settings(options: &UpOptions, plan: &Plan) -> Result<Settings, Failure> {
    let env = [
        ("PYTHONPATH", plan.environment.python_path.clone()),
        ("PYTHONHASHSEED", hash_seed(&options.project.state())?.into()),
    ];
    Ok(Settings {
        interpreter: plan.environment.interpreter.clone(),
        env: env.map(|(name, value)| (OsString::from(name), value)).into(),
        project: options.project.root().to_owned(),
    })
}

fn hash_seed(state: &std::path::Path) -> Result<String, Failure> {
    let path = state.join("hash-seed");
    if let Ok(seed) = std::fs::read_to_string(&path)
        && seed.trim().parse::<u32>().is_ok()
    {
        return Ok(seed.trim().to_owned());
    }
    let seed = (uuid::Uuid::now_v7().as_u128() as u32).to_string();
    let written = std::fs::write(&path, &seed);
    written.map_err(|error| Failure::failed(format!("cannot write {}: {error}", path.display())))?;
    Ok(seed)
}

fn scale_as_asked(options: &UpOptions, orchestrator: &Orchestrator) -> Result<(), Failure> {
    for (name, instances) in &options.scale {
        let id = orchestrator
            .registry
            .resolve(name)
            .map_err(|error| Failure::usage(format!("--scale: {error}")).with_help(error.help()))?;
        let (orchestrator, instances) = (orchestrator.clone(), Some(*instances));
        // Not waited for: `announce_ready` tells when they are ready.
        tokio::spawn(async move { orchestrator.supervisor.scale(id, instances, false).await });
    }
    Ok(())
}

/// What the supervisor tells goes to the shard.
fn outward(shard: Shard) -> Arc<dyn Fn(Outward) + Send + Sync> {
    Arc::new(move |told| match told {
        Outward::Attach { instance, control, slots, max_parked, kind } => {
            let event = Event::Attached { instance, kind, slots, max_parked };
            shard.attach(event, instance, control);
        }
        Outward::Ready { instance } => shard.event(Event::Ready(instance)),
        Outward::Drain { instance, replay_now } => shard.event(Event::Drain { instance, replay_now }),
        Outward::Finish { instance } => shard.control(instance, ToControl::Drain),
        Outward::Gone { instance, reason } => shard.event(Event::Gone { instance, reason }),
        Outward::Down { service, reason } => shard.event(Event::Down { service, reason }),
        Outward::Zero { service, is_zero } => shard.event(Event::ScaledToZero { service, is_zero }),
    })
}

/// What the shard tells goes to the supervisor and the orchestrator.
fn handlers(late: &Late, services: &[Planned]) -> Handlers {
    let with = |late: &Late| {
        let late = late.clone();
        move |action: &dyn Fn(&Orchestrator)| {
            if let Some(orchestrator) = late.get() {
                action(orchestrator);
            }
        }
    };
    let (hello, closed, drained, unresponsive) = (with(late), with(late), with(late), with(late));
    let (late, first) = (late.clone(), services.len() as u32);
    let names: Vec<ServiceName> = orchestrator::names().collect();
    let runtime = tokio::runtime::Handle::current();
    Handlers {
        hello: Box::new(move |id, message| hello(&|hub| on_hello(&hub.supervisor, id, &message))),
        closed: Box::new(move |id, why| {
            closed(&|hub| hub.supervisor.severed(id, why.clone()));
        }),
        drained: Box::new(move |id| drained(&|hub| hub.supervisor.drained(id))),
        unresponsive: Box::new(move |id, why| {
            unresponsive(&|hub| hub.supervisor.unresponsive(id, why.clone()));
        }),
        orchestrate: Box::new(move |call: CallKey, service, arguments| {
            let Some((hub, name)) = late.get().cloned().zip(names.get((service.0 - first) as usize).cloned())
            else {
                return;
            };
            runtime.spawn(async move {
                let outcome = hub.answer(&name, &arguments).await;
                hub.reporter.shard.event(Event::Orchestrated { call, outcome });
            });
        }),
    }
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
