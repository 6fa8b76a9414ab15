//! A service under load on a virtual clock, with the real `plan` and the real dispatcher: what no single decision shows.
//!
//! - `load`: when calls come and how much work they are; `scenarios`: the loads, and what must come of each
//! - `world`: a service that is steered by `plan` or by the `textbook`
//! - `record`: what was seen of it, and the figures
//!
//! A seed determines everything.

mod load;
mod picture;
mod record;
mod scenarios;
mod textbook;
mod world;

use record::Record;
use scenarios::{Scenario, scenarios};
use world::{Rule, World};

fn planned(scenario: &Scenario, seed: u64) -> Record {
    World::new(scenario, Rule::plan(), seed).run()
}

#[test]
fn pictures() {
    for scenario in scenarios() {
        let plan = planned(&scenario, 1);
        let textbook = World::new(&scenario, Rule::textbook(), 1).run();
        std::fs::create_dir_all("/tmp/simulator").unwrap();
        std::fs::write(format!("/tmp/simulator/{}.svg", scenario.name), picture::picture(&scenario, &plan, &textbook)).unwrap();
    }
}

#[test]
fn look() {
    let seeds = crate::simulation::variable("SEEDS").unwrap_or(1);
    for scenario in scenarios().into_iter().filter(|s| {
        std::env::var("ONLY").is_err() || std::env::var("ONLY").unwrap().split(',').any(|o| s.name == o)
    }) {
        for seed in 1..=seeds {
            let start = std::time::Instant::now();
            let record = planned(&scenario, seed);
            println!(
                "{:12} need {:3} plan     {} died {} left {} {:?} in {:?}",
                scenario.name,
                scenario.need,
                record.figures(),
                record.died,
                record.left,
                record.seconds.last().map(|s| s.ready + s.draining),
                start.elapsed()
            );
            if std::env::var("STEPS").is_ok() {
                println!("{:?}", record.steps);
            }
            if std::env::var("BOOK").is_ok() {
                let record = World::new(&scenario, Rule::textbook(), 1).run();
                println!(
                    "{:12} need {:3} textbook {} {:?}",
                    scenario.name,
                    scenario.need,
                    record.figures(),
                    start.elapsed()
                );
            }
        }
    }
}
