//! One sample of a service → how many instances it should have. Pure.
//!
//! Two signals say how many are needed, and the larger one counts: the work that is offered (calls per second times
//! slot-seconds per call, and what waits in the queue) and the CPU that the instances use. Suspended calls are no
//! work. The steps are large upwards (a queue hurts at once) and slow downwards (a start costs), and no step is made
//! where it cannot help: when memory or the cores of the machine are used up, or when the last one did not help.

use std::time::{Duration, Instant};

use super::history::{History, Load};
use crate::config::spec::{InstanceRange, ScalePolicy};

/// Cores that one instance can use: a Python process runs one thread at a time.
const CORES_PER_INSTANCE: f64 = 1.0;
/// Less than this share of a core is what an idle process uses.
const IDLE_CORES: f64 = 0.1;
/// Share of the free memory that new instances may take: they grow, and the page cache is of use too.
const MEMORY_SHARE: f64 = 0.8;
/// So much more than there is must be needed before any is started: what is measured moves a little.
const TOLERANCE: f64 = 1.1;
/// How long a start takes while none has been measured.
const START_TIME: Duration = Duration::from_secs(1);

/// Longer ones, which a defect may measure, are not told apart.
const LONGEST_CALL_S: f64 = 1e9;

/// Shorter and longer windows than these are not kept: there is one sample per second, and memory has a bound.
const DOWN_AFTER: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(3600));

/// What the manifest says.
#[derive(Clone, Copy, Debug)]
pub struct Policy {
    pub instances: InstanceRange,
    pub scale: ScalePolicy,
}

impl Policy {
    fn down_after(&self) -> Duration {
        self.scale.down_after.clamp(DOWN_AFTER.0, DOWN_AFTER.1)
    }
}

/// What was seen since the last sample, a second ago.
#[derive(Clone, Debug, Default)]
pub struct Observed {
    pub ready: u32,
    pub starting: u32,
    /// Calls that one instance may run at once.
    pub slots: u32,
    /// Slot-seconds that calls ran, those still running included.
    pub busy_seconds: f64,
    pub completions: u64,
    /// Calls that arrived, those that were turned away included.
    pub offered: u64,
    /// Calls that wait for a slot now.
    pub queued: u64,
    /// The most of them that one slot takes at once; 0 counts as 1.
    pub batch_size: u32,
    /// Calls that hold a slot now.
    pub running: u32,
    /// Calls that have begun, and wait in an instance for other calls.
    pub suspended: u32,
    /// By the instances that have been ready for 5 s or more: what a start burns says nothing of the load.
    pub cores_used_by_ready: Option<f64>,
    pub machine_cores: u32,
    /// Share of the machine's cores that is busy, 0 to 1.
    pub machine_busy: f64,
    /// Bytes.
    pub memory_free: u64,
    /// Bytes of one instance, if one has run.
    pub instance_memory: Option<u64>,
    pub start_time: Option<Duration>,
}

impl Observed {
    pub(super) fn start_time(&self) -> Duration {
        self.start_time.unwrap_or(START_TIME)
    }

    pub(super) fn is_in_use(&self) -> bool {
        self.offered > 0 || self.queued > 0 || self.running > 0 || self.suspended > 0
    }
}

/// How many instances there should be now. It differs from what there is only when something is to be done.
#[derive(Clone, Debug)]
pub struct Decision {
    pub desired: u32,
    /// One sentence with the numbers that decided.
    pub reason: String,
    /// No more instances can come: neither are any on their way nor may any be started.
    pub at_ceiling: bool,
    /// Slot time of one call, if any has ended lately.
    pub call_time: Option<Duration>,
    /// Calls per second over the last seconds, sheds included.
    pub offered_per_s: f64,
}

/// A number of instances, and what it stands for.
struct Bound {
    instances: u32,
    why: String,
}

/// How many are needed, before and after it is made a whole number.
struct Need {
    exactly: f64,
    instances: u32,
    why: String,
}

impl Need {
    /// The sentence ends with the number.
    fn new(exactly: f64, what: &str) -> Self {
        let instances = exactly.ceil() as u32;
        Self { exactly, instances, why: format!("{what} needs {instances}") }
    }
}

/// Decides for one service. `state` belongs to that service alone.
pub fn plan(now: Instant, policy: &Policy, state: &mut History, observed: &Observed) -> Decision {
    let n = observed.ready + observed.starting;
    let load = state.record(now, policy.down_after(), observed);
    let ceiling = ceiling(now, policy, state, observed, &load);
    let at_ceiling = observed.starting == 0 && ceiling.instances <= n;
    let (desired, why) = decide(now, policy, state, observed, &load, ceiling);
    let reason = match n == desired {
        true => format!("{desired}: {why}"),
        false => format!("{n} → {desired}: {why}"),
    };
    let call_time =
        is_known(observed, &load).then(|| Duration::from_secs_f64(load.work_s.min(LONGEST_CALL_S)));
    Decision { desired, reason, at_ceiling, call_time, offered_per_s: load.offered_fast }
}

