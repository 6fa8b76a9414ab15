//! One service: its places, how many are wanted, and its rolling restart. Pure.

mod rolling;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::Hello;
use super::event::{Effect, Failure, Fall, Happening, Health, Ticket};
use super::manner::Manner;
use super::place::{Place, Terms};
use super::reconcile::{Seen, free_numbers, reconcile};
use super::remnant::Remnants;
use super::roll::{Asker, Next, Roll, Rolls, Step};
use super::state::{Event, State};
use crate::config::command::Until;
use crate::config::spec::InstanceRange;
use crate::model::{Generation, InstanceId, ServiceId, ServiceName, WorkerKind};
use crate::registry::{InstanceEntry, Mode, ServiceEntry};

/// The longest wait of a `restart`: an old instance may be busy for as long as its service allows a call to run.
const RESTART_BOUND: Duration = Duration::from_secs(600);

/// Why an instance of another kind than announced is replaced.
const CHANGED: &str = "it changed between `def` and `async def`, and is started again as what it is now";

/// What a service may do with its instances.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Something it depends on is not ready yet.
    Waiting,
    Open,
    /// msx stops: nothing is started any more.
    Frozen,
    /// Its turn to stop has come.
    Stopping,
}

/// A service and all its instances.
#[derive(Debug)]
pub struct Service {
    id: ServiceId,
    name: ServiceName,
    short: String,
    range: InstanceRange,
    /// The fewest that the autoscaler may ask for.
    fewest: u32,
    is_fixed: bool,
    grace: Duration,
    manner: Manner,
    /// What the next process is announced as.
    kind: WorkerKind,
    desired: u32,
    mode: Mode,
    phase: Phase,
    places: BTreeMap<u32, Place>,
    remnants: Remnants,
    rolls: Rolls,
    /// Processes ever started.
    generations: u32,
    is_down: bool,
    /// Told to have no instance at all.
    is_zero: bool,
}

impl Service {
    pub fn new(entry: &ServiceEntry) -> Self {
        Self {
            id: entry.id,
            name: entry.spec.name.clone(),
            short: entry.short().to_owned(),
            range: entry.spec.instances,
            fewest: entry.spec.fewest(),
            is_fixed: entry.spec.is_fixed(),
            grace: entry.spec.stop.grace,
            manner: Manner::of(&entry.spec),
            kind: entry.kind,
            desired: entry.desired,
            mode: entry.mode,
            phase: Phase::Waiting,
            places: BTreeMap::new(),
            remnants: Remnants::default(),
            rolls: Rolls::default(),
            generations: 0,
            is_down: false,
            is_zero: false,
        }
    }

    // ── what is asked of it ──────────────────────────────────────────────────────────────────────────────────────

    /// What it depends on is ready.
    pub fn open(&mut self) {
        if self.phase == Phase::Waiting {
            self.phase = Phase::Open;
        }
    }

    pub fn scale(&mut self, target: Option<u32>, out: &mut Vec<Effect>) {
        self.tell(None, Happening::Pinned { from: self.desired, to: target }, out);
        (self.desired, self.mode) = match target {
            Some(target) => (target, Mode::Pinned),
            None if self.is_fixed => (self.range.min, Mode::Fixed),
            None => (self.desired.clamp(self.range.min, self.range.max), Mode::Auto),
        };
    }

    pub fn steer(&mut self, instances: u32) {
        let wish = instances.clamp(self.fewest, self.range.max);
        // More of what falls at once does not serve the queue.
        let is_hopeless = self.is_down && wish > self.desired;
        if self.mode == Mode::Auto && !is_hopeless {
            self.desired = wish;
        }
    }

    pub fn restart(&mut self, now: Instant, ticket: Ticket, replay_now: bool, out: &mut Vec<Effect>) {
        if self.phase == Phase::Waiting {
            // Nothing runs; what will start, starts anew.
            return out.push(Effect::Reply { ticket, outcome: Ok(()) });
        }
        let asker = Asker { ticket, until: now + RESTART_BOUND };
        match self.rolls.current {
            Some(_) => {
                self.rolls.join_next(asker, replay_now);
                self.supersede(now, out);
            }
            None => self.begin_roll(now, Next { askers: vec![asker], replay_now }, out),
        }
    }

    /// Nothing is started any more.
    pub fn freeze(&mut self, now: Instant, out: &mut Vec<Effect>) {
        self.phase = Phase::Frozen;
        self.rolls.abandon(&Failure::Stopping, out);
        self.apply_where(now, State::is_vacant, Event::Retire, out);
    }

