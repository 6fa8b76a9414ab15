//! The world around the core: workers, whoever supervises them, callers, and time. One step is one thing that happens;
//! chance decides which, among all that can.

use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::callers::Callers;
use super::invariants;
use super::orders::Orders;
use super::plan::{Ending, Plan};
use super::program::{Task, value};
use super::programs::Programs;
use super::random::{Random, mix};
use super::seen::{Seen, Sight};
use super::worker::{Shared, Told, Worker, is_over};
use crate::balancer::Pace;
use crate::calls::{Call, Child, Place};
use crate::core::{Core, Effect, Event, TICK};
use crate::model::{CallKey, InstanceId, Outcome, ServiceId, WorkerKind};
use crate::protocol::worker::{FromWorker, ToWorker};

/// Steps after which everything that was begun has long ended, or never will.
const STEPS_MAX: u64 = 200_000;

pub struct World {
    pub plan: Rc<Plan>,
    pub core: Core,
    pub start: Instant,
    pub shared: Shared,
    pub workers: Vec<Worker>,
    pub errands: Vec<(Instant, Errand)>,
    pub callers: Callers,
    pub is_out: Vec<bool>,
    pub generation: u32,
    pub is_peaceful: bool,
    pub is_abandoned: bool,
    pub steps: u64,
    pub seen: Seen,
    /// Messages that have arrived, some of which arrive again.
    pub heard: Vec<(InstanceId, u32, FromWorker)>,
    /// Idempotency keys under which a result is kept.
    kept: BTreeSet<(ServiceId, String)>,
    /// Calls that the hub answers itself.
    hub_calls: Vec<(CallKey, u64)>,
    next_tick: Instant,
    next_patrol: Instant,
    pub effects: Vec<Effect>,
    /// What happened, if somebody wants to read it.
    trace: Option<Vec<String>>,
}

/// What is to happen to an instance or a service at its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Errand {
    Start {
        service: u32,
        number: u32,
    },
    Ready(InstanceId),
    Kill(InstanceId),
    Sever(InstanceId),
    Gone(InstanceId),
    /// An outage is over.
    Recover(u32),
}

/// One thing that can happen now.
#[derive(Clone, Copy, Debug)]
enum Choice {
    Ask,
    Hear { worker: usize, lane: usize },
    Say { worker: usize, lane: usize },
    Obey { worker: usize },
    Stack { worker: usize },
    Act { worker: usize, call: CallKey },
    Errand(usize),
    Answer(usize),
    Timer,
    Tick,
    Patrol,
}

impl World {
    pub fn new(plan: Plan) -> Self {
        let setups = plan.services.iter().map(|service| service.setup.clone()).collect();
        let mut core = Core::new(setups, plan.replays_always);
        if plan.sends_ahead {
            core.services.iter_mut().for_each(|service| service.dispatcher.pace = Pace::blind());
        }
        let (plan, now) = (Rc::new(plan), Instant::now());
        let shared = Shared {
            programs: Programs::new(plan.clone()),
            random: Random::new(mix(plan.seed ^ 0x5eed)),
            orders: Orders::default(),
            now,
            has_rogues: plan.faults.rogue > 0,
            stubborn: plan.habits.stubborn,
        };
        let mut world = Self {
            core,
            start: now,
            shared,
            workers: Vec::new(),
            errands: Vec::new(),
            callers: Callers::default(),
            is_out: vec![false; plan.services.len()],
            generation: 0,
            is_peaceful: false,
            is_abandoned: false,
            steps: 0,
            seen: Seen::default(),
            heard: Vec::new(),
            kept: BTreeSet::new(),
            hub_calls: Vec::new(),
            next_tick: now + TICK,
            next_patrol: now,
            effects: Vec::new(),
            trace: None,
            plan,
        };
        for service in 0..world.plan.native() {
            world.start_all(service);
        }
        world
    }

    /// Runs until all calls have ended and nothing is left.
    pub fn run(&mut self) {
        while self.step() {
            assert!(self.steps < STEPS_MAX, "the calls come to an end");
        }
        self.callers.check_all_answered();
        invariants::check_rest(&self.core);
        assert!(self.workers.iter().all(|worker| worker.calls.is_empty()), "no worker runs anything");
    }

    /// One thing happens. False: nothing can.
    pub fn step(&mut self) -> bool {
        self.steps += 1;
        self.shared.now += Duration::from_micros(self.shared.random.below(200));
        if self.is_time_for_peace() {
            self.make_peace();
        }
        if !self.is_peaceful && self.disturb() {
            return true;
        }
        let choices = self.choices();
        if choices.is_empty() {
            return self.wait();
        }
        let choice = self.shared.random.pick(&choices);
        self.do_one(choice);
        true
    }

