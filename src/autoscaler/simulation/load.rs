//! What a scenario does to its service: when calls come, and how much work each is.

use crate::simulation::random::Random;

/// How the rate of calls changes, in phases that follow each other.
#[derive(Clone, Debug, Default)]
pub struct Load {
    phases: Vec<Phase>,
    /// Time and number of calls that come at once.
    pub bursts: Vec<(f64, usize)>,
}

#[derive(Clone, Copy, Debug)]
struct Phase {
    seconds: f64,
    from: f64,
    to: f64,
}

impl Load {
    pub fn steady(self, seconds: f64, rate: f64) -> Self {
        self.ramp(seconds, rate, rate)
    }

    pub fn ramp(mut self, seconds: f64, from: f64, to: f64) -> Self {
        self.phases.push(Phase { seconds, from, to });
        self
    }

    pub fn square(self, half_s: f64, waves: usize, high: f64, low: f64) -> Self {
        (0..waves).fold(self, |load, _| load.steady(half_s, high).steady(half_s, low))
    }

    pub fn burst(mut self, calls: usize) -> Self {
        self.bursts.push((self.seconds(), calls));
        self
    }

    pub fn seconds(&self) -> f64 {
        self.phases.iter().map(|phase| phase.seconds).sum()
    }

    fn rate_max(&self) -> f64 {
        self.phases.iter().map(|phase| phase.from.max(phase.to)).fold(0.0, f64::max)
    }

    fn rate_at(&self, time_s: f64) -> f64 {
        let mut since_s = time_s;
        for phase in &self.phases {
            if since_s < phase.seconds {
                return phase.from + (phase.to - phase.from) * since_s / phase.seconds;
            }
            since_s -= phase.seconds;
        }
        0.0
    }

    /// When the next call comes: a Poisson process of the highest rate, of which as many are left out as the rate is
    /// lower.
    pub fn next_after(&self, time_s: f64, random: &mut Random) -> f64 {
        let (mut time_s, most, end_s) = (time_s, self.rate_max(), self.seconds());
        while time_s < end_s && most > 0.0 {
            time_s += random.exponential() / most;
            if random.unit() * most < self.rate_at(time_s) {
                return time_s;
            }
        }
        f64::INFINITY
    }
}

/// Seconds of work of one call.
#[derive(Clone, Copy, Debug)]
pub enum Work {
    Same(f64),
    Exponential {
        mean: f64,
    },
    /// Pareto's with exponent 2, the mean of which is twice the least: its variance has no bound but this one.
    HeavyTail {
        mean: f64,
        most: f64,
    },
}

impl Work {
    pub fn draw(self, random: &mut Random) -> f64 {
        match self {
            Self::Same(seconds) => seconds,
            Self::Exponential { mean } => mean * random.exponential(),
            Self::HeavyTail { mean, most } => (mean / 2.0 / (1.0 - random.unit()).sqrt()).min(most),
        }
    }
}
