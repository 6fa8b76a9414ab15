//! One place of a service (`a-1`), the process that has it now, and what entering a state means for it. Pure.

use std::time::{Duration, Instant};

use super::Hello;
use super::event::{Effect, Fall, Happening, Health};
use super::manner::{Manner, Part};
use super::restarts::Restarts;
use super::state::{Event, State, transition};
use crate::model::{Generation, InstanceId, ServiceId, Upstream, WorkerKind};
use crate::protocol::control::InstanceState;
use crate::registry::InstanceEntry;

/// Time for a process that closed its control channel to end by itself.
const SEVERED_BOUND: Duration = Duration::from_secs(1);
/// How long a drain waits before parked calls are moved elsewhere (or, when msx stops, before it goes on).
const DRAIN_BOUND: Duration = Duration::from_secs(30);
/// How long an instance that ignored a run_timeout keeps its other calls.
const CONDEMNED_BOUND: Duration = Duration::from_secs(10);
/// After KILL only the kernel can be slow; what is left then is reported.
pub const KILL_BOUND: Duration = Duration::from_secs(5);

/// What the service says about how its instances leave.
#[derive(Clone, Copy)]
pub struct Terms {
    pub grace: Duration,
    pub manner: Manner,
    /// Parked calls are replayed elsewhere as soon as a drain begins.
    pub replay_now: bool,
}

/// A numbered place and its process.
#[derive(Debug)]
pub struct Place {
    pub id: InstanceId,
    pub state: State,
    /// When this state has lasted long enough.
    pub deadline: Option<Instant>,
    pub ready_at: Option<Instant>,
    /// The kind that the core was told.
    pub kind: WorkerKind,
    /// What it said of its code.
    pub hello: Option<Hello>,
    pub pid: Option<u32>,
    /// Where a program takes connections, since it has started.
    pub upstream: Option<Upstream>,
    /// What its probe found wrong last.
    pub trouble: Option<String>,
    pub past: Restarts,
    /// How the last process of this place ended; forgotten once its successor is ready.
    pub fall: Option<Fall>,
    /// Whether that one had never been ready.
    pub failed_start: bool,
    /// Why msx itself ends the process.
    pub cause: Option<String>,
    /// The process ends for what it is, not for what it did.
    pub is_excused: bool,
    /// KILL did not end its group in time.
    pub is_stuck: bool,
    started: Instant,
    has_exited: bool,
    restarts: u32,
}

impl Place {
    /// A place that waits for its first process.
    pub fn new(service: ServiceId, number: u32, now: Instant) -> Self {
        Self {
            id: InstanceId { service, number, generation: Generation(0) },
            state: State::Backoff,
            deadline: None,
            ready_at: None,
            kind: WorkerKind::Def,
            hello: None,
            pid: None,
            upstream: None,
            trouble: None,
            past: Restarts::default(),
            fall: None,
            failed_start: false,
            cause: None,
            is_excused: false,
            is_stuck: false,
            started: now,
            has_exited: false,
            restarts: 0,
        }
    }

    /// Asks for the next process.
    pub fn start(
        &mut self,
        now: Instant,
        generation: Generation,
        kind: WorkerKind,
        terms: Terms,
        out: &mut Vec<Effect>,
    ) {
        if !self.step(Event::Start) {
            return;
        }
        (self.id.generation, self.kind, self.hello) = (generation, kind, None);
        (self.started, self.deadline) = (now, terms.manner.start_bound.map(|bound| now + bound));
        (self.upstream, self.trouble) = (None, None);
        (self.ready_at, self.pid, self.cause) = (None, None, None);
        (self.has_exited, self.is_stuck, self.is_excused) = (false, false, false);
        out.push(Effect::Spawn { instance: self.id, kind });
    }

    /// Takes an event other than a start, an exit or a deadline.
    pub fn apply(&mut self, now: Instant, event: Event, terms: Terms, out: &mut Vec<Effect>) {
        self.apply_because(now, event, None, terms, out);
    }

