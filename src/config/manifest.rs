//! The manifest before the services are known: its sections, read and checked as far as that goes.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use super::command;
use super::diagnostics::{Diagnostics, Problem};
use super::names::suggest;
use super::place::{Located, Place};
use super::raw::{self, Entry, Table, Value};
use super::schema::{
    self, Gateway, GatewayLayer, Node, NodeLayer, Project, ProjectLayer, Python, PythonLayer, ServiceLayer,
};
use super::section::Title;

/// One manifest text with the name that errors show.
#[derive(Clone, Copy, Debug)]
pub struct Source<'a> {
    pub name: &'a str,
    pub text: &'a str,
}

/// What the manifest says, checked.
#[derive(Clone, Debug)]
pub struct Manifest {
    pub project: Project,
    pub python: Python,
    pub node: Node,
    pub gateway: Gateway,
    pub(super) defaults: ServiceLayer,
    pub(super) services: Vec<ServiceSection>,
}

/// `[services.NAME]`, where NAME is an alias or a canonical name.
#[derive(Clone, Debug)]
pub(super) struct ServiceSection {
    pub name: Located<String>,
    /// It names a program, and no function is looked for.
    pub is_command: bool,
    pub layer: ServiceLayer,
}

/// Reads one manifest, or several that lie over each other: later ones win, key by key.
pub fn parse(sources: &[Source<'_>]) -> Result<Manifest, Diagnostics> {
    let mut problems = Diagnostics::default();
    let mut root = Table::new();
    for source in sources {
        raw::overlay(&mut root, raw::read(source.name, source.text, &mut problems));
    }
    let mut unfit = Diagnostics::default();
    let manifest = Manifest::read(&root, &mut unfit);
    // The syntax tree has gaps where the text is broken, which must not be reported as further mistakes.
    problems.add_unless_echoes(unfit);
    problems.into_result(manifest)
}

impl Manifest {
    /// A project without a manifest: all settings at their defaults. The caller says which modules to run.
    pub fn default_for(name: &str) -> Self {
        let mut manifest = Self::read(&Table::new(), &mut Diagnostics::default());
        manifest.project.name = Located::default(Some(name.to_owned()));
        manifest
    }

    /// Whether it runs programs that are no functions.
    pub fn has_commands(&self) -> bool {
        self.services.iter().any(|section| section.is_command)
    }

    /// No instance of a service starts before its first call, unless its decorator says so.
    pub fn start_on_demand(&mut self) {
        self.defaults.min = Some(Located::default(0));
    }

    fn read(root: &Table, problems: &mut Diagnostics) -> Self {
        let mut manifest = Self {
            project: Project::lay(&[]),
            python: Python::lay(&[]),
            node: Node::lay(&[]),
            gateway: Gateway::lay(&[]),
            defaults: ServiceLayer::default(),
            services: Vec::new(),
        };
        for (name, entry) in root {
            manifest.read_section(name, entry, problems);
        }
        manifest.report_shared_addresses(problems);
        let layers = manifest.services.iter().map(|section| &section.layer).chain([&manifest.defaults]);
        layers.for_each(|layer| report_empty_range(layer, problems));
        manifest
    }

    fn read_section(&mut self, name: &str, entry: &Entry, problems: &mut Diagnostics) {
        let Value::Table(table) = &entry.node.value else {
            problems.add(not_a_section(name, entry));
            return;
        };
        match name {
            "project" => {
                self.project = Project::lay(&[&ProjectLayer::read(&Title::Project, table, problems)])
            }
            "python" => self.python = Python::lay(&[&read_python(table, problems)]),
            "node" => self.node = Node::lay(&[&NodeLayer::read(&Title::Node, table, problems)]),
            "gateway" => {
                self.gateway = Gateway::lay(&[&GatewayLayer::read(&Title::Gateway, table, problems)])
            }
            "defaults" => self.defaults = ServiceLayer::read(&Title::Defaults, table, problems),
            "services" => self.read_services(table, problems),
            _ => problems.add(unknown_section(name, entry)),
        }
    }

    fn read_services(&mut self, services: &Table, problems: &mut Diagnostics) {
        for (name, entry) in services {
            if let Some(problem) = service_problem(name, entry) {
                problems.add(problem);
            } else if let Value::Table(table) = &entry.node.value {
                let is_command = table.contains_key("command");
                let title = if is_command { Title::Command } else { Title::Service };
                let layer = ServiceLayer::read(&title(name.clone()), table, problems);
                if is_command {
                    command::check(&layer, problems);
                }
                self.services.push(ServiceSection {
                    name: Located::new(name.clone(), entry.key.clone()),
                    is_command,
                    layer,
                });
            }
        }
    }

    /// Two listeners cannot have one address; any number may ask for a free port (0).
    fn report_shared_addresses(&self, problems: &mut Diagnostics) {
        let gateway = self.gateway.listen.value.map(|address| (address, &self.gateway.listen.place));
        let services = self.services.iter().filter_map(|section| section.layer.listen.as_ref());
        let services = services.filter_map(|listen| Some((listen.value?, &listen.place)));
        let mut taken: BTreeMap<SocketAddr, &Place> = BTreeMap::new();
        for (address, place) in gateway.into_iter().chain(services).filter(|(address, _)| address.port() != 0)
        {
            if let Some(first) = taken.insert(address, place) {
                let problem = Problem::new(format!("`listen = \"{address}\"` stands twice"));
                problems.add(problem.at(place, "again").at(first, "first").help("give each its own port"));
            }
        }
    }
}

fn report_empty_range(layer: &ServiceLayer, problems: &mut Diagnostics) {
    if let (Some(min), Some(max)) = (&layer.min, &layer.max)
        && min.value > max.value
    {
        problems.add(empty_range(min, max));
    }
}

/// Bounds that no number of instances fits.
pub(super) fn empty_range(min: &Located<u32>, max: &Located<u32>) -> Problem {
    Problem::new(format!("`instances.min` is {} and `instances.max` is {}", min.value, max.value))
        .at(&min.place, "more than `max`")
        .at(&max.place, "less than `min`")
        .help("make `min` at most `max`")
}

/// `[python]`, whose tables would be further environments.
fn read_python(table: &Table, problems: &mut Diagnostics) -> PythonLayer {
    let mut table = table.clone();
    table.retain(|name, entry| {
        let environment = matches!(entry.node.value, Value::Table(_));
        if environment {
            let problem = Problem::new(format!(
                "more than one Python environment (`[python.{name}]`) is not built yet"
            ));
            problems.add(
                problem
                    .at(&entry.key, "not built yet")
                    .help("all services run in the environment of [python]"),
            );
        }
        !environment
    });
    PythonLayer::read(&Title::Python, &table, problems)
}

const SECTIONS: [&str; 7] = ["project", "python", "node", "gateway", "defaults", "services", "schedule"];

fn unknown_section(name: &str, entry: &Entry) -> Problem {
    if name == "schedule" {
        let problem = Problem::new("`[schedule]` is not built yet").at(&entry.key, "not built yet");
        return problem.help("remove it: let cron or a systemd timer run `msx call`");
    }
    let help = match suggest(name, SECTIONS) {
        Some(found) => format!("did you mean [{found}]?"),
        None => format!("the settings of a service stand in [services.{name}]"),
    };
    Problem::new(format!("unknown section [{name}]")).at(&entry.key, "unknown").help(help)
}

/// A key where a section should stand.
fn not_a_section(name: &str, entry: &Entry) -> Problem {
    if SECTIONS.contains(&name) {
        let problem = Problem::new(format!("`{name}` must be a table, not {}", entry.node.value.kind()));
        let problem = problem.at(&entry.node.place, "wrong type");
        return problem.help(format!("write [{}]", if name == "services" { "services.NAME" } else { name }));
    }
    let help = match (schema::home(name), suggest(name, SECTIONS)) {
        (Some(home), _) => format!("it belongs in {home}"),
        (None, Some(found)) => format!("did you mean [{found}]?"),
        (None, None) => "every key belongs in a section, such as [python] or [services.NAME]".to_owned(),
    };
    Problem::new(format!("`{name}` stands outside a section")).at(&entry.key, "no section").help(help)
}

/// Why `[services.NAME]` cannot be read.
fn service_problem(name: &str, entry: &Entry) -> Option<Problem> {
    if !matches!(entry.node.value, Value::Table(_)) {
        let problem = Problem::new(format!("`{name}` must be a table, not {}", entry.node.value.kind()));
        return Some(problem.at(&entry.node.place, "wrong type").help(format!("write [services.{name}]")));
    }
    if reserved_module(name) {
        let problem = Problem::new(format!("`{name}` is a part of msx and has no settings"));
        return Some(problem.at(&entry.key, "reserved").help("remove this section"));
    }
    let is_command = matches!(&entry.node.value, Value::Table(table) if table.contains_key("command"));
    if is_command && !name.chars().all(|c| c.is_ascii_alphanumeric() || "_-".contains(c)) {
        let problem = Problem::new(format!("`{name}` cannot be the name of a service with a `command`"));
        return Some(problem.at(&entry.key, "this name").help("use letters, digits, `_` and `-`"));
    }
    if name.contains(':') {
        let problem = Problem::new(format!("settings of `{name}`, a part of a service, are not built yet"));
        return Some(
            problem.at(&entry.key, "not built yet").help("remove this section: msx looks after these parts"),
        );
    }
    None
}

/// `msx` and what is in it: the package that user code imports, and the hub's own services.
pub(super) fn reserved_module(name: &str) -> bool {
    name == "msx" || name.starts_with("msx.")
}
