//! Retries: whether a call that has failed is tried again, and when.
//!
//! A retry is a new attempt of the same call. It drops what was recorded from the first error on, so that what was
//! only transient can heal; the deadline of the call goes on. How many retries a service sees is bounded by a budget,
//! so that an outage is not multiplied by those who try again.

use std::time::{Duration, Instant};

use bytes::Bytes;

use super::timers::Due;
use super::{Core, Effect, Stage};
use crate::calls::{Call, Place};
use crate::model::{CallKey, Outcome};
use crate::protocol::error::RemoteError;

/// The longest pause before a retry.
const PAUSE_MAX: Duration = Duration::from_secs(30);
/// Retries that a service may see per call of it (design: 20 % + 10/s), and those that it may see anyway.
const BUDGET_PER_CALL: f64 = 0.2;
const BUDGET_PER_SECOND: f64 = 10.0;
/// What is saved up in quiet times: ten seconds' worth.
const BUDGET_MAX: f64 = 100.0;
/// Errors of which a second attempt cannot be better.
const FINAL: [&str; 5] =
    [RemoteError::FATAL, "msx.Cancelled", "msx.NonDeterminismError", "msx.LimitExceeded", "msx.UsageError"];

/// How many retries a service may still see.
#[derive(Debug)]
pub struct Budget {
    tokens: f64,
    counted: Option<Instant>,
}

impl Default for Budget {
    fn default() -> Self {
        Self { tokens: BUDGET_PER_SECOND, counted: None }
    }
}

impl Budget {
    pub fn count_call(&mut self) {
        self.tokens = (self.tokens + BUDGET_PER_CALL).min(BUDGET_MAX);
    }

    pub fn take(&mut self, now: Instant) -> bool {
        let passed =
            self.counted.replace(now).map_or(Duration::ZERO, |last| now.saturating_duration_since(last));
        self.tokens = (self.tokens + passed.as_secs_f64() * BUDGET_PER_SECOND).min(BUDGET_MAX);
        let is_there = self.tokens >= 1.0;
        if is_there {
            self.tokens -= 1.0;
        }
        is_there
    }
}

/// Spreads calls that failed together over time: ±25 %. Seeded, so that the core does the same when it is given the
/// same events.
#[derive(Debug, Default)]
pub struct Jitter(u64);

impl Jitter {
    fn spread(&mut self, pause: Duration) -> Duration {
        // SplitMix64.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let share = ((mixed ^ (mixed >> 31)) >> 11) as f64 / (1_u64 << 53) as f64;
        pause.mul_f64(0.75 + share / 2.0)
    }
}

impl Core {
    /// A call that had begun has failed: it is tried again if it may be, else it has ended. Its slot is free.
    pub(super) fn retry_or_end(&mut self, now: Instant, key: CallKey, error: Bytes, out: &mut Vec<Effect>) {
        if self.is_batch(key) {
            return self.fail_batch(now, key, |_, _| error.clone(), out);
        }
        match self.pause_before_retry(now, key, &error) {
            Some(pause) => self.retry(now, key, pause, out),
            None => self.end(now, key, Outcome::Error(error), out),
        }
    }

    /// Whether the call has retries left, whatever its error; of a batch: whether one of its members has.
    pub(super) fn has_retries(&self, key: CallKey) -> bool {
        let members = self.members(key);
        members.into_iter().chain([key]).any(|key| !self.is_batch(key) && self.call_has_retries(key))
    }

    fn call_has_retries(&self, key: CallKey) -> bool {
        self.calls.get(key).is_some_and(|call| call.retried < self.retries_max(call))
    }

    pub(super) fn retries_max(&self, call: &Call) -> u32 {
        let of_call = call.options.as_ref().and_then(|options| options.retries);
        of_call.unwrap_or(self.service(call.service).setup.retries.max)
    }

