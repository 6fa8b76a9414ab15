//! Which interpreter is taken, and what is said when none is good.

use std::fs;
use std::os::unix::fs::symlink;
use std::time::Duration;

use super::{Fake, PYTHON_311, Yard};
use crate::python::interpreter;
use crate::runtime::{Command, Purpose, bounded};

const PYTHON_38: Fake = Fake { version: (3, 8, 10), ..PYTHON_311 };

async fn chosen(yard: &Yard) -> String {
    let found = yard.within(async |context| interpreter::choose(context).await).await.unwrap();
    format!(
        "{} ({})",
        yard.without_folder(&found.interpreter.path.display().to_string()),
        found.interpreter.chosen_by
    )
}

#[tokio::test]
async fn the_manifest_comes_first_then_the_active_venv_then_the_projects_then_path() {
    let mut yard = Yard::with_python();
    assert_eq!(chosen(&yard).await, "/bin/python3 (PATH)");
    yard.python("project/.venv/bin/python", PYTHON_311);
    assert_eq!(chosen(&yard).await, "/project/.venv/bin/python (.venv)");
    yard.python("active/bin/python", PYTHON_311);
    yard.vars.push(("VIRTUAL_ENV".into(), yard.at("active").into()));
    assert_eq!(chosen(&yard).await, "/active/bin/python ($VIRTUAL_ENV)");
    yard.python("project/tools/python", PYTHON_311);
    yard.interpreter = Some("tools/python");
    assert_eq!(chosen(&yard).await, "/project/tools/python (services.toml)");
    yard.python("bin/python3.13", PYTHON_311);
    yard.interpreter = Some("python3.13");
    assert_eq!(chosen(&yard).await, "/bin/python3.13 (services.toml)");
}

#[tokio::test]
async fn an_abi_names_version_platform_and_libc() {
    let yard = Yard::with_python();
    let found = yard.within(async |context| interpreter::choose(context).await).await.unwrap();
    assert_eq!(found.interpreter.abi, "cp311-x86_64-linux-gnu");
}

#[tokio::test]
async fn a_wrapper_on_path_is_followed_to_the_interpreter_and_asked_every_time() {
    let yard = Yard::new();
    let real = yard.python("versions/3.11.7/bin/python3", PYTHON_311);
    yard.program("bin/python3", &format!("#!/bin/sh\nexec {} \"$@\"\n", real.display()));
    for _ in 0..2 {
        assert_eq!(chosen(&yard).await, "/versions/3.11.7/bin/python3 (PATH)");
    }
    assert_eq!(yard.commands(), ["/bin/python3 -c PROBE"; 2]);
}

#[tokio::test]
async fn an_interpreter_is_asked_again_only_when_something_changed() {
    let yard = Yard::with_python();
    chosen(&yard).await;
    assert_eq!(yard.commands().len(), 1);
    chosen(&yard).await;
    assert!(yard.commands().is_empty());
    yard.write("sites/msgspec.py", "");
    chosen(&yard).await;
    assert_eq!(yard.commands().len(), 1, "a package was installed");
    yard.python("bin/python3", Fake { version: (3, 12, 10), ..PYTHON_311 });
    chosen(&yard).await;
    assert_eq!(yard.commands().len(), 1, "the interpreter was replaced");
}

