//! What supervises the workers of a world, and what goes wrong with them: crashes, rolls, outages, callers that leave,
//! messages that come late, and instances that say what no worker says.

use std::time::Duration;

use super::plan::Ending;
use super::seen::Sight;
use super::worker::Worker;
use super::world::{Errand, World};
use crate::balancer::Intake;
use crate::core::{Effect, Event, Filter, Outlook};
use crate::model::{CallKey, Generation, InstanceId, Outcome, ServiceId};
use crate::protocol::worker::{Alarm, FromWorker, Memo, ToWorker, Wait};

/// Steps of a world in which something may go wrong, and those for each root beside.
const TROUBLED_STEPS: u64 = 400;
const TROUBLED_STEPS_PER_ROOT: u64 = 40;
/// Messages that may arrive again.
const HEARD_MAX: usize = 24;

impl World {
    pub fn is_time_for_peace(&self) -> bool {
        let troubled = TROUBLED_STEPS + TROUBLED_STEPS_PER_ROOT * u64::from(self.plan.roots);
        !self.is_peaceful
            && (self.steps > troubled
                || self.callers.asked() == self.plan.roots && self.core.unfinished() == 0)
            && self.callers.asked() == self.plan.roots
    }

    /// From here on nothing more goes wrong, so that what was begun must end.
    pub fn make_peace(&mut self) {
        self.is_peaceful = true;
        if self.plan.faults.rogue > 0 {
            let all: Vec<InstanceId> = self.workers.iter().map(|worker| worker.id).collect();
            all.into_iter().for_each(|instance| self.kill(instance));
        }
        if self.plan.ending == Ending::Abandon {
            self.seen.count(Sight::Abandoned);
            self.is_abandoned = true;
            self.event(Event::Close);
            self.event(Event::Abandon);
            self.callers.check_all_answered();
            self.drain_all();
        }
    }

    /// Nothing holds an instance back once the core has given up.
    fn drain_all(&mut self) {
        let all: Vec<InstanceId> = self.workers.iter().map(|worker| worker.id).collect();
        for instance in all {
            self.event(Event::Drain { instance, replay_now: false });
            let held = self.core.dispatcher(instance.service).instance(instance).expect("it is there");
            assert!(
                held.drained_said || held.intake == Intake::Severed,
                "a core that has given up waits for nothing"
            );
        }
    }

    /// Perhaps something goes wrong.
    pub fn disturb(&mut self) -> bool {
        let faults = self.plan.faults;
        let mut dice = self.shared.random.below(10_000);
        let mut strikes = |chance: u64| {
            let is_hit = dice < chance;
            dice = dice.wrapping_sub(chance);
            is_hit
        };
        let doings: [(u64, fn(&mut Self)); 8] = [
            (faults.crash, Self::crash_one),
            (faults.cancel, Self::leave_one),
            (faults.outage, Self::outage),
            (faults.late, Self::repeat_one),
            (faults.rogue, Self::babble),
            (faults.roll, Self::roll_one),
            (faults.look, Self::look),
            (faults.hold, Self::hold_one),
        ];
        let doing = doings.into_iter().find_map(|(chance, doing)| strikes(chance).then_some(doing));
        doing.is_some_and(|doing| {
            doing(self);
            true
        })
    }

    // ---- the supervisor ----

    pub fn start_all(&mut self, service: u32) {
        for number in 1..=self.plan.services[service as usize].instances {
            self.start_one(service, number);
        }
    }

    fn start_one(&mut self, service: u32, number: u32) {
        if self.is_out[service as usize] {
            return;
        }
        self.generation += 1;
        let generation = Generation(self.generation);
        let instance = InstanceId { service: ServiceId(service), number, generation };
        let plan = &self.plan.services[service as usize];
        let (kind, slots, max_parked) = (plan.kind, plan.slots, plan.max_parked);
        self.workers.push(Worker::new(instance, kind));
        self.event(Event::Attached { instance, kind, slots, max_parked });
        self.soon(10_000, Errand::Ready(instance));
    }

    fn soon(&mut self, micros_max: u64, errand: Errand) {
        let at = self.shared.now + Duration::from_micros(self.shared.random.below(micros_max));
        self.errands.push((at, errand));
    }

    pub fn run_errand(&mut self, errand: Errand) {
        match errand {
            Errand::Start { service, number } => self.start_one(service, number),
            Errand::Kill(instance) => self.kill(instance),
            Errand::Ready(instance) => {
                if self.worker(instance).is_some_and(|worker| !worker.is_dead) {
                    self.event(Event::Ready(instance));
                }
            }
            Errand::Sever(instance) => {
                if let Some(worker) = self.worker(instance) {
                    worker.is_severed = true;
                    self.event(Event::Severed(instance));
                }
            }
            Errand::Gone(instance) => self.gone(instance),
            Errand::Recover(service) => {
                self.is_out[service as usize] = false;
                self.event(Event::ScaledToZero { service: ServiceId(service), is_zero: false });
                self.start_all(service);
            }
        }
    }

