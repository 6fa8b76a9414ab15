//! Which services the project's modules define: a helper process imports them.

use std::path::Path;

use super::{Environment, shadow};
use crate::model::Language;
use crate::runtime::{self, Discovery, Host, Importer, Runner, SetupError};

/// Imports the modules in a helper process and returns the services that they define.
pub async fn discover(
    environment: &Environment,
    modules: &[String],
    run: &Runner,
    cwd: &Path,
) -> Result<Discovery, SetupError> {
    let importer = Importer {
        language: Language::Python,
        argv: vec![environment.interpreter.clone().into(), "-m".into(), "msx._discover".into()],
        env: Host::of_this_process().environment(&[("PYTHONPATH", &environment.python_path)]),
        cwd,
        modules,
        scratch: &environment.scratch,
        doing: "import the project's modules",
        help: "a module must only define things when it is imported: put what it does under \
               `if __name__ == \"__main__\":` or into `@msx.on_start`",
    };
    runtime::discover(importer, run, async || shadow::explain(environment, run, cwd).await).await
}
