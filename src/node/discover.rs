//! Which services the modules of `[node]` export: a helper process imports them.

use std::path::Path;

use super::Environment;
use crate::model::Language;
use crate::runtime::{self, Discovery, Host, Importer, Runner, SetupError};

/// Imports the modules, which are files below `cwd`, and returns the services that they export.
pub async fn discover(
    environment: &Environment,
    modules: &[String],
    run: &Runner,
    cwd: &Path,
) -> Result<Discovery, SetupError> {
    let importer = Importer {
        language: Language::Node,
        argv: vec![environment.interpreter.clone().into(), environment.sdk.join("discover.mjs").into()],
        env: Host::of_this_process().environment(&[]),
        cwd,
        modules,
        scratch: &environment.scratch,
        doing: "import the modules of [node]",
        help: "a module must only define things when it is imported: put what it does into a function, \
               or into `onStart(…)`",
    };
    runtime::discover(importer, run, async || None).await
}
