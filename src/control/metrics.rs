//! `GET /metrics` of the control API: numbers for Prometheus, in its text format.

use std::fmt::{Display, Write};

use super::status::{Measurements, Reporter};
use crate::core::ServiceReport;
use crate::protocol::control::InstanceState;
use crate::registry::ServiceEntry;

/// Media type of the format.
pub const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

const STATES: [(InstanceState, &str); 6] = [
    (InstanceState::Starting, "starting"),
    (InstanceState::Ready, "ready"),
    (InstanceState::Draining, "draining"),
    (InstanceState::Backoff, "backoff"),
    (InstanceState::Crashloop, "crashloop"),
    (InstanceState::Stopped, "stopped"),
];

impl Reporter {
    pub async fn metrics(&self) -> String {
        let reports = self.shard.report().await;
        let snapshot = self.registry.snapshot();
        let measured = self.measurements.lock();
        let known = snapshot.services.iter().filter_map(|service| {
            let report = reports.iter().find(|report| report.service == service.id)?;
            Some(Seen { service, report, measured: &measured })
        });
        let mut text = render(&known.collect::<Vec<_>>());
        let mut hub = Family::new(&mut text, "msx_hub_uptime_seconds", "gauge", "Since the hub started.");
        hub.add("", self.uptime().as_secs_f64());
        let mut hub = Family::new(&mut text, "msx_hub_memory_bytes", "gauge", "Resident memory of the hub.");
        hub.add("", super::status::own_memory_bytes());
        text
    }
}

/// All that is known of one service.
struct Seen<'a> {
    service: &'a ServiceEntry,
    report: &'a ServiceReport,
    measured: &'a Measurements,
}

/// Name, kind, help, and the value of one service; without a value it has no line.
type Simple = (&'static str, &'static str, &'static str, fn(&Seen) -> Option<f64>);

const SIMPLE: [Simple; 14] = [
    ("msx_calls_offered_total", "counter", "Calls that asked for a slot, refused ones included.", |seen| {
        Some(seen.report.meter.offered as f64)
    }),
    ("msx_calls_completed_total", "counter", "Calls that ended.", |seen| {
        Some(seen.report.meter.completed as f64)
    }),
    ("msx_slot_seconds_total", "counter", "Time that calls held slots.", |seen| {
        Some(seen.report.busy_total.as_secs_f64())
    }),
    ("msx_queue", "gauge", "Calls that wait for a slot.", |seen| Some(seen.report.queued as f64)),
    ("msx_running", "gauge", "Calls that hold a slot.", |seen| Some(seen.report.busy as f64)),
    ("msx_parked", "gauge", "Calls that wait for other calls in an instance.", |seen| {
        Some(seen.report.suspended as f64)
    }),
    ("msx_paused", "gauge", "1 while it is paused.", |seen| {
        Some(f64::from(u8::from(seen.report.hold.is_some())))
    }),
    ("msx_instances_wanted", "gauge", "Instances that there should be.", |seen| {
        Some(f64::from(seen.service.desired))
    }),
    ("msx_slots", "gauge", "Slots of one instance.", |seen| Some(f64::from(seen.service.spec.slots))),
    ("msx_restarts", "gauge", "Times that the instances there are ended unasked.", |seen| {
        Some(seen.service.instances.iter().map(|instance| f64::from(instance.restarts)).sum())
    }),
    ("msx_call_slot_seconds", "gauge", "Slot time of one call, over the last minute.", |seen| {
        Some(seen.measured.loads.get(&seen.service.id)?.call_time?.as_secs_f64())
    }),
    ("msx_calls_offered_per_second", "gauge", "Over the last 6 s.", |seen| {
        Some(seen.measured.loads.get(&seen.service.id)?.offered_per_s)
    }),
    ("msx_cpu_cores", "gauge", "Cores that its instances use.", |seen| seen.sum(|measured| measured.cpu)),
    ("msx_memory_bytes", "gauge", "Resident memory of its instances.", |seen| {
        seen.sum(|measured| measured.memory_bytes.map(|bytes| bytes as f64))
    }),
];

impl Seen<'_> {
    fn sum(&self, figure: impl Fn(&super::status::Measured) -> Option<f64>) -> Option<f64> {
        let instances = self.service.instances.iter();
        let measured = instances.filter_map(|instance| self.measured.instances.get(&instance.id));
        measured.filter_map(figure).reduce(|sum, more| sum + more)
    }

    fn label(&self) -> String {
        format!("service={}", quoted(self.service.spec.name.as_str()))
    }
}

fn render(all: &[Seen]) -> String {
    let mut text = String::new();
    for (name, kind, help, value) in SIMPLE {
        let mut family = Family::new(&mut text, name, kind, help);
        for seen in all {
            value(seen).into_iter().for_each(|value| family.add(&seen.label(), value));
        }
    }
    let mut refused = Family::new(
        &mut text,
        "msx_calls_refused_total",
        "counter",
        "Calls that were not run, by x-msx-reason.",
    );
    for seen in all {
        for (reason, count) in seen.report.refused.by_word() {
            refused.add(&format!("{},reason=\"{reason}\"", seen.label()), count);
        }
    }
    let mut instances = Family::new(&mut text, "msx_instances", "gauge", "Instances, by their state.");
    for seen in all {
        for (state, word) in STATES {
            let count = seen.service.instances.iter().filter(|instance| instance.state == state).count();
            instances.add(&format!("{},state=\"{word}\"", seen.label()), count);
        }
    }
    let mut latency = Family::new(
        &mut text,
        "msx_call_seconds",
        "gauge",
        "From accepted to answered, over the last minute.",
    );
    for seen in all {
        for (quantile, ms) in [("0.5", seen.report.p50_ms), ("0.99", seen.report.p99_ms)] {
            let labels = format!("{},quantile=\"{quantile}\"", seen.label());
            ms.into_iter().for_each(|ms| latency.add(&labels, ms / 1000.0));
        }
    }
    text
}

/// The lines of one metric.
struct Family<'a> {
    text: &'a mut String,
    name: &'static str,
}

impl<'a> Family<'a> {
    fn new(text: &'a mut String, name: &'static str, kind: &str, help: &str) -> Self {
        // Writing to a string cannot fail; nor can it below.
        let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
        Self { text, name }
    }

    fn add(&mut self, labels: &str, value: impl Display) {
        let name = self.name;
        let _ = match labels {
            "" => writeln!(self.text, "{name} {value}"),
            labels => writeln!(self.text, "{name}{{{labels}}} {value}"),
        };
    }
}

fn quoted(value: &str) -> String {
    format!("\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_is_quoted() {
        assert_eq!(quoted("m.a"), "\"m.a\"");
        assert_eq!(quoted("a\\b\"c\nd"), "\"a\\\\b\\\"c\\nd\"");
    }

    #[test]
    fn a_family_has_its_head_and_its_lines() {
        let mut text = String::new();
        let mut family = Family::new(&mut text, "msx_queue", "gauge", "Calls that wait.");
        family.add("service=\"m.a\"", 3);
        family.add("", 0.5);
        let expected = "\
# HELP msx_queue Calls that wait.
# TYPE msx_queue gauge
msx_queue{service=\"m.a\"} 3
msx_queue 0.5
";
        assert_eq!(text, expected);
    }
}
