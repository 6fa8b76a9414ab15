//! `msx ps`

use clap::Args;
use jiff::Timestamp;

use super::table::{Align, Cell, Table};
use super::terminal::{Style, Terminal, print_json, print_line};
use super::{session, units};
use crate::failure::Failure;
use crate::protocol::control::{HubStatus, InstanceState, InstanceStatus, Pause, ServiceStatus, Status};

const EXAMPLES: &str = "\
Columns of a service:
  READY      instances that serve / instances wanted     SUSPENDED  calls that wait for another call
  QUEUE      calls that wait for a slot                  P50, P99   time from accepted to answered, last 60 s
Columns of an instance:
  BUSY       running calls / slots                       PARKED     calls that keep their place while suspended

Examples:
  msx ps --why                                     with the decisions of the autoscaler
  msx ps --json | jq '.services[] | {name, queue}'";

/// Show what runs and how it is doing.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct Ps {
    /// Print everything as JSON.
    #[arg(long)]
    json: bool,

    /// Add why each service has as many instances as it has.
    #[arg(long)]
    why: bool,
}

impl Ps {
    pub fn run(self, terminal: &Terminal) -> Result<(), Failure> {
        let client = session::hub()?;
        let status = session::request("", client.status())?;
        if self.json {
            return print_json(&status);
        }
        print_line(&table(&status, self.why).render(terminal.stdout, terminal.width).join("\n"))
    }
}

const COLUMNS: [Align; 10] = {
    use Align::{Left, Right};
    [Left, Left, Right, Right, Right, Right, Right, Right, Right, Left]
};
const SERVICE: [&str; 10] =
    ["SERVICE", "READY", "QUEUE", "SUSPENDED", "P50", "P99", "REQ/S", "CPU", "MEMORY", "ADDRESS"];
const INSTANCE: [&str; 10] =
    ["  INSTANCE", "STATE", "AGE", "RESTARTS", "BUSY", "PARKED", "REQ/S", "CPU", "MEMORY", "PID"];

fn table(status: &Status, why: bool) -> Table {
    let mut table = Table::new(COLUMNS);
    table.line(Cell::styled(Style::Faint, hub_line(&status.project, &status.hub)));
    table.row(SERVICE.map(|name| Cell::styled(Style::Heading, name)));
    table.row(INSTANCE.map(|name| Cell::styled(Style::Faint, name)));
    for service in &status.services {
        add_service(&mut table, service, why);
    }
    if status.services.is_empty() {
        table.line(Cell::plain("no services"));
    }
    table
}

fn hub_line(project: &str, hub: &HubStatus) -> String {
    format!(
        "{project}: hub {}, pid {}, up {}, {}, gateway {}",
        hub.version,
        hub.pid,
        units::age(hub.age_s),
        units::bytes(hub.memory_bytes),
        hub.gateway
    )
}

fn add_service(table: &mut Table, service: &ServiceStatus, why: bool) {
    table.row(service_row(service));
    if let Some(pause) = &service.paused {
        table.line(Cell::styled(Style::Warning, format!("    {}", paused(pause))));
    }
    if why {
        add_reasons(table, service);
    }
    for instance in &service.instances {
        table.row(instance_row(service, instance));
        for line in instance.reason.iter().flat_map(|reason| reason.lines()) {
            table.line(Cell::styled(Style::Warning, format!("      {line}")));
        }
    }
}

fn service_row(service: &ServiceStatus) -> [Cell; 10] {
    let is_well = |i: &&InstanceStatus| matches!(i.state, InstanceState::Ready | InstanceState::Completed);
    let ready = service.instances.iter().filter(is_well).count();
    let ready_style = if ready >= service.desired as usize { Style::Good } else { Style::Warning };
    let latency = |ms: Option<f64>| Cell::plain(ms.map_or("-".into(), units::millis));
    [
        Cell::styled(Style::Heading, display_name(service)),
        Cell::styled(ready_style, format!("{ready}/{}", service.desired)),
        Cell::plain(service.queue.to_string()),
        Cell::plain(service.suspended.to_string()),
        latency(service.p50_ms),
        latency(service.p99_ms),
        Cell::plain(units::rate(service.rate)),
        Cell::plain(total(service, |i| i.cpu).map_or("-".into(), units::cpu)),
        Cell::plain(
            total(service, |i| i.memory_bytes.map(|b| b as f64))
                .map_or("-".into(), |b| units::bytes(b as u64)),
        ),
        Cell::plain(service.address.as_str()),
    ]
}

