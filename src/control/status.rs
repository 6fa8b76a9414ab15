//! Puts together what `msx ps` shows: the registry's table, the core's numbers and what was measured.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::core::ServiceReport;
use crate::events::Events;
use crate::model::{InstanceId, ServiceId, Upstream, WorkerKind};
use crate::protocol::control::{HubStatus, InstanceStatus, Reason, ServiceStatus, Status};
use crate::protocol::events::HubEvent;
use crate::registry::{InstanceEntry, Registry, ServiceEntry};
use crate::shard::Shard;

/// Changes of the number of instances that are shown for each service.
const STEPS_MAX: usize = 8;

/// What was measured of one instance in the last second.
#[derive(Clone, Copy, Debug, Default)]
pub struct Measured {
    /// Calls finished per second.
    pub rate: f64,
    /// Cores used.
    pub cpu: Option<f64>,
    pub memory_bytes: Option<u64>,
}

/// What the sampling task knows, shared with whoever shows it.
#[derive(Debug, Default)]
pub struct Measurements {
    pub instances: HashMap<InstanceId, Measured>,
    /// Calls finished per second over the last 10 s.
    pub rates: HashMap<ServiceId, f64>,
    /// What the autoscaler makes of the last second.
    pub decisions: HashMap<ServiceId, String>,
    pub loads: HashMap<ServiceId, Load>,
}

/// What a service has to do.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    /// Slot time of one call, if any has ended lately.
    pub call_time: Option<Duration>,
    pub offered_per_s: f64,
}

/// See the module.
#[derive(Clone)]
pub struct Reporter {
    pub project: Arc<str>,
    pub gateway: Arc<str>,
    pub guard_pid: u32,
    pub python: Arc<str>,
    pub registry: Registry,
    pub shard: Shard,
    pub measurements: Arc<Mutex<Measurements>>,
    pub events: Events,
    pub started: Instant,
}

impl Reporter {
    pub fn uptime(&self) -> Duration {
        self.started.elapsed()
    }

    pub async fn status(&self) -> Status {
        let reports = self.shard.report().await;
        let snapshot = self.registry.snapshot();
        let measured = self.measurements.lock();
        let services = snapshot.services.iter().map(|service| {
            let report = reports.iter().find(|report| report.service == service.id);
            let steps = self.events.steps(service.spec.name.as_str(), STEPS_MAX);
            service_status(service, report, &measured, steps)
        });
        let hub = HubStatus {
            pid: std::process::id(),
            guard_pid: self.guard_pid,
            python: self.python.to_string(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            age_s: self.uptime().as_secs_f64(),
            gateway: self.gateway.to_string(),
            memory_bytes: own_memory_bytes(),
        };
        Status { project: self.project.to_string(), hub, services: services.collect() }
    }
}

fn service_status(
    service: &ServiceEntry,
    report: Option<&ServiceReport>,
    measured: &Measurements,
    steps: Vec<HubEvent>,
) -> ServiceStatus {
    ServiceStatus {
        name: service.spec.name.to_string(),
        alias: service.alias.as_deref().map(str::to_owned),
        address: service.address.map_or_else(String::new, |address| format!("http://{address}/")),
        kind: kind(service).to_owned(),
        queue: report.map_or(0, |report| report.queued as u64),
        suspended: report.map_or(0, |report| report.suspended as u64),
        slots: service.spec.slots,
        min: service.spec.instances.min,
        max: service.spec.instances.max,
        desired: service.desired,
        mode: service.mode.as_str().to_owned(),
        paused: report.and_then(|report| report.hold).map(|hold| hold.shown(Instant::now())),
        rate: measured.rates.get(&service.id).copied().unwrap_or(0.0),
        p50_ms: report.and_then(|report| report.p50_ms),
        p99_ms: report.and_then(|report| report.p99_ms),
        decision: measured.decisions.get(&service.id).cloned(),
        why: steps.into_iter().map(|step| Reason { at: step.at, text: step.text }).collect(),
        instances: service.instances.iter().map(|i| instance_status(i, report, measured)).collect(),
    }
}

fn kind(service: &ServiceEntry) -> &'static str {
    match service.kind {
        _ if service.spec.command().is_some() => "command",
        WorkerKind::Def => "def",
        WorkerKind::Async => "async",
    }
}

fn instance_status(
    instance: &InstanceEntry,
    report: Option<&ServiceReport>,
    measured: &Measurements,
) -> InstanceStatus {
    let counts = report.and_then(|report| report.instances.iter().find(|i| i.instance == instance.id));
    let measured = measured.instances.get(&instance.id).copied().unwrap_or_default();
    InstanceStatus {
        id: instance.label.clone(),
        state: instance.state,
        pid: instance.pid,
        upstream: instance.upstream.as_ref().map(Upstream::to_string),
        age_s: instance.started.elapsed().as_secs_f64(),
        restarts: instance.restarts,
        busy: counts.map_or(0, |counts| counts.busy as u32),
        parked: counts.map_or(0, |counts| counts.parked as u32),
        rate: measured.rate,
        cpu: measured.cpu,
        memory_bytes: measured.memory_bytes,
        reason: instance.reason.clone(),
    }
}

/// Resident memory of the hub; 0 where the kernel does not tell.
pub(super) fn own_memory_bytes() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages: u64 = statm.split_whitespace().nth(1).and_then(|pages| pages.parse().ok()).unwrap_or(0);
    pages * nix::unistd::sysconf(nix::unistd::SysconfVar::PAGE_SIZE).ok().flatten().unwrap_or(4096) as u64
}
