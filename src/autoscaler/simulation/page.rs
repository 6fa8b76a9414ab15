//! docs/autoscaling-simulated.md and its pictures are what the code of today makes.

use std::fs;
use std::path::{Path, PathBuf};

use super::picture::picture;
use super::record::Figures;
use super::scenarios::{Scenario, scenarios};
use super::{by_textbook, planned};
use crate::simulation::variable;

const SEED: u64 = 1;
const PAGE: &str = "docs/autoscaling-simulated.md";
const PICTURES: &str = "docs/pictures/autoscaling";
/// Between these lines of the page stand the figures.
const FIGURES: (&str, &str) = ("<!-- figures -->\n", "<!-- end of figures -->\n");

/// What became of one scenario.
struct Outcome {
    scenario: Scenario,
    plan: Figures,
    textbook: Figures,
    picture: String,
}

impl Outcome {
    fn of(scenario: Scenario) -> Self {
        let (plan, textbook) = (planned(&scenario, SEED), by_textbook(&scenario, SEED));
        let picture = picture(&scenario, &plan, &textbook);
        Self { scenario, plan: plan.figures(), textbook: textbook.figures(), picture }
    }

    fn rows(&self) -> String {
        let Scenario { name, need, .. } = &self.scenario;
        let row = |who: &str, figures: &Figures| {
            let share = f64::from(figures.peak) / f64::from(*need);
            format!("{who} | {share:.1} × {need} | {figures} |\n")
        };
        format!("| [{name}](#{name}) | {}| | {}", row("msx", &self.plan), row("textbook", &self.textbook))
    }
}

fn outcomes() -> Vec<Outcome> {
    std::thread::scope(|scope| {
        let runs: Vec<_> = scenarios().into_iter().map(|it| scope.spawn(|| Outcome::of(it))).collect();
        runs.into_iter().map(|run| run.join().unwrap()).collect()
    })
}

fn table(outcomes: &[Outcome]) -> String {
    let head = "| load | steered by | peak, of the need | p50 of the wait | p99 | instance-seconds | turns | refused |\n\
                |---|---|---|---|---|---|---|---|\n";
    head.to_owned() + &outcomes.iter().map(Outcome::rows).collect::<String>()
}

/// The page with these figures in it.
fn with_figures(page: &str, figures: &str) -> String {
    let (before, rest) = page.split_once(FIGURES.0).expect("the page says where its figures begin");
    let (_, after) = rest.split_once(FIGURES.1).expect("the page says where its figures end");
    format!("{before}{}{figures}{}{after}", FIGURES.0, FIGURES.1)
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn the_pictures_and_figures_of_the_page_are_those_of_today() {
    let outcomes = outcomes();
    let page = fs::read_to_string(root().join(PAGE)).unwrap();
    let mut files: Vec<(PathBuf, String)> = vec![(root().join(PAGE), with_figures(&page, &table(&outcomes)))];
    for outcome in &outcomes {
        let name = &outcome.scenario.name;
        assert!(page.contains(&format!("(pictures/autoscaling/{name}.svg)")), "{PAGE} shows {name}");
        files.push((root().join(PICTURES).join(format!("{name}.svg")), outcome.picture.clone()));
    }
    if variable("MSX_PICTURES").is_some() {
        fs::create_dir_all(root().join(PICTURES)).unwrap();
        return files.iter().for_each(|(file, text)| fs::write(file, text).unwrap());
    }
    for (file, text) in files {
        let is_same = fs::read_to_string(&file).is_ok_and(|there| there == text);
        assert!(is_same, "{} has changed: MSX_PICTURES=1 cargo test --bin msx pictures", file.display());
    }
}
