//! Whether an instance that is reached over HTTP gets requests: it starts with one, is left alone for a while when it
//! keeps failing, and for a moment when nobody listens there.

use std::time::{Duration, Instant};

/// Failures in a row after which it is ejected (design 5).
const FAILURES_MAX: u32 = 5;
/// An ejection lasts so long, times how many there were without a success in between.
const EJECTION: Duration = Duration::from_secs(30);
const EJECTION_MAX: Duration = Duration::from_secs(300);
/// Ejections in a row after which its process is replaced: it did not heal by itself.
const EJECTIONS_MAX: u32 = 2;
/// How long nothing is sent to an instance that broke off, or whose address took no connection; then it doubles. A process that was killed is known to be
/// gone well within it, and one whose server starts again is not kept waiting.
const PAUSE: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// What is known of the answers of one instance.
#[derive(Debug, Default)]
pub struct Health {
    /// It has answered at least once: until then it gets one request at a time.
    is_warm: bool,
    failures: u32,
    ejections: u32,
    pauses: u32,
    ejected_until: Option<Instant>,
    paused_until: Option<Instant>,
}

/// What follows from a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    GoesOn,
    /// Left alone for so long.
    Ejected(Duration),
    /// Ejected again and again: its process is to be replaced.
    Hopeless,
}

impl Health {
    /// It has sent the head of a response. A pause goes on: the response may be older than what led to it.
    pub fn answered(&mut self) {
        *self = Self { is_warm: true, paused_until: self.paused_until, ..Self::default() };
    }

    /// It took a request and broke off, or did not answer in time. The last instance that takes requests is not ejected.
    pub fn failed(&mut self, now: Instant, is_last: bool) -> Verdict {
        // A process that dies closes its connections before the socket that it listens on: what is sent now might be lost.
        self.pause(now + PAUSE);
        self.failures += 1;
        if self.failures < FAILURES_MAX || is_last {
            return Verdict::GoesOn;
        }
        self.failures = 0;
        self.ejections += 1;
        let bound = EJECTION.saturating_mul(self.ejections).min(EJECTION_MAX);
        self.ejected_until = Some(now + bound);
        if self.ejections >= EJECTIONS_MAX { Verdict::Hopeless } else { Verdict::Ejected(bound) }
    }

    /// It took no connection. What was meant for it waits meanwhile, also if there is no other instance.
    pub fn refused(&mut self, now: Instant) {
        let pause = PAUSE.saturating_mul(1 << self.pauses.min(10)).min(PAUSE_MAX);
        self.pauses += 1;
        self.pause(now + pause);
    }

    fn pause(&mut self, until: Instant) {
        self.paused_until = self.paused_until.max(Some(until));
    }

    /// Lets it in again when its time is over.
    pub fn look(&mut self, now: Instant) {
        let is_over = |until: &Instant| now >= *until;
        self.ejected_until.take_if(|until| is_over(until));
        self.paused_until.take_if(|until| is_over(until));
    }

    /// Lets it in again before its time, unless it takes no connections.
    pub fn readmit(&mut self) {
        self.ejected_until = None;
    }

    pub fn is_in(&self) -> bool {
        !self.is_ejected() && self.paused_until.is_none()
    }

    pub fn is_ejected(&self) -> bool {
        self.ejected_until.is_some()
    }

    /// How many of its slots may be used.
    pub fn limit(&self, slots: u32) -> u32 {
        if self.is_warm { slots } else { slots.min(1) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fail(health: &mut Health, now: Instant, times: u32) -> Verdict {
        (0..times).map(|_| health.failed(now, false)).last().expect("at least one")
    }

    fn is_in(health: &mut Health, now: Instant) -> bool {
        health.look(now);
        health.is_in()
    }

    #[test]
    fn one_slot_until_the_first_answer() {
        let mut health = Health::default();
        assert_eq!((health.limit(8), health.limit(0)), (1, 0));
        health.answered();
        assert_eq!(health.limit(8), 8);
    }

    #[test]
    fn ejections_grow_and_a_success_forgives_them() {
        let start = Instant::now();
        let seconds = |n| start + Duration::from_secs(n);
        let mut health = Health::default();
        assert_eq!(fail(&mut health, start, 4), Verdict::GoesOn);
        assert_eq!(fail(&mut health, start, 1), Verdict::Ejected(EJECTION));
        assert!(!is_in(&mut health, seconds(29)) && is_in(&mut health, seconds(30)));
        assert_eq!(fail(&mut health, seconds(30), 5), Verdict::Hopeless);
        assert!(!is_in(&mut health, seconds(89)) && is_in(&mut health, seconds(90)));
        for _ in 0..20 {
            fail(&mut health, start, 5);
        }
        assert!(!is_in(&mut health, seconds(299)) && is_in(&mut health, seconds(300)));
        health.answered();
        assert!(!health.is_ejected());
        assert_eq!(fail(&mut health, start, 5), Verdict::Ejected(EJECTION));
        assert!(!is_in(&mut health, seconds(29)) && is_in(&mut health, seconds(30)));
    }

    #[test]
    fn the_last_one_stays_and_is_ejected_as_soon_as_it_is_not_the_last() {
        let (mut health, now) = (Health::default(), Instant::now());
        for _ in 0..50 {
            assert_eq!(health.failed(now, true), Verdict::GoesOn);
        }
        assert_eq!(health.failed(now, false), Verdict::Ejected(EJECTION));
    }

    #[test]
    fn an_answer_between_failures_starts_the_count_again() {
        let (mut health, now) = (Health::default(), Instant::now());
        for _ in 0..50 {
            fail(&mut health, now, 4);
            health.answered();
        }
        assert!(!health.is_ejected() && !is_in(&mut health, now) && is_in(&mut health, now + PAUSE));
    }

    #[test]
    fn pauses_double_up_to_a_second() {
        let (mut health, mut now) = (Health::default(), Instant::now());
        for pause_ms in [50, 100, 200, 400, 800, 1000, 1000] {
            health.refused(now);
            let end = now + Duration::from_millis(pause_ms);
            assert!(!is_in(&mut health, end - Duration::from_millis(1)), "{pause_ms}");
            assert!(is_in(&mut health, end), "{pause_ms}");
            now = end;
        }
    }
}