#[tokio::test]
async fn no_python_at_all() {
    let mut yard = Yard::new();
    insta::assert_snapshot!(yard.failure().await, @r#"
    no Python was found: services.toml names none, there is no active virtual environment and no .venv, and no `python3` on PATH
    help: install Python 3.10 or later (`apt install python3 python3-pip`), or name one in services.toml: `[python] interpreter = "/path/to/python3"`
    "#);
    yard.os_release = "ID=mylinux\n";
    insta::assert_snapshot!(yard.failure().await, @r#"
    no Python was found: services.toml names none, there is no active virtual environment and no .venv, and no `python3` on PATH
    help: install Python 3.10 or later (from python.org or your distribution), or name one in services.toml: `[python] interpreter = "/path/to/python3"`
    "#);
}

#[tokio::test]
async fn a_python_that_is_too_old() {
    let yard = Yard::new();
    yard.python("bin/python3", PYTHON_38);
    insta::assert_snapshot!(yard.failure().await, @r#"
    msx needs Python 3.10 or later, but `/bin/python3` (from PATH) is Python 3.8.10
    help: install a newer one and name it in services.toml: `[python] interpreter = "/path/to/python3"`
    "#);
    yard.python("bin/python3.10", PYTHON_311);
    yard.python("bin/python3.12", PYTHON_311);
    insta::assert_snapshot!(yard.failure().await, @r#"
    msx needs Python 3.10 or later, but `/bin/python3` (from PATH) is Python 3.8.10
    help: `python3.12` is on PATH: set `[python] interpreter = "python3.12"` in services.toml
    "#);
}

#[tokio::test]
async fn a_named_python_that_is_not_there() {
    let mut yard = Yard::with_python();
    yard.interpreter = Some("python3.13");
    insta::assert_snapshot!(yard.failure().await, @"
    `[python] interpreter` in services.toml is `python3.13`, and no such command is on PATH
    help: install it, or give the path of another one
    ");
    yard.interpreter = Some("env/bin/python");
    insta::assert_snapshot!(yard.failure().await, @"
    `[python] interpreter` in services.toml is `env/bin/python`, but `/project/env/bin/python` does not exist
    help: create it (`python3 -m venv /project/env`), or name another one
    ");
    yard.write("project/tools/python", "not executable");
    yard.interpreter = Some("tools/python");
    insta::assert_snapshot!(yard.failure().await, @"
    `[python] interpreter` in services.toml is `tools/python`, but `/project/tools/python` is not an executable file
    help: name another one, or remove the line to let msx choose
    ");
}

#[tokio::test]
async fn a_virtual_environment_whose_python_is_gone() {
    let mut yard = Yard::with_python();
    fs::create_dir_all(yard.at("project/.venv/bin")).unwrap();
    symlink("/nonexistent/python3", yard.at("project/.venv/bin/python")).unwrap();
    insta::assert_snapshot!(yard.failure().await, @"
    the virtual environment `/project/.venv` (.venv) has no working `bin/python`
    help: create it anew (`python3 -m venv --clear .venv`), or remove it
    ");
    yard.vars.push(("VIRTUAL_ENV".into(), yard.at("gone").into()));
    insta::assert_snapshot!(yard.failure().await, @r#"
    the virtual environment `/gone` ($VIRTUAL_ENV) has no working `bin/python`
    help: leave it (`deactivate`), or create it anew (`python3 -m venv --clear "$VIRTUAL_ENV"`)
    "#);
}

#[tokio::test]
async fn a_program_that_is_no_python() {
    let yard = Yard::new();
    yard.program("bin/python3", "#!/bin/sh\necho 'pyenv: version `3.14` is not installed' >&2\nexit 1\n");
    insta::assert_snapshot!(yard.failure().await, @r#"
    `/bin/python3` (from PATH) does not answer as a Python interpreter does: it ended with exit status: 1
    help: repair it, or name another one in services.toml: `[python] interpreter = "/path/to/python3"`
    pyenv: version `3.14` is not installed
    "#);
    yard.program("bin/python3", "#!/nonexistent/sh\n");
    insta::assert_snapshot!(yard.failure().await, @"
    could not ask the interpreter from PATH for its version: `/bin/python3 -c …` does not start: No such file or directory (os error 2)
    help: check that the program exists, may be executed and was made for this machine
    ");
}

#[tokio::test]
async fn a_program_that_does_not_end_is_stopped_at_the_bound() {
    let yard = Yard::new();
    let endless = yard.program("endless", "#!/bin/sh\necho $$ >\"$1\"\nexec /bin/sleep 600\n");
    let pid_file = yard.at("pid");
    let command = Command {
        argv: vec![endless.into(), pid_file.clone().into()],
        env: Vec::new(),
        cwd: yard.at("project"),
        lines: None,
    };
    // Long enough for the script to have written its pid, also on a busy machine.
    let purpose = Purpose { doing: "wait", bound: Duration::from_secs(2), help: "do not wait" };
    let error = bounded(&*yard.runner(), command, &purpose).await.unwrap_err();
    insta::assert_snapshot!(yard.shown(&error), @"
    could not wait: `/endless /pid` did not end within 2 s and was stopped
    help: do not wait
    ");
    let pid = fs::read_to_string(pid_file).unwrap();
    assert!(!fs::exists(format!("/proc/{}", pid.trim())).unwrap(), "it still runs");
}
