//! The running hub: core, shard, supervisor, gateway and fronts, joined.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt::Display;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use super::api::ControlApi;
use super::messages::{self, Late};
use super::setup::{Plan, Planned};
use super::{Report, UpOptions, entrance, ports, scaling, watching};
use crate::control::orchestrator::{self, Orchestrator};
use crate::control::server::Control;
use crate::control::status::{Measurements, Reporter};
use crate::core::{Core, Event, ServiceSetup};
use crate::failure::Failure;
use crate::guard::Guard;
use crate::model::ServiceId;
use crate::protocol::progress::Progress;
use crate::protocol::signature::Signature;
use crate::registry::{Offer, Registry};
use crate::shard::Shard;
use crate::supervisor::logs::LogStore;
use crate::supervisor::watch::Watch;
use crate::supervisor::{NodeProgram, Settings, Supervisor, Wiring};

/// A hub whose rooms run.
#[derive(Clone)]
pub struct Hub {
    pub supervisor: Supervisor,
    pub shard: Shard,
    pub gateway: Arc<str>,
    /// Kept as long as the hub.
    _watch: Option<Arc<Watch>>,
}

/// How long admitted calls may take to end when msx stops (design: drain).
const DRAIN_BOUND: Duration = Duration::from_secs(30);

impl Hub {
    /// Binds everything, then starts the instances.
    pub fn start(
        options: &UpOptions,
        plan: Plan,
        guard: &Guard,
        report: &Report,
        api: &ControlApi,
    ) -> Result<Self, Failure> {
        let sockets = Sockets::bind(options, &plan, report)?;
        let logs = logs(options)?;
        let found = plan.services.iter().map(|s| (s.spec.name.to_string(), s.spec.instances.min));
        report(Progress::Found { services: found.collect() });
        let registry = registry(&plan.services, &sockets.fronts);
        let scale = asked(options, &registry)?;
        let (late, first_of_hub) = (Late::default(), ServiceId(plan.services.len() as u32));
        let shard = Shard::start(core(&plan.services), messages::of_shard(late.clone(), first_of_hub))
            .map_err(|error| Failure::failed(format!("cannot start the shard: {error}")))?;
        let supervisor = Supervisor::start(Wiring {
            settings: settings(options, &plan)?,
            guard: guard.clone(),
            registry: registry.clone(),
            logs,
            outward: messages::of_supervisor(shard.clone()),
            report: report.clone(),
        })
        .map_err(|error| Failure::usage(error.to_string()).with_help(error.help()))?;
        let gateway: Arc<str> = url(&sockets.gateway).into();
        let reporter = Reporter {
            project: project_name(options, &plan).into(),
            gateway: gateway.clone(),
            guard_pid: guard.pid(),
            python: plan.environment.as_ref().map_or("none", |python| python.version.as_str()).into(),
            registry: registry.clone(),
            shard: shard.clone(),
            measurements: Arc::new(Mutex::new(Measurements::default())),
            started: api.started,
        };
        let orchestrator = Orchestrator { registry: registry.clone(), supervisor, reporter };
        // Nothing was called yet, so that nothing has missed it.
        let _ = late.set(orchestrator.clone());
        entrance::serve(&shard, &registry, sockets.gateway, sockets.fronts);
        api.open(Control {
            registry,
            shard: shard.clone(),
            orchestrator: orchestrator.clone(),
            hub_services: hub_services(first_of_hub),
        });
        tokio::spawn(scaling::run(orchestrator.reporter.clone(), orchestrator.supervisor.clone()));
        let supervisor = orchestrator.supervisor;
        for (service, instances) in scale {
            let supervisor = supervisor.clone();
            // Not waited for: `announce_ready` tells when they are ready.
            tokio::spawn(async move { supervisor.scale(service, Some(instances), false, false).await });
        }
        let watch = watch(options, &plan, &supervisor, report)?;
        Ok(Self { supervisor, shard, gateway, _watch: watch })
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

/// Where HTTP comes in.
struct Sockets {
    gateway: TcpListener,
    /// In the order of the services; a program that serves nothing has none.
    fronts: Vec<Option<TcpListener>>,
}

impl Sockets {
    fn bind(options: &UpOptions, plan: &Plan, report: &Report) -> Result<Self, Failure> {
        let (gateway, note) = ports::bind_gateway(&plan.manifest)?;
        if let Some(note) = note {
            report(Progress::Note(note));
        }
        let mut kept = ports::Ports::load(&options.project.state());
        let fronts = plan.services.iter().map(|s| {
            let front = || kept.bind_front(&plan.manifest, &s.spec.name, s.spec.listen);
            s.spec.is_balanced().then(front).transpose()
        });
        let fronts = fronts.collect::<Result<_, Failure>>()?;
        kept.save()?;
        Ok(Self { gateway, fronts })
    }
}

fn url(listener: &TcpListener) -> String {
    listener.local_addr().map_or_else(|_| String::new(), |address| format!("http://{address}/"))
}

fn logs(options: &UpOptions) -> Result<LogStore, Failure> {
    let folder = options.project.logs();
    LogStore::new(&folder).map_err(|error| Failure::file("keep logs in", &folder, &error))
}

fn project_name(options: &UpOptions, plan: &Plan) -> String {
    let folder = || options.project.root().file_name().map(|name| name.to_string_lossy().into_owned());
    plan.manifest.project.name.value.clone().or_else(folder).unwrap_or_else(|| "project".into())
}

fn watch(
    options: &UpOptions,
    plan: &Plan,
    supervisor: &Supervisor,
    report: &Report,
) -> Result<Option<Arc<Watch>>, Failure> {
    if !options.watch {
        return Ok(None);
    }
    let watched = watching::watched(&plan.services);
    let watch = watching::start(options.project.root(), watched, supervisor.clone(), report.clone())?;
    Ok(Some(Arc::new(watch)))
}

fn registry(services: &[Planned], fronts: &[Option<TcpListener>]) -> Registry {
    let offers = services.iter().zip(fronts).map(|(service, front)| Offer {
        spec: service.spec.clone(),
        kind: service.kind,
        signature: service.signature.clone(),
        address: front.as_ref().and_then(|front| front.local_addr().ok()),
    });
    Registry::new(offers.collect())
}

fn core(services: &[Planned]) -> Core {
    let own = services.iter().map(|service| ServiceSetup {
        name: service.spec.name.clone(),
        queue: service.spec.queue,
        run_timeout: service.spec.run_timeout,
        retries: service.spec.retries,
        per_key: service.spec.concurrency_key,
        batch: service.spec.batch,
        on_nondeterminism: service.spec.on_nondeterminism,
        is_hub: false,
    });
    let of_hub = orchestrator::names().map(ServiceSetup::of_hub);
    let replays_always = std::env::var_os("MSX_REPLAY").is_some_and(|value| value == "always");
    let programs = (0..).map(ServiceId).zip(services).filter(|(_, service)| service.spec.command().is_some());
    Core::new(own.chain(of_hub).collect(), replays_always)
        .with_id_salt(random())
        .with_programs(programs.map(|(id, _)| id).collect())
}

/// The standard library seeds its hashes from the system's random numbers.
fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}

/// The hub's own services come behind the project's.
fn hub_services(first: ServiceId) -> Vec<(String, ServiceId, Arc<Signature>)> {
    let numbered = (first.0..).map(ServiceId).zip(orchestrator::names());
    numbered.map(|(id, name)| (name.to_string(), id, Arc::new(orchestrator::signature(&name)))).collect()
}

/// One seed for all instances of the project, so that sets iterate alike wherever a call is replayed.
fn settings(options: &UpOptions, plan: &Plan) -> Result<Settings, Failure> {
    let mut env = vec![("PYTHONHASHSEED", hash_seed(&options.project.state())?.into())];
    env.extend(plan.environment.as_ref().map(|python| ("PYTHONPATH", python.python_path.clone())));
    Ok(Settings {
        python: plan.environment.as_ref().map(|python| python.interpreter.clone()),
        node: plan
            .node
            .as_ref()
            .map(|node| NodeProgram { interpreter: node.interpreter.clone(), sdk: node.sdk.clone() }),
        env: env.into_iter().map(|(name, value)| (OsString::from(name), value)).collect(),
        project: options.project.root().to_owned(),
        // Beside the hub's own.
        sockets: options.project.socket()?.with_extension(""),
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

/// What `--scale` asks for, checked before anything starts.
fn asked(options: &UpOptions, registry: &Registry) -> Result<BTreeMap<ServiceId, u32>, Failure> {
    let (snapshot, mut asked) = (registry.snapshot(), BTreeMap::new());
    for (name, instances) in &options.scale {
        let cannot = |error: &dyn Display, help: String| {
            Failure::usage(format!("cannot follow `--scale {name}={instances}`: {error}")).with_help(help)
        };
        let id = snapshot.resolve(name).map_err(|error| cannot(&error, error.help()))?;
        let allowed = snapshot.get(id).map_or(Ok(()), |service| service.allows(*instances, false));
        allowed.map_err(|error| Failure::usage(error.to_string()).with_help(error.help()))?;
        if asked.insert(id, *instances).is_some() {
            return Err(cannot(&"it is given two numbers", "name each service once".into()));
        }
    }
    Ok(asked)
}