    /// Time passes until something can happen. False: nothing will.
    fn wait(&mut self) -> bool {
        if self.core.unfinished() == 0 && self.workers.iter().all(Worker::is_idle) && self.errands.is_empty()
        {
            return false;
        }
        let errands = self.errands.iter().map(|(at, _)| *at);
        let workers = self.workers.iter().filter_map(Worker::next_due);
        let due = errands.chain(workers).chain(self.core.next_timer()).min();
        self.shared.now = self.shared.now.max(due.map_or(self.next_tick, |due| due.min(self.next_tick)));
        true
    }

    fn choices(&mut self) -> Vec<Choice> {
        let (now, mut choices) = (self.shared.now, Vec::new());
        for (at, worker) in self.workers.iter().enumerate().filter(|(_, worker)| !worker.is_severed) {
            for (lane, state) in worker.lanes.iter().enumerate() {
                if !state.outbox.is_empty() {
                    choices.push(Choice::Say { worker: at, lane });
                }
                if !worker.is_dead && worker.hears(lane) {
                    choices.push(Choice::Hear { worker: at, lane });
                }
            }
            if worker.is_dead {
                continue;
            }
            choices.extend(worker.due(now).map(|call| Choice::Act { worker: at, call }));
            if !worker.told.is_empty() {
                choices.push(Choice::Obey { worker: at });
            }
            if !worker.stacks.is_empty() {
                choices.push(Choice::Stack { worker: at });
            }
        }
        let errands = self.errands.iter().enumerate().filter(|(_, (at, _))| *at <= now);
        choices.extend(errands.map(|(at, _)| Choice::Errand(at)));
        choices.extend((0..self.hub_calls.len()).map(Choice::Answer));
        if self.callers.asked() < self.plan.roots && (choices.is_empty() || self.shared.random.percent(20)) {
            choices.push(Choice::Ask);
        }
        if self.core.next_timer().is_some_and(|at| at <= now) {
            choices.push(Choice::Timer);
        }
        if self.next_tick <= now && self.core.unfinished() > 0 || self.next_tick + TICK <= now {
            choices.push(Choice::Tick);
        }
        if self.core.is_on_patrol() && self.next_patrol <= now {
            choices.push(Choice::Patrol);
        }
        choices
    }

    fn do_one(&mut self, choice: Choice) {
        match choice {
            Choice::Ask => self.ask(),
            Choice::Hear { worker, lane } => self.hear(worker, lane),
            Choice::Say { worker, lane } => self.say(worker, lane),
            Choice::Obey { worker } => self.workers[worker].obey(&mut self.shared),
            Choice::Act { worker, call } => self.workers[worker].act(call, &mut self.shared),
            Choice::Stack { worker } => {
                let worker = &mut self.workers[worker];
                let (call, attempt) = worker.stacks.pop_front().expect("it was there");
                let instance = worker.id;
                self.event(Event::Stack { instance, call, attempt, text: "stack".into() });
            }
            Choice::Errand(at) => {
                let (_, errand) = self.errands.swap_remove(at);
                self.run_errand(errand);
            }
            Choice::Answer(at) => {
                let (call, argument) = self.hub_calls.swap_remove(at);
                let outcome = Outcome::Value(value(mix(argument), false));
                self.event(Event::Orchestrated { call, outcome });
            }
            Choice::Timer => self.event(Event::Timer),
            Choice::Tick => self.tick(),
            Choice::Patrol => {
                self.next_patrol = self.shared.now + crate::core::PATROL;
                self.event(Event::Patrol);
            }
        }
    }

    /// A worker reads what has come on a lane.
    fn hear(&mut self, at: usize, lane: usize) {
        if let Some((_, ToWorker::Run { call, attempt, results, .. })) =
            self.workers[at].lanes[lane].inbox.front()
        {
            let is_elsewhere = |worker: &Worker| worker.calls.contains_key(call);
            let is_alone = !self.workers.iter().any(is_elsewhere);
            assert!(is_alone || self.shared.has_rogues, "a call runs in one place at a time");
            let retried = self.core.calls.get(*call).map(|call| call.retried);
            let is_known = self.key_of(*call).is_some_and(|key| self.kept.contains(&key));
            assert!(!is_known || self.shared.has_rogues, "what is kept under a key is not run again");
            if let Some(retried) = retried
                && !self.shared.has_rogues
                && !self.workers[at].is_occupied(lane)
            {
                let log: Vec<(u32, &Outcome)> = results.iter().map(|r| (r.seq, &r.outcome)).collect();
                self.shared.orders.begins(*call, *attempt, retried, &log);
            }
        }
        let worker = &mut self.workers[at];
        worker.hear(lane, &mut self.shared);
        let slots = self.plan.services[worker.id.service.0 as usize].slots as usize;
        let is_def = worker.kind == WorkerKind::Def;
        assert!(
            !is_def || worker.running() <= slots || self.shared.has_rogues,
            "what runs in a worker stays within its slots"
        );
    }