    /// Drains and stops every instance.
    pub fn stop(&mut self, now: Instant, out: &mut Vec<Effect>) {
        if self.phase == Phase::Stopping {
            return;
        }
        self.phase = Phase::Stopping;
        self.places.values_mut().for_each(|place| place.bound_drain(now));
        self.apply_where(now, |_| true, Event::Retire, out);
    }

    pub fn kill(&mut self, now: Instant, out: &mut Vec<Effect>) {
        self.apply_where(now, |_| true, Event::Kill, out);
    }

    // ── what is heard of its instances ───────────────────────────────────────────────────────────────────────────

    pub fn spawned(&mut self, instance: InstanceId, pid: u32) {
        if let Some(place) = self.place(instance) {
            place.pid = Some(pid);
        }
    }

    pub fn heard(&mut self, now: Instant, instance: InstanceId, event: Event, out: &mut Vec<Effect>) {
        self.heard_because(now, instance, event, None, out);
    }

    /// The worker tells what its code is. The core feeds it as what it was announced as, so that one of another kind
    /// is started again as what it is now. That is not a failure of its code.
    pub fn hello(&mut self, now: Instant, instance: InstanceId, hello: Hello, out: &mut Vec<Effect>) {
        let Some(place) = self.place(instance) else { return };
        let is_usable = hello.kind == place.kind;
        let (event, why) =
            if is_usable { (Event::Hello, None) } else { (Event::Fail, Some(CHANGED.to_owned())) };
        let had_fallen = place.fall.is_some();
        if !self.heard_because(now, instance, event, why, out) {
            return;
        }
        if is_usable && had_fallen {
            self.tell(Some(instance.number), Happening::Recovered, out);
        }
        self.kind = hello.kind;
        if let Some(place) = self.place(instance) {
            place.is_excused = !is_usable;
            place.hello = Some(hello);
        }
    }

    /// What the probes of a program found.
    pub fn probed(&mut self, now: Instant, instance: InstanceId, health: Health, out: &mut Vec<Effect>) {
        let terms = self.terms();
        if let Some(place) = self.place(instance) {
            place.probed(now, health, terms, out);
        }
    }

    /// Its channels broke, perhaps by its own fault.
    pub fn severed(
        &mut self,
        now: Instant,
        instance: InstanceId,
        why: Option<String>,
        out: &mut Vec<Effect>,
    ) {
        self.heard_because(now, instance, Event::Severed, why, out);
    }

    /// One of its calls ignored its run_timeout.
    pub fn condemned(&mut self, now: Instant, instance: InstanceId, why: String, out: &mut Vec<Effect>) {
        if self.heard_because(now, instance, Event::Condemn, Some(why.clone()), out) {
            self.tell(Some(instance.number), Happening::Replaced { why }, out);
        }
    }

    /// The process ended. Returns the failure if it never got ready and nobody had asked it to end.
    pub fn exited(
        &mut self,
        now: Instant,
        instance: InstanceId,
        fall: Fall,
        jitter: f64,
        out: &mut Vec<Effect>,
    ) -> Option<Failure> {
        let terms = self.terms();
        let place = self.place(instance)?;
        let fall = place.exited(now, fall, jitter, terms, out)?;
        let (pid, failed_start, is_excused) = (place.pid, place.failed_start, place.is_excused);
        let is_complete = place.state == State::Completed;
        let what = place.told(now, &fall.status);
        let failure = Failure::Fell { instance: self.label(instance.number), fall };
        // What becomes of a rolling restart says it all.
        let is_surplus = self
            .rolls
            .current
            .as_ref()
            .is_some_and(|roll| roll.extra() > 0 && roll.is_proving(instance.number));
        if !(is_excused || is_surplus) {
            self.tell(Some(instance.number), what, out);
        }
        out.push(Effect::Kill { instance });
        self.remnants.add(now, instance, pid);
        if is_excused || is_complete {
            return None;
        }
        self.fail_roll(now, instance.number, &failure, out);
        failed_start.then_some(failure)
    }

    pub fn emptied(&mut self, now: Instant, instance: InstanceId, out: &mut Vec<Effect>) {
        if !self.remnants.remove(instance) {
            self.heard(now, instance, Event::Emptied, out);
        }
    }

    // ── time, and what follows from where things are ─────────────────────────────────────────────────────────────

    pub fn next_deadline(&self) -> Option<Instant> {
        let places = self.places.values().filter_map(|place| place.deadline);
        let others = [self.remnants.next_deadline(), self.rolls.next_deadline(), self.next_proof()];
        places.chain(others.into_iter().flatten()).min()
    }