    fn pause_before_retry(&mut self, now: Instant, key: CallKey, error: &[u8]) -> Option<Duration> {
        if !self.has_retries(key) || self.stage == Stage::Abandoned {
            return None;
        }
        let call = self.calls.get(key)?;
        let retry_on = call.options.as_ref().map_or(&[][..], |options| &options.retry_on);
        if !may_heal(&RemoteError::decode(error), retry_on) {
            return None;
        }
        let (id, retried, deadline) = (call.service, call.retried, call.deadline);
        let first = self.service(id).setup.retries.backoff;
        let pause = first.saturating_mul(1 << retried.min(30)).min(PAUSE_MAX);
        let pause = self.jitter.spread(pause);
        let is_in_time = deadline.is_none_or(|at| now + pause < at);
        (is_in_time && self.services[id.0 as usize].budget.take(now)).then_some(pause)
    }

    fn retry(&mut self, now: Instant, key: CallKey, pause: Duration, out: &mut Vec<Effect>) {
        let Some(call) = self.calls.get_mut(key) else { return };
        let at = now + pause;
        call.retried += 1;
        call.place = Place::Backoff(at);
        self.history.parked(call.record, now);
        let dropped = self.calls.drop_from_first_error(key);
        self.timers.set(at, key, Due::Retry);
        self.forget_dropped_streams(key);
        for child in dropped {
            self.cancel(now, child, out);
        }
    }

    /// The pause is over.
    pub(super) fn try_again(&mut self, now: Instant, key: CallKey) {
        let Some(call) = self.calls.get_mut(key).filter(|call| matches!(call.place, Place::Backoff(_)))
        else {
            return;
        };
        let (service, root_age, depth) = (call.service, call.root_age, call.depth);
        let dispatcher = &mut self.services[service.0 as usize].dispatcher;
        if !dispatcher.gathers() {
            return self.queue_replay(key);
        }
        call.place = Place::Queued(dispatcher.push_again(key, root_age, depth, now));
        self.touch(service);
    }
}

/// Whether another attempt may end otherwise, and is wanted: `retry_on` names the exceptions, by themselves or by a base
/// class; none are all.
fn may_heal(error: &RemoteError, retry_on: &[String]) -> bool {
    let is_one_of = |name: &str| error.kind == name || error.mro.iter().any(|base| base == name);
    !FINAL.into_iter().any(is_one_of) && (retry_on.is_empty() || retry_on.iter().any(|name| is_one_of(name)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_budget_is_a_share_of_the_calls_and_some_per_second() {
        let (mut budget, start) = (Budget::default(), Instant::now());
        let taken = |budget: &mut Budget, at| (0..1000).filter(|_| budget.take(at)).count();
        assert_eq!(taken(&mut budget, start), 10);
        assert_eq!(taken(&mut budget, start + Duration::from_secs(3)), 30);
        (0..100).for_each(|_| budget.count_call());
        assert!((19..=20).contains(&taken(&mut budget, start + Duration::from_secs(3))));
        assert_eq!(taken(&mut budget, start + Duration::from_secs(3_600)), 100);
    }

    #[test]
    fn pauses_are_spread_by_a_quarter_both_ways_and_alike_in_every_run() {
        let spread = || {
            let mut jitter = Jitter::default();
            (0..1000).map(|_| jitter.spread(Duration::from_secs(1)).as_secs_f64()).collect::<Vec<_>>()
        };
        let pauses = spread();
        assert!(pauses.iter().all(|pause| (0.75..1.25).contains(pause)));
        let mean = pauses.iter().sum::<f64>() / 1000.0;
        assert!((0.98..1.02).contains(&mean), "{mean}");
        assert_eq!(pauses, spread());
    }

    #[test]
    fn what_is_retried() {
        let error = |kind: &str, bases: &[&str]| RemoteError {
            kind: kind.into(),
            mro: bases.iter().map(|&base| base.into()).collect(),
            ..RemoteError::default()
        };
        let reset = error("builtins.ConnectionResetError", &["builtins.ConnectionError", "builtins.OSError"]);
        let named = |name: &str| [name.to_owned()];
        assert!(may_heal(&reset, &[]));
        assert!(may_heal(&reset, &named("builtins.ConnectionResetError")));
        assert!(may_heal(&reset, &named("builtins.OSError")));
        assert!(!may_heal(&reset, &named("builtins.ValueError")));
        assert!(!may_heal(&error("msx.Fatal", &["builtins.Exception"]), &[]));
        assert!(!may_heal(&error("shop.Sold", &["msx.Fatal", "builtins.Exception"]), &named("shop.Sold")));
    }
}
