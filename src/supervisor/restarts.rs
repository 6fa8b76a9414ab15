//! When an instance that ended unasked is started again. Pure: the clock and the dice are arguments.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

const FIRST_DELAY: Duration = Duration::from_millis(100);
const LONGEST_DELAY: Duration = Duration::from_secs(30);
/// Share of the delay that the dice may add or take, so that instances that fell together do not start together.
const JITTER: f64 = 0.25;
/// Ready for so long, an instance has proven itself: its past is forgotten.
const PROVEN: Duration = Duration::from_secs(10);
/// So many early exits …
const LOOP_EXITS: usize = 5;
/// … within this time are a crash loop; so are as many in a row of which none was ready, however slowly they failed,
const LOOP_WINDOW: Duration = Duration::from_secs(60);
/// and it is tried again at this interval, until an instance proves itself.
const LOOP_RETRY: Duration = Duration::from_secs(30);

/// What follows an exit, and after which delay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Backoff(Duration),
    Crashloop(Duration),
    /// It did what it is for, and is not started again.
    Complete,
    /// It failed, and is not started again.
    Fail,
}

impl Verdict {
    /// `None`: it is not started again.
    pub fn delay(self) -> Option<Duration> {
        match self {
            Verdict::Backoff(delay) | Verdict::Crashloop(delay) => Some(delay),
            Verdict::Complete | Verdict::Fail => None,
        }
    }
}

/// The past exits in one place.
#[derive(Debug, Default)]
pub struct Restarts {
    /// Exits since the last instance that proved itself.
    failures: u32,
    /// When the latest early exits were; never more than [`LOOP_EXITS`].
    early: VecDeque<Instant>,
    /// Starts in a row that failed.
    unready: usize,
    looping: bool,
}

impl Restarts {
    /// Counts an exit and decides. `ready_for` is `None` if it never was ready; `jitter` is from -1 to 1.
    pub fn exited(&mut self, now: Instant, ready_for: Option<Duration>, jitter: f64) -> Verdict {
        if ready_for.is_some_and(|time| time >= PROVEN) {
            *self = Self::default();
        } else {
            self.unready = if ready_for.is_none() { self.unready.saturating_add(1) } else { 0 };
            self.note_early(now);
        }
        let delay = delay(self.failures, jitter);
        self.failures += 1;
        match self.looping {
            true => Verdict::Crashloop(LOOP_RETRY),
            false => Verdict::Backoff(delay),
        }
    }

    fn note_early(&mut self, now: Instant) {
        self.early.push_back(now);
        self.early.retain(|exit| now.saturating_duration_since(*exit) <= LOOP_WINDOW);
        self.looping |= self.early.len() >= LOOP_EXITS || self.unready >= LOOP_EXITS;
        if self.early.len() >= LOOP_EXITS {
            self.early.pop_front();
        }
    }

    /// Whether it is in a crash loop, also while that is being tried again.
    pub fn is_looping(&self) -> bool {
        self.looping
    }
}

fn delay(failures: u32, jitter: f64) -> Duration {
    let doubled = FIRST_DELAY.saturating_mul(2_u32.saturating_pow(failures)).min(LONGEST_DELAY);
    doubled.mul_f64(1.0 + JITTER * jitter.clamp(-1.0, 1.0)).min(LONGEST_DELAY)
}
