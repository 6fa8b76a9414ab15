//! `msx trace`

use clap::Args;

use super::calls::status_style;
use super::terminal::{Paint, Style, Terminal, print_json, print_line};
use super::{session, units};
use crate::failure::Failure;
use crate::protocol::calls::{BatchInfo, IdRequest, Trace as Answer, TraceCall};

const EXAMPLES: &str = "\
Signs in the timeline:
  ░  waits for a slot    █  runs    ·  parked: waits for other calls, and holds nothing

Examples:
  msx trace 9k2m4xq7        the whole tree
  msx trace 9k2m4xq7.0      what is below one of its calls
  msx trace 9k2m --json | jq '.calls[] | {id, service, started_s}'";

/// Show the course of a call and of all calls that it made.
///
/// While it goes on and afterwards: of calls that made others, the last 1,000 are remembered, each with at most 4,096 calls.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct Trace {
    /// The call, from `msx calls`.
    id: String,

    /// Print everything as JSON.
    #[arg(long)]
    json: bool,
}

impl Trace {
    pub fn run(self, terminal: &Terminal) -> Result<(), Failure> {
        let client = session::hub()?;
        let request = IdRequest { id: self.id };
        let trace = session::request("", client.trace(&request))?;
        if self.json {
            return print_json(&trace);
        }
        print_line(&text(&trace, terminal.stdout, terminal.width.unwrap_or(WIDTH)))
    }
}

/// Columns where stdout is not a terminal.
const WIDTH: usize = 100;
/// A timeline has at least so many.
const LINE_MIN: usize = 20;
/// What stands before it has at most so many.
const LABEL_MAX: usize = 44;
const TIME: usize = 8;

fn text(trace: &Answer, paint: Paint, width: usize) -> String {
    let layout = Layout::of(trace, width);
    let mut lines = vec![paint.apply(Style::Heading, &layout.heading(trace.took_s))];
    lines.extend(trace.calls.iter().map(|call| layout.row(call, trace.took_s, paint)));
    if trace.lost > 0 {
        let lost = format!("… and {} more calls or waits, which were not kept", trace.lost);
        lines.push(paint.apply(Style::Faint, &lost));
    }
    lines.join("\n")
}

/// How wide the columns are whose width depends on the calls.
struct Layout {
    label: usize,
    instance: usize,
    timeline: usize,
}

impl Layout {
    fn of(trace: &Answer, width: usize) -> Self {
        let labels = trace.calls.iter().map(|call| label(call).chars().count());
        let label = labels.max().unwrap_or(0).clamp(4, LABEL_MAX);
        let instances = trace.calls.iter().map(|call| instance(call).chars().count());
        let instance = instances.max().unwrap_or(0).max("INSTANCE".len());
        let timeline = width.saturating_sub(label + instance + TIME + 6).max(LINE_MIN);
        Self { label, instance, timeline }
    }

    fn heading(&self, total: f64) -> String {
        let (label, instance) = (padded("CALL", self.label), padded("INSTANCE", self.instance));
        format!("{label}  {instance}  {:>TIME$}  {}", "TIME", scale(&units::span(total), self.timeline))
    }

    fn row(&self, call: &TraceCall, total: f64, paint: Paint) -> String {
        let (label, instance) = (padded(&label(call), self.label), padded(instance(call), self.instance));
        let time = units::span(call.ended_s.unwrap_or(total.max(call.queued_s)) - call.queued_s);
        let timeline = paint.apply(status_style(call.status), &timeline(call, total, self.timeline));
        format!("{label}  {instance}  {time:>TIME$}  {timeline}").trim_end().to_owned()
    }
}

fn instance(call: &TraceCall) -> &str {
    call.instance.as_deref().unwrap_or("-")
}

/// `  .0.3 shop.order raised: order 17`, further in the deeper it is.
fn label(call: &TraceCall) -> String {
    let id = match (call.depth, call.id.rsplit_once('.')) {
        (0, _) | (_, None) => call.id.clone(),
        (depth, Some((_, seq))) => format!("{}.{seq}", "  ".repeat(depth.min(10) as usize)),
    };
    let status = if call.status.as_str() == "returned" { "" } else { call.status.as_str() };
    let batch = || call.batch.as_ref().map(BatchInfo::text);
    let summary = call.summary.clone().or_else(batch).unwrap_or_default();
    let words = [id.as_str(), call.service.as_str(), status, &summary];
    let words: Vec<&str> = words.into_iter().filter(|word| !word.is_empty()).collect();
    words.join(" ")
}