pub fn paused(pause: &Pause) -> String {
    format!("paused for {}; it goes on by itself in {}", units::age(pause.for_s), units::age(pause.left_s))
}

/// What a person types.
fn display_name(service: &ServiceStatus) -> &str {
    service.alias.as_deref().unwrap_or(&service.name)
}

/// Over the instances that have the figure; `None` when none has.
fn total(service: &ServiceStatus, figure: impl Fn(&InstanceStatus) -> Option<f64>) -> Option<f64> {
    service.instances.iter().filter_map(figure).reduce(|a, b| a + b)
}

fn instance_row(service: &ServiceStatus, instance: &InstanceStatus) -> [Cell; 10] {
    let (state, style) = state(instance.state);
    let is_program = service.kind == "command";
    let is_balanced = !is_program || !service.address.is_empty();
    [
        Cell::plain(format!("  {}", instance.id)),
        Cell::styled(style, state),
        Cell::plain(units::age(instance.age_s)),
        Cell::plain(instance.restarts.to_string()),
        Cell::plain(if is_balanced {
            format!("{}/{}", instance.busy, service.slots)
        } else {
            "-".to_owned()
        }),
        Cell::plain(if is_program { "-".to_owned() } else { instance.parked.to_string() }),
        Cell::plain(units::rate(instance.rate)),
        Cell::plain(instance.cpu.map_or("-".into(), units::cpu)),
        Cell::plain(instance.memory_bytes.map_or("-".into(), units::bytes)),
        Cell::plain(process(instance)),
    ]
}

/// The process, and where it takes connections if it is a program.
fn process(instance: &InstanceStatus) -> String {
    let parts = [instance.pid.map(|pid| pid.to_string()), instance.upstream.clone()];
    parts.into_iter().flatten().collect::<Vec<_>>().join(" at ")
}

fn state(state: InstanceState) -> (&'static str, Style) {
    match state {
        InstanceState::Starting => ("starting", Style::Warning),
        InstanceState::Running => ("running", Style::Good),
        InstanceState::Unready => ("unready", Style::Warning),
        InstanceState::Completed => ("completed", Style::Good),
        InstanceState::Failed => ("failed", Style::Error),
        InstanceState::Ready => ("ready", Style::Good),
        InstanceState::Draining => ("draining", Style::Warning),
        InstanceState::Backoff => ("backoff", Style::Warning),
        InstanceState::Crashloop => ("crashloop", Style::Error),
        InstanceState::Stopped => ("stopped", Style::Faint),
    }
}

/// Steps that are shown; `msx events` has more.
const STEPS_MAX: usize = 3;

fn add_reasons(table: &mut Table, service: &ServiceStatus) {
    table.line(Cell::styled(Style::Faint, format!("    {}", mode(service))));
    let now = Timestamp::now();
    for step in service.why.iter().take(STEPS_MAX) {
        let age = step.at.parse::<Timestamp>().map(|at| units::age((now - at).get_seconds() as f64));
        let age = age.unwrap_or_default();
        table.line(Cell::styled(Style::Faint, format!("    {age:>6} ago  {}", step.text)));
    }
}

/// Who decides, and what they make of it now.
fn mode(service: &ServiceStatus) -> String {
    match service.mode.as_str() {
        "auto" => {
            let decision = service.decision.as_ref().map(|text| format!("; now {text}"));
            format!("scales itself, {} to {}{}", service.min, service.max, decision.unwrap_or_default())
        }
        "pinned" => {
            let (n, name) = (service.desired, display_name(service));
            format!("held at {n} by `msx scale`; `msx scale {name}=auto` lets it go")
        }
        mode => format!("{mode} at {}", service.desired),
    }
}
