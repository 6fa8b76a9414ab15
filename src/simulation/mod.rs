//! What the simulations share: those of the core, of a dispatcher, and of the autoscaler.

pub mod random;

use random::Random;

/// A whole number in the environment, which says what to simulate instead of the usual.
pub fn variable(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is a number, not {text:?}")))
}

/// Other platforms must draw the same pictures: nothing here may depend on a library of mathematics.
#[test]
fn exponential_times_have_their_mean_and_tail() {
    let mut random = Random::new(1);
    let times: Vec<f64> = (0..100_000).map(|_| random.exponential()).collect();
    let mean = times.iter().sum::<f64>() / times.len() as f64;
    let longer = |bound: f64| times.iter().filter(|time| **time > bound).count() as f64 / times.len() as f64;
    assert!((mean - 1.0).abs() < 0.01, "{mean}");
    // e⁻¹ and e⁻³
    assert!((longer(1.0) - 0.3679).abs() < 0.005 && (longer(3.0) - 0.0498).abs() < 0.003);
}
