//! Once a second: measure, let the autoscaler decide for each service, tell the supervisor. A service without an instance
//! is looked at as soon as a call waits for it.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::autoscaler::history::History;
use crate::autoscaler::plan::{Decision, Observed, Policy, plan};
use crate::autoscaler::sample::{Sample, Sampler};
use crate::control::status::{Load, Measured, Measurements, Reporter};
use crate::core::{Event, Outlook, ServiceReport};
use crate::model::{InstanceId, ServiceId};
use crate::protocol::control::InstanceState;
use crate::protocol::events::EventKind;
use crate::registry::{InstanceEntry, Mode, ServiceEntry};
use crate::supervisor::Supervisor;

/// How often the autoscaler looks.
const PERIOD: Duration = Duration::from_secs(1);
/// What an instance burns before it has been ready for this long is its start, not load.
const SETTLED: Duration = Duration::from_secs(5);
/// Samples that a rate in `msx ps` spans, one per period.
const RATE_SAMPLES: usize = 10;

/// Services whose calls wait for a first instance.
#[derive(Default)]
pub struct Cold {
    services: Mutex<BTreeSet<ServiceId>>,
    wake: Notify,
}

impl Cold {
    pub fn add(&self, service: ServiceId) {
        self.services.lock().insert(service);
        self.wake.notify_one();
    }

    async fn next(&self) -> BTreeSet<ServiceId> {
        self.wake.notified().await;
        std::mem::take(&mut self.services.lock())
    }
}

/// Runs until the hub ends.
pub async fn run(reporter: Reporter, supervisor: Supervisor, cold: Arc<Cold>) {
    let sampler = match Sampler::new() {
        Ok(sampler) => sampler,
        Err(error) => return tracing::error!("no autoscaling: CPU and memory cannot be read: {error}"),
    };
    let mut scaling = Scaling {
        reporter,
        supervisor,
        sampler,
        sample: None,
        services: HashMap::new(),
        loads: HashMap::new(),
        completed: HashMap::new(),
    };
    let mut ticks = tokio::time::interval(PERIOD);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        let waiting = tokio::select! {
            _ = ticks.tick() => None,
            waiting = cold.next() => Some(waiting),
        };
        let reports = scaling.reporter.shard.report().await;
        match waiting {
            None => scaling.look(Instant::now(), &reports),
            Some(services) => scaling.look_at(Instant::now(), &services, &reports),
        }
    }
}

struct Scaling {
    reporter: Reporter,
    supervisor: Supervisor,
    sampler: Sampler,
    /// Of the last look at everything.
    sample: Option<Sample>,
    services: HashMap<ServiceId, Seen>,
    loads: HashMap<ServiceId, Load>,
    /// By instance: calls finished until the last look, and when that was.
    completed: HashMap<InstanceId, (Instant, u64)>,
}

/// What is kept of a service from one look to the next.
#[derive(Default)]
struct Seen {
    history: History,
    last: Option<ServiceReport>,
    /// What the core was told last.
    outlook: Option<Outlook>,
    /// Instances before and after the last decision.
    step: Option<(u32, u32)>,
    finished: VecDeque<(Instant, u64)>,
    /// How long starts take, by the last one seen.
    start_time: Option<Duration>,
}

impl Scaling {
    fn look(&mut self, now: Instant, reports: &[ServiceReport]) {
        let snapshot = self.reporter.registry.snapshot();
        let instances = snapshot.services.iter().flat_map(|service| &service.instances);
        let pids: Vec<u32> = instances.filter_map(|instance| instance.pid).collect();
        let sample = self.sampler.sample(now, &pids);
        let instances = self.measure(now, &snapshot.services, reports, &sample);
        let (mut rates, mut decisions) = (HashMap::new(), HashMap::new());
        for service in &snapshot.services {
            let Some(report) = reports.iter().find(|report| report.service == service.id) else { continue };
            let seen = self.services.entry(service.id).or_default();
            rates.insert(service.id, seen.rate(now, report.meter.completed));
            decisions.insert(service.id, self.decide(now, service, report, &sample));
        }
        *self.reporter.measurements.lock() =
            Measurements { instances, rates, decisions, loads: self.loads.clone() };
        self.sample = Some(sample);
    }

    /// Between two looks, by what the last one saw of the machine.
    fn look_at(&mut self, now: Instant, services: &BTreeSet<ServiceId>, reports: &[ServiceReport]) {
        let snapshot = self.reporter.registry.snapshot();
        let Some(sample) = self.sample.take() else { return };
        for report in reports.iter().filter(|report| services.contains(&report.service)) {
            let Some(service) = snapshot.get(report.service) else { continue };
            let decision = self.decide(now, service, report, &sample);
            self.reporter.measurements.lock().decisions.insert(service.id, decision);
        }
        self.sample = Some(sample);
    }

    fn measure(
        &mut self,
        now: Instant,
        services: &[ServiceEntry],
        reports: &[ServiceReport],
        sample: &Sample,
    ) -> HashMap<InstanceId, Measured> {
        let counts = reports.iter().flat_map(|report| &report.instances);
        let completed: HashMap<InstanceId, (Instant, u64)> =
            counts.map(|i| (i.instance, (now, i.completed))).collect();
        let instances = services.iter().flat_map(|service| &service.instances);
        let measured = instances.map(|instance| {
            let usage = instance.pid.and_then(|pid| sample.instances.get(&pid));
            let rate = self.completed.get(&instance.id).zip(completed.get(&instance.id));
            let measured = Measured {
                rate: rate.map_or(0.0, |(before, after)| per_second(*before, *after)),
                cpu: usage.and_then(|usage| usage.cores),
                memory_bytes: usage.map(|usage| usage.memory_bytes),
            };
            (instance.id, measured)
        });
        let measured = measured.collect();
        self.completed = completed;
        measured
    }
}

