//! A service under load on a virtual clock, steered by `plan`: what no single decision shows.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::history::History;
use super::plan::{Observed, Policy, plan};
use crate::config::spec::{InstanceRange, ScalePolicy};

const TICK_S: f64 = 0.05;
const TICKS_PER_PLAN: u64 = 20;
const SLOTS: usize = 2;
const QUEUE_MAX: usize = 1024;
const MACHINE_CORES: f64 = 2.0;
/// From then on the CPU use of an instance counts.
const WARM_S: f64 = 5.0;
const DOWN_AFTER_S: f64 = 60.0;

/// What bounds the progress of the calls that run at once.
#[derive(Clone, Copy)]
enum Bottleneck {
    /// Nothing: they sleep.
    None,
    /// They burn CPU, one core per instance at most.
    Cores,
    /// Something else that serves so many at once.
    Shared(f64),
}

struct World {
    bottleneck: Bottleneck,
    start_s: f64,
    call_s: f64,
    policy: Policy,
    history: History,
    began: Instant,
    tick: u64,
    instances: Vec<Instance>,
    /// Seconds of work of each call that waits.
    queue: VecDeque<f64>,
    arrived: f64,
    sample: Observed,
    shed: u64,
    completed: usize,
    /// Cores used by warm instances and by all, summed over the ticks since the last plan.
    cores_used: (f64, f64),
    /// Time, from, to.
    steps: Vec<(f64, u32, u32)>,
    peak: u32,
}

struct Instance {
    ready_s: f64,
    draining: bool,
    calls: Vec<f64>,
}

impl World {
    fn new(bottleneck: Bottleneck, call_s: f64, max: u32) -> Self {
        let scale = ScalePolicy {
            utilization: 0.7,
            cpu: 0.8,
            machine: 0.9,
            down_after: Duration::from_secs_f64(DOWN_AFTER_S),
            idle_to_zero: None,
        };
        let mut world = Self {
            bottleneck,
            start_s: 0.5,
            call_s,
            policy: Policy { instances: InstanceRange { min: 1, max }, scale },
            history: History::default(),
            began: Instant::now(),
            tick: 0,
            instances: Vec::new(),
            queue: VecDeque::new(),
            arrived: 0.0,
            sample: Observed::default(),
            shed: 0,
            completed: 0,
            cores_used: (0.0, 0.0),
            steps: Vec::new(),
            peak: 0,
        };
        world.resize(1);
        world
    }

    fn now_s(&self) -> f64 {
        self.tick as f64 * TICK_S
    }

    /// Lets time pass under so many calls per second.
    fn run(&mut self, seconds: f64, rate: f64) -> &mut Self {
        for _ in 0..(seconds / TICK_S) as u64 {
            self.arrived += rate * TICK_S;
            while self.arrived >= 1.0 {
                self.arrived -= 1.0;
                self.offer(1);
            }
            self.advance();
        }
        self
    }

    fn offer(&mut self, calls: usize) {
        for _ in 0..calls {
            self.sample.offered += 1;
            match self.queue.len() < QUEUE_MAX {
                true => self.queue.push_back(self.call_s),
                false => self.shed += 1,
            }
        }
    }

    fn advance(&mut self) {
        self.tick += 1;
        let now_s = self.now_s();
        for instance in self.instances.iter_mut().filter(|it| !it.draining && it.ready_s <= now_s) {
            while instance.calls.len() < SLOTS
                && let Some(work) = self.queue.pop_front()
            {
                instance.calls.push(work);
            }
        }
        self.progress();
        self.instances.retain(|instance| !instance.draining || !instance.calls.is_empty());
        if self.tick.is_multiple_of(TICKS_PER_PLAN) {
            self.plan();
        }
    }

    fn running(&self) -> usize {
        self.instances.iter().map(|instance| instance.calls.len()).sum()
    }

    fn busy_instances(&self) -> f64 {
        self.instances.iter().filter(|instance| !instance.calls.is_empty()).count() as f64
    }

