//! What was seen of a run, second by second, and the figures that follow from it.

use std::fmt;

/// One run of a scenario.
#[derive(Debug, Default, PartialEq)]
pub struct Record {
    pub seconds: Vec<Second>,
    /// Time, from, to.
    pub steps: Vec<(f64, u32, u32)>,
    pub instance_seconds: f64,
    pub completed: u64,
    pub refused: u64,
    /// Calls that ended with the instance they ran in.
    pub died: u64,
    /// Calls that were there at the end.
    pub left: usize,
    current: Second,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Second {
    pub offered: u32,
    pub ready: u32,
    pub starting: u32,
    pub draining: u32,
    pub queued: usize,
    /// Of the calls that got a slot.
    pub waits_s: Vec<f64>,
}

impl Record {
    pub fn offered(&mut self) {
        self.current.offered += 1;
    }

    pub fn waited(&mut self, seconds: f64) {
        self.current.waits_s.push(seconds);
    }

    pub fn decided(&mut self, now_s: f64, from: u32, to: u32) {
        if from != to {
            self.steps.push((now_s, from, to));
        }
    }

    pub fn sample(&mut self, ready: u32, starting: u32, draining: u32, queued: usize) {
        let current = std::mem::take(&mut self.current);
        self.seconds.push(Second { ready, starting, draining, queued, ..current });
    }

    pub fn figures(&self) -> Figures {
        let waits_s = self.seconds.iter().flat_map(|second| &second.waits_s).copied().collect();
        let [p50_s, p99_s] = quantiles(waits_s, [0.5, 0.99]);
        Figures {
            peak: self.peak(),
            p50_s,
            p99_s,
            instance_seconds: self.instance_seconds.round() as u64,
            turns: self.turns(),
            refused: self.refused,
        }
    }

    fn peak(&self) -> u32 {
        self.seconds.iter().map(|second| second.ready + second.starting).max().unwrap_or(0)
    }

    /// How often the direction changed.
    fn turns(&self) -> usize {
        let ups: Vec<bool> = self.steps.iter().map(|(_, from, to)| to > from).collect();
        ups.windows(2).filter(|pair| pair[0] != pair[1]).count()
    }
}

/// The smallest values that these shares of all stay within; 0 of none.
pub fn quantiles<const N: usize>(mut values: Vec<f64>, shares: [f64; N]) -> [f64; N] {
    values.sort_by(f64::total_cmp);
    shares.map(|share| {
        let at = (values.len() as f64 * share).ceil() as usize;
        values.get(at.saturating_sub(1)).copied().unwrap_or(0.0)
    })
}

#[derive(Clone, Debug, PartialEq)]
pub struct Figures {
    /// Most instances at once, those that leave not counted.
    pub peak: u32,
    pub p50_s: f64,
    pub p99_s: f64,
    /// Of all processes, those that leave included.
    pub instance_seconds: u64,
    pub turns: usize,
    pub refused: u64,
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { p50_s, p99_s, instance_seconds, turns, refused, .. } = self;
        write!(f, "{p50_s:.2} s | {p99_s:.2} s | {instance_seconds} | {turns} | {refused}")
    }
}
