//! A dispatcher against a simple model of itself: a seed makes a service and everything that happens to it (calls that come,
//! wait for others, are sent ahead and given back, batches, instances that start, drain and die), and after each event
//! every call that gets a slot must be the one that the model would take, on an instance that it would choose.
//!
//! - `model`: calls, instances and where each call is, as lists without any order of their own; what is right
//! - `bench`: one seed's events, each done to the dispatcher and to the model
//! - `batches`: the same for a service that runs its calls in batches
//!
//! A failing seed prints itself; `MSX_SIM_SEED=17 cargo test --bin msx balancer::simulation` does the same again.

mod batches;
mod bench;
mod model;

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::simulation::variable;

/// In each run of the tests.
const SEEDS: u64 = 3_000;
const STEPS: u32 = 150;

/// Runs these for many seeds, or for the one of the environment; answers what they counted, all together.
fn each_seed<const N: usize>(run: impl Fn(u64) -> [u64; N]) -> [u64; N] {
    let seeds = variable("MSX_SIM_SEED").map_or(1..SEEDS + 1, |seed| seed..seed + 1);
    let mut total = [0; N];
    for seed in seeds {
        let counted = catch_unwind(AssertUnwindSafe(|| run(seed)));
        let Ok(counted) = counted else {
            panic!(
                "seed {seed} failed; again: MSX_SIM_SEED={seed} cargo test --bin msx balancer::simulation"
            );
        };
        total.iter_mut().zip(counted).for_each(|(total, counted)| *total += counted);
    }
    total
}

#[test]
fn who_gets_a_slot_is_who_should() {
    let seen = each_seed(|seed| bench::Bench::new(seed).run(STEPS));
    let is_usual = variable("MSX_SIM_SEED").is_none();
    assert!(
        !is_usual || seen.iter().all(|count| *count > SEEDS / 10),
        "each of these happens often: {seen:?}"
    );
}

#[test]
fn batches_take_what_waits_in_its_order_when_they_are_due() {
    let seen = each_seed(|seed| batches::Bench::new(seed).run(STEPS));
    let is_usual = variable("MSX_SIM_SEED").is_none();
    assert!(
        !is_usual || seen.iter().all(|count| *count > SEEDS / 10),
        "each of these happens often: {seen:?}"
    );
}
