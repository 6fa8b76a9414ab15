//! From the manifest's text to what will run: read, prepare Python, find the services, resolve their settings.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Report, UpOptions, mistakes, runner::runner};
use crate::config::spec::ServiceSpec;
use crate::config::{self, Found, Manifest, Source};
use crate::failure::Failure;
use crate::guard::Guard;
use crate::model::WorkerKind;
use crate::node;
use crate::project::{MANIFEST, Project};
use crate::protocol::progress::Progress;
use crate::protocol::signature::Signature;
use crate::python::{self, Candidate, Environment};
use crate::runtime::{Discovery, Runner};

/// Nobody who names a folder means to start a process for each of so many functions.
const STARTED_UNASKED_MAX: usize = 16;

/// What will run.
pub struct Plan {
    pub manifest: Manifest,
    /// What runs the services in Python, if there are any.
    pub environment: Option<Environment>,
    /// What runs the services in JavaScript, if there are any.
    pub node: Option<node::Environment>,
    pub services: Vec<Planned>,
}

/// One service that will run.
pub struct Planned {
    pub spec: ServiceSpec,
    pub kind: WorkerKind,
    pub signature: Arc<Signature>,
    pub file: PathBuf,
}

/// Reads the manifest and finds the services.
pub async fn plan(options: &UpOptions, guard: &Guard, report: &Report) -> Result<Plan, Failure> {
    let Findings { manifest, environment, node, discovery } = find(options, guard, report).await?;
    let known = known(&discovery, options.project.root());
    let specs = manifest.resolve(&known, options.project.root(), &|path| std::fs::read_to_string(path))?;
    let services = discovery.services.into_iter().zip(specs).map(|(service, spec)| {
        let signature = Signature::parse(service.signature.get().as_bytes()).map_err(|error| {
            Failure::failed(format!("the signature of {} cannot be read: {error}", service.name))
        })?;
        Ok(Planned { spec, kind: service.kind, signature: Arc::new(signature), file: service.file })
    });
    let services = services.collect::<Result<_, Failure>>()?;
    Ok(Plan { manifest, environment, node, services })
}

/// The text of `msx config`.
pub async fn show(options: &UpOptions, guard: &Guard, as_json: bool) -> Result<String, Failure> {
    let found = find(options, guard, &(Arc::new(|_| ()) as Report)).await?;
    let root = options.project.root();
    let services = found.manifest.resolve_settings(&known(&found.discovery, root), root)?;
    Ok(match as_json {
        true => config::render::json(&found.manifest, Some(&services)).to_string(),
        false => config::render::toml(&found.manifest, Some(&services)),
    })
}

/// The Python that runs a script of the project. Without a manifest, what stands beside the script may be imported by it.
pub async fn environment_of_script(
    options: &UpOptions,
    script: &Path,
    guard: &Guard,
    report: &Report,
) -> Result<Environment, Failure> {
    let run = runner(guard.clone());
    let root = options.project.root();
    let (manifest, scripts) = match root.join(MANIFEST).is_file() {
        true => read(options)?,
        false => (Manifest::default_for(""), beside(script)?),
    };
    prepare(&options.project, &manifest, &scripts, &*run, report).await
}

fn beside(script: &Path) -> Result<Vec<Candidate>, Failure> {
    let cannot = |error: &std::io::Error| Failure::usage(format!("cannot run {}: {error}", script.display()));
    let script = script.canonicalize().map_err(|error| cannot(&error))?;
    let folder = script.parent().unwrap_or(&script);
    // A folder with too many files, or with names that clash, is no pipeline; the script itself may run.
    let mut found = python::candidates(folder).unwrap_or_default();
    if !found.iter().any(|candidate| candidate.file == script) {
        found.push(python::script_file(&script).map_err(|error| cannot(&error))?);
    }
    Ok(found)
}

struct Findings {
    manifest: Manifest,
    environment: Option<Environment>,
    node: Option<node::Environment>,
    discovery: Discovery,
}

async fn find(options: &UpOptions, guard: &Guard, report: &Report) -> Result<Findings, Failure> {
    let run = runner(guard.clone());
    let (mut manifest, scripts) = read(options)?;
    let modules: Vec<String> = match scripts.is_empty() {
        true => manifest.python.modules.iter().map(|module| module.value.clone()).collect(),
        false => scripts.iter().map(|script| script.module.clone()).collect(),
    };
    let root = options.project.root();
    // Without services in Python nobody needs Python.
    let environment = match modules.is_empty() {
        true => None,
        false => Some(prepare(&options.project, &manifest, &scripts, &*run, report).await?),
    };
    report(Progress::Preparing { what: "looking for services".into(), done: 0, total: 0 });
    let mut discovery = match &environment {
        Some(environment) => python::discover(environment, &modules, &*run, root).await?,
        None => Discovery::default(),
    };
    mistakes::check_modules(&manifest, root, &discovery)?;
    let node = find_in_node(options, &manifest, &*run, &mut discovery).await?;
    let services = discovery.services.len();
    if services == 0 {
        return Err(nothing_found(options));
    }
    if !scripts.is_empty() && services > STARTED_UNASKED_MAX {
        manifest.start_on_demand();
        report(Progress::Note(format!(
            "{services} services are more than {STARTED_UNASKED_MAX}, so each starts at its first call; \
             `@microservice(min=1)` keeps one ready"
        )));
    }
    Ok(Findings { manifest, environment, node, discovery })
}

