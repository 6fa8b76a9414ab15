//! What the project's own code needs: a requirements file, a `pyproject.toml`, or the PEP 723 blocks of scripts.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::Request;
use super::candidates::Candidate;
use super::interpreter::Interpreter;
use super::specifier;
use crate::runtime::{Setting, SetupError};

/// What to install, and what it asks of the interpreter.
#[derive(Debug, Default)]
pub(super) struct Requirements {
    /// The files that say so, as a person calls them.
    pub sources: Vec<String>,
    /// For pip and uv: `-r FILE` and package specifiers.
    pub packages: Vec<OsString>,
    /// Everything that the outcome depends on.
    content: Vec<String>,
    /// `requires-python` of each source that has one.
    pythons: Vec<(String, String)>,
}

#[derive(Deserialize)]
struct PyProject {
    project: Option<Metadata>,
}

/// The fields that `[project]` and a PEP 723 block have in common.
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Metadata {
    #[serde(default)]
    dependencies: Vec<String>,
    requires_python: Option<String>,
    #[serde(default)]
    dynamic: Vec<String>,
}

impl Requirements {
    /// Reads all that the request names.
    pub fn read(request: &Request<'_>) -> Result<Self, SetupError> {
        let mut requirements = Self::default();
        if let Some(path) = request.requirements {
            let path = request.project.join(path);
            let added = match path.extension().is_some_and(|extension| extension == "toml") {
                true => requirements.add_pyproject(request.project, &path),
                false => requirements.add_file(request.project, &path),
            };
            added.map_err(|error| error.about(Setting::Requirements))?;
        }
        requirements.add_scripts(request.project, request.scripts)?;
        Ok(requirements)
    }

    pub fn is_empty(&self) -> bool {
        self.packages.is_empty()
    }

    /// Names an environment: the same interpreter and the same content give the same one.
    pub fn hash(&self, interpreter: &Interpreter) -> String {
        let mut hasher = DefaultHasher::new();
        (&interpreter.path, interpreter.version, &interpreter.abi).hash(&mut hasher);
        (&self.packages, &self.content).hash(&mut hasher);
        format!("{:016x}", hasher.finish())
    }

    /// Whether every source may run on this interpreter.
    pub fn check_python(&self, interpreter: &Interpreter) -> Result<(), SetupError> {
        let (major, minor, patch) = interpreter.version;
        for (source, wanted) in &self.pythons {
            match specifier::allows(wanted, &[major, minor, patch]) {
                Some(true) => {}
                Some(false) => return Err(wrong_python(source, wanted, interpreter)),
                None => {
                    let message = format!(
                        "{source} has `requires-python = \"{wanted}\"`, which is no version specifier"
                    );
                    return Err(SetupError::new(message, "write it like `>=3.10` or `>=3.10,<3.14`"));
                }
            }
        }
        Ok(())
    }

    fn add_file(&mut self, project: &Path, path: &Path) -> Result<(), SetupError> {
        let mut seen = BTreeSet::new();
        self.add_content(path, None, &mut seen)?;
        self.sources.push(name_of(project, path));
        self.packages.extend(["-r".into(), path.into()]);
        Ok(())
    }

    /// The text of a requirements file and of those that it includes.
    fn add_content(
        &mut self,
        path: &Path,
        included_by: Option<&Path>,
        seen: &mut BTreeSet<PathBuf>,
    ) -> Result<(), SetupError> {
        if !seen.insert(path.to_owned()) {
            return Ok(());
        }
        let text = read(path, included_by)?;
        for included in text.lines().filter_map(included_file) {
            let included = path.parent().unwrap_or(path).join(included);
            self.add_content(&included, Some(path), seen)?;
        }
        self.content.push(text);
        Ok(())
    }

    fn add_pyproject(&mut self, project: &Path, path: &Path) -> Result<(), SetupError> {
        let source = name_of(project, path);
        let parsed: PyProject =
            toml::from_str(&read(path, None)?).map_err(|error| not_toml(&source, &error))?;
        let Some(metadata) = parsed.project else {
            let help = "add the table with a list `dependencies`, or name a requirements.txt instead";
            return Err(SetupError::new(
                format!("{source} has no [project] table, where its dependencies would be"),
                help,
            ));
        };
        if metadata.dynamic.iter().any(|field| field == "dependencies") {
            let message = format!(
                "{source} leaves `dependencies` to its build system (`dynamic`), which msx does not run"
            );
            return Err(SetupError::new(
                message,
                "name a requirements.txt in `[python] requirements` instead",
            ));
        }
        self.pythons.extend(metadata.requires_python.map(|wanted| (source.clone(), wanted)));
        self.packages.extend(metadata.dependencies.into_iter().map(OsString::from));
        self.sources.push(source);
        Ok(())
    }