impl Seen {
    fn rate(&mut self, now: Instant, completed: u64) -> f64 {
        self.finished.push_back((now, completed));
        if self.finished.len() > RATE_SAMPLES + 1 {
            self.finished.pop_front();
        }
        self.finished.front().map_or(0.0, |first| per_second(*first, (now, completed)))
    }
}

fn per_second(before: (Instant, u64), after: (Instant, u64)) -> f64 {
    let seconds = after.0.saturating_duration_since(before.0).as_secs_f64();
    if seconds > 0.0 { after.1.saturating_sub(before.1) as f64 / seconds } else { 0.0 }
}

impl Scaling {
    fn decide(
        &mut self,
        now: Instant,
        service: &ServiceEntry,
        report: &ServiceReport,
        sample: &Sample,
    ) -> String {
        let seen = self.services.entry(service.id).or_default();
        let observed = observe(now, service, report, seen, sample);
        seen.last = Some(report.clone());
        // What waits for the end of a pause says nothing of how many instances are needed.
        if report.hold.is_some() {
            return "paused: stays as it is".to_owned();
        }
        let policy = Policy { instances: service.spec.instances, scale: service.spec.scale };
        let decision = plan(now, &policy, &mut seen.history, &observed);
        self.look_out(service, &observed, &decision);
        let Decision { call_time, offered_per_s, .. } = decision;
        self.loads.insert(service.id, Load { call_time, offered_per_s });
        match service.mode {
            Mode::Fixed => format!("fixed at {} in the manifest", service.desired),
            Mode::Pinned => {
                let (name, desired) = (service.short(), service.desired);
                format!("pinned at {desired} by `msx scale`; `msx scale {name}=auto` releases it")
            }
            Mode::Auto => {
                self.steer(service, &decision);
                decision.reason
            }
        }
    }

    /// Tells the core whether more capacity may come, so that it admits no call that could only time out.
    fn look_out(&mut self, service: &ServiceEntry, observed: &Observed, decision: &Decision) {
        let is_full = match service.mode {
            Mode::Auto => decision.at_ceiling && decision.desired <= service.desired,
            Mode::Pinned | Mode::Fixed => observed.starting == 0,
        };
        let outlook = decision.call_time.filter(|_| is_full).map(|call_time| Outlook { call_time });
        let seen = self.services.entry(service.id).or_default();
        if std::mem::replace(&mut seen.outlook, outlook) != outlook {
            self.reporter.shard.event(Event::Outlook { service: service.id, outlook });
        }
    }

    fn steer(&mut self, service: &ServiceEntry, decision: &Decision) {
        let step = (service.desired, decision.desired);
        let seen = self.services.entry(service.id).or_default();
        // What the supervisor does not do, because the instances keep failing, is asked for every second.
        let is_new = seen.step.replace(step) != Some(step);
        if step.0 != step.1 && is_new {
            self.reporter.events.tell_step(
                EventKind::Scaled,
                service.subject(),
                Some(step),
                &decision.reason,
            );
        }
        self.supervisor.steer(service.id, decision.desired);
    }
}

fn observe(
    now: Instant,
    service: &ServiceEntry,
    report: &ServiceReport,
    seen: &mut Seen,
    sample: &Sample,
) -> Observed {
    let in_state = |state| service.instances.iter().filter(move |instance| instance.state == state);
    // The one more that a rolling restart has for a while is no capacity to be kept.
    let ready = (in_state(InstanceState::Ready).count() as u32).min(service.desired);
    let before = seen.last.as_ref();
    let since = |now: u64, then: Option<u64>| now.saturating_sub(then.unwrap_or(0));
    let mut started =
        service.instances.iter().filter_map(|i| Some(i.ready?.saturating_duration_since(i.started)));
    seen.start_time = started.next_back().or(seen.start_time);
    let settled = in_state(InstanceState::Ready).filter(|i| is_settled(now, i));
    let busy = report.busy_total.saturating_sub(before.map_or(Duration::ZERO, |last| last.busy_total));
    let memory = service
        .instances
        .iter()
        .filter_map(|i| sample.instances.get(&i.pid?))
        .map(|usage| usage.memory_bytes);
    Observed {
        ready,
        // What is wanted and not there is on its way.
        starting: service.desired - ready,
        slots: service.spec.slots,
        busy_seconds: busy.as_secs_f64(),
        completions: since(report.meter.completed, before.map(|last| last.meter.completed)),
        offered: since(report.meter.offered, before.map(|last| last.meter.offered)),
        queued: report.queued as u64,
        batch_size: report.batch_size,
        running: report.busy as u32,
        suspended: report.suspended as u32,
        cores_used_by_ready: settled
            .filter_map(|i| sample.instances.get(&i.pid?)?.cores)
            .reduce(|sum, cores| sum + cores),
        machine_cores: std::thread::available_parallelism().map_or(1, |cores| cores.get() as u32),
        machine_busy: sample.machine_busy.unwrap_or(0.0),
        memory_free: sample.memory_free,
        instance_memory: memory.max(),
        start_time: seen.start_time,
    }
}

fn is_settled(now: Instant, instance: &InstanceEntry) -> bool {
    instance.ready.is_some_and(|ready| now.saturating_duration_since(ready) >= SETTLED)
}
