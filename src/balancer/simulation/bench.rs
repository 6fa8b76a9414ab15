//! Everything that can happen to a dispatcher, at random, to it and to the model.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::model::{Call, Instance, Kind, Model, Place};
use crate::balancer::{Dispatcher, Intake, Pace, Work};
use crate::model::{CallKey, Generation, InstanceId, ServiceId, WorkerKind};
use crate::simulation::random::Random;

const INSTANCES_MAX: usize = 4;
const WAITING_MAX: usize = 30;
/// A lane whose call runs for longer gives back what is behind it.
const AHEAD_BOUND: Duration = Duration::from_millis(5);
const TIMEOUT: Duration = Duration::from_secs(10);
/// Without any ready instance.
const COLD: Duration = Duration::from_secs(60);

/// What happens sometimes, to see that it does.
#[derive(Clone, Copy)]
enum Sight {
    Started,
    Resumed,
    WentAhead,
    GivenBack,
    Evicted,
    Replayed,
    Overdue,
    Left,
    Died,
    Drained,
}

const SIGHTS: usize = Sight::Drained as usize + 1;

pub struct Bench {
    random: Random,
    now: Instant,
    dispatcher: Dispatcher,
    model: Model,
    calls_ever: u64,
    asked_ever: u64,
    offered: u64,
    instances_ever: u32,
    seen: [u64; SIGHTS],
}

impl Bench {
    pub fn new(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let mut dispatcher = Dispatcher::new(None);
        let sends_ahead = random.percent(50);
        if sends_ahead {
            dispatcher.pace = Pace::blind();
        }
        let mut bench = Self {
            random,
            now: Instant::now(),
            dispatcher,
            model: Model::new(sends_ahead),
            calls_ever: 0,
            asked_ever: 0,
            offered: 0,
            instances_ever: 0,
            seen: [0; SIGHTS],
        };
        bench.attach();
        bench
    }

    pub fn run(mut self, steps: u32) -> [u64; SIGHTS] {
        for _ in 0..steps {
            self.step();
            self.settle();
        }
        self.finish();
        self.seen
    }

    fn see(&mut self, sight: Sight) {
        self.seen[sight as usize] += 1;
    }

    fn step(&mut self) {
        self.now += Duration::from_micros(self.random.below(3_000));
        match self.random.below(100) {
            0..22 => self.comes(),
            22..30 => self.child_comes(),
            30..48 => self.returns(),
            48..58 => self.parks(),
            58..68 => self.wait_is_over(),
            68..76 => self.unwinds(),
            76..82 => self.gives_back(),
            82..85 => self.asks_back(),
            85..87 => self.leaves(),
            87..89 => self.time_passes(),
            89..92 => self.attach(),
            92..95 => self.becomes_ready(),
            95..97 => self.drains(),
            97..98 => self.severed(),
            98..99 => self.dies(),
            _ => self.says_it_twice(),
        }
    }

    /// Gives out all slots, and looks at everything.
    fn settle(&mut self) {
        while let Some(bound) = self.dispatcher.next(self.now) {
            self.model.check(bound);
            self.model.bind(bound, self.now);
            self.see(match bound.work {
                Work::Run { .. } => Sight::Started,
                Work::Resume => Sight::Resumed,
                Work::RunNext(_) => Sight::WentAhead,
            });
        }
        assert!(self.model.is_settled(), "nobody waits beside a free slot");
        self.dispatcher.audit();
        self.compare();
        self.stop_drained();
    }

    fn compare(&mut self) {
        let Self { model, dispatcher, now, .. } = self;
        let running = model.count(|place| matches!(place, Place::Running(_)));
        assert_eq!(dispatcher.busy(), running, "each running call has one slot");
        let queued =
            model.count(|place| matches!(place, Place::Waiting(_) | Place::Ahead(_) | Place::Stranded(_)));
        assert_eq!(dispatcher.queued(), queued, "what waits is counted");
        let roots = model.calls.values().filter(|call| call.is_waiting_root()).count();
        assert_eq!(dispatcher.roots_queued() as usize, roots, "waiting roots are counted");
        let slots = model.instances.iter().flat_map(|instance| &instance.running);
        let busy = model.busy + slots.map(|slot| *now - slot.since).sum::<Duration>();
        assert_eq!(dispatcher.busy_total(*now), busy, "slot time is counted once");
        assert_eq!(dispatcher.meter.offered, self.offered);
    }