    /// Merges the blocks of all scripts: they share one environment.
    fn add_scripts(&mut self, project: &Path, scripts: &[Candidate]) -> Result<(), SetupError> {
        let mut wanted: BTreeMap<String, (String, String)> = BTreeMap::new();
        for script in scripts {
            let Some(block) = &script.block else { continue };
            let source = name_of(project, &script.file);
            let metadata: Metadata = toml::from_str(block).map_err(|error| not_toml(&source, &error))?;
            self.pythons.extend(metadata.requires_python.map(|python| (source.clone(), python)));
            if metadata.dependencies.is_empty() {
                continue;
            }
            for dependency in metadata.dependencies {
                merge(&mut wanted, dependency, &source)?;
            }
            self.sources.push(source);
        }
        self.packages.extend(wanted.into_values().map(|(dependency, _)| OsString::from(dependency)));
        Ok(())
    }
}

/// Adds a dependency unless another file wants another version of the same package.
fn merge(
    wanted: &mut BTreeMap<String, (String, String)>,
    dependency: String,
    source: &str,
) -> Result<(), SetupError> {
    let (name, constraint) = split(&dependency);
    // Within one file, lines for one package differ in their markers: each is a key of its own.
    let Some((other, other_source)) = wanted.get(&name).filter(|(_, other)| other != source) else {
        let key = if wanted.contains_key(&name) { format!("{name} {constraint}") } else { name };
        wanted.insert(key, (dependency, source.to_owned()));
        return Ok(());
    };
    let (_, other_constraint) = split(other);
    if constraint.is_empty() || constraint == other_constraint {
        return Ok(());
    }
    if other_constraint.is_empty() {
        wanted.insert(name, (dependency, source.to_owned()));
        return Ok(());
    }
    let message = format!("{other_source} needs `{other}`, but {source} needs `{dependency}`");
    Err(SetupError::new(
        message,
        "the services of one project share one environment: make the two lines agree",
    ))
}

/// The normal form of the name, and what follows it without spaces.
fn split(dependency: &str) -> (String, String) {
    let is_name = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    let dependency = dependency.trim();
    let end = dependency.find(|c| !is_name(c)).unwrap_or(dependency.len());
    let parts: Vec<&str> = dependency[..end].split(['-', '_', '.']).filter(|part| !part.is_empty()).collect();
    let constraint = dependency[end..].split_whitespace().collect();
    (parts.join("-").to_ascii_lowercase(), constraint)
}

/// The file that a line of a requirements file includes (`-r other.txt`, `-c limits.txt`).
fn included_file(line: &str) -> Option<&str> {
    let options = ["-r", "--requirement", "-c", "--constraint"];
    let rest = options.iter().find_map(|option| {
        line.trim_start().strip_prefix(option).filter(|rest| rest.starts_with([' ', '=', '\t']))
    })?;
    let file = rest.trim_start_matches([' ', '=', '\t']).split(" #").next().unwrap_or_default().trim();
    (!file.is_empty() && !file.contains("://")).then_some(file)
}

/// The path as a person would write it.
fn name_of(project: &Path, path: &Path) -> String {
    path.strip_prefix(project).unwrap_or(path).display().to_string()
}

fn read(path: &Path, included_by: Option<&Path>) -> Result<String, SetupError> {
    fs::read_to_string(path).map_err(|error| {
        let named = match included_by {
            Some(file) => format!("which `{}` includes", file.display()),
            None => "which `[python] requirements` in services.toml names".to_owned(),
        };
        let message = format!("could not read `{}`, {named}: {error}", path.display());
        SetupError::new(message, "correct the name, or create the file")
    })
}

fn not_toml(source: &str, error: &toml::de::Error) -> SetupError {
    let message = format!("could not read the dependencies in {source}");
    SetupError::new(message, "correct the text that is shown").with_detail(error.to_string().trim_end())
}

fn wrong_python(source: &str, wanted: &str, interpreter: &Interpreter) -> SetupError {
    let message = format!(
        "{source} needs Python {wanted}, but `{}` (from {}) is Python {}",
        interpreter.path.display(),
        interpreter.chosen_by,
        interpreter.version_text()
    );
    SetupError::new(
        message,
        "name another one in services.toml: `[python] interpreter = \"/path/to/python3\"`",
    )
}