/// The number and why.
fn decide(
    now: Instant,
    policy: &Policy,
    state: &mut History,
    observed: &Observed,
    load: &Load,
    ceiling: Bound,
) -> (u32, String) {
    let (n, InstanceRange { min, max }) = (observed.ready + observed.starting, policy.instances);
    let need = need(policy, observed, load);
    state.needed(need.instances);
    if let Some(idle) = policy.scale.idle_to_zero.filter(|bound| state.idle_for(now) >= *bound) {
        if n > 0 {
            state.stepped_down(now);
        }
        return (0, format!("no call for {}", duration(idle.as_secs_f64())));
    }
    if n < min {
        return (min, format!("{min} is the minimum"));
    }
    if n > max {
        return (max, format!("{max} is the maximum"));
    }
    if need.exactly > TOLERANCE * f64::from(n) {
        return step_up(now, policy, state, observed, load, need, ceiling);
    }
    // What `idle_to_zero` keeps for a while is one.
    let fewest = if policy.scale.idle_to_zero.is_some() { min.max(1) } else { min };
    match state.most_needed(now, policy.down_after()) {
        Some(most) if f64::from(most) < 0.9 * f64::from(n) && n > fewest => {
            let window_s = state.window(policy.down_after()).as_secs();
            state.stepped_down(now);
            let why = format!("over the last {window_s} s never more than {most} needed");
            (most.max(fewest).max(n / 2), why)
        }
        _ => (n, need.why),
    }
}

fn step_up(
    now: Instant,
    policy: &Policy,
    state: &mut History,
    observed: &Observed,
    load: &Load,
    need: Need,
    ceiling: Bound,
) -> (u32, String) {
    let n = observed.ready + observed.starting;
    let step = Bound { instances: (n + 4).max(n.saturating_mul(2)), why: "one step at a time".to_owned() };
    let limit = if step.instances < ceiling.instances { step } else { ceiling };
    if limit.instances <= n {
        return (n, format!("{}; held: {}", need.why, limit.why));
    }
    state.stepped_up(now, policy.down_after(), observed, load);
    match need.instances <= limit.instances {
        true => (need.instances, need.why),
        false => (limit.instances, format!("{}; only to {}: {}", need.why, limit.instances, limit.why)),
    }
}

/// The largest of the signals.
fn need(policy: &Policy, observed: &Observed, load: &Load) -> Need {
    let cpu = cpu_need(policy, observed);
    let work = match is_known(observed, load) {
        true => offered_need(policy, observed, load),
        false => concurrency_need(policy, observed),
    };
    match observed.suspended {
        // They are no work; but without an instance they would have to begin again.
        waiting @ 1.. if work.instances == 0 => Need::new(1.0, &format!("{waiting} suspended")),
        _ if cpu.exactly > work.exactly => cpu,
        _ => work,
    }
}

/// Whether it is known how long calls take. With none ended, or fewer than are under way, the window is shorter than the
/// calls, and offered rate times busy time would count the same calls many times over.
fn is_known(observed: &Observed, load: &Load) -> bool {
    load.completed >= u64::from(observed.running.max(1))
}

/// Calls that are here now, all at once.
fn concurrency_need(policy: &Policy, observed: &Observed) -> Need {
    let Observed { running, queued, batch_size, slots, .. } = *observed;
    let calls = f64::from(running) + queued.div_ceil(u64::from(batch_size.max(1))) as f64;
    let per = per_instance(policy, slots);
    let batches = if batch_size > 1 { format!(" in batches of {batch_size}") } else { String::new() };
    let what = format!("running {running} and queue {queued}{batches}, few ended yet, / {per}");
    Need::new(calls / (f64::from(slots.max(1)) * policy.scale.utilization), &what)
}

