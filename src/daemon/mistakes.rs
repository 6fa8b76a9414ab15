//! What a person can get wrong that only the start of a project shows, in the words of the command line: with the line
//! of the manifest where it is one of those, with the module's own traceback where it is the user's code.

use std::io::{self, ErrorKind, IsTerminal};
use std::net::SocketAddr;
use std::path::Path;

use crate::config::{Diagnostics, Manifest, Written, suggest};
use crate::failure::{Failure, FailureKind};
use crate::python;
use crate::runtime::{Discovery, ModuleError, Setting, SetupError};

/// Width of a report, which may be written to a file.
const WIDTH: usize = 100;

/// Every folder of `[python] path` must exist, and there must be a module to look into.
pub fn check_folders(manifest: &Manifest, root: &Path) -> Result<(), Failure> {
    let mut problems = Diagnostics::default();
    for folder in manifest.python.path.iter().filter(|folder| !root.join(&folder.value).is_dir()) {
        let why = if root.join(&folder.value).exists() { "is not a folder" } else { "does not exist" };
        let message = format!("the folder `{}` of `path` {why}", folder.value);
        problems.add(manifest.mistake(
            Written::Folder(folder),
            message,
            "correct it: it is relative to the manifest",
        ));
    }
    check_scripts(manifest, root, &mut problems);
    problems.into_result(())?;
    if manifest.python.modules.is_empty() && manifest.node.modules.is_empty() {
        return Err(no_modules(manifest, root));
    }
    Ok(())
}

/// Every file of `[node] modules` must exist.
fn check_scripts(manifest: &Manifest, root: &Path, problems: &mut Diagnostics) {
    for script in manifest.node.modules.iter().filter(|script| !root.join(&script.value).is_file()) {
        let beside = scripts_beside(root, Path::new(&script.value));
        let help = match suggest(script, beside.iter().map(String::as_str)) {
            Some(similar) => format!("did you mean \"{similar}\"?"),
            None => "correct it: it is relative to the manifest".to_owned(),
        };
        let message = format!("there is no file `{}`", script.value);
        problems.add(manifest.mistake(Written::NodeModule(script), message, help));
    }
}

/// The files of the folder that a script should be in, as the manifest would name them.
fn scripts_beside(root: &Path, script: &Path) -> Vec<String> {
    let folder = script.parent().unwrap_or(Path::new(""));
    let entries = std::fs::read_dir(root.join(folder)).into_iter().flatten().flatten();
    entries.filter_map(|entry| Some(folder.join(entry.file_name()).to_str()?.to_owned())).collect()
}

fn no_modules(manifest: &Manifest, root: &Path) -> Failure {
    let known = modules_at_hand(manifest, root);
    let named: Vec<String> = known.iter().map(|module| format!("\"{module}\"")).collect();
    let named = if named.is_empty() { "\"…\"".to_owned() } else { named.join(", ") };
    Failure::usage("the manifest names no modules, so there is no service to start").with_help(format!(
        "name them: `modules = [{named}]` in [python]; every function with `@microservice` in them is a service"
    ))
}

/// Modules with services that could be named: for what a mistyped one may have meant.
fn modules_at_hand(manifest: &Manifest, root: &Path) -> Vec<String> {
    let folders = manifest.python.path.iter().map(|folder| root.join(&folder.value));
    let found = folders.chain([root.to_owned()]).filter_map(|folder| python::candidates(&folder).ok());
    let mut modules: Vec<String> = found.flatten().map(|candidate| candidate.module).collect();
    modules.sort();
    modules.dedup();
    modules
}

/// A module that is not there, or has no service, is a mistake of the manifest; one that fails has its own traceback.
pub fn check_modules(manifest: &Manifest, root: &Path, discovery: &Discovery) -> Result<(), Failure> {
    let (missing, failing): (Vec<&ModuleError>, Vec<&ModuleError>) =
        discovery.errors.iter().partition(|error| is_missing(error));
    let mut problems = Diagnostics::default();
    for error in missing {
        let known = modules_at_hand(manifest, root);
        let help = missing_help(manifest, suggest(&error.module, known.iter().map(String::as_str)));
        let message = format!("there is no module `{}`", error.module);
        problems.add(manifest.mistake(Written::Module(&error.module), message, help));
    }
    for module in manifest.python.modules.iter().filter(|module| is_without_services(module, discovery)) {
        let message = format!("the module `{}` defines no service", module.value);
        let help = "put `@microservice` above a function in it, or name the module that defines the services";
        problems.add(manifest.mistake(Written::Module(module), message, help));
    }
    let failing = (!failing.is_empty()).then(|| import_failure(&failing, import_help(&failing)));
    match (problems.into_result(()), failing) {
        (Ok(()), None) => Ok(()),
        (Ok(()), Some(failing)) => Err(failing),
        (Err(problems), None) => Err(problems.into()),
        (Err(problems), Some(failing)) => Err(both(problems, &failing)),
    }
}

fn node_import_help(failing: &[&ModuleError]) -> &'static str {
    match failing.iter().any(|error| error.message.contains("Cannot find package")) {
        true => {
            "packages that the modules import are found in `node_modules` beside or above them: `npm install` puts them there"
        }
        false => "the stack above is the module's own: correct it there",
    }
}