    /// The hub reads what a worker has sent.
    fn say(&mut self, at: usize, lane: usize) {
        let worker = &mut self.workers[at];
        let message = worker.lanes[lane].outbox.pop_front().expect("it was there");
        let (instance, lane) = (worker.id, lane as u32);
        self.seen.message(&message);
        self.remember(instance, lane, &message);
        let (call, attempt) = message.head();
        let asked: Vec<(u32, u32)> = match &message {
            FromWorker::Calls { entries, .. } => {
                entries.iter().map(|entry| (entry.seq, entry.ident)).collect()
            }
            _ => Vec::new(),
        };
        let key = self.key_of(call).filter(|_| matches!(message, FromWorker::Return { .. }));
        self.event(Event::Worker { instance, lane, message });
        self.kept.extend(key.filter(|_| self.core.calls.get(call).is_none()));
        let call =
            self.core.calls.get(call).filter(|call| call.attempt == attempt && !self.shared.has_rogues);
        let is_same = |(seq, ident)| match call.and_then(|call| call.child(seq)) {
            Some(Child::Pending { ident: known, .. } | Child::Recorded { ident: known, .. }) => {
                *known == ident
            }
            Some(Child::Awaited { .. } | Child::Untold) | None => true,
        };
        assert!(asked.into_iter().all(is_same), "a call that asks for something else than before fails");
    }

    /// Service and idempotency key of a call that lives.
    fn key_of(&self, call: CallKey) -> Option<(ServiceId, String)> {
        let call = self.core.calls.get(call)?;
        let key = call.options.as_ref()?.idempotency_key.as_ref()?;
        Some((call.service, key.to_string()))
    }

    /// The core looks at the clock. What is due then must happen.
    fn tick(&mut self) {
        self.next_tick = self.shared.now + TICK;
        let rings = |call: &Call| call.alarm.as_ref().is_some_and(|(due, _)| *due <= self.shared.now);
        let evicted = self.core.calls.iter().filter(|(_, call)| call.place == Place::Evicted);
        let due: Vec<CallKey> = evicted.filter(|(_, call)| rings(call)).map(|(key, _)| key).collect();
        let services = (0..self.plan.native()).map(ServiceId).filter(|id| self.core.hopeless(*id).is_some());
        let hopeless = services.flat_map(|id| self.core.service(id).dispatcher.waiting());
        let hopeless: Vec<CallKey> = hopeless.map(|(_, key)| key).collect();
        self.event(Event::Tick);
        let is_woken = |key| self.core.calls.get(key).is_none_or(|call| call.place != Place::Evicted);
        assert!(due.into_iter().all(is_woken), "an alarm wakes its call");
        let is_queued =
            |key| self.core.calls.get(key).is_some_and(|call| matches!(call.place, Place::Queued(_)));
        assert!(!hopeless.into_iter().any(is_queued), "nothing waits for what will not come");
    }

    /// The core handles an event, and the world does what it says.
    pub fn event(&mut self, event: Event) {
        let text = self.trace.as_ref().map(|_| format!("{event:?}"));
        let is_quiet = matches!(event, Event::Tick | Event::Timer | Event::Patrol);
        self.core.handle(self.shared.now, event, &mut self.effects);
        if let Some(text) = text.filter(|_| !is_quiet || !self.effects.is_empty()) {
            self.note(text);
        }
        self.settle();
    }

    /// Does what the core wants, and looks whether all is well.
    pub fn settle(&mut self) {
        for effect in std::mem::take(&mut self.effects) {
            if self.trace.is_some() {
                self.note(format!("    {effect:?}"));
            }
            self.obey(effect);
        }
        invariants::check(&self.core);
        self.check_waits();
    }

    /// Who waits in a worker is woken as soon as there is enough, whatever the core thinks that it waits for.
    fn check_waits(&self) {
        let workers = self.workers.iter().filter(|_| !self.shared.has_rogues);
        for (call, wait) in workers.flat_map(Worker::waits) {
            let call = self.core.calls.get(call);
            if let Some(call) =
                call.filter(|call| matches!(call.place, Place::Parked { resuming: false, .. }))
            {
                let is_there = |seq| matches!(call.child(seq), Some(Child::Recorded { .. }));
                assert!(!is_over(wait, is_there), "a wait that is over wakes its call");
            }
        }
    }

