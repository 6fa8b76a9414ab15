//! The settings of the services that were found: layers laid over each other, and what can only be checked then.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use serde_json::Value as Json;

use super::command::{self, CommandSpec, Dependency, Until};
use super::diagnostics::{Diagnostics, Problem};
use super::env_file;
use super::manifest::{Manifest, ServiceSection, empty_range};
use super::names::{self, Match};
use super::place::{Located, Place};
use super::raw;
use super::schema::{Service, ServiceLayer};
use super::section::Title;
use super::spec::{
    BatchPolicy, InstanceRange, OnNondeterminism, Program, QueuePolicy, RetryPolicy, ScalePolicy,
    ServiceSpec, StopPolicy,
};
use crate::model::{Language, ServiceName, WorkerKind};

/// A decorated function, as discovery reports it.
#[derive(Clone, Debug)]
pub struct Found {
    pub name: ServiceName,
    pub language: Language,
    pub module: String,
    pub kind: WorkerKind,
    /// What was given to the decorator.
    pub options: serde_json::Map<String, Json>,
    /// Where the function stands.
    pub file: String,
    pub line: u32,
}

/// A service with its settings and where each of them comes from.
#[derive(Clone, Debug)]
pub struct Resolved {
    pub name: ServiceName,
    pub runs: Runs,
    pub settings: Service,
}

/// What the settings of a service are for.
#[derive(Clone, Debug)]
pub enum Runs {
    Function { language: Language, module: String, kind: WorkerKind },
    Command(Box<CommandSpec>),
}

impl Manifest {
    /// The specs that the other rooms work with: those of the functions that were found, in their order, and behind
    /// them those of programs. `base` is the manifest's folder; `env_files` reads a file's text.
    pub fn resolve(
        &self,
        found: &[Found],
        base: &Path,
        env_files: &dyn Fn(&Path) -> io::Result<String>,
    ) -> Result<Vec<ServiceSpec>, Diagnostics> {
        let mut problems = Diagnostics::default();
        let services = self.lay_services(found, base, &mut problems);
        let specs = services.iter().map(|service| {
            let env = environment(service, base, env_files, &mut problems);
            spec(service, env, base)
        });
        let specs = specs.collect();
        problems.into_result(specs)
    }

    /// The settings with their places, for `msx config`.
    pub fn resolve_settings(&self, found: &[Found], base: &Path) -> Result<Vec<Resolved>, Diagnostics> {
        let mut problems = Diagnostics::default();
        let services = self.lay_services(found, base, &mut problems);
        problems.into_result(services)
    }

    fn lay_services(&self, found: &[Found], base: &Path, problems: &mut Diagnostics) -> Vec<Resolved> {
        let names: Vec<&ServiceName> = found.iter().map(|service| &service.name).collect();
        let sections = self.match_sections(&names, problems);
        let mut services = Vec::new();
        for service in found {
            let own = sections.get(&service.name).map(|section| &section.layer);
            services.push(self.lay_service(service, own, base, problems));
        }
        let commands = self.services.iter().filter(|section| section.is_command);
        services.extend(commands.map(|section| self.lay_command(section, problems)));
        resolve_dependencies(&mut services, problems);
        services
    }

    fn lay_command(&self, section: &ServiceSection, problems: &mut Diagnostics) -> Resolved {
        let mut settings = command::lay(&self.defaults, &section.layer, problems);
        reconcile_range(&mut settings, problems);
        let runs = Runs::Command(Box::new(CommandSpec::of(&settings, &section.layer)));
        Resolved { name: ServiceName::new(section.name.value.as_str()), runs, settings }
    }

    /// Which `[services.NAME]` belongs to which service.
    fn match_sections<'a>(
        &'a self,
        names: &[&ServiceName],
        problems: &mut Diagnostics,
    ) -> BTreeMap<ServiceName, &'a ServiceSection> {
        let mut matched: BTreeMap<ServiceName, &ServiceSection> = BTreeMap::new();
        for section in self.services.iter().filter(|section| !section.is_command) {
            let Some(name) = look_up(&section.name, names, problems) else { continue };
            if let Some(other) = matched.insert(name.clone(), section) {
                let (first, second) = (&other.name.value, &section.name.value);
                let problem = Problem::new(format!("`{first}` and `{second}` are the same service"));
                let problem = problem.at(&section.name.place, "again").at(&other.name.place, "first");
                problems.add(problem.help("write its settings in one section"));
            }
        }
        matched
    }

    fn lay_service(
        &self,
        found: &Found,
        own: Option<&ServiceLayer>,
        base: &Path,
        problems: &mut Diagnostics,
    ) -> Resolved {
        let decorator = read_decorator(found, base, problems);
        let mut layers = vec![&self.defaults, &decorator];
        layers.extend(own);
        layers[1..].iter().for_each(|layer| report_wrong_kind(found, layer, problems));
        report_no_batch(found, &decorator, own, problems);
        let mut settings = Service::lay(&layers);
        reconcile_range(&mut settings, problems);
        let Found { name, language, module, kind, .. } = found.clone();
        Resolved { name, runs: Runs::Function { language, module, kind }, settings }
    }
}

