//! Requests: each gets one slot or one refusal, no instance has more than its slots, and nothing is left at the end.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;
use crate::core::{Failure, Reason, Requested};

const WEB: ServiceId = ServiceId(0);
const SLOTS: u32 = 3;
const QUEUE: u32 = 4;

fn place(number: u32) -> InstanceId {
    InstanceId { service: WEB, number, generation: Generation(number) }
}

fn core() -> Core {
    let setup = ServiceSetup {
        name: ServiceName::new("web"),
        queue: QueuePolicy { max: QUEUE, timeout: Duration::from_secs(10) },
        run_timeout: RUN_TIMEOUT,
        retries: RetryPolicy::NONE,
        per_key: None,
        batch: None,
        on_nondeterminism: OnNondeterminism::Fail,
        is_hub: false,
    };
    Core::new(vec![setup], false)
}

/// What happens next. The numbers choose among what there is.
#[derive(Clone, Copy, Debug)]
enum Step {
    Ask,
    Release(usize),
    Answer(usize),
    Fail(usize, Failure),
    Attach,
    Drain(usize),
    Gone(usize),
    Pass(u16),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let failure = prop_oneof![
        Just(Failure::Unsent),
        Just(Failure::Broken { again: true }),
        Just(Failure::Broken { again: false })
    ];
    let step = prop_oneof![
        8 => Just(Step::Ask),
        6 => any::<usize>().prop_map(Step::Release),
        3 => any::<usize>().prop_map(Step::Answer),
        3 => (any::<usize>(), failure).prop_map(|(at, failure)| Step::Fail(at, failure)),
        2 => Just(Step::Attach),
        1 => any::<usize>().prop_map(Step::Drain),
        1 => any::<usize>().prop_map(Step::Gone),
        2 => (0..20_000_u16).prop_map(Step::Pass),
    ];
    prop::collection::vec(step, 0..200)
}

/// The rest of the hub: who asks, and which instances there are.
struct World {
    core: Core,
    now: Instant,
    effects: Vec<Effect>,
    next_token: u64,
    next_instance: u32,
    waiting: BTreeMap<u64, CallKey>,
    holding: BTreeMap<CallKey, InstanceId>,
    instances: BTreeSet<InstanceId>,
    refused: u64,
    ended: u64,
}

impl World {
    fn new() -> Self {
        let (effects, waiting, holding, instances) = Default::default();
        let (core, now) = (core(), Instant::now());
        Self {
            core,
            now,
            effects,
            next_token: 0,
            next_instance: 0,
            waiting,
            holding,
            instances,
            refused: 0,
            ended: 0,
        }
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Ask => {
                let asked = self.core.request(self.now, WEB, &mut self.effects);
                match asked {
                    Ok(requested) => self.requested(requested),
                    Err(refusal) => {
                        // More than that wait only if some came back.
                        assert_eq!(refusal.reason, Reason::QueueFull);
                        assert!(self.waiting.len() >= QUEUE as usize);
                        self.refused += 1;
                    }
                }
            }
            Step::Release(at) => {
                if let Some(key) = self.some_request(at) {
                    self.waiting.retain(|_, waiting| *waiting != key);
                    self.holding.remove(&key).into_iter().for_each(|_| self.ended += 1);
                    self.handle(Event::Released(key));
                }
            }
            Step::Answer(at) => {
                self.some_held(at).into_iter().for_each(|key| self.handle(Event::Answered(key)))
            }
            Step::Fail(at, failure) => {
                let Some(key) = self.some_held(at) else { return };
                self.holding.remove(&key);
                match self.core.fail_request(self.now, key, failure, &mut self.effects) {
                    Some(again) => {
                        assert_ne!(failure, Failure::Broken { again: false });
                        self.requested(again);
                    }
                    None => {
                        assert_ne!(failure, Failure::Unsent);
                        self.ended += 1;
                    }
                }
            }
            Step::Attach => {
                self.next_instance += 1;
                let instance = place(self.next_instance);
                self.instances.insert(instance);
                self.handle(Event::AttachedHttp { instance, slots: SLOTS });
                self.handle(Event::Ready(instance));
            }
            Step::Drain(at) => {
                if let Some(instance) = some(&self.instances, at) {
                    self.handle(Event::Drain { instance, replay_now: false });
                }
            }
            Step::Gone(at) => {
                if let Some(instance) = some(&self.instances, at) {
                    self.instances.remove(&instance);
                    self.handle(Event::Gone { instance, reason: "gone".into(), begun: vec![] });
                }
            }
            Step::Pass(milliseconds) => {
                self.now += Duration::from_millis(milliseconds.into());
                self.handle(Event::Tick);
            }
        }
        self.learn();
        self.audit();
    }

    fn handle(&mut self, event: Event) {
        self.core.handle(self.now, event, &mut self.effects);
        self.learn();
    }

    fn requested(&mut self, requested: Requested) {
        match requested {
            Requested::Granted(key, instance) => self.hold(key, instance),
            Requested::Queued(key) => {
                self.next_token += 1;
                self.waiting.insert(self.next_token, key);
                self.core.await_permit(key, self.next_token);
            }
        }
    }

    fn hold(&mut self, key: CallKey, instance: InstanceId) {
        assert!(self.instances.contains(&instance), "it is there");
        assert!(self.holding.insert(key, instance).is_none(), "it has one slot");
    }

    fn learn(&mut self) {
        for effect in std::mem::take(&mut self.effects) {
            let Effect::Permit { token, granted } = effect else { continue };
            let key = self.waiting.remove(&token).expect("who is told waits, and is told once");
            match granted {
                Ok(instance) => self.hold(key, instance),
                Err(_) => self.refused += 1,
            }
        }
    }

    fn some_held(&self, at: usize) -> Option<CallKey> {
        some(&self.holding.keys().copied().collect(), at)
    }

    fn some_request(&self, at: usize) -> Option<CallKey> {
        some(&self.holding.keys().chain(self.waiting.values()).copied().collect(), at)
    }

    fn audit(&mut self) {
        let dispatcher = &self.core.service(WEB).dispatcher;
        dispatcher.audit();
        assert_eq!(dispatcher.queued(), self.waiting.len());
        for instance in dispatcher.instances() {
            let held = self.holding.values().filter(|held| **held == instance.id).count();
            assert_eq!(instance.running.len(), held, "a slot is held by a request, and by one only");
            assert!(held <= SLOTS as usize);
        }
        assert_eq!(self.core.unfinished(), self.waiting.len() + self.holding.len());
    }
}