    pub fn expire(&mut self, now: Instant, out: &mut Vec<Effect>) {
        self.remnants.expire(now);
        let due = self.places.values().filter(|place| place.deadline.is_some_and(|at| at <= now));
        for number in due.map(|place| place.id.number).collect::<Vec<_>>() {
            let (terms, is_stopping) = (self.terms(), self.phase == Phase::Stopping);
            let Some(place) = self.places.get_mut(&number) else { continue };
            match place.state {
                State::Backoff | State::Crashloop if self.phase == Phase::Open => {
                    self.start(now, number, out)
                }
                State::Backoff | State::Crashloop => place.apply(now, Event::Retire, terms, out),
                _ => place.expire(now, is_stopping, terms, out),
            }
        }
        self.sweep();
        let late = self.late(RESTART_BOUND);
        self.rolls.give_up(now, &late, out);
    }

    /// Starts and retires until the wanted number and the rolling restart have nothing to ask.
    pub fn advance(&mut self, now: Instant, out: &mut Vec<Effect>) {
        while self.phase == Phase::Open {
            self.reconcile(now, out);
            let seen = self.seen(now);
            let Some(roll) = &mut self.rolls.current else { break };
            match roll.next(&seen) {
                Step::Wait => break,
                Step::Again => (),
                Step::Surge => {
                    let Some(number) = free_numbers(&seen).next() else { break };
                    roll.surged(number);
                    self.start(now, number, out);
                }
                Step::Retire(number) => self.retire(now, number, out),
                Step::Done => self.end_roll(now, Ok(()), out),
            }
        }
        self.tell_down(out);
        self.tell_zero(out);
    }

    // ── what it looks like ───────────────────────────────────────────────────────────────────────────────────────

    pub fn desired(&self) -> u32 {
        self.desired
    }

    pub fn mode(&self) -> Mode {
        self.mode
    }

    pub fn name(&self) -> &ServiceName {
        &self.name
    }

    /// What the newest of those that serve says of the code. Not the latest to say hello: that may have been started
    /// with older code.
    pub fn newest(&self) -> Option<&Hello> {
        let ready = self.places.values().filter(|place| place.state == State::Ready);
        ready.max_by_key(|place| place.id.generation)?.hello.as_ref()
    }

    /// Whether what waits for it to be so far may start.
    pub fn has_come(&self, until: Until) -> bool {
        let any = |is: &dyn Fn(&Place) -> bool| self.places.values().any(is);
        let has_come = match until {
            Until::Started => any(&Place::runs),
            Until::Ready => self.ready() > 0,
            Until::Completed => any(&|place| place.state == State::Completed),
        };
        self.phase == Phase::Open && (self.desired == 0 || has_come)
    }

    /// Whether all that is wanted is ready.
    pub fn is_ready(&self) -> bool {
        self.phase == Phase::Open && self.well() >= self.desired as usize
    }

    /// Whether it has exactly what is wanted.
    pub fn is_settled(&self) -> bool {
        self.is_ready() && self.places.len() == self.desired as usize
    }

    /// That it is not as it was asked for after this time, and what keeps it.
    pub fn late(&self, bound: Duration) -> Failure {
        let unsettled = self.places.values().filter(|place| !place.state.is_well());
        let shown = unsettled.map(|place| {
            let state = format!("{:?}", place.state.shown()).to_lowercase();
            format!("{} is {state}", self.label(place.id.number))
        });
        let shown = shown.collect::<Vec<_>>().join(", ");
        let pending = if shown.is_empty() { "it waits for what it depends on".to_owned() } else { shown };
        Failure::Late { service: self.short.clone(), seconds: bound.as_secs(), pending }
    }

    /// A start that failed and has not been made good since.
    pub fn failed_start(&self) -> Option<Failure> {
        self.places.values().filter(|place| place.failed_start).find_map(|place| {
            let fall = place.fall.clone()?;
            Some(Failure::Fell { instance: self.label(place.id.number), fall })
        })
    }

    /// Whether nothing is left of it, but for what KILL cannot end.
    pub fn is_vacant(&self) -> bool {
        self.places.values().all(|place| place.is_stuck) && self.remnants.is_settled()
    }

    /// Leaders of the groups that KILL did not end.
    pub fn survivors(&self) -> impl Iterator<Item = u32> {
        let places = self.places.values().filter(|place| place.is_stuck).filter_map(|place| place.pid);
        places.chain(self.remnants.pids())
    }

    pub fn instances(&self) -> Vec<InstanceEntry> {
        self.places.values().map(|place| place.entry(&self.short, self.manner)).collect()
    }

