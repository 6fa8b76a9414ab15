//! One scenario as a picture: what was offered, and below it what `plan` and the textbook made of it. Text that a
//! browser draws, light or dark as its reader has it.

use std::fmt::Write;

use super::record::{Record, Second, quantiles};
use super::scenarios::Scenario;

const WIDTH: usize = 760;
const LEFT: usize = 52;
const PLOT: usize = 696;
const HEIGHT: usize = 88;
/// From one plot to the next.
const PITCH: usize = 128;
const TOP: usize = 74;

const STYLE: &str = "\
text{font:12px system-ui,-apple-system,'Segoe UI',sans-serif;fill:#1f2328}\
.title{font-size:15px;font-weight:600}.dim{fill:#59636e}.end{text-anchor:end}.mid{text-anchor:middle}\
.grid{stroke:#d1d9e0;fill:none}.line{fill:none;stroke-width:1.5;stroke-linejoin:round}\
.load{stroke:#1f2328}.plan{stroke:#0969da}.book{stroke:#bc4c00}\
.plan-ready{fill:#79b2ec}.book-ready{fill:#e2a480}.starting{fill:#d4a72c}.draining{fill:#c3cad1}\
@media(prefers-color-scheme:dark){text{fill:#e6edf3}.dim{fill:#9198a1}.grid{stroke:#3d444d}\
.load{stroke:#e6edf3}.plan{stroke:#58a6ff}.book{stroke:#f0883e}\
.plan-ready{fill:#2f5d93}.book-ready{fill:#8a5430}.starting{fill:#d29922}.draining{fill:#565d66}}";

/// Values over the width of a plot, each of so many seconds.
type Series = Vec<f64>;

pub fn picture(scenario: &Scenario, plan: &Record, textbook: &Record) -> String {
    let shown_s = (scenario.load.seconds() + scenario.rest_s.min(150.0)) as usize;
    let both = [plan, textbook].map(|record| Seen::new(record, shown_s));
    let [plan, book] = &both;
    let most = |series: fn(&Seen) -> &Series| both.iter().flat_map(series).copied().fold(0.0, f64::max);
    let mut page = Page::new(scenario, shown_s);

    page.plot("calls offered per second", plan.offered.iter().copied().fold(0.0, f64::max));
    page.line("load", &plan.offered);
    let instances = most(|seen| &seen.instances[2]);
    for (name, class, seen) in
        [("instances, by msx", "plan", plan), ("instances, by the textbook", "book", book)]
    {
        page.plot(name, instances);
        let [ready, starting, draining] = &seen.instances;
        page.area("draining", draining);
        page.area("starting", starting);
        page.area(&format!("{class}-ready"), ready);
    }
    for (name, series) in [
        ("calls waiting", (|seen| &seen.queued) as fn(&Seen) -> &Series),
        ("p99 of the wait of calls that got a slot, seconds", |seen| &seen.waited),
    ] {
        page.plot(name, most(series));
        page.line("book", series(book));
        page.line("plan", series(plan));
    }
    page.end()
}

/// What a record shows, thinned out to what a picture can show.
struct Seen {
    offered: Series,
    /// Ready ones; with those that start; with those that leave, too.
    instances: [Series; 3],
    queued: Series,
    waited: Series,
}

impl Seen {
    fn new(record: &Record, shown_s: usize) -> Self {
        let seconds = &record.seconds[..shown_s.min(record.seconds.len())];
        let step = shown_s.div_ceil(PLOT / 2);
        let each = |value: &dyn Fn(&[Second]) -> f64| seconds.chunks(step).map(value).collect::<Series>();
        let last =
            |value: fn(&Second) -> u32| each(&|chunk| chunk.last().map_or(0.0, |at| f64::from(value(at))));
        Self {
            // A single second of a Poisson process is mostly noise.
            offered: smooth(&each(&|chunk| {
                chunk.iter().map(|at| f64::from(at.offered)).sum::<f64>() / chunk.len() as f64
            })),
            instances: [
                last(|at| at.ready),
                last(|at| at.ready + at.starting),
                last(|at| at.ready + at.starting + at.draining),
            ],
            queued: each(&|chunk| chunk.iter().map(|at| at.queued as f64).fold(0.0, f64::max)),
            waited: each(&|chunk| {
                let [p99] = quantiles(chunk.iter().flat_map(|at| &at.waits_s).copied().collect(), [0.99]);
                p99
            }),
        }
    }
}

