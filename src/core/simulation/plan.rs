//! What a seed determines before anything happens: the services, their instances, and what may go wrong.

use std::time::Duration;

use super::random::Random;
use crate::config::spec::{OnNondeterminism, QueuePolicy, RetryPolicy};
use crate::core::ServiceSetup;
use crate::model::{ServiceName, WorkerKind};

/// One simulated hub and those around it.
#[derive(Clone, Debug)]
pub struct Plan {
    pub seed: u64,
    pub services: Vec<ServicePlan>,
    pub replays_always: bool,
    /// Calls are sent ahead, however long they are and whatever they call.
    pub sends_ahead: bool,
    pub roots: u32,
    pub faults: Faults,
    pub habits: Habits,
    pub ending: Ending,
}

#[derive(Clone, Debug)]
pub struct ServicePlan {
    pub kind: WorkerKind,
    pub instances: u32,
    pub slots: u32,
    pub max_parked: u32,
    pub setup: ServiceSetup,
}

/// What may go wrong, each as so many times in ten thousand steps. In a calm world every call has the result that it
/// would have on paper.
#[derive(Clone, Copy, Debug, Default)]
pub struct Faults {
    pub crash: u64,
    pub cancel: u64,
    pub outage: u64,
    pub late: u64,
    /// Instances that say what no worker says.
    pub rogue: u64,
    pub roll: u64,
    pub look: u64,
    /// `msx pause`, which ends by itself.
    pub hold: u64,
}

/// What is special about the functions of this world, in percent of calls.
#[derive(Clone, Copy, Debug, Default)]
pub struct Habits {
    pub is_calm: bool,
    /// Raise in their first attempt only.
    pub flaky: u64,
    /// Have a timeout.
    pub timeouts: u64,
    /// Have an idempotency key.
    pub keyed: u64,
    /// Have a key for `concurrency_key`.
    pub turns: u64,
    /// Run longer than their `run_timeout`.
    pub endless: u64,
    /// Go on when they are interrupted.
    pub stubborn: u64,
    /// Ask for something else when they are replayed.
    pub fickle: u64,
}

/// How the life of the hub ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// It goes on, and all calls end.
    Rest,
    /// It takes no more calls from some moment on.
    Close,
    /// And fails what is left.
    Abandon,
}

/// The name of a service of a plan.
pub fn name(service: u32) -> String {
    format!("s.{service}")
}

impl Plan {
    pub fn new(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let is_calm = random.percent(35);
        Self::make(seed, random, is_calm)
    }

    pub fn calm(seed: u64) -> Self {
        Self::make(seed, Random::new(seed), true)
    }

    fn make(seed: u64, mut random: Random, is_calm: bool) -> Self {
        let habits = if is_calm { Habits::calm(&mut random) } else { Habits::wild(&mut random) };
        let count = random.between(1, 3);
        let mut services: Vec<ServicePlan> =
            (0..count).map(|at| ServicePlan::new(&mut random, at, is_calm)).collect();
        services.push(ServicePlan::hub(count));
        Self {
            seed,
            services,
            replays_always: random.percent(15),
            sends_ahead: random.percent(50),
            roots: random.between(2, 24),
            faults: Faults::new(&mut random, is_calm),
            habits,
            ending: match random.below(10) {
                0 => Ending::Close,
                1 if !is_calm => Ending::Abandon,
                _ => Ending::Rest,
            },
        }
    }

    /// The services that are functions in instances: all but the hub's own, which is the last.
    pub fn native(&self) -> u32 {
        self.services.len() as u32 - 1
    }
}

impl ServicePlan {
    fn new(random: &mut Random, at: u32, is_calm: bool) -> Self {
        let wide = QueuePolicy { max: 1024, timeout: Duration::from_secs(10_000) };
        let narrow = QueuePolicy {
            max: random.between(1, 12),
            timeout: Duration::from_millis(random.pick(&[5, 50, 3_000])),
        };
        let retries = RetryPolicy { max: random.between(0, 3), backoff: Duration::from_millis(10) };
        let run_timeout =
            Duration::from_millis(if is_calm { 3_600_000 } else { random.pick(&[40, 200, 2_000]) });
        Self {
            kind: if random.percent(60) { WorkerKind::Def } else { WorkerKind::Async },
            instances: random.between(1, 3),
            slots: random.between(1, 3),
            max_parked: random.pick(&[1, 2, 3, 5, 256]),
            setup: ServiceSetup {
                name: ServiceName::new(name(at)),
                queue: if is_calm || random.percent(50) { wide } else { narrow },
                run_timeout,
                retries: if random.percent(50) { retries } else { RetryPolicy::NONE },
                per_key: random.percent(40).then(|| random.between(1, 2)),
                batch: None,
                on_nondeterminism: OnNondeterminism::Fail,
                is_hub: false,
            },
        }
    }

    fn hub(at: u32) -> Self {
        let setup = ServiceSetup::of_hub(ServiceName::new(name(at)));
        Self { kind: WorkerKind::Def, instances: 0, slots: 0, max_parked: 0, setup }
    }
}

impl Faults {
    fn new(random: &mut Random, is_calm: bool) -> Self {
        let (roll, look, hold) = (random.pick(&[0, 30, 100]), 20, random.pick(&[0, 20]));
        if is_calm {
            return Self { roll, look, hold, late: random.pick(&[0, 100]), ..Self::default() };
        }
        Self {
            crash: random.pick(&[0, 30, 100, 300]),
            cancel: random.pick(&[0, 30, 100]),
            outage: random.pick(&[0, 0, 20, 60]),
            late: random.pick(&[0, 100, 300]),
            rogue: random.pick(&[0, 0, 0, 300]),
            roll,
            look,
            hold,
        }
    }
}

impl Habits {
    fn calm(random: &mut Random) -> Self {
        let (keyed, turns) = (random.pick(&[0, 0, 30, 80]), random.pick(&[0, 30, 80]));
        Self { is_calm: true, keyed, turns, ..Self::default() }
    }

    fn wild(random: &mut Random) -> Self {
        Self {
            is_calm: false,
            flaky: random.pick(&[0, 20]),
            timeouts: random.pick(&[0, 0, 10, 40]),
            keyed: random.pick(&[0, 0, 30, 80]),
            turns: random.pick(&[0, 30, 80]),
            endless: random.pick(&[0, 3, 10]),
            stubborn: random.pick(&[0, 30]),
            fickle: random.pick(&[0, 0, 20]),
        }
    }
}
