//! One service on a virtual clock: the real dispatcher binds its calls, `plan` or the textbook says how many instances
//! there are, and `reconcile` which of them start and leave. Between two events all running calls make the progress
//! that their bottleneck allows.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use super::record::Record;
use super::scenarios::{Bottleneck, Scenario};
use super::textbook::Textbook;
use crate::autoscaler::history::History;
use crate::autoscaler::plan::{Observed, plan};
use crate::balancer::{Dispatcher, Intake, Meter};
use crate::model::{CallKey, Generation, InstanceId, ServiceId, WorkerKind};
use crate::simulation::random::Random;
use crate::supervisor::reconcile::{Seen, reconcile};

const PERIOD_S: f64 = 1.0;
/// As often as the core looks for calls that have waited too long.
const TICK_S: f64 = 0.1;
const MACHINE_CORES: f64 = 2.0;
/// What an instance uses whose calls sleep.
const IDLE_CORES: f64 = 0.01;
/// From then on the CPU use of an instance counts.
const SETTLED_S: f64 = 5.0;
/// What is left of a call that has ended.
const NOTHING_S: f64 = 1e-9;

/// Who says how many instances there are.
pub enum Rule {
    Plan(History),
    Textbook(Textbook),
}

impl Rule {
    pub fn plan() -> Self {
        Self::Plan(History::default())
    }

    pub fn textbook() -> Self {
        Self::Textbook(Textbook::default())
    }
}

pub struct World<'a> {
    scenario: &'a Scenario,
    rule: Rule,
    random: Random,
    began: Instant,
    now_s: f64,
    next_call_s: f64,
    next_tick_s: f64,
    next_plan_s: f64,
    bursts: VecDeque<(f64, usize)>,
    outages: VecDeque<(f64, f64)>,
    dispatcher: Dispatcher,
    calls: BTreeMap<CallKey, Call>,
    calls_ever: u64,
    instances: Vec<Instance>,
    desired: u32,
    generations: u32,
    down_until_s: f64,
    since_decision: Since,
    /// What was counted until the last decision.
    metered: (Meter, Duration),
    record: Record,
}

struct Call {
    came_s: f64,
    work_s: f64,
}

struct Instance {
    id: InstanceId,
    ready_s: f64,
    intake: Intake,
    /// Running calls, and how much of each is left.
    calls: Vec<(CallKey, f64)>,
}

/// What the bottleneck leaves to each instance that has something to do.
struct Pace {
    cores: f64,
    /// Seconds of work per second.
    speed: f64,
    /// The calls of an instance share it.
    is_shared: bool,
}

impl Pace {
    fn of(&self, instance: &Instance) -> f64 {
        if self.is_shared { self.speed / instance.calls.len().max(1) as f64 } else { self.speed }
    }
}

/// Sums since the last decision.
#[derive(Default)]
struct Since {
    settled_cores_s: f64,
    cores_s: f64,
    concurrency_s: f64,
}

impl<'a> World<'a> {
    pub fn new(scenario: &'a Scenario, rule: Rule, seed: u64) -> Self {
        let mut random = Random::new(seed);
        let mut world = Self {
            scenario,
            rule,
            began: Instant::now(),
            now_s: 0.0,
            next_call_s: scenario.load.next_after(0.0, &mut random),
            random,
            next_tick_s: TICK_S,
            next_plan_s: PERIOD_S,
            bursts: scenario.load.bursts.iter().copied().collect(),
            outages: scenario.outages.iter().copied().collect(),
            dispatcher: Dispatcher::new(None),
            calls: BTreeMap::new(),
            calls_ever: 0,
            instances: Vec::new(),
            desired: scenario.policy.instances.min,
            generations: 0,
            down_until_s: 0.0,
            since_decision: Since::default(),
            metered: (Meter::default(), Duration::ZERO),
            record: Record::default(),
        };
        world.resize();
        // The service was there before.
        world.instances.iter_mut().for_each(|instance| instance.ready_s = 0.0);
        world
    }

    pub fn run(mut self) -> Record {
        let end_s = self.scenario.seconds();
        while self.now_s < end_s {
            let next_s = self.next_event_s();
            self.advance(next_s - self.now_s);
            self.now_s = next_s;
            self.end_calls();
            self.break_down();
            self.start_instances();
            self.offer();
            self.tick();
            self.bind();
            self.stop_drained();
        }
        self.record.left = self.calls.len();
        self.record
    }

    fn now(&self) -> Instant {
        self.began + Duration::from_secs_f64(self.now_s)
    }