fn some<T: Copy + Ord>(all: &BTreeSet<T>, at: usize) -> Option<T> {
    (!all.is_empty()).then(|| all.iter().nth(at % all.len()).copied()).flatten()
}

proptest! {
    #[test]
    fn each_request_gets_one_slot_or_one_refusal_and_nothing_is_left(steps in steps()) {
        let mut world = World::new();
        steps.into_iter().for_each(|step| world.step(step));
        // Everything ends: instances come, and whoever holds a slot gives it back.
        world.step(Step::Attach);
        while let Some(key) = world.some_held(0) {
            world.step(Step::Release(0));
            prop_assert!(!world.holding.contains_key(&key));
        }
        world.step(Step::Pass(20_000));
        while !world.holding.is_empty() || !world.waiting.is_empty() {
            world.step(Step::Release(0));
        }
        let meter = world.core.service(WEB).dispatcher.meter;
        prop_assert_eq!((world.core.unfinished(), world.core.service(WEB).dispatcher.busy()), (0, 0));
        let refused: u64 = world.core.service(WEB).refused.by_word().map(|(_, count)| count).sum();
        prop_assert_eq!((refused, meter.completed), (world.refused, world.ended));
    }
}

#[test]
fn what_was_never_sent_keeps_its_place_and_waits_for_the_instance_to_come_back() {
    let mut world = World::new();
    world.step(Step::Attach);
    world.step(Step::Ask);
    world.step(Step::Ask);
    let first = world.some_held(0).unwrap();
    world.step(Step::Fail(0, Failure::Unsent));
    assert_eq!(world.waiting.values().copied().min(), Some(first));
    assert_eq!(world.holding.len(), 0, "nothing is sent there for a moment");
    world.step(Step::Pass(100));
    assert_eq!(world.holding.keys().copied().collect::<Vec<_>>(), [first]);
}

#[test]
fn at_the_end_what_waits_is_refused_and_what_runs_may_end() {
    let mut world = World::new();
    world.step(Step::Attach);
    world.step(Step::Ask);
    world.step(Step::Ask);
    world.handle(Event::Close);
    assert_eq!(world.core.request(world.now, WEB, &mut Vec::new()).unwrap_err().reason, Reason::Stopping);
    world.handle(Event::Abandon);
    assert_eq!((world.waiting.len(), world.holding.len(), world.core.unfinished()), (0, 1, 1));
}

#[test]
fn who_fails_five_requests_in_a_row_is_left_alone_and_that_is_told() {
    let mut world = World::new();
    world.step(Step::Attach);
    world.step(Step::Attach);
    let mut out = Vec::new();
    let mut told = Vec::new();
    while told.is_empty() {
        let asked = world.core.request(world.now, WEB, &mut out).unwrap();
        let Requested::Granted(key, instance) = asked else { panic!("two instances are there: {asked:?}") };
        world.core.fail_request(world.now, key, Failure::Broken { again: false }, &mut out);
        told.extend(out.drain(..).filter_map(|effect| match effect {
            Effect::Ejected { instance, bound } => Some((instance, bound)),
            _ => None,
        }));
        assert!(told.iter().all(|(ejected, _)| *ejected == instance));
        // One that breaks off gets nothing for a moment.
        world.step(Step::Pass(100));
    }
    let [(ejected, bound)] = told[..] else { panic!("one: {told:?}") };
    assert_eq!(bound, Duration::from_secs(30));
    let asked = world.core.request(world.now, WEB, &mut out).unwrap();
    assert!(matches!(asked, Requested::Granted(_, other) if other != ejected));
}