    /// Takes an event that the process may end by: `why` is the cause then, unless there is an earlier one. False if
    /// the event changes nothing; then it is no cause of anything.
    pub fn apply_because(
        &mut self,
        now: Instant,
        event: Event,
        why: Option<String>,
        terms: Terms,
        out: &mut Vec<Effect>,
    ) -> bool {
        let counts = self.step(event);
        if counts {
            self.cause = self.cause.take().or(why);
            self.enter(now, terms, out);
        }
        counts
    }

    /// What the probes of a program found.
    pub fn probed(&mut self, now: Instant, health: Health, terms: Terms, out: &mut Vec<Effect>) {
        match health {
            Health::NotYet(why) => self.trouble = Some(why),
            Health::Up(upstream) if self.state == State::Starting => {
                self.deadline = None;
                self.upstream = upstream.clone();
                let instance = self.id;
                out.extend(upstream.map(|upstream| Effect::Serve { instance, upstream }));
            }
            Health::Up(_) => (),
            Health::Fit => {
                self.trouble = None;
                self.apply(now, Event::Hello, terms, out);
            }
            Health::Unfit(why) => {
                self.trouble = Some(why);
                self.apply(now, Event::Unfit, terms, out);
            }
            Health::Dead(why) => drop(self.apply_because(now, Event::Fail, Some(why), terms, out)),
        }
    }

    /// The process ended. Returns how, in full words, if nobody had asked for it.
    pub fn exited(
        &mut self,
        now: Instant,
        fall: Fall,
        jitter: f64,
        terms: Terms,
        out: &mut Vec<Effect>,
    ) -> Option<Fall> {
        self.has_exited = true;
        let fall = self.explained(fall);
        out.push(Effect::Gone { instance: self.id, reason: fall.status.clone() });
        let ready_for = self.ready_at.map(|at| now.saturating_duration_since(at));
        self.is_excused |= fall.is_excused && self.ready_at.is_none();
        let last_word = terms.manner.verdict(fall.is_success).filter(|_| !self.is_excused);
        let verdict = last_word.unwrap_or_else(|| self.past.exited(now, ready_for, jitter));
        self.apply(now, Event::Exited(verdict), terms, out);
        if !self.state.is_vacant() {
            return None;
        }
        self.deadline = verdict.delay().map(|delay| now + delay);
        if self.state == State::Completed {
            (self.fall, self.failed_start) = (None, false);
            return Some(fall);
        }
        self.restarts += 1;
        self.failed_start = self.ready_at.is_none() && !self.is_excused;
        self.fall = Some(fall.clone());
        Some(fall)
    }

    /// The state has lasted long enough. Places without a process are the service's to start.
    pub fn expire(&mut self, now: Instant, is_stopping: bool, terms: Terms, out: &mut Vec<Effect>) {
        self.deadline = None;
        match self.state {
            // A busy instance is not stopped; only what is parked there can go elsewhere.
            State::Draining if !is_stopping => {
                out.push(Effect::Drain { instance: self.id, replay_now: true })
            }
            // KILL was not enough: the place is given up, so that another one can serve.
            State::Failing => self.apply(now, Event::Retire, terms, out),
            State::Killing => self.is_stuck = true,
            State::Starting => {
                let why = self.late(terms);
                self.apply_because(now, Event::Expired, Some(why), terms, out);
            }
            State::Severed => {
                let why = "it closed its control channel".to_owned();
                self.apply_because(now, Event::Expired, Some(why), terms, out);
            }
            _ => self.apply(now, Event::Expired, terms, out),
        }
    }

    /// Why it counts as failed although it runs.
    fn late(&mut self, terms: Terms) -> String {
        let bound = terms.manner.start_bound.unwrap_or_default().as_secs_f64();
        match (terms.manner.part, self.trouble.take()) {
            (Part::Worker, _) => format!("no hello within {bound} s"),
            (_, Some(trouble)) => format!("not started within {bound} s: {trouble}"),
            (_, None) => format!("not started within {bound} s"),
        }
    }