    fn next_event_s(&self) -> f64 {
        let ready = self.instances.iter().filter(|i| i.intake == Intake::Starting).map(|i| i.ready_s);
        let pace = self.pace();
        let ends = self.instances.iter().flat_map(|instance| {
            let speed = pace.of(instance);
            instance.calls.iter().map(move |(_, left_s)| self.now_s + left_s / speed)
        });
        let burst = self.bursts.front().map(|(at_s, _)| *at_s);
        let outage = self.outages.front().map(|(from_s, _)| *from_s);
        let tick = (self.dispatcher.roots_queued() > 0).then_some(self.next_tick_s);
        let known = [self.next_call_s, self.next_plan_s].into_iter().chain(tick);
        let soonest = ready.chain(ends).chain(burst).chain(outage).chain(known).fold(f64::INFINITY, f64::min);
        soonest.max(self.now_s)
    }

    // ---- work ----

    /// How fast calls are now, all together.
    fn pace(&self) -> Pace {
        let running = self.instances.iter().map(|instance| instance.calls.len()).sum::<usize>().max(1) as f64;
        let busy = self.instances.iter().filter(|instance| !instance.calls.is_empty()).count().max(1) as f64;
        match self.scenario.bottleneck {
            Bottleneck::None => Pace { cores: IDLE_CORES, speed: 1.0, is_shared: false },
            Bottleneck::Shared(places) => {
                Pace { cores: IDLE_CORES, speed: (places / running).min(1.0), is_shared: false }
            }
            // A Python process uses one core at most.
            Bottleneck::Cores => {
                let cores = (MACHINE_CORES / busy).min(1.0);
                Pace { cores, speed: cores, is_shared: true }
            }
        }
    }

    fn advance(&mut self, seconds: f64) {
        let pace = self.pace();
        for instance in self.instances.iter_mut().filter(|instance| !instance.calls.is_empty()) {
            self.since_decision.cores_s += pace.cores * seconds;
            if instance.ready_s + SETTLED_S <= self.now_s {
                self.since_decision.settled_cores_s += pace.cores * seconds;
            }
            let speed = pace.of(instance);
            instance.calls.iter_mut().for_each(|(_, left_s)| *left_s -= speed * seconds);
        }
        self.since_decision.concurrency_s += self.calls.len() as f64 * seconds;
        self.record.instance_seconds += self.instances.len() as f64 * seconds;
    }

    fn end_calls(&mut self) {
        let now = self.now();
        for instance in &mut self.instances {
            for (call, _) in instance.calls.extract_if(.., |(_, left_s)| *left_s <= NOTHING_S) {
                let next = self.dispatcher.end(instance.id, call, now);
                assert_eq!(next, None, "nothing is sent ahead");
                self.dispatcher.meter.completed += 1;
                self.calls.remove(&call).expect("a call ends once");
                self.record.completed += 1;
            }
        }
    }

    fn bind(&mut self) {
        let now = self.now();
        while let Some(bound) = self.dispatcher.next(now) {
            let call = &self.calls[&bound.call];
            let waited_s = self.now_s - call.came_s;
            let instance = self.instances.iter_mut().find(|instance| instance.id == bound.instance);
            let instance = instance.expect("it is bound to one that is there");
            assert_eq!(instance.intake, Intake::Ready, "only a ready one is given new calls");
            instance.calls.push((bound.call, call.work_s));
            self.record.waited(waited_s);
        }
    }

    // ---- calls ----

    fn offer(&mut self) {
        while self.next_call_s <= self.now_s {
            self.ask();
            self.next_call_s = self.scenario.load.next_after(self.next_call_s, &mut self.random);
        }
        while let Some((_, calls)) = self.bursts.pop_front_if(|(at_s, _)| *at_s <= self.now_s) {
            (0..calls).for_each(|_| self.ask());
        }
    }

    /// A root call comes, as `Core::admit` would have it.
    fn ask(&mut self) {
        self.record.offered();
        let work_s = self.scenario.work.draw(&mut self.random);
        if self.dispatcher.roots_queued() >= self.scenario.queue.max {
            self.dispatcher.meter.offered += 1;
            return self.record.refused += 1;
        }
        self.calls_ever += 1;
        let key = CallKey(self.calls_ever);
        self.dispatcher.push_new(key, self.calls_ever, 0, self.now());
        self.calls.insert(key, Call { came_s: self.now_s, work_s });
    }

    fn tick(&mut self) {
        if self.next_tick_s <= self.now_s {
            self.next_tick_s = self.now_s + TICK_S;
            self.refuse_overdue();
        }
        if self.next_plan_s <= self.now_s {
            self.next_plan_s += PERIOD_S;
            self.decide();
            self.sample();
        }
    }

    fn refuse_overdue(&mut self) {
        let (now, timeout) = (self.now(), self.scenario.queue.timeout);
        self.dispatcher.look_for_ready(now);
        while let Some(call) = self.dispatcher.pop_overdue_root(now, timeout) {
            self.calls.remove(&call).expect("what waits is there");
            self.record.refused += 1;
        }
    }

    // ---- instances ----

