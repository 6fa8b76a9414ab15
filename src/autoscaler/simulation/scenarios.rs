//! The loads that an autoscaler must stand, and what must come of each.

use std::time::Duration;

use super::load::{Load, Work};
use crate::autoscaler::plan::Policy;
use crate::config::spec::{InstanceRange, QueuePolicy, ScalePolicy};

/// What bounds the progress of the calls that run at once.
#[derive(Clone, Copy, Debug)]
pub enum Bottleneck {
    /// Nothing: they sleep.
    None,
    /// They burn CPU on a machine of two cores, one core per instance at most.
    Cores,
    /// Something else, a database maybe, that serves so many at once.
    Shared(f64),
}

#[derive(Clone, Debug)]
pub struct Scenario {
    /// Of its picture, too.
    pub name: String,
    pub title: String,
    pub load: Load,
    /// How long it is watched after its load.
    pub rest_s: f64,
    pub work: Work,
    pub bottleneck: Bottleneck,
    pub slots: u32,
    pub start_s: f64,
    pub policy: Policy,
    pub queue: QueuePolicy,
    /// From when to when no instance lives.
    pub outages: Vec<(f64, f64)>,
    /// Instances that carry the highest load, with `utilization` of their slots busy.
    pub need: u32,
    pub bounds: Bounds,
}

/// What `plan` must keep, whatever the seed.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Instances at once, per instance needed.
    pub peak: f64,
    pub p99_s: f64,
    pub turns: usize,
    /// Share of the calls.
    pub refused: f64,
}

impl Scenario {
    /// Calls that sleep for half a second each, two at once in an instance that starts in half a second.
    fn new(name: &str, title: &str, load: Load, need: u32) -> Self {
        let scale = ScalePolicy {
            utilization: 0.7,
            cpu: 0.8,
            machine: 0.9,
            down_after: Duration::from_secs(60),
            idle_to_zero: None,
        };
        Self {
            name: name.to_owned(),
            title: title.to_owned(),
            load,
            // As long as a service that has flapped may wait before it goes down, and a little more.
            rest_s: 700.0,
            work: Work::Exponential { mean: 0.5 },
            bottleneck: Bottleneck::None,
            slots: 2,
            start_s: 0.5,
            policy: Policy { instances: InstanceRange { min: 1, max: 100 }, scale },
            queue: QueuePolicy { max: 1024, timeout: Duration::from_secs(10) },
            outages: Vec::new(),
            need,
            bounds: Bounds { peak: 2.0, p99_s: 1.0, turns: 3, refused: 0.0 },
        }
    }

    fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    /// Two thirds of the calls are what can be done.
    fn is_overloaded(&mut self, bottleneck: Bottleneck) {
        (self.bottleneck, self.work) = (bottleneck, Work::Exponential { mean: 0.1 });
        self.policy.instances.max = 50;
        (self.bounds.p99_s, self.bounds.refused) = (10.2, 0.4);
    }

    pub fn seconds(&self) -> f64 {
        self.load.seconds() + self.rest_s
    }
}

pub fn scenarios() -> Vec<Scenario> {
    let mut all = vec![constant(20.0, 8), step(), burst(), ramp(), slow_start(), outage(), heavy_tail()];
    all.extend([20.0, 60.0, 120.0, 300.0].map(square));
    all.extend([cores(), shared(), cold_calls()]);
    all
}

pub fn constant(rate: f64, need: u32) -> Scenario {
    let load = Load::default().steady(1800.0, rate);
    let title = format!("A constant load of {rate} calls a second");
    Scenario::new("constant", &title, load, need).with(|it| it.bounds.turns = 7)
}

fn step() -> Scenario {
    let load = Load::default().steady(60.0, 1.0).steady(240.0, 20.0);
    Scenario::new("step", "A step from 1 to 20 calls a second", load, 8)
}

fn burst() -> Scenario {
    let load = Load::default().steady(60.0, 5.0).burst(300).steady(240.0, 5.0);
    // 300 × 0.2 s / 2 slots, within a second.
    Scenario::new("burst", "300 calls at once", load, 30).with(|it| {
        it.work = Work::Exponential { mean: 0.2 };
        it.bounds.p99_s = 5.0;
    })
}

fn ramp() -> Scenario {
    let load = Load::default().ramp(300.0, 0.0, 40.0).steady(120.0, 40.0).ramp(300.0, 40.0, 0.0);
    Scenario::new("ramp", "A ramp to 40 calls a second and back", load, 15)
}

fn slow_start() -> Scenario {
    let load = Load::default().steady(60.0, 1.0).steady(240.0, 20.0);
    Scenario::new("slow-start", "The step, with starts of 20 s", load, 8).with(|it| {
        it.start_s = 20.0;
        // Until the first ones are ready 16 of 20 calls a second have no slot, and wait no longer than the queue lets them.
        (it.bounds.p99_s, it.bounds.refused) = (10.1, 0.06);
    })
}

fn outage() -> Scenario {
    let load = Load::default().steady(400.0, 20.0);
    // What came meanwhile, 600 × 0.5 s / 2 slots within a second, and what comes.
    Scenario::new("outage", "All instances die, and none starts for 30 s", load, 155).with(|it| {
        it.outages = vec![(150.0, 180.0)];
        (it.bounds.p99_s, it.bounds.turns) = (32.0, 5);
    })
}

fn heavy_tail() -> Scenario {
    let load = Load::default().steady(900.0, 20.0);
    let title = "Calls of half a second on average, and up to a minute";
    Scenario::new("heavy-tail", title, load, 8).with(|it| {
        it.work = Work::HeavyTail { mean: 0.5, most: 60.0 };
        it.bounds.turns = 5;
    })
}

fn square(period_s: f64) -> Scenario {
    let waves = (1800.0 / period_s) as usize;
    let load = Load::default().square(period_s / 2.0, waves, 20.0, 1.0);
    let title = format!("Waves of {period_s} s between 1 and 20 calls a second");
    Scenario::new(&format!("square-{period_s}"), &title, load, 8)
        .with(|it| (it.bounds.p99_s, it.bounds.turns) = (1.5, 17))
}

fn cores() -> Scenario {
    let load = Load::default().steady(60.0, 2.0).steady(300.0, 30.0);
    let title = "Calls that burn CPU, half as many again as two cores can do";
    Scenario::new("cores", title, load, 2).with(|it| it.is_overloaded(Bottleneck::Cores))
}

fn shared() -> Scenario {
    let load = Load::default().steady(60.0, 10.0).steady(300.0, 60.0);
    let title = "Calls that share a database, half as many again as it can do";
    Scenario::new("shared", title, load, 3).with(|it| {
        it.is_overloaded(Bottleneck::Shared(4.0));
        // Nothing but the calls themselves shows where the limit is: it goes there by doubling, and now and then a step
        // further.
        it.bounds.peak = 8.0;
    })
}

fn cold_calls() -> Scenario {
    let load = Load::default().steady(10.0, 0.0).burst(100).steady(600.0, 0.0);
    Scenario::new("cold-calls", "100 calls of 10 minutes, the first ever", load, 50).with(|it| {
        it.work = Work::Same(600.0);
        it.policy.instances.max = 500;
        it.bounds.p99_s = 5.0;
    })
}