/// Adds the services of `[node]`; without any, nobody needs Node.js.
async fn find_in_node(
    options: &UpOptions,
    manifest: &Manifest,
    run: &Runner,
    discovery: &mut Discovery,
) -> Result<Option<node::Environment>, Failure> {
    let scripts: Vec<String> = manifest.node.modules.iter().map(|script| script.value.clone()).collect();
    if scripts.is_empty() {
        return Ok(None);
    }
    let (root, state) = (options.project.root(), options.project.state());
    let interpreter = manifest.node.interpreter.value.as_deref();
    let request = node::Request { project: root, state: &state, cache: &cache()?, interpreter };
    let environment =
        node::prepare(&request, run).await.map_err(|error| mistakes::of_setup(manifest, error))?;
    let found = node::discover(&environment, &scripts, run, root).await?;
    mistakes::check_node_modules(manifest, &found, discovery)?;
    discovery.services.extend(found.services);
    Ok(Some(environment))
}

/// The manifest, and the scripts of a project that has none.
fn read(options: &UpOptions) -> Result<(Manifest, Vec<Candidate>), Failure> {
    let root = options.project.root();
    let default = root.join(MANIFEST);
    let files = match options.manifests.is_empty() {
        true if options.target.is_none() && default.is_file() => vec![default],
        true => return zero_configuration(options),
        false => options.manifests.clone(),
    };
    let texts = files.iter().map(|file| {
        let text = std::fs::read_to_string(file);
        let text = text.map_err(|error| mistakes::unreadable_manifest(file, &error))?;
        Ok((shown(file, root), text))
    });
    let texts: Vec<(String, String)> = texts.collect::<Result<_, Failure>>()?;
    let sources: Vec<Source<'_>> = texts.iter().map(|(name, text)| Source { name, text }).collect();
    let manifest = config::parse(&sources)?;
    mistakes::check_folders(&manifest, root)?;
    Ok((manifest, Vec::new()))
}

fn zero_configuration(options: &UpOptions) -> Result<(Manifest, Vec<Candidate>), Failure> {
    let root = options.project.root();
    let target = options.target.as_deref().unwrap_or(root);
    let scripts = python::candidates(target).map_err(|error| {
        Failure::failed(format!("cannot look for services in {}: {error}", target.display()))
    })?;
    if scripts.is_empty() {
        return Err(nothing_found(options));
    }
    let name = root.file_name().map_or_else(|| "project".into(), |name| name.to_string_lossy());
    Ok((Manifest::default_for(&name), scripts))
}

fn nothing_found(options: &UpOptions) -> Failure {
    let target = options.target.as_deref().unwrap_or(options.project.root());
    Failure::usage(format!("no function with `@microservice` was found in {}", target.display()))
        .with_help("decorate one: `from msx import microservice`, then `@microservice` above a `def`")
}

async fn prepare(
    project: &Project,
    manifest: &Manifest,
    scripts: &[Candidate],
    run: &Runner,
    report: &Report,
) -> Result<Environment, Failure> {
    let python = &manifest.python;
    let mut path: Vec<PathBuf> = python.path.value.iter().map(|folder| folder.value.clone().into()).collect();
    for script in scripts {
        if !path.contains(&script.root) {
            path.push(script.root.clone());
        }
    }
    let request = python::Request {
        project: project.root(),
        state: &project.state(),
        cache: &cache()?,
        interpreter: python.interpreter.value.as_deref(),
        requirements: python.requirements.value.as_deref().map(Path::new),
        scripts,
        path: &path,
    };
    let progress = |progress| report(progress);
    python::prepare(&request, run, &progress).await.map_err(|error| mistakes::of_setup(manifest, error))
}

/// `$XDG_CACHE_HOME/msx`, else `~/.cache/msx`.
fn cache() -> Result<PathBuf, Failure> {
    let absolute = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let base = absolute("XDG_CACHE_HOME").or_else(|| absolute("HOME").map(|home| home.join(".cache")));
    base.map(|base| base.join("msx")).ok_or_else(|| {
        Failure::failed("cannot find the cache folder: neither XDG_CACHE_HOME nor HOME is set")
            .with_help("set XDG_CACHE_HOME to a folder where msx may keep what it downloads")
    })
}

fn known(discovery: &Discovery, root: &Path) -> Vec<Found> {
    let services = discovery.services.iter().map(|service| Found {
        name: service.name.clone(),
        language: service.language,
        module: service.module.clone(),
        kind: service.kind,
        options: service.options.clone(),
        file: shown(&service.file, root),
        line: service.line,
    });
    services.collect()
}

/// A path as people write it: relative to the project where it is inside.
fn shown(path: &Path, root: &Path) -> String {
    path.strip_prefix(root).unwrap_or(path).display().to_string()
}