fn offered_need(policy: &Policy, observed: &Observed, load: &Load) -> Need {
    let slots = f64::from(observed.slots.max(1));
    let usable = slots * policy.scale.utilization;
    let start_s = observed.start_time().as_secs_f64();
    let n = f64::from(observed.ready + observed.starting);

    // What will still wait when an instance that starts now is ready.
    let spare = (n * slots / load.work_s - load.offered_fast).max(0.0);
    let excess = (observed.queued as f64 - spare * start_s).max(0.0);
    // What has been offered for long, and still is, or a jump that is no chance.
    let offered = load.offered_slow.min(load.offered_fast).max(load.offered_surely);
    let backlog = (load.offered_fast * load.work_s + excess * load.work_s / start_s.max(1.0)) / slots;
    let queue = match observed.queued {
        0 => String::new(),
        queued => format!("queue {queued}, "),
    };
    let (work, per) = (duration(load.work_s), per_instance(policy, observed.slots));
    let what = format!("{queue}offered {}/s × {work} / {per}", rate(offered));
    Need::new((offered * load.work_s / usable).max(backlog), &what)
}

fn cpu_need(policy: &Policy, observed: &Observed) -> Need {
    let used = observed.cores_used_by_ready.filter(|used| *used >= IDLE_CORES).unwrap_or(0.0);
    let what = format!("{used:.1} cores used, at {} of one each,", percent(policy.scale.cpu));
    Need::new(used / (policy.scale.cpu * CORES_PER_INSTANCE), &what)
}

/// The nearest of the limits upwards, but for the size of one step.
fn ceiling(now: Instant, policy: &Policy, state: &History, observed: &Observed, load: &Load) -> Bound {
    let n = observed.ready + observed.starting;
    let max = policy.instances.max;
    let mut nearest = Bound { instances: max, why: format!("{max} is the maximum") };
    let fruitless = fruitless_limit(now, policy, state, observed, load);
    // The first instance makes the machine no busier than it must be: without one no call runs at all.
    let busy = [machine_limit(policy, observed), fruitless].into_iter().flatten().filter(|_| n > 0);
    for other in memory_limit(observed).into_iter().chain(busy) {
        if other.instances < nearest.instances {
            nearest = other;
        }
    }
    nearest
}

fn fruitless_limit(
    now: Instant,
    policy: &Policy,
    state: &History,
    observed: &Observed,
    load: &Load,
) -> Option<Bound> {
    let instances = state.fruitless_limit(now, policy.down_after(), observed, load)?;
    let why = format!("the last step up made calls longer ({}), not more", duration(load.work_s));
    Some(Bound { instances, why })
}

/// Those that start have not taken their memory yet.
fn memory_limit(observed: &Observed) -> Option<Bound> {
    let each = observed.instance_memory.filter(|bytes| *bytes > 0)?;
    let fit = (observed.memory_free as f64 * MEMORY_SHARE / each as f64) as u32;
    let instances = observed.ready.saturating_add(observed.starting.max(fit));
    let (free_mb, each_mb) = (observed.memory_free >> 20, each >> 20);
    Some(Bound { instances, why: format!("{free_mb} MB of memory are free, an instance takes {each_mb} MB") })
}

/// No further than the idle cores carry, if the new instances use as much as those there are.
fn machine_limit(policy: &Policy, observed: &Observed) -> Option<Bound> {
    let Observed { ready, starting, machine_busy, .. } = *observed;
    let machine = policy.scale.machine;
    let busy = percent(machine_busy);
    if machine >= 1.0 {
        return None;
    }
    if machine_busy > machine {
        return Some(Bound { instances: ready + starting, why: format!("the machine is {busy} busy") });
    }
    let known = observed.cores_used_by_ready.filter(|_| ready > 0).map(|used| used / f64::from(ready));
    let each = known.unwrap_or(CORES_PER_INSTANCE);
    if each < IDLE_CORES {
        return None;
    }
    let idle = (machine - machine_busy) * f64::from(observed.machine_cores);
    let fit = (idle / each).ceil() as u32;
    let why = format!("the machine is {busy} busy, and an instance may use {each:.1} cores");
    Some(Bound { instances: ready.saturating_add(starting.max(fit)), why })
}

fn per_instance(policy: &Policy, slots: u32) -> String {
    let s = if slots == 1 { "" } else { "s" };
    format!("{slots} slot{s} at {}", percent(policy.scale.utilization))
}

fn percent(share: f64) -> String {
    format!("{:.0} %", share * 100.0)
}

fn rate(per_s: f64) -> String {
    match per_s {
        ..10.0 => format!("{per_s:.1}"),
        _ => format!("{per_s:.0}"),
    }
}

fn duration(seconds: f64) -> String {
    match seconds {
        ..0.001 => format!("{:.0} µs", seconds * 1e6),
        ..0.01 => format!("{:.1} ms", seconds * 1e3),
        ..1.0 => format!("{:.0} ms", seconds * 1e3),
        _ => format!("{seconds:.1} s"),
    }
}

#[cfg(test)]
mod tests;