fn read_decorator(found: &Found, base: &Path, problems: &mut Diagnostics) -> ServiceLayer {
    let file = Path::new(&found.file);
    let shown = file.strip_prefix(base).unwrap_or(file).to_string_lossy();
    let place = Place::Decorator { file: shown.into(), line: found.line };
    let mut options = raw::from_options(&found.options, &place);
    // `@microservice(max=8)` is short for `instances={"max": 8}`.
    let short: raw::Table = ["min", "max"].iter().filter_map(|&key| options.remove_entry(key)).collect();
    if !short.is_empty() {
        if options.contains_key("instances") {
            let problem = Problem::new("`instances` and `min` or `max` are both given");
            problems.add(problem.at(&place, "here").help("give `instances`, or `min` and `max`"));
        }
        let node = raw::Node { value: raw::Value::Table(short), place: place.clone() };
        options.insert("instances".to_owned(), raw::Entry { key: place, node });
    }
    ServiceLayer::read(&Title::Decorator, &options, problems)
}

/// `threads` is for `def`, `concurrency` for `async def`; only `[defaults]` may speak of both.
fn report_wrong_kind(found: &Found, layer: &ServiceLayer, problems: &mut Diagnostics) {
    let (wrong, key, kind, instead) = match found.kind {
        WorkerKind::Async => (&layer.threads, "threads", "async def", "concurrency"),
        WorkerKind::Def => (&layer.concurrency, "concurrency", "def", "threads"),
    };
    if let Some(wrong) = wrong {
        let problem = Problem::new(format!("`{key}` does not apply to `{}`, which is `{kind}`", found.name));
        problems.add(problem.at(&wrong.place, "not for this service").help(format!("use `{instead}`")));
    }
}

/// Only the decorator makes a function one that is given lists; then the manifest may change the numbers.
fn report_no_batch(
    found: &Found,
    decorator: &ServiceLayer,
    own: Option<&ServiceLayer>,
    problems: &mut Diagnostics,
) {
    if decorator.batch.is_some() {
        return;
    }
    if let Some(within) = &decorator.within {
        let problem = Problem::new("`within` says how long calls wait for a batch, but there is no `batch`");
        problems.add(problem.at(&within.place, "here").help("add `batch=`, the most calls of one batch"));
    }
    let Some(own) = own else { return };
    let written = [
        ("batch", own.batch.as_ref().map(|batch| &batch.place)),
        ("within", own.within.as_ref().map(|within| &within.place)),
    ];
    for (key, place) in written {
        let Some(place) = place else { continue };
        let problem = Problem::new(format!(
            "`{key}` does not apply to `{}`, whose function takes no lists",
            found.name
        ));
        let help = "write @microservice(batch=…) above a function that takes a list and returns one";
        problems.add(problem.at(place, "not for this service").help(help));
    }
}

/// The built-in bound gives way to the one that was written; two written ones must fit.
fn reconcile_range(settings: &mut Service, problems: &mut Diagnostics) {
    let (min, max) = (settings.min.value, settings.max.value);
    if min <= max {
        return;
    }
    if matches!(settings.max.place, Place::Default) {
        settings.max = settings.min.clone();
        return;
    }
    problems.add(empty_range(&settings.min, &settings.max));
}

/// The service that a name in the manifest means.
fn look_up<'a>(
    name: &Located<String>,
    names: &[&'a ServiceName],
    problems: &mut Diagnostics,
) -> Option<&'a ServiceName> {
    let problem = match names::find(name, names) {
        Match::One(found) => return Some(found),
        Match::Ambiguous(several) => {
            let several: Vec<String> = several.iter().map(|name| format!("`{name}`")).collect();
            Problem::new(format!(
                "`{}` is ambiguous: it is the short name of {}",
                name.value,
                several.join(" and ")
            ))
            .at(&name.place, "ambiguous")
            .help("write the full name, in quotes")
        }
        Match::Unknown => {
            let known = names.iter().flat_map(|name| [name.alias(), name.as_str()]);
            let all: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
            let help = match names::suggest(name, known) {
                Some(found) => format!("did you mean `{found}`? The services are {}", all.join(", ")),
                None if all.is_empty() => "no service was found: check `modules` in [python]".to_owned(),
                None => format!("the services are {}", all.join(", ")),
            };
            Problem::new(format!("no service `{}` was found", name.value))
                .at(&name.place, "unknown")
                .help(help)
        }
    };
    problems.add(problem);
    None
}

/// Replaces the names in `depends_on` by canonical ones, and reports circles.
fn resolve_dependencies(services: &mut [Resolved], problems: &mut Diagnostics) {
    let names: Vec<ServiceName> = services.iter().map(|service| service.name.clone()).collect();
    let names: Vec<&ServiceName> = names.iter().collect();
    let oneshots: Vec<bool> = services.iter().map(|service| *service.settings.oneshot).collect();
    for service in services.iter_mut() {
        for (dependency, until) in &mut service.settings.depends_on.value {
            let Some(found) = look_up(dependency, &names, problems) else { continue };
            let is_oneshot = names.iter().position(|name| *name == found).is_some_and(|at| oneshots[at]);
            if let Some(problem) = command::dependency_problem(dependency, *until, is_oneshot) {
                problems.add(problem);
            }
            dependency.value = found.to_string();
            until.get_or_insert(if is_oneshot { Until::Completed } else { Until::Ready });
        }
    }
    let mut closed: Vec<&str> = Vec::new();
    for service in services.iter() {
        let mut path = Vec::new();
        report_circle(service.name.as_str(), services, &mut path, &mut closed, problems);
    }
}