    /// A process ends, in the middle of whatever it does. Its exit becomes known after a while.
    fn kill(&mut self, instance: InstanceId) {
        let Some(worker) = self.workers.iter_mut().find(|worker| worker.id == instance) else { return };
        if worker.is_dead {
            return;
        }
        worker.die(&mut self.shared.orders);
        if self.shared.random.percent(70) {
            self.soon(1_000, Errand::Sever(instance));
        }
        self.soon(5_000, Errand::Gone(instance));
    }

    fn gone(&mut self, instance: InstanceId) {
        let at = self.workers.iter().position(|worker| worker.id == instance).expect("it goes once");
        let worker = self.workers.remove(at);
        let begun = worker.begun();
        self.event(Event::Gone { instance, reason: "killed".into(), begun });
        if !worker.is_leaving {
            let (service, number) = (instance.service.0, instance.number);
            self.soon(10_000, Errand::Start { service, number });
        }
    }

    pub fn drained(&mut self, instance: InstanceId) {
        self.seen.count(Sight::Drained);
        let may_hold = self.is_abandoned || self.plan.faults.rogue > 0;
        let worker = self.worker(instance).expect("a drained instance is there");
        let holds_run = |(_, message): &(u64, ToWorker)| matches!(message, ToWorker::Run { .. });
        let has_run = worker.lanes.iter().any(|lane| lane.inbox.iter().any(holds_run));
        let is_free = worker.is_dead || worker.calls.is_empty() && !has_run;
        assert!(is_free || may_hold, "a drained instance holds nothing");
        self.soon(2_000, Errand::Kill(instance));
    }

    pub fn unresponsive(&mut self, instance: InstanceId) {
        self.seen.count(Sight::Unresponsive);
        self.soon(2_000_000, Errand::Kill(instance));
    }

    // ---- what goes wrong ----

    fn any_worker(&mut self) -> Option<InstanceId> {
        let at = self.shared.random.index(self.workers.len());
        self.workers.get(at).map(|worker| worker.id)
    }

    fn crash_one(&mut self) {
        if let Some(instance) = self.any_worker() {
            self.seen.count(Sight::Crash);
            self.kill(instance);
        }
    }

    /// Another takes its place, and it drains.
    fn roll_one(&mut self) {
        let Some(instance) = self.any_worker() else { return };
        let worker = self.worker(instance).expect("just found");
        if std::mem::replace(&mut worker.is_leaving, true) {
            return;
        }
        self.seen.count(Sight::Roll);
        self.start_one(instance.service.0, instance.number);
        let replay_now = self.shared.random.percent(50);
        self.event(Event::Drain { instance, replay_now });
    }

    /// All instances of a service go, and none comes for a while.
    fn outage(&mut self) {
        let service = self.shared.random.below(self.plan.native().into()) as u32;
        if std::mem::replace(&mut self.is_out[service as usize], true) {
            return;
        }
        let all = self.workers.iter_mut().filter(|worker| worker.id.service.0 == service);
        let all = all.map(|worker| {
            worker.is_leaving = true;
            worker.id
        });
        all.collect::<Vec<_>>().into_iter().for_each(|instance| self.kill(instance));
        let service_id = ServiceId(service);
        if self.shared.random.percent(50) {
            self.seen.count(Sight::Outage);
            self.event(Event::Down { service: service_id, reason: Some("last lines of its log".into()) });
        } else {
            self.seen.count(Sight::ScaledToZero);
            self.event(Event::ScaledToZero { service: service_id, is_zero: true });
        }
        self.soon(400_000, Errand::Recover(service));
    }

    /// `msx pause`, or `msx resume`; and the autoscaler may find that there is no more to be had.
    fn hold_one(&mut self) {
        let service = ServiceId(self.shared.random.below(self.plan.native().into()) as u32);
        if !self.plan.habits.is_calm && self.shared.random.percent(30) {
            let call_time = Duration::from_millis(self.shared.random.pick(&[1, 100, 10_000]));
            let outlook = self.shared.random.percent(70).then_some(Outlook { call_time });
            return self.event(Event::Outlook { service, outlook });
        }
        if self.shared.random.percent(20) {
            return self.event(Event::Unhold(service));
        }
        self.seen.count(Sight::Held);
        let bound = Duration::from_millis(self.shared.random.below(300));
        self.event(Event::Hold { service, bound });
    }

    fn leave_one(&mut self) {
        let at = self.shared.random.index(self.callers.asked() as usize);
        if self.shared.random.percent(30) {
            return self.cancel_by_hand();
        }
        if let Some(call) = self.callers.leave(at) {
            self.seen.count(Sight::Left);
            self.event(Event::Cancel(call));
        }
    }

    /// `msx cancel` of some call.
    fn cancel_by_hand(&mut self) {
        let live: Vec<CallKey> = self.core.calls.iter().map(|(key, _)| key).collect();
        let at = self.shared.random.index(live.len());
        let Some(id) = live.get(at).and_then(|key| self.core.id_of(*key)) else { return };
        self.seen.count(Sight::CancelledByHand);
        let cancelled = self.core.cancel_call(self.shared.now, &id, &label, &mut self.effects);
        assert!(cancelled.is_ok(), "a call that lives can be cancelled: {cancelled:?}");
        self.settle();
    }