    /// All that runs returns, all waits are over, nothing comes any more.
    fn finish(&mut self) {
        while !self.model.calls.is_empty() {
            self.now += Duration::from_millis(1);
            if let Some(severed) = self.some_instance(|instance| instance.intake == Intake::Severed) {
                self.is_gone(severed);
            }
            self.attach();
            self.becomes_ready();
            self.returns();
            self.wait_is_over();
            self.unwinds();
            self.asks_back();
            self.gives_back();
            self.settle();
        }
        assert_eq!((self.dispatcher.queued(), self.dispatcher.busy()), (0, 0));
        assert!(self.dispatcher.instances().iter().all(|instance| instance.is_empty()), "nothing is left");
        assert!(self.dispatcher.drain_queue().is_empty() && self.dispatcher.roots_queued() == 0);
    }

    // ---- calls ----

    fn comes(&mut self) {
        self.calls_ever += 1;
        self.ask(self.calls_ever, 0);
    }

    /// Of a tree that is there.
    fn child_comes(&mut self) {
        let all = self.model.all(|_| true);
        if let Some(parent) = self.some(&all) {
            let Call { root_age, depth, .. } = *self.model.call(parent);
            self.calls_ever += 1;
            self.ask(root_age, depth + 1);
        }
    }

    fn ask(&mut self, root_age: u64, depth: u32) {
        if self.model.count(|place| matches!(place, Place::Waiting(_))) >= WAITING_MAX {
            return;
        }
        let (key, arrival) = (CallKey(self.calls_ever), self.arrival());
        let place = Place::Waiting(self.dispatcher.push_new(key, root_age, depth, self.now));
        self.offered += 1;
        let call = Call { root_age, depth, kind: Kind::New, came: self.now, arrival, place };
        self.model.calls.insert(key, call);
    }

    fn arrival(&mut self) -> u64 {
        self.asked_ever += 1;
        self.asked_ever
    }

    fn replay(&mut self, key: CallKey) {
        let arrival = self.arrival();
        let Call { root_age, depth, .. } = *self.model.call(key);
        let place = Place::Waiting(self.dispatcher.push_replay(key, root_age, depth));
        let call = self.model.call(key);
        (call.kind, call.arrival, call.place) = (Kind::Replay, arrival, place);
        self.see(Sight::Replayed);
    }

    fn returns(&mut self) {
        let Some((call, instance)) = self.some_running() else { return };
        self.model.count_busy(instance, call, self.now);
        let next = self.model.end(instance, call, self.now);
        assert_eq!(self.dispatcher.end(instance, call, self.now), next, "its lane runs what is behind it");
        self.model.calls.remove(&call);
    }

    fn parks(&mut self) {
        let Some((call, id)) = self.some_running() else { return };
        self.model.count_busy(id, call, self.now);
        let root_age = self.model.call(call).root_age;
        assert!(self.dispatcher.park(id, call, root_age, self.now), "it ran");
        let instance = self.model.instance(id);
        let at = instance.running.iter().position(|slot| slot.call == call).expect("it ran");
        let slot = instance.running.remove(at);
        let max_parked = instance.max_parked as usize;
        slot.ahead.iter().for_each(|ahead| self.model.call(*ahead).place = Place::Stranded(id));
        self.model.call(call).place = Place::Parked(id);
        let parked = self.model.all(|place| place == Place::Parked(id) || place == Place::Resuming(id));
        if parked.len() > max_parked {
            self.evict(id, &parked);
        }
    }

    fn evict(&mut self, id: InstanceId, parked: &[CallKey]) {
        let victim = self.dispatcher.instance(id).and_then(|instance| instance.victim());
        let victim = victim.expect("one of those that are parked gives way");
        let best = parked.iter().map(|call| self.model.victim_rank(*call)).max();
        assert_eq!(Some(self.model.victim_rank(victim)), best, "who still waits, of the youngest root");
        assert!(self.dispatcher.unwind(id, victim, self.now).is_some());
        let is_over = self.model.call(victim).place == Place::Resuming(id);
        self.model.instance(id).resumes.retain(|resuming| *resuming != victim);
        self.model.call(victim).place = Place::Unwinding { instance: id, is_over };
        self.see(Sight::Evicted);
    }

    fn wait_is_over(&mut self) {
        let waits = self.model.all(|place| {
            matches!(place, Place::Parked(_) | Place::Suspended | Place::Unwinding { is_over: false, .. })
        });
        let Some(key) = self.some(&waits) else { return };
        match self.model.call(key).place {
            Place::Parked(id) => {
                self.dispatcher.request_resume(id, key, self.now);
                self.model.instance(id).resumes.push_back(key);
                self.model.call(key).place = Place::Resuming(id);
            }
            Place::Suspended => self.replay(key),
            Place::Unwinding { instance, .. } => {
                self.model.call(key).place = Place::Unwinding { instance, is_over: true };
            }
            _ => {}
        }
    }