    /// All instances die; until it is over none becomes ready.
    fn break_down(&mut self) {
        let due = self.outages.pop_front_if(|(from_s, _)| *from_s <= self.now_s);
        let Some((_, until_s)) = due else { return };
        self.down_until_s = until_s;
        for instance in std::mem::take(&mut self.instances) {
            let held = self.dispatcher.detach(instance.id).expect("it was attached");
            assert_eq!(held.running.len(), instance.calls.len(), "it held what ran in it");
            for (call, _) in instance.calls {
                self.calls.remove(&call).expect("what runs is there");
                self.record.died += 1;
            }
        }
        self.resize();
    }

    fn start_instances(&mut self) {
        for instance in &mut self.instances {
            if instance.intake == Intake::Starting && instance.ready_s <= self.now_s {
                instance.set(Intake::Ready, &mut self.dispatcher);
            }
        }
    }

    /// What `plan` has the supervisor do.
    fn resize(&mut self) {
        let seen: Vec<Seen> = self.instances.iter().map(Instance::seen).collect();
        let steps = reconcile(self.desired, &seen);
        for number in steps.start {
            self.start(number);
        }
        for instance in self.instances.iter_mut().filter(|i| steps.retire.contains(&i.id.number)) {
            instance.set(Intake::Draining, &mut self.dispatcher);
        }
    }

    fn start(&mut self, number: u32) {
        self.generations += 1;
        let generation = Generation(self.generations);
        let id = InstanceId { service: ServiceId(0), number, generation };
        self.dispatcher.attach(id, WorkerKind::Def, self.scenario.slots, 256);
        let ready_s = self.now_s.max(self.down_until_s) + self.scenario.start_s;
        self.instances.push(Instance { id, ready_s, intake: Intake::Starting, calls: Vec::new() });
    }

    fn stop_drained(&mut self) {
        let dispatcher = &mut self.dispatcher;
        self.instances.retain(|instance| {
            let is_drained = instance.intake == Intake::Draining
                && dispatcher.instance(instance.id).is_some_and(|seen| seen.is_empty());
            if is_drained {
                assert!(instance.calls.is_empty(), "a busy instance is never stopped");
                dispatcher.detach(instance.id);
            }
            !is_drained
        });
    }

    fn decide(&mut self) {
        let (now, before, policy) = (self.now(), self.desired, &self.scenario.policy);
        let since = std::mem::take(&mut self.since_decision);
        let observed = self.observe(&since);
        let desired = match &mut self.rule {
            Rule::Plan(history) => plan(now, policy, history, &observed).desired,
            Rule::Textbook(textbook) => {
                textbook.desired(observed.ready, observed.slots, since.concurrency_s / PERIOD_S)
            }
        };
        self.desired = desired.clamp(policy.instances.min, policy.instances.max);
        self.record.decided(self.now_s, before, self.desired);
        self.resize();
    }

    /// As `daemon::scaling` does.
    fn observe(&mut self, since: &Since) -> Observed {
        let ready = self.count(Intake::Ready).min(self.desired);
        let (meter, busy) = (self.dispatcher.meter, self.dispatcher.busy_total(self.now()));
        let (meter_before, busy_before) = std::mem::replace(&mut self.metered, (meter, busy));
        let is_settled = |i: &Instance| i.intake == Intake::Ready && i.ready_s + SETTLED_S <= self.now_s;
        let is_any_settled = self.instances.iter().any(is_settled);
        Observed {
            ready,
            starting: self.desired - ready,
            slots: self.scenario.slots,
            busy_seconds: (busy - busy_before).as_secs_f64(),
            completions: meter.completed - meter_before.completed,
            offered: meter.offered - meter_before.offered,
            queued: self.dispatcher.queued() as u64,
            batch_size: self.dispatcher.batch_size(),
            running: self.dispatcher.busy() as u32,
            suspended: 0,
            cores_used_by_ready: is_any_settled.then_some(since.settled_cores_s / PERIOD_S),
            machine_cores: MACHINE_CORES as u32,
            machine_busy: since.cores_s / PERIOD_S / MACHINE_CORES,
            memory_free: 64 << 30,
            instance_memory: Some(20 << 20),
            start_time: Some(Duration::from_secs_f64(self.scenario.start_s)),
        }
    }

    fn sample(&mut self) {
        let [ready, starting, draining] =
            [Intake::Ready, Intake::Starting, Intake::Draining].map(|intake| self.count(intake));
        self.record.sample(ready, starting, draining, self.dispatcher.queued());
    }

    fn count(&self, intake: Intake) -> u32 {
        self.instances.iter().filter(|instance| instance.intake == intake).count() as u32
    }
}

impl Instance {
    fn set(&mut self, intake: Intake, dispatcher: &mut Dispatcher) {
        self.intake = intake;
        dispatcher.instance(self.id).expect("it is attached").intake = intake;
    }

    fn seen(&self) -> Seen {
        Seen {
            number: self.id.number,
            generation: self.id.generation,
            active: self.intake != Intake::Draining,
            ready: self.intake == Intake::Ready,
            proven: true,
            old: false,
        }
    }
}
