use std::time::{Duration, Instant};

use proptest::prelude::*;

use crate::supervisor::restarts::{Restarts, Verdict};

const SECOND: Duration = Duration::from_secs(1);

fn backoff_ms(ms: u64) -> Verdict {
    Verdict::Backoff(Duration::from_millis(ms))
}

const CRASHLOOP: Verdict = Verdict::Crashloop(Duration::from_secs(30));

#[test]
fn the_delay_doubles_up_to_its_bound() {
    let (mut restarts, start) = (Restarts::default(), Instant::now());
    // Far enough apart to be no crash loop.
    let mut exited = |n: u32| restarts.exited(start + n * 20 * SECOND, Some(SECOND), 0.0);
    let delays: Vec<Verdict> = (0..11).map(&mut exited).collect();
    let expected = [100, 200, 400, 800, 1_600, 3_200, 6_400, 12_800, 25_600, 30_000, 30_000];
    assert_eq!(delays, expected.map(backoff_ms));
}

#[test]
fn the_dice_change_the_delay_by_a_quarter_at_most() {
    let delay = |jitter| Restarts::default().exited(Instant::now(), None, jitter);
    assert_eq!(delay(-1.0), backoff_ms(75));
    assert_eq!(delay(1.0), backoff_ms(125));
    assert_eq!(delay(7.0), backoff_ms(125));
}

#[test]
fn ten_seconds_ready_forget_the_past() {
    let (mut restarts, start) = (Restarts::default(), Instant::now());
    for n in 0..4 {
        restarts.exited(start + n * SECOND, None, 0.0);
    }
    assert_eq!(restarts.exited(start + 14 * SECOND, Some(10 * SECOND), 0.0), backoff_ms(100));
    assert_eq!(restarts.exited(start + 15 * SECOND, None, 0.0), backoff_ms(200));
}

#[test]
fn five_early_exits_within_a_minute_are_a_crash_loop() {
    let (mut restarts, start) = (Restarts::default(), Instant::now());
    for n in 0..4 {
        let verdict = restarts.exited(start + n * 15 * SECOND, Some(9 * SECOND), 0.0);
        assert!(matches!(verdict, Verdict::Backoff(_)), "exit {n}: {verdict:?}");
    }
    assert!(!restarts.is_looping());
    assert_eq!(restarts.exited(start + 60 * SECOND, None, 0.0), CRASHLOOP);
    assert!(restarts.is_looping());
}

#[test]
fn five_early_exits_over_more_than_a_minute_are_not() {
    let (mut restarts, start) = (Restarts::default(), Instant::now());
    for n in 0..20 {
        let verdict = restarts.exited(start + n * 16 * SECOND, Some(SECOND), 0.0);
        assert!(matches!(verdict, Verdict::Backoff(_)), "exit {n}: {verdict:?}");
    }
}

#[test]
fn five_starts_in_a_row_that_fail_are_a_crash_loop_however_slowly() {
    let (mut restarts, start) = (Restarts::default(), Instant::now());
    let mut exited = |n: u32, ready_for| restarts.exited(start + n * 65 * SECOND, ready_for, 0.0);
    for n in 0..4 {
        assert!(matches!(exited(n, None), Verdict::Backoff(_)), "exit {n}");
    }
    assert!(matches!(exited(4, Some(SECOND)), Verdict::Backoff(_)), "one that was ready begins a new row");
    for n in 5..9 {
        assert!(matches!(exited(n, None), Verdict::Backoff(_)), "exit {n}");
    }
    assert_eq!(exited(9, None), CRASHLOOP);
}

#[test]
fn a_crash_loop_lasts_until_an_instance_proves_itself() {
    let (mut restarts, start) = (Restarts::default(), Instant::now());
    for _ in 0..5 {
        restarts.exited(start, None, 0.0);
    }
    for n in 1..5 {
        assert_eq!(restarts.exited(start + n * 31 * SECOND, Some(SECOND), 0.0), CRASHLOOP);
    }
    assert_eq!(restarts.exited(start + 500 * SECOND, Some(60 * SECOND), 0.0), backoff_ms(100));
    assert!(!restarts.is_looping());
}

proptest! {
    #[test]
    fn delays_stay_within_their_bounds(
        exits in proptest::collection::vec((0_u64..100_000, proptest::option::of(0_u64..20_000), -1.0..=1.0), 1..60)
    ) {
        let (mut restarts, mut now) = (Restarts::default(), Instant::now());
        for (pause_ms, ready_ms, jitter) in exits {
            now += Duration::from_millis(pause_ms);
            let delay = restarts.exited(now, ready_ms.map(Duration::from_millis), jitter).delay().expect("it is started again");
            prop_assert!(delay >= Duration::from_millis(75) && delay <= Duration::from_secs(30));
        }
    }
}
