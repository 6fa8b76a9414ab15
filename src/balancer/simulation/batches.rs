//! The same for a service that runs its calls in batches: which calls each takes, and when.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::balancer::{Dispatcher, Intake, Rank};
use crate::config::spec::BatchPolicy;
use crate::model::{CallKey, Generation, InstanceId, ServiceId, WorkerKind};
use crate::simulation::random::Random;

/// A call that waits to be taken.
#[derive(Clone, Copy)]
struct Member {
    /// Those that were in a batch before go first.
    is_new: bool,
    root_age: u64,
    depth: u32,
    arrival: u64,
    since: Instant,
    rank: Rank,
}

impl Member {
    fn turn(&self) -> (bool, u64, Reverse<u32>, u64) {
        (self.is_new, self.root_age, Reverse(self.depth), self.arrival)
    }
}

#[derive(Clone, Copy)]
enum Sight {
    Full,
    Late,
    Again,
    Left,
    Died,
}

const SIGHTS: usize = Sight::Died as usize + 1;

pub struct Bench {
    random: Random,
    now: Instant,
    policy: BatchPolicy,
    dispatcher: Dispatcher,
    waiting: BTreeMap<CallKey, Member>,
    /// Batches that run, with their members.
    running: BTreeMap<CallKey, (InstanceId, Vec<CallKey>)>,
    keys: u64,
    arrivals: u64,
    instances: u32,
    came: u64,
    went: u64,
    seen: [u64; SIGHTS],
}

impl Bench {
    pub fn new(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let within = Duration::from_millis(random.below(20));
        let policy = BatchPolicy { size: random.between(1, 6), within };
        let dispatcher = Dispatcher::new(Some(policy));
        let (waiting, running) = (BTreeMap::new(), BTreeMap::new());
        let now = Instant::now();
        Self {
            random,
            now,
            policy,
            dispatcher,
            waiting,
            running,
            keys: 0,
            arrivals: 0,
            instances: 0,
            came: 0,
            went: 0,
            seen: [0; SIGHTS],
        }
    }

    pub fn run(mut self, steps: u32) -> [u64; SIGHTS] {
        for _ in 0..steps {
            self.step();
            self.settle();
        }
        while !self.waiting.is_empty() || !self.running.is_empty() {
            self.now += self.policy.within.max(Duration::from_millis(1));
            self.starts();
            self.returns();
            self.settle();
        }
        assert_eq!((self.dispatcher.queued(), self.dispatcher.busy()), (0, 0), "nothing is left");
        assert_eq!((self.dispatcher.batch_due(), self.dispatcher.roots_queued()), (None, 0));
        assert_eq!(self.came, self.went, "each call was run or left, once");
        self.seen
    }

    fn see(&mut self, sight: Sight) {
        self.seen[sight as usize] += 1;
    }

    fn step(&mut self) {
        self.now += Duration::from_micros(self.random.below(4_000));
        match self.random.below(100) {
            0..55 => self.comes(),
            55..80 => self.returns(),
            80..88 => self.leaves(),
            88..96 => self.starts(),
            _ => self.dies(),
        }
    }

    /// As `Core::bind_all` does.
    fn settle(&mut self) {
        loop {
            assert_eq!(self.dispatcher.next(self.now), None, "calls run in batches only");
            if self.dispatcher.batch_due().is_none_or(|due| due > self.now) {
                break;
            }
            self.gathers();
        }
        assert!(!self.is_due(), "no batch waits that is due");
        self.dispatcher.instances().iter().for_each(|instance| instance.audit());
        assert_eq!(self.dispatcher.queued(), self.waiting.len(), "what waits is counted");
        let running = self.running.len();
        assert_eq!(self.dispatcher.busy(), running, "each batch has one slot");
        let roots = self.waiting.values().filter(|member| member.is_new && member.depth == 0).count();
        assert_eq!(self.dispatcher.roots_queued() as usize, roots);
    }

    /// A slot is free, and there is a full batch, or the first has waited long enough.
    fn is_due(&self) -> bool {
        let is_free = self.dispatcher.instances().iter().any(|instance| instance.takes_new());
        let first = self.waiting.values().min_by_key(|member| member.arrival);
        let is_full = self.waiting.len() >= self.policy.size as usize;
        let is_late = first.is_some_and(|first| self.now - first.since >= self.policy.within);
        is_free && first.is_some() && (is_full || is_late)
    }

