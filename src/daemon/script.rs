//! The Python of a project for one of its scripts: the interpreter and packages that its services have, with no hub.

use std::path::Path;

use nix::sys::prctl;
use nix::sys::resource::{Resource, getrlimit, setrlimit};

use super::{Report, UpOptions, setup, with_guard};
use crate::failure::Failure;
use crate::project::Project;
use crate::python::Environment;

/// Makes it ready. Afterwards this process is as it was, so that the script can take its place.
pub fn environment(project: &Project, script: &Path, report: &Report) -> Result<Environment, Failure> {
    project.prepare()?;
    let options = UpOptions {
        project: project.clone(),
        manifests: Vec::new(),
        target: None,
        scale: Vec::new(),
        watch: false,
    };
    let limit = getrlimit(Resource::RLIMIT_NOFILE);
    let (environment, survivors) = with_guard(project.root(), async |guard| {
        setup::environment_of_script(&options, script, guard, report).await
    });
    let restored = limit
        .and_then(|(soft, hard)| setrlimit(Resource::RLIMIT_NOFILE, soft, hard))
        .and_then(|()| prctl::set_child_subreaper(false));
    survivors.and(environment).and_then(|environment| match restored {
        Ok(()) => Ok(environment),
        Err(error) => Err(Failure::failed(format!("cannot prepare {}: {error}", script.display()))),
    })
}