    /// A drain under way that had no bound any more gets one, because msx stops.
    pub fn bound_drain(&mut self, now: Instant) {
        if self.state == State::Draining {
            self.deadline.get_or_insert(now + DRAIN_BOUND);
        }
    }

    /// Whether its process runs.
    pub fn runs(&self) -> bool {
        self.pid.is_some() && !self.has_exited && self.state.is_active()
    }

    /// That its process has ended, and what becomes of the place.
    pub fn told(&self, now: Instant, status: &str) -> Happening {
        let status = status.to_owned();
        match self.state {
            State::Completed | State::Failed => {
                Happening::Done { status, is_well: self.state == State::Completed }
            }
            _ => {
                let again = self.deadline.map_or(Duration::ZERO, |at| at.saturating_duration_since(now));
                Happening::Exited { status, again, is_loop: self.past.is_looping() }
            }
        }
    }

    /// What the registry publishes.
    pub fn entry(&self, short: &str, manner: Manner) -> InstanceEntry {
        let state = match self.state.shown() {
            _ if self.has_exited && !self.state.is_active() => InstanceState::Stopped,
            InstanceState::Starting if manner.part == Part::Oneshot => InstanceState::Running,
            shown => shown,
        };
        let trouble = self.trouble.as_ref().filter(|_| self.state == State::Unready);
        InstanceEntry {
            id: self.id,
            label: format!("{short}-{}", self.id.number),
            state,
            pid: self.pid.filter(|_| !self.has_exited),
            upstream: self.upstream.clone().filter(|_| !self.has_exited),
            started: self.started,
            ready: self.ready_at,
            restarts: self.restarts,
            reason: self.fall.as_ref().map(Fall::text).or_else(|| trouble.cloned()),
        }
    }

    /// Moves along the table; false if that changes nothing.
    fn step(&mut self, event: Event) -> bool {
        match transition(self.state, event) {
            Ok(next) => std::mem::replace(&mut self.state, next) != next,
            Err(illegal) => {
                tracing::warn!(instance = ?self.id, ?illegal, "ignored an event that makes no sense now");
                false
            }
        }
    }

    fn enter(&mut self, now: Instant, terms: Terms, out: &mut Vec<Effect>) {
        let instance = self.id;
        self.is_stuck = false;
        self.deadline = match self.state {
            State::Ready => {
                (self.ready_at, self.cause) = (Some(now), None);
                (self.fall, self.failed_start) = (None, false);
                out.push(Effect::Ready { instance });
                None
            }
            State::Unready => {
                out.push(Effect::Unready { instance });
                None
            }
            State::Severed => Some(now + SEVERED_BOUND),
            State::Draining if terms.manner.part.is_alone() => {
                return self.apply(now, Event::Drained, terms, out);
            }
            State::Draining => {
                out.push(Effect::Drain { instance, replay_now: terms.replay_now });
                Some(now + DRAIN_BOUND)
            }
            State::Condemned => {
                out.push(Effect::Drain { instance, replay_now: true });
                Some(now + CONDEMNED_BOUND)
            }
            State::Finishing if terms.manner.part != Part::Worker => {
                return self.apply(now, Event::Expired, terms, out);
            }
            State::Finishing => {
                out.push(Effect::Finish { instance });
                Some(now + terms.grace)
            }
            State::Terminating => {
                out.push(Effect::Terminate { instance });
                Some(now + terms.grace)
            }
            State::Failing | State::Killing => {
                out.push(Effect::Kill { instance });
                Some(now + KILL_BOUND)
            }
            State::Starting | State::Backoff | State::Crashloop => None,
            State::Completed | State::Failed | State::Stopped => None,
        };
    }

    fn explained(&mut self, fall: Fall) -> Fall {
        match self.cause.take() {
            Some(cause) => Fall { status: format!("{cause} ({})", fall.status), ..fall },
            None => fall,
        }
    }
}