/// The same for `[node]`; and a service has one home.
pub fn check_node_modules(manifest: &Manifest, found: &Discovery, python: &Discovery) -> Result<(), Failure> {
    let failing: Vec<&ModuleError> = found.errors.iter().collect();
    if !failing.is_empty() {
        return Err(import_failure(&failing, node_import_help(&failing)));
    }
    let mut problems = Diagnostics::default();
    for script in manifest.node.modules.iter().filter(|script| is_without_services(script, found)) {
        let message = format!("the module `{}` exports no service", script.value);
        let help = "export one: `export const add = microservice((x, y) => x + y)`";
        problems.add(manifest.mistake(Written::NodeModule(script), message, help));
    }
    for service in &found.services {
        if python.services.iter().any(|other| other.name == service.name) {
            let message = format!("`{}` is defined in Python and in `{}`", service.name, service.module);
            let help = "rename one of the two";
            problems.add(manifest.mistake(Written::NodeModule(&service.module), message, help));
        }
    }
    Ok(problems.into_result(())?)
}

fn missing_help(manifest: &Manifest, similar: Option<&str>) -> String {
    match similar {
        Some(similar) => format!("did you mean `{similar}`?"),
        None if manifest.python.path.is_empty() => {
            "name the folder it is in: `path = [\"…\"]` in [python], relative to the manifest".to_owned()
        }
        None => "check its name, and the folders in `path` of [python]".to_owned(),
    }
}

/// Whether it is the module itself, or a package it is in, that Python does not find.
fn is_missing(error: &ModuleError) -> bool {
    let Some(name) = error.message.split('\'').nth(1) else { return false };
    error.message.starts_with("ModuleNotFoundError")
        && (error.module == name || error.module.starts_with(&format!("{name}.")))
}

fn is_without_services(module: &str, discovery: &Discovery) -> bool {
    !discovery.errors.iter().any(|error| error.module == module)
        && !discovery.services.iter().any(|service| service.module == module)
}

fn import_failure(failing: &[&ModuleError], help: &str) -> Failure {
    let named: Vec<String> = failing.iter().map(|error| placed(error)).collect();
    let tracebacks: Vec<&str> = failing.iter().map(|error| error.traceback.trim_end()).collect();
    Failure::failed(format!("cannot import {}", named.join(" and ")))
        .with_detail(tracebacks.join("\n\n"))
        .with_help(help)
}

/// The module, and where in the user's code it failed; why is in its traceback.
fn placed(error: &ModuleError) -> String {
    match (&error.file, error.line) {
        (Some(file), Some(line)) => format!("`{}` ({}:{line})", error.module, file.display()),
        _ => format!("`{}`", error.module),
    }
}

fn import_help(failing: &[&ModuleError]) -> &'static str {
    let is_about_packages = |error: &&ModuleError| error.message.starts_with("ModuleNotFoundError");
    match failing.iter().any(is_about_packages) {
        true => {
            "packages that the modules need are listed in a file that `requirements` in [python] names; msx installs them"
        }
        false => "the traceback above is the module's own: correct it there",
    }
}

fn both(problems: Diagnostics, failing: &Failure) -> Failure {
    let failure = Failure::from(problems);
    let detail = [failure.detail.as_deref(), Some(&failing.message), failing.detail.as_deref()];
    let detail: Vec<&str> = detail.into_iter().flatten().map(str::trim_end).collect();
    Failure { detail: Some(detail.join("\n\n")), ..failure }
}

pub fn unreadable_manifest(file: &Path, error: &io::Error) -> Failure {
    let failure = Failure::usage(format!("cannot read the manifest {}: {error}", file.display()));
    match error.kind() {
        ErrorKind::PermissionDenied => failure.with_help("check who owns the file and may read it"),
        ErrorKind::InvalidData => failure.with_help("TOML is UTF-8: save the file in that encoding"),
        _ => failure,
    }
}

/// What keeps Python or Node.js from being made ready; at its line if the manifest says so.
pub fn of_setup(manifest: &Manifest, error: SetupError) -> Failure {
    let written = error.setting.map(|setting| match setting {
        Setting::Interpreter => Written::Interpreter,
        Setting::Requirements => Written::Requirements,
        Setting::NodeInterpreter => Written::NodeInterpreter,
    });
    let Some(written) = written.filter(|written| manifest.place(*written).is_some()) else {
        return error.into();
    };
    let mut problems = Diagnostics::default();
    problems.add(manifest.mistake(written, error.message, error.help.unwrap_or_default()));
    let failure = Failure::from(problems);
    let detail = [failure.detail, error.detail].into_iter().flatten().collect::<Vec<_>>();
    Failure { detail: Some(detail.join("\n")), help: None, ..Failure::usage(failure.message) }
}

/// An address of the manifest on which nothing can listen; not a mistake in itself, as the port may be free later.
pub fn of_address(manifest: &Manifest, address: SocketAddr, message: &str, help: &str) -> Failure {
    let mut problems = Diagnostics::default();
    problems.add(manifest.mistake(Written::Listen(address), message, help));
    let message = "cannot listen where the manifest says".to_owned();
    Failure { kind: FailureKind::Failed, message, ..problems.into() }
}

impl From<SetupError> for Failure {
    fn from(error: SetupError) -> Self {
        let SetupError { message, help, detail, .. } = error;
        Self { kind: FailureKind::Failed, message, help, detail }
    }
}

impl From<Diagnostics> for Failure {
    fn from(diagnostics: Diagnostics) -> Self {
        let colour =
            io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        Self::new(FailureKind::Usage, "the manifest cannot be used")
            .with_detail(diagnostics.render(colour, WIDTH))
    }
}