    fn gathers(&mut self) {
        assert!(self.is_due(), "not before its time");
        self.see(if self.waiting.len() >= self.policy.size as usize { Sight::Full } else { Sight::Late });
        let mut members = Vec::new();
        while members.len() < self.policy.size as usize {
            let Some((rank, key)) = self.dispatcher.first_gathered() else { break };
            let first = self.waiting.iter().min_by_key(|(_, member)| member.turn());
            assert_eq!(first.map(|(key, member)| (member.rank, *key)), Some((rank, key)), "in its order");
            assert_eq!(self.dispatcher.remove(rank), Some(key));
            self.waiting.remove(&key);
            members.push(key);
        }
        self.keys += 1;
        let batch = CallKey(self.keys);
        self.dispatcher.push_replay(batch, self.keys, 0);
        let bound = self.dispatcher.next(self.now).expect("a slot was free for it");
        assert_eq!(bound.call, batch);
        self.dispatcher.weigh(bound.instance, batch, members.len());
        self.running.insert(batch, (bound.instance, members));
    }

    fn comes(&mut self) {
        if self.waiting.len() >= 40 {
            return;
        }
        self.keys += 1;
        self.arrivals += 1;
        self.came += 1;
        let depth = self.random.between(0, 2);
        // A child belongs to a root that came before.
        let root_age = if depth == 0 { self.keys } else { self.random.below(self.keys) };
        let rank = self.dispatcher.push_new(CallKey(self.keys), root_age, depth, self.now);
        let (arrival, since) = (self.arrivals, self.now);
        self.waiting
            .insert(CallKey(self.keys), Member { is_new: true, root_age, depth, arrival, since, rank });
    }

    fn again(&mut self, key: CallKey) {
        self.arrivals += 1;
        let root_age = self.random.below(self.keys);
        let rank = self.dispatcher.push_again(key, root_age, 0, self.now);
        let (arrival, since) = (self.arrivals, self.now);
        self.waiting.insert(key, Member { is_new: false, root_age, depth: 0, arrival, since, rank });
        self.see(Sight::Again);
    }

    /// Some of its calls failed, and are tried in another one.
    fn over(&mut self, members: Vec<CallKey>, failing: u64) {
        for member in members {
            match self.random.percent(failing) {
                true => self.again(member),
                false => self.went += 1,
            }
        }
    }

    fn returns(&mut self) {
        let batches: Vec<CallKey> = self.running.keys().copied().collect();
        if batches.is_empty() {
            return;
        }
        let batch = self.random.pick(&batches);
        let (instance, members) = self.running.remove(&batch).expect("it runs");
        assert_eq!(self.dispatcher.end(instance, batch, self.now), None);
        assert_eq!(self.dispatcher.end(instance, batch, self.now), None, "once");
        self.over(members, 10);
    }

    fn leaves(&mut self) {
        let keys: Vec<CallKey> = self.waiting.keys().copied().collect();
        if keys.is_empty() {
            return;
        }
        let key = self.random.pick(&keys);
        let member = self.waiting.remove(&key).expect("it waits");
        assert_eq!(self.dispatcher.remove(member.rank), Some(key));
        self.went += 1;
        self.see(Sight::Left);
    }

    fn starts(&mut self) {
        if self.dispatcher.instances().len() >= 3 {
            return;
        }
        self.instances += 1;
        let generation = Generation(self.instances);
        let id = InstanceId { service: ServiceId(0), number: self.instances, generation };
        self.dispatcher.attach(id, WorkerKind::Def, self.random.between(1, 2), 2);
        self.dispatcher.instance(id).expect("it is attached").intake = Intake::Ready;
    }

    fn dies(&mut self) {
        let ids: Vec<InstanceId> = self.dispatcher.instances().iter().map(|instance| instance.id).collect();
        if ids.is_empty() {
            return;
        }
        let id = self.random.pick(&ids);
        let held = self.dispatcher.detach(id).expect("it is attached");
        for running in held.running {
            let (_, members) = self.running.remove(&running.call).expect("it ran");
            self.over(members, 50);
        }
        self.see(Sight::Died);
    }
}