    // ── parts of the above ───────────────────────────────────────────────────────────────────────────────────────

    fn label(&self, number: u32) -> String {
        format!("{}-{number}", self.short)
    }

    fn ready(&self) -> usize {
        self.places.values().filter(|place| place.state == State::Ready).count()
    }

    fn well(&self) -> usize {
        self.places.values().filter(|place| place.state.is_well()).count()
    }

    fn terms(&self) -> Terms {
        let replay_now = self.rolls.current.as_ref().is_some_and(|roll| roll.replay_now);
        Terms { grace: self.grace, manner: self.manner, replay_now }
    }

    /// The place, if this very process has it.
    fn place(&mut self, instance: InstanceId) -> Option<&mut Place> {
        self.places.get_mut(&instance.number).filter(|place| place.id == instance)
    }

    fn seen(&self, now: Instant) -> Vec<Seen> {
        let roll = self.rolls.current.as_ref();
        let stable = roll.map_or(Duration::ZERO, Roll::stable);
        let see = |place: &Place| {
            let (ready, complete) = (place.state.is_well(), place.state == State::Completed);
            Seen {
                number: place.id.number,
                generation: place.id.generation,
                active: place.state.is_active(),
                ready,
                proven: complete || ready && place.ready_at.is_some_and(|at| now >= at + stable),
                old: roll.is_some_and(|roll| roll.is_old(place.id.generation)),
            }
        };
        self.places.values().map(see).collect()
    }

    fn start(&mut self, now: Instant, number: u32, out: &mut Vec<Effect>) {
        self.generations += 1;
        let terms = self.terms();
        let place = self.places.entry(number).or_insert_with(|| Place::new(self.id, number, now));
        place.start(now, Generation(self.generations), self.kind, terms, out);
    }

    fn retire(&mut self, now: Instant, number: u32, out: &mut Vec<Effect>) {
        let terms = self.terms();
        if let Some(place) = self.places.get_mut(&number) {
            place.apply(now, Event::Retire, terms, out);
        }
        self.sweep();
    }

    /// See [`Place::apply_because`].
    fn heard_because(
        &mut self,
        now: Instant,
        instance: InstanceId,
        event: Event,
        why: Option<String>,
        out: &mut Vec<Effect>,
    ) -> bool {
        let terms = self.terms();
        let place = self.place(instance);
        let counts = place.is_some_and(|place| place.apply_because(now, event, why, terms, out));
        self.sweep();
        counts
    }

    fn apply_where(&mut self, now: Instant, is: impl Fn(State) -> bool, event: Event, out: &mut Vec<Effect>) {
        let terms = self.terms();
        for place in self.places.values_mut().filter(|place| is(place.state)) {
            place.apply(now, event, terms, out);
        }
        self.sweep();
    }

    fn sweep(&mut self) {
        self.places.retain(|_, place| place.state != State::Stopped);
    }

    fn reconcile(&mut self, now: Instant, out: &mut Vec<Effect>) {
        let rolled = self.rolls.current.as_ref().map_or(self.desired, |roll| roll.target(self.desired));
        let target = if self.desired == 0 { 0 } else { rolled };
        let plan = reconcile(target, &self.seen(now));
        plan.start.into_iter().for_each(|number| self.start(now, number, out));
        plan.retire.into_iter().for_each(|number| self.retire(now, number, out));
    }

    fn tell(&self, instance: Option<u32>, what: Happening, out: &mut Vec<Effect>) {
        out.push(Effect::Tell { service: self.id, instance, what });
    }

    fn tell_down(&mut self, out: &mut Vec<Effect>) {
        let is_hopeless = |place: &&Place| place.past.is_looping() || place.state == State::Failed;
        let looping = self.places.values().filter(is_hopeless).find(|place| place.fall.is_some());
        let looping = looping.filter(|_| self.ready() == 0);
        if looping.is_some() == self.is_down {
            return;
        }
        self.is_down = looping.is_some();
        let reason = looping.map(|place| {
            let fall = place.fall.as_ref().map(Fall::text).unwrap_or_default();
            format!("{} keeps failing: {fall}", self.label(place.id.number))
        });
        out.push(Effect::Down { service: self.id, reason });
    }

    /// Nobody but the autoscaler starts an instance for a call that waits.
    fn tell_zero(&mut self, out: &mut Vec<Effect>) {
        let is_zero = self.desired == 0 && self.mode != Mode::Auto;
        if std::mem::replace(&mut self.is_zero, is_zero) != is_zero {
            out.push(Effect::Zero { service: self.id, is_zero });
        }
    }
}
