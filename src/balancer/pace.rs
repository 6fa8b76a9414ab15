//! Whether the calls of a service are so short that they may be sent to a lane before it is free.

use std::time::{Duration, Instant};

/// Calls that one lane may hold beyond the running one (design 5).
pub const AHEAD_MAX: usize = 16;
/// A run longer than this is no short call (design 5: p99 < 200 µs).
const SHORT: Duration = Duration::from_micros(200);
/// Leaf calls in a row before any is sent ahead.
const RUNS_MIN: u32 = 64;
/// Share of long runs that is too much. Not 1 %: a busy machine makes a short run wait for a processor, too, and
/// what a wrong guess costs has a bound.
const LONG_SHARE_MAX: f32 = 1.0 / 32.0;
/// Weight of the newest run in that share.
const WEIGHT: f32 = 1.0 / 64.0;
/// How long nothing is sent ahead after a call turned out long in front of others; doubles each time.
const BAR_MIN: Duration = Duration::from_secs(1);
const BAR_MAX: Duration = Duration::from_secs(60);

/// What is known of the length of a service's calls.
#[derive(Debug, Default)]
pub struct Pace {
    /// Leaf calls that ended since the last one that was none.
    leaves: u32,
    long_share: f32,
    bar: Duration,
    barred_until: Option<Instant>,
    #[cfg(test)]
    is_blind: bool,
}

impl Pace {
    /// A call has returned, after the worker ran it for so long.
    pub fn ran(&mut self, run: Duration) {
        self.leaves = self.leaves.saturating_add(1);
        let is_long = if run > SHORT { 1.0 } else { 0.0 };
        self.long_share += (is_long - self.long_share) * WEIGHT;
    }

    /// A call has made another.
    pub fn saw_child(&mut self) {
        self.leaves = 0;
    }

    /// A call kept others waiting behind it on its lane.
    pub fn turned_long(&mut self, now: Instant) {
        let is_forgiven = self.barred_until.is_none_or(|until| now >= until + BAR_MAX);
        self.bar = if is_forgiven { BAR_MIN } else { (self.bar * 2).min(BAR_MAX) };
        self.barred_until = Some(now + self.bar);
    }

    /// Takes all calls for short, whatever happens.
    #[cfg(test)]
    pub fn blind() -> Self {
        Self { is_blind: true, ..Self::default() }
    }

    /// Whether calls may be sent ahead now.
    pub fn allows(&self, now: Instant) -> bool {
        #[cfg(test)]
        if self.is_blind {
            return true;
        }
        self.leaves >= RUNS_MIN
            && self.long_share < LONG_SHARE_MAX
            && self.barred_until.is_none_or(|until| now >= until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn short() -> Pace {
        let mut pace = Pace::default();
        (0..RUNS_MIN).for_each(|_| pace.ran(Duration::from_micros(5)));
        pace
    }

    #[test]
    fn short_leaf_calls_are_known_after_some() {
        let now = Instant::now();
        let mut pace = short();
        assert!(pace.allows(now));
        pace.saw_child();
        assert!(!pace.allows(now), "it is no leaf");
        assert!(!Pace::default().allows(now), "nothing is known");
    }

    #[test]
    fn one_long_run_is_an_accident_and_two_are_not() {
        let now = Instant::now();
        let mut pace = short();
        pace.ran(Duration::from_millis(1));
        assert!(pace.allows(now));
        pace.ran(Duration::from_millis(1));
        pace.ran(Duration::from_millis(1));
        assert!(!pace.allows(now));
        (0..100).for_each(|_| pace.ran(Duration::from_micros(5)));
        assert!(pace.allows(now), "it is short again");
    }

    #[test]
    fn who_kept_others_waiting_is_barred_longer_each_time() {
        let mut now = Instant::now();
        let mut pace = short();
        for seconds in [1, 2, 4, 8, 16, 32, 60, 60] {
            pace.turned_long(now);
            assert!(!pace.allows(now + Duration::from_secs(seconds) - Duration::from_millis(1)));
            now += Duration::from_secs(seconds);
            assert!(pace.allows(now));
        }
        now += BAR_MAX;
        pace.turned_long(now);
        assert!(pace.allows(now + BAR_MIN), "it was good for long enough");
    }
}