    fn burn(&mut self) {
        let share = match self.bottleneck {
            Bottleneck::Cores => (MACHINE_CORES / self.busy_instances()).min(1.0),
            _ => 0.01,
        };
        let now_s = self.now_s();
        for instance in self.instances.iter().filter(|instance| !instance.calls.is_empty()) {
            self.cores_used.1 += share;
            if instance.ready_s + WARM_S <= now_s {
                self.cores_used.0 += share;
            }
        }
    }

    fn progress(&mut self) {
        self.burn();
        let (running, busy) = (self.running(), self.busy_instances());
        self.sample.busy_seconds += running as f64 * TICK_S;
        for instance in &mut self.instances {
            let speed = match self.bottleneck {
                Bottleneck::None => 1.0,
                Bottleneck::Cores => (MACHINE_CORES / busy).min(1.0) / instance.calls.len().max(1) as f64,
                Bottleneck::Shared(places) => (places / running as f64).min(1.0),
            };
            let before = instance.calls.len();
            instance.calls.iter_mut().for_each(|left| *left -= speed * TICK_S);
            instance.calls.retain(|left| *left > 1e-9);
            self.sample.completions += (before - instance.calls.len()) as u64;
            self.completed += before - instance.calls.len();
        }
    }

    fn plan(&mut self) {
        let now_s = self.now_s();
        let live = || self.instances.iter().filter(|instance| !instance.draining);
        let ready = live().filter(|instance| instance.ready_s <= now_s).count() as u32;
        let used = std::mem::take(&mut self.cores_used);
        let ticks = TICKS_PER_PLAN as f64;
        let any_warm = live().any(|instance| instance.ready_s + WARM_S <= now_s);
        let observed = Observed {
            ready,
            starting: live().count() as u32 - ready,
            slots: SLOTS as u32,
            queued: self.queue.len() as u64,
            running: self.running() as u32,
            cores_used_by_ready: any_warm.then_some(used.0 / ticks),
            machine_cores: MACHINE_CORES as u32,
            machine_busy: used.1 / ticks / MACHINE_CORES,
            memory_free: 8 << 30,
            instance_memory: Some(20 << 20),
            start_time: Some(Duration::from_secs_f64(self.start_s)),
            ..std::mem::take(&mut self.sample)
        };
        let n = observed.ready + observed.starting;
        let now = self.began + Duration::from_secs_f64(now_s);
        let decision = plan(now, &self.policy, &mut self.history, &observed);
        if decision.desired != n {
            self.steps.push((now_s, n, decision.desired));
            self.resize(decision.desired as usize);
        }
        self.peak = self.peak.max(decision.desired);
    }

    fn resize(&mut self, desired: usize) {
        let ready_s = self.now_s() + self.start_s;
        let live = self.live();
        for _ in live..desired {
            self.instances.push(Instance { ready_s, draining: false, calls: Vec::new() });
        }
        let mut by_load: Vec<_> = self.instances.iter_mut().filter(|instance| !instance.draining).collect();
        by_load.sort_by_key(|instance| instance.calls.len());
        for instance in by_load.into_iter().take(live.saturating_sub(desired)) {
            instance.draining = true;
        }
    }

    fn live(&self) -> usize {
        self.instances.iter().filter(|instance| !instance.draining).count()
    }

    /// How often the direction changed.
    fn turns(&self) -> usize {
        let ups: Vec<bool> = self.steps.iter().map(|(_, from, to)| to > from).collect();
        ups.windows(2).filter(|pair| pair[0] != pair[1]).count()
    }
}

fn sleeping(call_s: f64, max: u32) -> World {
    World::new(Bottleneck::None, call_s, max)
}

#[test]
fn a_step_is_followed_and_left_again() {
    let mut world = sleeping(0.5, 100);
    world.run(30.0, 0.0).run(120.0, 20.0);
    // 20/s × 0.5 s / (2 slots × 0.7)
    assert_eq!((world.peak, world.live(), world.queue.len()), (8, 8, 0), "{:?}", world.steps);
    world.run(200.0, 0.0);
    assert_eq!((world.peak, world.live(), world.turns(), world.shed), (8, 1, 1, 0), "{:?}", world.steps);
}

