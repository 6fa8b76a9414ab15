//! `msx why`

use clap::Args;

use super::calls::status_style;
use super::terminal::{Paint, Style, Terminal, print_json, print_line};
use super::{session, units};
use crate::failure::Failure;
use crate::protocol::calls::{
    CallStatus, IdRequest, PausedInfo, QueueInfo, WaitsFor, Why as Answer, WhyStep,
};

const EXAMPLES: &str = "\
Examples:
  msx why 9k2m4xq7
  msx why 9k2m --json | jq '.chain[-1]'    what it waits for in the end";

/// Show what a call waits for, down to what really runs or stands in a queue.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct Why {
    /// The call, from `msx calls`.
    id: String,

    /// Print everything as JSON.
    #[arg(long)]
    json: bool,
}

impl Why {
    pub fn run(self, terminal: &Terminal) -> Result<(), Failure> {
        let client = session::hub()?;
        let request = IdRequest { id: self.id };
        let why = session::request("", client.why(&request))?;
        if self.json {
            return print_json(&why);
        }
        print_line(&text(&why, terminal.stdout))
    }
}

fn text(why: &Answer, paint: Paint) -> String {
    let lines: Vec<String> = why.chain.iter().flat_map(|step| lines(step, paint)).collect();
    lines.join("\n")
}

fn lines(step: &WhyStep, paint: Paint) -> Vec<String> {
    let call = &step.call;
    let summary = call.summary.as_ref().map_or_else(String::new, |text| format!(" ({text})"));
    let status = paint.apply(status_style(call.status), call.status.as_str());
    let place = call.instance.as_ref().map_or_else(String::new, |instance| format!(" in {instance}"));
    let (id, since) = (paint.apply(Style::Heading, &call.id), units::age(call.since_s));
    let mut lines = vec![format!("{id}  {}{summary}: {status}{place} for {since}", call.service)];
    if let Some(batch) = call.batch.as_ref().filter(|_| call.status == CallStatus::Batched) {
        lines.push(format!("  {}:", batch.text()));
    }
    lines.extend(step.waits_for.iter().map(|waits| format!("  waits for {}", awaited(waits))));
    lines.extend(step.paused.iter().flat_map(|paused| paused_lines(&call.id, paused)));
    lines.extend(step.queue.iter().flat_map(|queue| queue_lines(call.status, queue)));
    lines
}

/// `3 calls (1 running, 2 queued)`
fn awaited(waits: &WaitsFor) -> String {
    let counts: Vec<String> =
        waits.by_status.iter().map(|(status, count)| format!("{count} {}", status.as_str())).collect();
    match (waits.calls, waits.all) {
        (1, _) => "1 call:".to_owned(),
        (calls, true) => format!("{calls} calls ({}); the oldest of them:", counts.join(", ")),
        (calls, false) => format!("one of {calls} calls ({}); the oldest of them:", counts.join(", ")),
    }
}

fn paused_lines(id: &str, paused: &PausedInfo) -> Vec<String> {
    let [before, now] = paused.difference.lines();
    vec![
        format!("  its replay did something else than before{}:", paused.difference.place()),
        format!("    {before}"),
        format!("    {now}"),
        "  make the code ask for the same as before and `msx restart` its service; then".to_owned(),
        format!("  `msx calls retry {id}` replays it; with `--force` it goes on with what it asks for now"),
        format!("  if nobody does, it fails in {}", units::age(paused.left_s)),
    ]
}

fn queue_lines(status: CallStatus, queue: &QueueInfo) -> Vec<String> {
    let (position, queued) = (queue.position, queue.queued);
    let place = match status {
        CallStatus::Resuming => {
            format!("  has its answers, and is number {position} of {queued} that wait there for a slot")
        }
        _ => format!("  number {position} of {queued} in the queue"),
    };
    let slots = match queue.ready {
        0 => "  no instance is ready".to_owned(),
        1 => format!("  {} of {} slots are busy, in one instance", queue.busy, queue.slots),
        ready => format!("  {} of {} slots are busy, in {ready} instances", queue.busy, queue.slots),
    };
    let holders = queue.holders.iter().map(|holder| {
        let what = holder.id.as_deref().unwrap_or("a call that was answered, but whose code goes on");
        format!("    {what} holds one in {} for {}", holder.instance, units::age(holder.for_s))
    });
    let paused = queue.paused.iter().map(|pause| format!("  {}", super::ps::paused(pause)));
    let decision = queue.decision.iter().map(|text| format!("  autoscaler: {text}"));
    [place, slots].into_iter().chain(paused).chain(holders).chain(decision).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::calls::{CallInfo, Holder};
    use crate::protocol::control::Pause;

    fn call(id: &str, status: CallStatus, instance: Option<&str>) -> CallInfo {
        CallInfo {
            id: id.to_owned(),
            service: "shop.order".to_owned(),
            status,
            instance: instance.map(str::to_owned),
            age_s: 12.0,
            since_s: 10.0,
            took_s: None,
            children: 3,
            unfinished: 3,
            summary: None,
            batch: None,
        }
    }

    #[test]
    fn a_chain_ends_in_a_queue() {
        let waits = WaitsFor {
            calls: 3,
            all: true,
            by_status: vec![(CallStatus::Queued, 2), (CallStatus::Running, 1)],
        };
        let holder = Holder { id: None, instance: "a-1".into(), for_s: 70.0 };
        let queue = QueueInfo {
            position: 2,
            queued: 9,
            busy: 1,
            slots: 1,
            ready: 1,
            holders: vec![holder],
            decision: Some("1: the load is 0.9 slots".into()),
            paused: Some(Pause { for_s: 12.0, left_s: 48.0 }),
        };
        let root =
            CallInfo { summary: Some("order 17".into()), ..call("ab", CallStatus::Parked, Some("b-1")) };
        let chain = vec![
            WhyStep { call: root, waits_for: Some(waits), queue: None, paused: None },
            WhyStep {
                call: call("ab.0", CallStatus::Queued, None),
                waits_for: None,
                queue: Some(queue),
                paused: None,
            },
        ];
        let expected = "\
ab  shop.order (order 17): parked in b-1 for 10s
  waits for 3 calls (2 queued, 1 running); the oldest of them:
ab.0  shop.order: queued for 10s
  number 2 of 9 in the queue
  1 of 1 slots are busy, in one instance
  paused for 12s; it goes on by itself in 48s
    a call that was answered, but whose code goes on holds one in a-1 for 1m10s
  autoscaler: 1: the load is 0.9 slots";
        assert_eq!(text(&Answer { chain }, Paint::Off), expected);
    }
}
