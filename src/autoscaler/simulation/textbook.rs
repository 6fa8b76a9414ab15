//! A textbook autoscaler to compare with: measured concurrency ÷ target concurrency, over a stable and a panic window.
//!
//! The formulas and defaults are those of Knative's KPA as its documentation and its `Scale` function give them
//! (knative/serving, pkg/autoscaler/scaling/autoscaler.go, and the ConfigMap `config-autoscaler`): a stable window of
//! 60 s, of which a tenth is the panic window; a target of 70 % of the container's concurrency; panic from twice the
//! capacity on, during which nothing goes down; at most to half per step down. Its limit of 1,000 × per step up never
//! binds here. It decides every second, as `plan` does, instead of every other second.

use std::collections::VecDeque;

const STABLE_WINDOW_S: usize = 60;
const PANIC_WINDOW_S: usize = 6;
const TARGET_SHARE: f64 = 0.7;
const PANIC_THRESHOLD: f64 = 2.0;
const DOWN_RATE_MAX: f64 = 2.0;

/// What it remembers: one entry per second.
#[derive(Debug, Default)]
pub struct Textbook {
    concurrency: VecDeque<f64>,
    panic: Option<Panic>,
}

#[derive(Debug)]
struct Panic {
    /// Since it last was over the threshold.
    calm_s: usize,
    most: u32,
}

impl Textbook {
    /// How many there should be, after a second in which so many calls were here on average, waiting ones included.
    pub fn desired(&mut self, ready: u32, slots: u32, concurrency: f64) -> u32 {
        self.concurrency.push_front(concurrency);
        self.concurrency.truncate(STABLE_WINDOW_S);
        let (stable, panic) = (self.needed(STABLE_WINDOW_S, slots), self.needed(PANIC_WINDOW_S, slots));
        let ready = f64::from(ready.max(1));
        self.look_for_panic(panic / ready >= PANIC_THRESHOLD);
        let down_to = (ready / DOWN_RATE_MAX).floor();
        let (stable, panicked) = (stable.max(down_to) as u32, panic.max(down_to) as u32);
        match &mut self.panic {
            Some(panic) => {
                panic.most = panic.most.max(stable).max(panicked);
                panic.most
            }
            None => stable,
        }
    }

    fn needed(&self, window_s: usize, slots: u32) -> f64 {
        let seconds = self.concurrency.len().min(window_s);
        let mean = self.concurrency.iter().take(window_s).sum::<f64>() / seconds as f64;
        (mean / (TARGET_SHARE * f64::from(slots))).ceil()
    }

    fn look_for_panic(&mut self, is_over: bool) {
        match &mut self.panic {
            Some(panic) if is_over => panic.calm_s = 0,
            Some(panic) if panic.calm_s < STABLE_WINDOW_S => panic.calm_s += 1,
            Some(_) => self.panic = None,
            None if is_over => self.panic = Some(Panic { calm_s: 0, most: 0 }),
            None => {}
        }
    }
}

#[test]
fn it_is_the_textbooks() {
    let mut textbook = Textbook::default();
    // 7 at once, of 2 × 0.7 each.
    let mut desired = |ready, seconds, concurrency| {
        (0..seconds).map(|_| textbook.desired(ready, 2, concurrency)).last().unwrap()
    };
    assert_eq!(desired(5, 60, 7.0), 5);
    // A second of 80 is 19 over 6 s, and twice the capacity.
    assert_eq!(desired(5, 1, 80.0), 14);
    assert_eq!(desired(14, 60, 0.0), 14, "in panic nothing goes down");
    assert_eq!(desired(14, 1, 0.0), 7, "at most to half");
    assert_eq!(desired(7, 1, 0.0), 3);
}