    /// Somebody looks at the calls, which must not change anything.
    fn look(&mut self) {
        self.seen.count(Sight::Look);
        let now = self.shared.now;
        let listed = self.core.list(now, &Filter { status: None, service: None, limit: 5 }, &label);
        for call in listed.live.iter().chain(&listed.ended) {
            self.core.trace(now, &call.id, &label).expect("what is listed has a tree");
        }
        for call in listed.live {
            self.core.why(now, &call.id, &label).expect("what is listed has a reason");
        }
        self.core.report(now);
        self.settle();
    }

    pub fn remember(&mut self, instance: InstanceId, lane: u32, message: &FromWorker) {
        if self.plan.faults.late > 0 {
            let at = self.shared.random.index(HEARD_MAX);
            self.heard.truncate(HEARD_MAX - 1);
            self.heard.insert(at.min(self.heard.len()), (instance, lane, message.clone()));
        }
    }

    /// A message arrives once more, or so late that what it is about is over: nothing may come of it.
    fn repeat_one(&mut self) {
        let at = self.shared.random.index(self.heard.len());
        let Some((instance, lane, message)) = self.heard.get(at).cloned() else { return };
        let (call, attempt) = message.head();
        let is_over = self.core.calls.get(call).is_none_or(|call| call.attempt != attempt);
        let is_held = self.workers.iter().any(|worker| worker.id == instance) && self.is_held(instance, call);
        let is_late = !is_held || is_over && self.core.calls.get(call).is_some();
        if !is_late || self.core.next_timer().is_some_and(|at| at <= self.shared.now) {
            return;
        }
        self.seen.count(Sight::Late);
        let is_return = matches!(message, FromWorker::Return { .. });
        self.core.handle(self.shared.now, Event::Worker { instance, lane, message }, &mut self.effects);
        // That calls are short is learned from it all the same.
        let is_run = |effect: &Effect| {
            matches!(effect, Effect::Send { message: ToWorker::Run { .. }, .. } | Effect::OpenLane { .. })
        };
        let is_quiet = self.effects.iter().all(|effect| is_return && is_run(effect));
        assert!(is_quiet, "a late message changes nothing: {:?}", self.effects);
        self.settle();
    }

    fn is_held(&self, instance: InstanceId, call: CallKey) -> bool {
        let instances = self.core.service(instance.service).dispatcher.instances();
        let held = instances.iter().find(|known| known.id == instance);
        held.is_some_and(|held| super::invariants::places(held).any(|(known, _)| known == call))
    }

    /// An instance says something about a call that it may not even have.
    fn babble(&mut self) {
        let Some(instance) = self.any_worker() else { return };
        let all: Vec<(CallKey, u32)> =
            self.core.calls.iter().map(|(key, call)| (key, call.attempt)).collect();
        let random = &mut self.shared.random;
        let Some((call, attempt)) = all.get(random.index(all.len())).copied() else { return };
        let attempt = if random.percent(80) { attempt } else { random.between(0, attempt + 1) };
        let seqs: Vec<u32> = (0..random.below(4)).map(|_| random.pick(&[0, 1, 2, 7, u32::MAX])).collect();
        let (seq, payload) = (random.between(0, 5), super::program::value(random.next(), true));
        let wait = random.percent(70).then(|| Wait { all: random.percent(50), seqs: seqs.clone() });
        let outcome = Outcome::Value(payload.clone());
        let after = Duration::from_millis(random.below(1_000));
        let message = match random.below(9) {
            0 => FromWorker::Return { call, attempt, value: payload, run: Duration::ZERO },
            1 => FromWorker::Raise { call, attempt, error: payload },
            2 => FromWorker::Evicted { call, attempt },
            3 => FromWorker::GiveBack { call, attempt },
            4 => FromWorker::Memo {
                call,
                attempt,
                memo: Memo { seq, ident: 0, outcome, known: seq, line: None },
            },
            5 => FromWorker::Alarm {
                call,
                attempt,
                alarm: Alarm { seq, ident: 0, value: payload, after, line: None },
            },
            6 => FromWorker::Listen { call, attempt, seqs },
            _ => {
                let task = self.shared.programs.root(random);
                let entries = (0..seq.min(2)).map(|seq| self.shared.programs.entry(seq, task)).collect();
                FromWorker::Calls { call, attempt, entries, wait }
            }
        };
        let lanes = self.worker(instance).map_or(0, |worker| worker.lanes.len());
        if lanes > 0 {
            self.seen.count(Sight::Rogue);
            let lane = self.shared.random.index(lanes) as u32;
            self.event(Event::Worker { instance, lane, message });
        }
    }
}

fn label(service: ServiceId, number: u32) -> String {
    format!("{}-{number}", service.0)
}