/// As long as `room`, cut if it must be.
fn padded(text: &str, room: usize) -> String {
    match text.chars().count() > room {
        true => text.chars().take(room - 1).chain(['…']).collect(),
        false => format!("{text:room$}"),
    }
}

/// `0 ────── 1.2 s`
fn scale(total: &str, columns: usize) -> String {
    let line = columns.saturating_sub(total.chars().count() + 4);
    format!("0 {} {total}", "─".repeat(line.max(1)))
}

/// What the call did in each part of the time. Where it did several things in one part, what holds most counts.
fn timeline(call: &TraceCall, total: f64, columns: usize) -> String {
    let column = |at: f64| ((at / total.max(1e-9)) * columns as f64) as usize;
    let end = call.ended_s.unwrap_or(total);
    let mut line = vec![' '; columns];
    let mut draw = |from: f64, to: f64, sign: char| {
        let from = column(from).min(columns - 1);
        line[from..column(to).clamp(from + 1, columns)].fill(sign);
    };
    let started = call.started_s.unwrap_or(end);
    if started > call.queued_s {
        draw(call.queued_s, started, '░');
    }
    if call.started_s.is_some() {
        draw(started, end, '█');
    }
    for wait in &call.waits {
        let resumed = wait.resumed_s.unwrap_or(end);
        let over = wait.over_s.unwrap_or(resumed);
        for (from, to, sign) in [(wait.parked_s, over, '·'), (over, resumed, '░')] {
            // Too short to be seen, it must not hide what the call did.
            if column(to) > column(from) {
                draw(from, to, sign);
            }
        }
    }
    line.into_iter().collect::<String>().trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::calls::{CallStatus, TraceWait};

    fn call(id: &str, depth: u32, [queued_s, started_s, ended_s]: [f64; 3]) -> TraceCall {
        TraceCall {
            id: id.to_owned(),
            service: "s.f".to_owned(),
            instance: Some("f-1".to_owned()),
            status: CallStatus::Returned,
            depth,
            queued_s,
            started_s: Some(started_s),
            ended_s: Some(ended_s),
            waits: Vec::new(),
            summary: None,
            batch: None,
        }
    }

    #[test]
    fn parked_time_is_a_gap() {
        let waits = vec![TraceWait { parked_s: 2.0, over_s: Some(7.0), resumed_s: Some(8.0) }];
        let root = TraceCall { waits, summary: Some("order 17".into()), ..call("ab", 0, [0.0, 1.0, 10.0]) };
        let child = TraceCall { status: CallStatus::Raised, ..call("ab.0", 1, [2.0, 3.0, 7.0]) };
        let never = TraceCall { started_s: None, instance: None, ..call("ab.1", 1, [9.0, 0.0, 10.0]) };
        let trace = Answer { age_s: 60.0, took_s: 10.0, calls: vec![root, child, never], lost: 2 };
        let expected = "\
CALL             INSTANCE      TIME  0 ──────────── 10 s
ab s.f order 17  f-1           10 s  ░░██··········░░████
  .0 s.f raised  f-1          5.0 s      ░░████████
  .1 s.f         -            1.0 s                    ░░
… and 2 more calls or waits, which were not kept";
        assert_eq!(text(&trace, Paint::Off, 57), expected);
    }

    #[test]
    fn every_width_and_every_time_can_be_drawn() {
        for width in [0, 1, 30, 80, 300] {
            for total in [0.0, 1e-6, 1.0, 1e6] {
                let calls =
                    vec![call("ab", 0, [0.0, total / 2.0, total]), call("ab.0", 1, [total, total, total])];
                let trace = Answer { age_s: total, took_s: total, calls, lost: 0 };
                let lines = text(&trace, Paint::Off, width);
                assert!(lines.lines().all(|line| line.chars().count() <= width.max(60)), "{width}: {lines}");
            }
        }
    }
}
