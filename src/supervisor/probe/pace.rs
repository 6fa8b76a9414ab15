//! When to ask again, and when answers count. Pure.

use std::time::Duration;

const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_millis(500);

/// The pause after an attempt to see that it has started; the first one is attempt 0.
pub fn pause(attempt: u32) -> Duration {
    FIRST_PAUSE.saturating_mul(2_u32.saturating_pow(attempt)).min(LONGEST_PAUSE)
}

/// Answers in a row.
#[derive(Debug)]
pub struct Streak {
    /// So many failures count.
    limit: u32,
    failures: u32,
    /// What was told last.
    told: Option<bool>,
}

impl Streak {
    pub fn new(limit: u32) -> Self {
        Self { limit, failures: 0, told: None }
    }

    /// Takes an answer. Returns what is to be told now: that it is well, or that it is not. One good answer is enough;
    /// before the first one, one bad answer is.
    pub fn note(&mut self, is_well: bool) -> Option<bool> {
        self.failures = if is_well { 0 } else { self.failures.saturating_add(1) };
        let limit = if self.told.is_none() { 1 } else { self.limit };
        let counts = is_well || self.failures >= limit;
        if !counts || self.told == Some(is_well) {
            return None;
        }
        self.told = Some(is_well);
        self.told
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_half_a_second() {
        let pauses: Vec<u128> = (0..6).map(|attempt| pause(attempt).as_millis()).collect();
        assert_eq!(pauses, [50, 100, 200, 400, 500, 500]);
        assert_eq!(pause(u32::MAX), LONGEST_PAUSE);
    }

    #[test]
    fn failures_count_in_a_row_and_one_success_ends_them() {
        let mut streak = Streak::new(3);
        let told: Vec<Option<bool>> = [true, false, false, true, false, false, false, false, true, true]
            .map(|is_well| streak.note(is_well))
            .into();
        let (none, well, bad) = (None, Some(true), Some(false));
        assert_eq!(told, [well, none, none, none, none, none, bad, none, well, none]);
    }

    #[test]
    fn the_first_answer_counts_whatever_it_is() {
        assert_eq!(Streak::new(3).note(false), Some(false));
        assert_eq!(Streak::new(3).note(true), Some(true));
    }
}
