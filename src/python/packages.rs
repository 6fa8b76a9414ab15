//! The two sets of packages: what msx itself needs, shared by all projects of a user, and what a project needs, in
//! an environment of its own.

use std::ffi::OsString;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::{Path, PathBuf};

use super::Context;
use super::install::{Installer, Job};
use super::interpreter::{self, Found};
use super::requirements::Requirements;
use super::specifier;
use crate::runtime::SetupError;
use crate::runtime::cache::{self, Build};

/// The versions of msgspec that the SDK works with.
const MSGSPEC: &str = ">=0.19,<1";

/// The folder with what msx needs; `None` when the interpreter has it already.
pub(super) async fn of_msx(context: &Context<'_>, python: &Found) -> Result<Option<PathBuf>, SetupError> {
    if has_msgspec(python) {
        return Ok(None);
    }
    let package = format!("msgspec{MSGSPEC}");
    let mut hasher = DefaultHasher::new();
    package.hash(&mut hasher);
    let name = format!("{}-{:016x}", python.interpreter.abi, hasher.finish());
    let folder = context.request.cache.join("deps").join(name);
    let what = "the packages that msx needs";
    let build = async |aside: &Path| {
        let installer = Installer::find(context, python, python.has_pip, what)?;
        let job = Job {
            what,
            python: &python.interpreter.path,
            target: Some(aside),
            packages: &[OsString::from(&package)],
            cwd: context.request.cache,
            help: "check the network and the package index, then try again; it is needed once",
        };
        installer.install(context, &job).await
    };
    cache::complete(&folder, Build::Aside, || context.preparing(what, 0, 0), build).await?;
    Ok(Some(folder))
}

fn has_msgspec(python: &Found) -> bool {
    let version = python.msgspec.as_deref().and_then(specifier::release);
    version.and_then(|version| specifier::allows(MSGSPEC, &version)).unwrap_or(false)
}

/// The interpreter with the project's packages, and the folder that has to be on its path for them: none when they
/// are in a virtual environment, as they are unless this Python cannot make one.
pub(super) async fn of_project(
    context: &Context<'_>,
    base: Found,
    requirements: &Requirements,
) -> Result<(Found, Option<PathBuf>), SetupError> {
    if requirements.is_empty() {
        return Ok((base, None));
    }
    let folder = context.request.state.join("env").join(requirements.hash(&base.interpreter));
    let what = format!("the packages of {}", requirements.sources.join(" and "));
    let build = async |folder: &Path| build_environment(context, &base, requirements, &what, folder).await;
    cache::complete(&folder, Build::InPlace, || context.preparing(&what, 0, 0), build).await?;
    cache::remove_others(&folder);
    let python = python_in(&folder);
    if !python.exists() {
        return Ok((base, Some(site_in(&folder))));
    }
    Ok((interpreter::inspect(context, &python, &base.interpreter).await?, None))
}

async fn build_environment(
    context: &Context<'_>,
    base: &Found,
    requirements: &Requirements,
    what: &str,
    folder: &Path,
) -> Result<(), SetupError> {
    // A new virtual environment brings a pip of its own.
    let installer = Installer::find(context, base, base.has_pip || base.has_venv, what)?;
    let (python, site) = (python_in(folder), site_in(folder));
    let makes_venv = base.has_venv || matches!(installer, Installer::Uv(_));
    if makes_venv {
        installer.make_venv(context, &base.interpreter.path, folder).await?;
    }
    let job = Job {
        what,
        python: if makes_venv { &python } else { &base.interpreter.path },
        target: (!makes_venv).then_some(&site),
        packages: &requirements.packages,
        cwd: context.request.project,
        help: &format!(
            "correct {}; the installer's own words say what failed",
            requirements.sources.join(" or ")
        ),
    };
    installer.install(context, &job).await
}

fn python_in(folder: &Path) -> PathBuf {
    folder.join("bin/python")
}

fn site_in(folder: &Path) -> PathBuf {
    folder.join("site")
}
