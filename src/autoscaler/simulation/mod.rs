//! A service under load on a virtual clock, with the real `plan` and the real dispatcher: what no single decision shows.
//! The same loads are given to a textbook autoscaler.
//!
//! - `load`: when calls come and how much work they are; `scenarios`: the loads, and what must come of each
//! - `world`: a service that is steered by `plan` or by the `textbook`
//! - `record`: what was seen of it, and the figures; `picture` and `page`: docs/autoscaling-simulated.md
//!
//! A seed determines everything, on every machine. One that fails prints itself; `MSX_SIM_SEED=17 cargo test --bin msx
//! autoscaler::simulation` does the same again. `MSX_PICTURES=1 cargo test --bin msx pictures` draws the pictures and
//! writes the figures of the page anew.

mod load;
mod page;
mod picture;
mod record;
mod scenarios;
mod textbook;
mod world;

use crate::simulation::variable;
use record::Record;
use scenarios::{Scenario, constant, scenarios};
use world::{Rule, World};

/// Of each scenario in a run of the tests; all bounds hold for many more.
const SEEDS: u64 = 4;

fn seeds() -> Vec<u64> {
    variable("MSX_SIM_SEED").map_or((1..=SEEDS).collect(), |seed| vec![seed])
}

fn planned(scenario: &Scenario, seed: u64) -> Record {
    World::new(scenario, Rule::plan(), seed).run()
}

fn by_textbook(scenario: &Scenario, seed: u64) -> Record {
    World::new(scenario, Rule::textbook(), seed).run()
}

/// What is wrong with a run that `plan` steered.
fn faults(scenario: &Scenario, record: &Record) -> Vec<String> {
    let (figures, bounds, min) = (record.figures(), scenario.bounds, scenario.policy.instances.min);
    let offered: u64 = record.seconds.iter().map(|second| u64::from(second.offered)).sum();
    let last = record.seconds.last().map(|second| second.ready + second.starting + second.draining);
    let checks = [
        (f64::from(figures.peak) <= bounds.peak * f64::from(scenario.need), "too many instances"),
        (figures.p99_s <= bounds.p99_s, "calls waited too long"),
        (figures.turns <= bounds.turns, "it swings"),
        (record.refused as f64 <= bounds.refused * offered as f64, "too many calls were refused"),
        (last == Some(min), "it did not come back to its minimum"),
        (record.died == 0 || !scenario.outages.is_empty(), "calls died with their instance"),
        (record.left == 0, "calls were left over"),
        (record.completed + record.refused + record.died == offered, "calls were lost"),
    ];
    checks.iter().filter(|(holds, _)| !holds).map(|(_, fault)| (*fault).to_owned()).collect()
}

#[track_caller]
fn assert_holds(scenario: &Scenario, seed: u64) {
    let record = planned(scenario, seed);
    let faults = faults(scenario, &record);
    assert!(
        faults.is_empty(),
        "{}, seed {seed}: {faults:?}\n{:?}\nsteps: {:?}\nagain: MSX_SIM_SEED={seed} cargo test --bin msx autoscaler::simulation",
        scenario.name,
        record.figures(),
        record.steps
    );
}

/// A busy instance is never stopped for it: the world looks at each one that is stopped.
#[test]
fn every_load_is_carried_without_swings_and_without_too_many() {
    std::thread::scope(|scope| {
        for scenario in scenarios() {
            scope.spawn(move || seeds().into_iter().for_each(|seed| assert_holds(&scenario, seed)));
        }
    });
}

/// Whatever its rate: once it has settled, it is at most a quarter off, or three instances.
#[test]
fn a_constant_load_is_left_alone() {
    for (rate, need) in [(1.0, 1), (4.0, 2), (8.0, 3), (20.0, 8), (50.0, 18)] {
        for seed in seeds() {
            let record = planned(&constant(rate, need), seed);
            let settled = &record.seconds[300..1800];
            let instances = || settled.iter().map(|second| second.ready + second.starting);
            let (fewest, most) = (instances().min().unwrap(), instances().max().unwrap());
            let off = (need / 4).max(3);
            assert!(
                need.saturating_sub(off) <= fewest && most <= need + off,
                "{rate}/s, seed {seed}: {fewest} to {most} of {need}: {:?}",
                record.steps
            );
        }
    }
}
