//! Whether the calls of a service are so short that they may be sent to a lane before it is free.

use std::time::Duration;

/// Calls that one lane may hold beyond the running one (design 5).
pub const AHEAD_MAX: usize = 16;
/// A run longer than this is no short call (design 5: p99 < 200 µs).
const SHORT: Duration = Duration::from_micros(200);
/// Leaf calls in a row before any is sent ahead.
const RUNS_MIN: u32 = 64;
/// Share of long runs that is too much. Not 1 %: a busy machine makes a short run wait for a processor, too, and
/// what a wrong guess costs has a bound.
const LONG_SHARE_MAX: f32 = 1.0 / 16.0;
/// Weight of the newest run in that share.
const WEIGHT: f32 = 1.0 / 64.0;
/// Short runs that make up for a call that turned out long in front of others. Counted in runs, not in time: a machine
/// that now and then takes the processor away makes one of many calls late, whose many others gain all the same.
const AMENDS: u32 = 256;
/// The most that is to be made up for.
const DEBT_MAX: u32 = 16 * AMENDS;

/// What is known of the length of a service's calls.
#[derive(Debug, Default)]
pub struct Pace {
    /// Leaf calls that ended since the last one that was none.
    leaves: u32,
    long_share: f32,
    /// Short runs to come before calls are sent ahead again.
    debt: u32,
    #[cfg(test)]
    is_blind: bool,
}

impl Pace {
    /// A call has returned, after the worker ran it for so long.
    pub fn ran(&mut self, run: Duration) {
        self.leaves = self.leaves.saturating_add(1);
        let is_long = run > SHORT;
        self.long_share += (f32::from(u8::from(is_long)) - self.long_share) * WEIGHT;
        if !is_long {
            self.debt = self.debt.saturating_sub(1);
        }
    }

    /// A call has made another.
    pub fn saw_child(&mut self) {
        self.leaves = 0;
    }

    /// A call kept others waiting behind it on its lane.
    pub fn turned_long(&mut self) {
        self.debt = (self.debt + AMENDS).min(DEBT_MAX);
    }

    /// Takes all calls for short, whatever happens.
    #[cfg(test)]
    pub fn blind() -> Self {
        Self { is_blind: true, ..Self::default() }
    }

    /// Whether calls may be sent ahead now.
    pub fn allows(&self) -> bool {
        #[cfg(test)]
        if self.is_blind {
            return true;
        }
        self.leaves >= RUNS_MIN && self.long_share < LONG_SHARE_MAX && self.debt == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn short() -> Pace {
        let mut pace = Pace::default();
        run(&mut pace, RUNS_MIN);
        pace
    }

    fn run(pace: &mut Pace, times: u32) {
        (0..times).for_each(|_| pace.ran(Duration::from_micros(5)));
    }

    #[test]
    fn short_leaf_calls_are_known_after_some() {
        let mut pace = short();
        assert!(pace.allows());
        pace.saw_child();
        assert!(!pace.allows(), "it is no leaf");
        assert!(!Pace::default().allows(), "nothing is known");
    }

    #[test]
    fn some_long_runs_are_accidents_and_more_are_not() {
        let mut pace = short();
        for _ in 0..3 {
            pace.ran(Duration::from_millis(1));
        }
        assert!(pace.allows());
        for _ in 0..3 {
            pace.ran(Duration::from_millis(1));
        }
        assert!(!pace.allows());
        run(&mut pace, 100);
        assert!(pace.allows(), "it is short again");
    }

    #[test]
    fn who_kept_others_waiting_makes_up_for_it() {
        let mut pace = short();
        for times in 1..=3 {
            (0..times).for_each(|_| pace.turned_long());
            run(&mut pace, times * AMENDS - 1);
            assert!(!pace.allows());
            run(&mut pace, 1);
            assert!(pace.allows());
        }
        (0..100).for_each(|_| pace.turned_long());
        run(&mut pace, DEBT_MAX);
        assert!(pace.allows(), "it is forgiven some day");
    }
}