    /// An evicted call has left its place.
    fn unwinds(&mut self) {
        let unwinding = self.model.all(|place| matches!(place, Place::Unwinding { .. }));
        let Some(key) = self.some(&unwinding) else { return };
        let Place::Unwinding { instance, is_over } = self.model.call(key).place else { return };
        let busy = self.dispatcher.busy();
        assert_eq!(self.dispatcher.end(instance, key, self.now), None);
        assert_eq!(self.dispatcher.busy(), busy, "it held no slot");
        self.gone_from_its_place(key, is_over);
    }

    fn gone_from_its_place(&mut self, key: CallKey, is_over: bool) {
        self.model.call(key).place = Place::Suspended;
        if is_over {
            self.replay(key);
        }
    }

    fn leaves(&mut self) {
        let waiting = self.model.all(|place| matches!(place, Place::Waiting(_)));
        let Some(key) = self.some(&waiting) else { return };
        let Place::Waiting(rank) = self.model.call(key).place else { return };
        assert_eq!(self.dispatcher.remove(rank), Some(key));
        assert_eq!(self.dispatcher.remove(rank), None, "once");
        self.model.calls.remove(&key);
        self.see(Sight::Left);
    }

    /// A worker says again that a call has ended, or says it of one that it never had.
    fn says_it_twice(&mut self) {
        let Some(id) = self.some_instance(|_| true) else { return };
        let (busy, gone) = (self.dispatcher.busy(), CallKey(self.calls_ever + 1));
        assert_eq!(self.dispatcher.end(id, gone, self.now), None);
        assert!(!self.dispatcher.park(id, gone, 0, self.now));
        assert_eq!(self.dispatcher.busy(), busy, "a slot is released once");
    }

    // ---- sent ahead ----

    fn asks_back(&mut self) {
        let (now, mut expected) = (self.now, Vec::new());
        for instance in &mut self.model.instances {
            for slot in &mut instance.running {
                if now - slot.since >= AHEAD_BOUND && !slot.ahead.is_empty() && !slot.is_asked_back {
                    slot.is_asked_back = true;
                    expected.push((instance.id, slot.lane));
                }
            }
        }
        let mut asked = self.dispatcher.ask_back(now, AHEAD_BOUND);
        asked.sort_unstable();
        expected.sort_unstable();
        assert_eq!(asked, expected, "those that are late");
    }

    /// What is stranded, what stands behind a long call, or what the lane did not begin with.
    fn gives_back(&mut self) {
        let mut back = self.model.all(|place| matches!(place, Place::Stranded(_)));
        let slots = || self.model.instances.iter().flat_map(|instance| &instance.running);
        back.extend(slots().filter(|slot| slot.is_asked_back).flat_map(|slot| &slot.ahead));
        back.extend(slots().filter(|slot| slot.was_ahead).map(|slot| slot.call));
        let Some(key) = self.some(&back) else { return };
        let (came, place) = (self.model.call(key).came, self.model.call(key).place);
        let (Place::Stranded(id) | Place::Ahead(id) | Place::Running(id)) = place else { return };
        let instance = self.dispatcher.instance(id).expect("it is there");
        let (rank, next) = instance.give_back(key, self.now).expect("it can be given back");
        assert!(instance.give_back(key, self.now).is_none(), "once");
        self.dispatcher.put_back(rank, key, came);
        let expected = match place {
            Place::Running(_) => self.model.end(id, key, self.now),
            _ => None,
        };
        assert_eq!(next, expected, "its slot is free, or runs the next");
        for slot in &mut self.model.instance(id).running {
            slot.ahead.retain(|ahead| *ahead != key);
        }
        self.model.call(key).place = Place::Waiting(rank);
        self.see(Sight::GivenBack);
    }

    // ---- time ----

    fn time_passes(&mut self) {
        self.now += Duration::from_secs(self.random.below(12));
        self.dispatcher.look_for_ready(self.now);
        let is_warm = self.model.instances.iter().any(|instance| instance.intake == Intake::Ready);
        self.model.warm_since = is_warm.then(|| self.model.warm_since.unwrap_or(self.now));
        let overdue = |bench: &Self| {
            let roots = bench.model.calls.iter().filter(|(_, call)| call.is_waiting_root());
            let late = roots.filter(|(_, call)| bench.model.is_overdue(call, bench.now, TIMEOUT, COLD));
            late.map(|(key, call)| (call.came, *key)).collect::<Vec<_>>()
        };
        while let Some(key) = self.dispatcher.pop_overdue_root(self.now, TIMEOUT) {
            let oldest = overdue(self).into_iter().map(|(came, _)| came).min();
            assert_eq!(Some(self.model.call(key).came), oldest, "the oldest that is overdue");
            self.model.calls.remove(&key);
            self.see(Sight::Overdue);
        }
        assert_eq!(overdue(self), [], "none waits for longer");
    }