fn smooth(series: &Series) -> Series {
    let around = |at: usize| &series[at.saturating_sub(2)..(at + 3).min(series.len())];
    (0..series.len()).map(|at| around(at).iter().sum::<f64>() / around(at).len() as f64).collect()
}

struct Page {
    text: String,
    plots: usize,
    /// Of the plot that is drawn now.
    most: f64,
    shown_s: usize,
}

impl Page {
    fn new(scenario: &Scenario, shown_s: usize) -> Self {
        let height = TOP + 5 * PITCH;
        let mut text = String::new();
        let title = &scenario.title;
        let _ = writeln!(
            text,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" role=\"img\">\n\
             <title>{title}</title>\n<style>{STYLE}</style>\n<text class=\"title\" x=\"{LEFT}\" y=\"22\">{title}</text>"
        );
        let mut x = LEFT;
        for (class, name, width) in [
            ("plan-ready", "msx", 60),
            ("book-ready", "textbook", 90),
            ("starting", "starting", 86),
            ("draining", "leaving", 80),
        ] {
            let _ = writeln!(
                text,
                "<rect class=\"{class}\" x=\"{x}\" y=\"34\" width=\"12\" height=\"12\"/><text class=\"dim\" x=\"{}\" y=\"44\">{name}</text>",
                x + 17
            );
            x += width;
        }
        Self { text, plots: 0, most: 0.0, shown_s }
    }

    fn top(&self) -> usize {
        TOP + (self.plots - 1) * PITCH
    }

    /// Begins the next plot.
    fn plot(&mut self, name: &str, most: f64) {
        self.plots += 1;
        self.most = rounded_up(most);
        let (top, middle, bottom) = (self.top(), self.top() + HEIGHT / 2, self.top() + HEIGHT);
        let _ = writeln!(
            self.text,
            "<text x=\"{LEFT}\" y=\"{}\">{name}</text><path class=\"grid\" d=\"M{LEFT} {top}h{PLOT}M{LEFT} {middle}h{PLOT}M{LEFT} {bottom}h{PLOT}\"/>",
            top - 7
        );
        for (y, value) in [(top, self.most), (middle, self.most / 2.0), (bottom, 0.0)] {
            let _ = writeln!(
                self.text,
                "<text class=\"dim end\" x=\"{}\" y=\"{}\">{value}</text>",
                LEFT - 6,
                y + 4
            );
        }
        self.times(bottom + 15);
    }

    fn times(&mut self, y: usize) {
        let step = rounded_up(self.shown_s as f64 / 10.0) as usize;
        for seconds in (0..=self.shown_s).step_by(step) {
            let x = LEFT + seconds * PLOT / self.shown_s;
            let _ = write!(self.text, "<text class=\"dim mid\" x=\"{x}\" y=\"{y}\">{seconds} s</text>");
        }
        self.text.push('\n');
    }

    fn y(&self, value: f64) -> usize {
        self.top() + HEIGHT - (value / self.most * HEIGHT as f64).round() as usize
    }

    fn x(at: usize, length: usize) -> usize {
        LEFT + at * PLOT / length
    }

    fn line(&mut self, class: &str, series: &Series) {
        let mut path = format!("M{LEFT} {}", self.y(series[0]));
        let heights: Vec<usize> = series.iter().map(|value| self.y(*value)).collect();
        for at in 1..heights.len() {
            // What lies between two of the same height is drawn by the last of them.
            if heights[at] != heights[at - 1] || heights.get(at + 1) != Some(&heights[at]) {
                let _ = write!(path, "L{} {}", Self::x(at, series.len()), heights[at]);
            }
        }
        let _ = writeln!(self.text, "<path class=\"line {class}\" d=\"{path}\"/>");
    }

    /// In steps, down to the ground.
    fn area(&mut self, class: &str, series: &Series) {
        let bottom = self.top() + HEIGHT;
        let (mut path, mut height) = (format!("M{LEFT} {bottom}"), bottom);
        for (at, value) in series.iter().enumerate() {
            let y = self.y(*value);
            if y != height {
                let _ = write!(path, "H{}V{y}", Self::x(at, series.len()));
                height = y;
            }
        }
        let _ = writeln!(self.text, "<path class=\"{class}\" d=\"{path}H{}V{bottom}Z\"/>", LEFT + PLOT);
    }

    fn end(mut self) -> String {
        self.text.push_str("</svg>\n");
        self.text
    }
}

/// The next number that reads well.
fn rounded_up(value: f64) -> f64 {
    let mut power = 1.0;
    loop {
        for digit in [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0] {
            if digit * power >= value {
                return digit * power;
            }
        }
        power *= 10.0;
    }
}