/// Walks depth first; `closed` are the services whose dependencies are known to hold no unreported circle.
fn report_circle<'a>(
    name: &'a str,
    services: &'a [Resolved],
    path: &mut Vec<&'a str>,
    closed: &mut Vec<&'a str>,
    problems: &mut Diagnostics,
) {
    let Some(service) = services.iter().find(|service| service.name.as_str() == name) else { return };
    if closed.contains(&name) {
        return;
    }
    path.push(name);
    for (dependency, _) in &service.settings.depends_on.value {
        match path.iter().position(|earlier| *earlier == dependency.value) {
            Some(start) => {
                let circle = [&path[start..], &[dependency.as_str()]].concat().join(" → ");
                let problem = Problem::new(format!("`depends_on` goes in a circle: {circle}"));
                let problem = problem.at(&dependency.place, "closes the circle");
                problems.add(problem.help(
                    "remove one of these dependencies: calls need none, only the order of starting does",
                ));
            }
            None => report_circle(&dependency.value, services, path, closed, problems),
        }
    }
    path.pop();
    closed.push(name);
}

fn environment(
    service: &Resolved,
    base: &Path,
    env_files: &dyn Fn(&Path) -> io::Result<String>,
    problems: &mut Diagnostics,
) -> BTreeMap<String, String> {
    let mut variables = BTreeMap::new();
    if let Some(file) = &service.settings.env_file.value {
        match env_files(&base.join(file)) {
            Ok(text) => variables = env_file::read(file, &text, problems),
            Err(error) => {
                let problem = Problem::new(format!("cannot read the environment file {file}: {error}"));
                let problem = problem.at(&service.settings.env_file.place, "this file");
                problems.add(problem.help("the path is relative to the manifest"));
            }
        }
    }
    let own = service.settings.env.0.iter().map(|(key, text)| (key.clone(), text.value.clone()));
    variables.extend(own);
    variables
}

fn spec(service: &Resolved, env: BTreeMap<String, String>, base: &Path) -> ServiceSpec {
    let settings = &service.settings;
    ServiceSpec {
        name: service.name.clone(),
        program: match service.runs.clone() {
            Runs::Function { language, module, .. } => Program::Function { language, module },
            Runs::Command(command) => Program::Command(command),
        },
        slots: match service.runs {
            Runs::Function { kind: WorkerKind::Def, .. } => *settings.threads,
            Runs::Function { kind: WorkerKind::Async, .. } => *settings.concurrency,
            Runs::Command(_) => settings.slots.unwrap_or(SLOTS),
        },
        max_parked: *settings.max_parked,
        instances: InstanceRange { min: *settings.min, max: *settings.max },
        scale: ScalePolicy {
            utilization: *settings.utilization,
            cpu: *settings.cpu,
            machine: *settings.machine,
            down_after: *settings.down_after,
            idle_to_zero: *settings.idle_to_zero,
        },
        queue: QueuePolicy { max: *settings.queue_max, timeout: *settings.queue_timeout },
        run_timeout: *settings.run_timeout,
        retries: retries(settings),
        idempotent: *settings.idempotent,
        concurrency_key: *settings.concurrency_key,
        batch: settings.batch.map(|size| BatchPolicy { size, within: settings.within.unwrap_or_default() }),
        on_nondeterminism: match settings.on_nondeterminism.as_str() {
            "pause" => OnNondeterminism::Pause,
            _ => OnNondeterminism::Fail,
        },
        expose: *settings.expose,
        listen: *settings.listen,
        depends_on: settings.depends_on.iter().map(dependency).collect(),
        env,
        cwd: under(base, &settings.cwd),
        watch: settings.watch.iter().map(|path| under(base, path)).collect(),
        stop: StopPolicy { signal: settings.stop_signal.0, grace: *settings.stop_grace },
    }
}

/// Requests that may run at once in one instance of a program, unless it says otherwise (design: Manifest).
const SLOTS: u32 = 16;

fn dependency((name, until): &(Located<String>, Option<Until>)) -> Dependency {
    Dependency { service: name.value.clone(), until: until.unwrap_or(Until::Ready) }
}

fn retries(settings: &Service) -> RetryPolicy {
    let is_silent = matches!(settings.retries_max.place, Place::Default);
    let max = match *settings.idempotent && is_silent {
        true => RetryPolicy::OF_IDEMPOTENT,
        false => *settings.retries_max,
    };
    RetryPolicy { max, backoff: *settings.retries_backoff }
}

/// A path of the manifest, which is relative to its folder, without `.` parts.
fn under(base: &Path, path: &str) -> PathBuf {
    base.join(path).components().collect()
}