    // ---- instances ----

    fn attach(&mut self) {
        if self.model.instances.len() >= INSTANCES_MAX {
            return;
        }
        self.instances_ever += 1;
        let generation = Generation(self.instances_ever);
        let id = InstanceId { service: ServiceId(0), number: self.instances_ever, generation };
        let kind = self.random.pick(&[WorkerKind::Def, WorkerKind::Def, WorkerKind::Async]);
        let (slots, max_parked) = (self.random.between(1, 3), self.random.between(0, 3));
        self.dispatcher.attach(id, kind, slots, max_parked);
        self.model.instances.push(Instance {
            id,
            kind,
            slots,
            max_parked,
            intake: Intake::Starting,
            running: Vec::new(),
            resumes: VecDeque::new(),
            last_used: 0,
        });
    }

    fn some_instance(&mut self, is_it: impl Fn(&Instance) -> bool) -> Option<InstanceId> {
        let ids: Vec<InstanceId> =
            self.model.instances.iter().filter(|instance| is_it(instance)).map(|i| i.id).collect();
        self.some(&ids)
    }

    fn set(&mut self, id: InstanceId, intake: Intake) {
        self.model.instance(id).intake = intake;
        self.dispatcher.instance(id).expect("it is attached").intake = intake;
    }

    fn becomes_ready(&mut self) {
        if let Some(id) = self.some_instance(|instance| instance.intake == Intake::Starting) {
            self.set(id, Intake::Ready);
        }
    }

    fn drains(&mut self) {
        if let Some(id) = self.some_instance(|instance| instance.intake == Intake::Ready) {
            self.set(id, Intake::Draining);
        }
    }

    /// Only what holds nothing is stopped.
    fn stop_drained(&mut self) {
        let drained = |i: &Instance| i.intake == Intake::Draining && i.running.is_empty();
        let Some(id) = self.some_instance(drained) else { return };
        if self.holds(id).is_empty() {
            let held = self.dispatcher.detach(id).expect("it is attached");
            assert!(held.is_empty(), "the model knows of nothing in it");
            self.model.instances.retain(|instance| instance.id != id);
            self.see(Sight::Drained);
        }
    }

    fn holds(&self, id: InstanceId) -> Vec<CallKey> {
        self.model.all(|place| match place {
            Place::Waiting(_) | Place::Suspended => false,
            Place::Unwinding { instance, .. } => instance == id,
            Place::Ahead(at) | Place::Stranded(at) | Place::Running(at) => at == id,
            Place::Parked(at) | Place::Resuming(at) => at == id,
        })
    }

    fn severed(&mut self) {
        if let Some(id) = self.some_instance(|instance| instance.intake != Intake::Severed) {
            self.set(id, Intake::Severed);
        }
    }

    /// What ran there is lost or runs again, and what had not begun or was parked goes on elsewhere.
    fn dies(&mut self) {
        if let Some(id) = self.some_instance(|_| true) {
            self.is_gone(id);
        }
    }

    fn is_gone(&mut self, id: InstanceId) {
        let held = self.dispatcher.detach(id).expect("it is attached");
        let ahead = held.running.iter().map(|running| running.ahead.len()).sum::<usize>();
        let counted =
            held.running.len() + ahead + held.parked.len() + held.unwinding.len() + held.stranded.len();
        let calls = self.holds(id);
        assert_eq!(counted, calls.len(), "it hands over all that it held");
        self.model.instances.retain(|instance| instance.id != id);
        for key in calls {
            let place = self.model.call(key).place;
            let is_over = matches!(place, Place::Resuming(_) | Place::Unwinding { is_over: true, .. });
            match place {
                Place::Running(_) if self.random.percent(50) => drop(self.model.calls.remove(&key)),
                Place::Running(_) | Place::Ahead(_) | Place::Stranded(_) => self.replay(key),
                _ => self.gone_from_its_place(key, is_over),
            }
        }
        self.see(Sight::Died);
    }

    // ---- choices ----

    fn some<T: Copy>(&mut self, of: &[T]) -> Option<T> {
        (!of.is_empty()).then(|| self.random.pick(of))
    }

    fn some_running(&mut self) -> Option<(CallKey, InstanceId)> {
        let running =
            self.model.instances.iter().flat_map(|i| i.running.iter().map(|slot| (slot.call, i.id)));
        let running: Vec<_> = running.collect();
        self.some(&running)
    }
}
