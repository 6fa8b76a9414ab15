//! Which programs there are in a world: they follow from its seed, as do the values that they have on paper.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;

use super::plan::{Plan, name};
use super::program::{LEVEL_BITS, MEMO, Op, Program, Task};
use super::random::{Random, mix};
use crate::model::WorkerKind;
use crate::protocol::worker::{CallOptions, Entry};

/// All programs of a world, made when they are first run.
#[derive(Debug)]
pub struct Programs {
    plan: Rc<Plan>,
    made: RefCell<HashMap<Task, Rc<Program>>>,
    results: RefCell<HashMap<Task, Option<u64>>>,
}

impl Programs {
    pub fn new(plan: Rc<Plan>) -> Self {
        Self { plan, made: RefCell::default(), results: RefCell::default() }
    }

    pub fn of(&self, task: Task) -> Rc<Program> {
        self.made.borrow_mut().entry(task).or_insert_with(|| Rc::new(self.make(task))).clone()
    }

    pub fn root(&self, random: &mut Random) -> Task {
        let service = random.below(self.plan.services.len() as u64) as u32;
        Task { service, argument: random.below(64) << 3 | random.below(4) }
    }

    pub fn entry(&self, seq: u32, task: Task) -> Entry {
        let is_unknown = task.service as usize >= self.plan.services.len();
        Entry {
            seq,
            service: if is_unknown { "s.nobody".into() } else { name(task.service) },
            ident: task.argument as u32,
            arguments: Bytes::copy_from_slice(&task.argument.to_le_bytes()),
            options: self.options(task),
            line: None,
        }
    }

    /// The options with which a task is asked for, the same each time.
    pub fn options(&self, task: Task) -> Option<Box<CallOptions>> {
        let habits = self.plan.habits;
        let mut random = Random::new(self.plan.seed ^ mix(task.argument ^ 0x0b5) ^ u64::from(task.service));
        let mut options = CallOptions::default();
        if random.percent(habits.timeouts) {
            options.timeout = Some(Duration::from_millis(random.below(400)));
        }
        if random.percent(habits.keyed) {
            options.idempotency_key = Some(task.argument.to_string().into());
        }
        if random.percent(habits.turns) {
            // Below a call are only calls of lower levels: who waits for a turn does not hold one that is waited for.
            let level = task.argument & LEVEL_BITS;
            options.key = Some(format!("{level}.{}", task.argument >> 3 & 1).into());
        }
        options.retries = random.percent(if habits.is_calm { 0 } else { 20 }).then(|| random.between(0, 2));
        if random.percent(10) {
            options.retry_on = vec!["builtins.OSError".into()];
        }
        (options != CallOptions::default()).then(|| Box::new(options))
    }

    fn make(&self, task: Task) -> Program {
        let habits = self.plan.habits;
        let mut random =
            Random::new(mix(self.plan.seed) ^ mix(task.argument) ^ u64::from(task.service) << 32);
        let level = task.argument & LEVEL_BITS;
        let kind = self.plan.services[task.service as usize].kind;
        let count = if level == 0 { random.between(0, 2) } else { random.between(1, 3) };
        Program {
            ops: (0..count).map(|_| self.op(&mut random, level, kind, task.service)).collect(),
            raises: random.percent(5),
            flaky: random.percent(habits.flaky),
            fickle: random.percent(habits.fickle),
            catches: random.percent(20),
            argument: task.argument,
        }
    }

    fn op(&self, random: &mut Random, level: u64, kind: WorkerKind, service: u32) -> Op {
        let is_async = kind == WorkerKind::Async;
        if level == 0 || random.percent(30) {
            return match random.below(8) {
                0 => Op::Summary,
                1 | 2 => Op::Memo,
                3 if is_async => Op::MemoBegun,
                4 if is_async => Op::MemoJoined,
                _ => Op::Work(self.work(random, service)),
            };
        }
        let kind = random.between(1, 8);
        let mut tasks =
            |most| (0..random.between(1, most)).map(|_| self.child(random, level)).collect::<Vec<_>>();
        match kind {
            1 => Op::Started(tasks(2)),
            2 => Op::Race(tasks(1)[0], tasks(3).len() as u32),
            3 => Op::Window(tasks(4), tasks(2).len()),
            4 if !is_async => Op::Guests(self.guests(random, level, service)),
            4 | 5 if is_async => {
                let (mut tasks, time) = (tasks(3), tasks(30).len() as u64 - 1);
                let extra = tasks.pop().expect("one at least");
                Op::Timed(
                    if tasks.is_empty() { vec![extra] } else { tasks },
                    Duration::from_millis(time),
                    extra,
                )
            }
            _ => Op::All(tasks(2)),
        }
    }

    /// Calls for which a slot is held. In a calm world they need none that is held by who waits for them.
    fn guests(&self, random: &mut Random, level: u64, service: u32) -> Vec<Task> {
        let count = random.between(1, 2);
        let any = |random: &mut Random| match self.plan.habits.is_calm {
            true => Task {
                service: random.between(service + 1, self.plan.native()),
                argument: random.below(16) << 3,
            },
            false => self.child(random, level),
        };
        (0..count).map(|_| any(random)).collect()
    }

    fn work(&self, random: &mut Random, service: u32) -> Duration {
        let bound = self.plan.services[service as usize].setup.run_timeout;
        match random.percent(self.plan.habits.endless) {
            true => bound * 3,
            false => Duration::from_micros(random.pick(&[50, 500, 4_000, 20_000])),
        }
    }

    fn child(&self, random: &mut Random, level: u64) -> Task {
        let services = self.plan.services.len() as u64;
        // One behind the last is a service that nobody knows.
        let service = if random.percent(3) { services } else { random.below(services) };
        let argument = random.below(16) << 3 | random.below(level);
        Task { service: service as u32, argument }
    }

    /// What a task returns if nothing goes wrong; `None`: it raises.
    pub fn result(&self, task: Task) -> Option<u64> {
        if let Some(known) = self.results.borrow().get(&task) {
            return *known;
        }
        let result = self.work_out(task);
        self.results.borrow_mut().insert(task, result);
        result
    }

    fn work_out(&self, task: Task) -> Option<u64> {
        let services = self.plan.services.len();
        if task.service as usize >= services {
            return None;
        }
        if task.service as usize == services - 1 {
            return Some(mix(task.argument));
        }
        let program = self.of(task);
        let mut sum = Some(mix(task.argument));
        let mut add = |result: Option<u64>| {
            let number = result.or(program.catches.then_some(1));
            sum = sum.zip(number).map(|(sum, number)| sum.wrapping_add(number));
        };
        for op in &program.ops {
            match op {
                Op::Work(_) | Op::Summary | Op::MemoJoined => (),
                Op::Memo | Op::MemoBegun => add(Some(MEMO)),
                Op::Race(task, _) => add(self.result(*task)),
                Op::All(tasks) | Op::Started(tasks) | Op::Window(tasks, _) | Op::Guests(tasks) => {
                    tasks.iter().for_each(|task| add(self.result(*task)));
                }
                Op::Timed(tasks, ..) => tasks.iter().for_each(|task| add(self.result(*task))),
            }
        }
        sum.filter(|_| !program.raises)
    }
}