#[test]
fn a_burst_is_worked_off_within_seconds() {
    let mut world = sleeping(0.2, 100);
    world.run(10.0, 5.0).offer(300);
    world.run(8.0, 5.0);
    assert_eq!(world.queue.len(), 0);
    world.run(200.0, 5.0);
    // 300 × 0.2 s / 2 slots, within a second: 30.
    assert!(world.peak <= 60 && world.turns() == 1, "{:?}", world.steps);
    assert_eq!(world.live(), 1);
}

#[test]
fn square_waves_do_not_make_it_swing() {
    for half_s in [10.0, 20.0, 30.0, 50.0, 70.0, 100.0, 150.0] {
        let mut world = sleeping(0.5, 100);
        while world.now_s() < 3000.0 {
            world.run(half_s, 20.0).run(half_s, 1.0);
        }
        assert!(world.peak <= 16 && world.shed == 0, "{half_s} s: {:?}", world.steps);
        // Shorter waves than `down_after` are ridden out; of longer ones it learns, and tries again every 10 minutes.
        let turns_max = if half_s < DOWN_AFTER_S { 0 } else { 10 };
        assert!(world.turns() <= turns_max, "{half_s} s: {:?}", world.steps);
        world.run(1300.0, 0.0);
        assert_eq!(world.live(), 1, "{half_s} s: {:?}", world.steps);
    }
}

#[test]
fn a_slow_start_is_not_answered_by_more_starts() {
    let mut world = sleeping(0.5, 200);
    world.start_s = 20.0;
    world.run(10.0, 1.0).run(200.0, 20.0);
    assert_eq!((world.queue.len(), world.shed), (0, 0));
    world.run(200.0, 0.0);
    assert!(world.peak <= 16 && world.turns() == 1, "{:?}", world.steps);
    assert_eq!(world.live(), 1);
}

#[test]
fn long_calls_count_before_the_first_one_ends() {
    let mut world = sleeping(600.0, 500);
    world.offer(100);
    world.run(15.0, 0.0);
    assert_eq!((world.queue.len(), world.running()), (0, 100), "{:?}", world.steps);
    world.run(1500.0, 0.0);
    assert!(world.peak <= 100 && world.turns() == 1, "{:?}", world.steps);
    assert_eq!((world.live(), world.completed), (1, 100));
}

#[test]
fn long_calls_that_keep_coming_hold_their_instances() {
    let mut world = sleeping(100.0, 500);
    world.run(1000.0, 1.0);
    // 100 at once / (2 slots × 0.7), less the tolerance.
    assert!((64..=72).contains(&world.live()) && world.turns() == 0, "{:?}", world.steps);
    assert_eq!(world.queue.len(), 0);
    world.run(700.0, 0.0);
    assert_eq!(world.live(), 1);
}

#[test]
fn instances_that_burn_cpu_stop_at_the_machines_cores() {
    for idle_s in [0.0, 30.0] {
        let mut world = World::new(Bottleneck::Cores, 0.1, 100);
        // Five times what the machine can do.
        world.run(idle_s, 2.0).run(120.0, 100.0);
        assert!((2..=4).contains(&world.peak) && world.turns() == 0, "{:?}", world.steps);
        world.run(300.0, 0.0);
        assert_eq!((world.live(), world.turns()), (1, 1), "{:?}", world.steps);
    }
}

#[test]
fn a_limit_that_all_instances_share_is_noticed() {
    let mut world = World::new(Bottleneck::Shared(4.0), 0.1, 100);
    world.run(30.0, 10.0).run(300.0, 100.0);
    assert!(world.peak <= 20, "{:?}", world.steps);
    world.run(300.0, 0.0);
    assert_eq!((world.live(), world.turns()), (1, 1), "{:?}", world.steps);
}

#[test]
fn after_an_outage_the_backlog_is_worked_off_once() {
    let mut world = sleeping(0.5, 200);
    world.run(120.0, 10.0).bottleneck = Bottleneck::Shared(0.0);
    world.run(30.0, 10.0).bottleneck = Bottleneck::None;
    world.run(10.0, 10.0);
    assert_eq!(world.queue.len(), 0, "{:?}", world.steps);
    world.run(300.0, 10.0);
    // 300 calls × 0.5 s / 2 slots, within a second: 75.
    assert!(world.peak <= 150 && world.turns() == 1, "{:?}", world.steps);
    assert!((4..=5).contains(&world.live()), "{:?}", world.steps);
}