    fn obey(&mut self, effect: Effect) {
        match effect {
            Effect::Item { .. } => unreachable!("no simulated root is a stream"),
            Effect::OpenLane { instance, lane } => {
                if let Some(worker) = self.worker(instance) {
                    assert_eq!(worker.lanes.len(), lane as usize, "lanes are opened in order");
                    worker.lanes.push(Default::default());
                }
            }
            Effect::Send { instance, lane, message } => {
                self.seen.sent(&message);
                let worker = self.worker(instance).expect("what is sent has a receiver");
                let is_run = matches!(message, ToWorker::Run { .. });
                assert!(!worker.is_severed || !is_run, "a severed instance gets no work");
                worker.send(lane, message);
            }
            Effect::Interrupt { instance, call, attempt, reason } => {
                let is_cancelled = reason == "cancelled";
                self.seen.count(if is_cancelled { Sight::Cancelled } else { Sight::RunTimeout });
                assert!(is_cancelled || !self.plan.habits.is_calm, "nothing is stuck in a calm world");
                if let Some(worker) = self.worker(instance) {
                    worker.told.push_back(Told::Interrupt { call, attempt });
                }
            }
            Effect::AskBack { instance, lane } => {
                self.seen.count(Sight::AskedBack);
                if let Some(worker) = self.worker(instance) {
                    worker.told.push_back(Told::AskBack { lane });
                }
            }
            Effect::Answer { token, answer } => {
                self.seen.answer(&answer);
                self.callers.answered(token, answer, &self.plan, &self.shared.programs);
            }
            Effect::Forget { token } => self.callers.forgotten(token),
            Effect::Orchestrate { call, arguments, .. } => {
                self.seen.count(Sight::Orchestrated);
                let argument = arguments.as_ref().try_into().expect("an argument of this simulation");
                self.hub_calls.push((call, u64::from_le_bytes(argument)));
            }
            Effect::Drained(instance) => self.drained(instance),
            Effect::Unresponsive { instance, .. } => self.unresponsive(instance),
            Effect::Cold(_) => self.seen.count(Sight::Cold),
            Effect::Unheld(_) => self.seen.count(Sight::Unheld),
            Effect::Log(_) => (),
            // Its services have calls, not requests: `tests/permits.rs`.
            Effect::Permit { .. } | Effect::Ejected { .. } => unreachable!("there are no requests"),
        }
    }

    pub fn worker(&mut self, id: InstanceId) -> Option<&mut Worker> {
        self.workers.iter_mut().find(|worker| worker.id == id)
    }

    fn ask(&mut self) {
        let task = self.shared.programs.root(&mut self.shared.random);
        self.ask_for(task);
        if self.plan.ending == Ending::Close && self.callers.asked() * 2 == self.plan.roots {
            self.event(Event::Close);
        }
    }

    pub fn ask_for(&mut self, task: Task) {
        let options = self.shared.programs.options(task);
        let (service, arguments) = (ServiceId(task.service), task.argument.to_le_bytes());
        let has_timeout = options.as_ref().is_some_and(|options| options.timeout.is_some());
        let token = self.callers.expect(task, has_timeout);
        if self.trace.is_some() {
            self.note(format!("Ask {token}: {task:?} {options:?}"));
        }
        let arguments = bytes::Bytes::copy_from_slice(&arguments);
        let queued = self.core.roots_waiting(service);
        let is_full = queued >= self.core.service(service).setup.queue.max;
        let asked = self.core.ask(self.shared.now, service, arguments, options, token, &mut self.effects);
        assert!(!is_full || asked.is_err(), "a full queue takes no root");
        match asked {
            Ok(call) => self.callers.accepted(token, call),
            Err(refusal) => {
                self.seen.refusal(refusal.reason);
                self.callers.refused(token, &refusal, &self.plan);
            }
        }
        self.settle();
    }

    /// From now on it is written down what happens.
    pub fn trace(&mut self) {
        self.trace.get_or_insert_default();
    }

    pub fn last_events(&self, count: usize) -> Vec<String> {
        let all = self.trace.as_deref().unwrap_or_default();
        all[all.len().saturating_sub(count)..].to_vec()
    }

    fn note(&mut self, text: String) {
        let at = (self.shared.now - self.start).as_micros();
        let steps = self.steps;
        self.trace.get_or_insert_default().push(format!("{steps:>6} {at:>9} µs  {text}"));
    }
}
