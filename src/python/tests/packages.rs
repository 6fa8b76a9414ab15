//! What is installed where, and how often.

use std::fs;
use std::path::{Path, PathBuf};

use super::{Fake, PYTHON_311, Yard, names};
use crate::python::packages::of_project;
use crate::python::requirements::Requirements;
use crate::python::{Candidate, Environment, candidates, interpreter};

fn folders(yard: &Yard, environment: &Environment) -> Vec<String> {
    let folders = std::env::split_paths(&environment.python_path);
    folders.map(|folder| yard.without_folder(&folder.display().to_string())).collect()
}

/// Names made of hashes, by the folder they are in.
fn complete_in(yard: &Yard, folder: &str) -> Vec<PathBuf> {
    let found = names(&yard.at(folder)).into_iter().map(|name| yard.at(folder).join(name));
    found.filter(|path| path.join(".msx-complete").exists()).collect()
}

fn require(yard: &mut Yard, text: &str) {
    yard.requirements = Some(PathBuf::from("requirements.txt"));
    yard.write("project/requirements.txt", text);
}

#[tokio::test]
async fn the_path_has_the_sdk_then_packages_then_the_project_then_what_it_was() {
    let mut yard = Yard::with_python();
    yard.write("project/src/a.py", "");
    yard.path = vec!["src".into(), yard.at("sites")];
    yard.vars.push(("PYTHONPATH".into(), "/mine:/too".into()));
    let environment = yard.prepare().await.unwrap();
    let folders = folders(&yard, &environment);
    assert!(folders[0].starts_with("/cache/sdk/"), "{folders:?}");
    assert!(folders[1].starts_with("/cache/deps/cp311-x86_64-linux-gnu-"), "{folders:?}");
    assert_eq!(folders[2..], ["/project/src", "/sites", "/mine", "/too"]);
    assert_eq!(environment.version, "3.11.7");
    assert!(yard.at("").join(&folders[0][1..]).join("msx/py.typed").exists());
}

#[tokio::test]
async fn a_second_start_runs_nothing() {
    let mut yard = Yard::with_python();
    require(&mut yard, "flask\n");
    let first = yard.prepare().await.unwrap();
    assert!(!yard.commands().is_empty());
    yard.progress.borrow_mut().clear();
    let second = yard.prepare().await.unwrap();
    assert_eq!(yard.commands(), Vec::<String>::new());
    assert!(yard.progress.borrow().is_empty());
    assert_eq!((first.interpreter, first.python_path), (second.interpreter, second.python_path));
}

#[tokio::test]
async fn two_starts_at_once_install_once() {
    let yard = Yard::with_python();
    let (one, other) = tokio::join!(yard.prepare(), yard.prepare());
    assert_eq!(one.unwrap().python_path, other.unwrap().python_path);
    let installs = yard.commands().into_iter().filter(|command| command.contains("pip install"));
    assert_eq!(installs.count(), 1);
}

#[tokio::test]
async fn what_a_killed_start_left_is_made_again() {
    let mut yard = Yard::with_python();
    require(&mut yard, "flask\n");
    yard.prepare().await.unwrap();
    for folder in ["cache/deps", "cache/sdk", "project/.msx/env"] {
        let made = complete_in(&yard, folder).remove(0);
        fs::remove_file(made.join(".msx-complete")).unwrap();
        fs::write(made.join("half"), "").unwrap();
        fs::create_dir_all(made.with_added_extension("partial")).unwrap();
    }
    yard.prepare().await.unwrap();
    for folder in ["cache/deps", "cache/sdk", "project/.msx/env"] {
        let made = complete_in(&yard, folder).remove(0);
        assert!(!made.join("half").exists(), "{folder}");
    }
}

#[tokio::test]
async fn a_good_msgspec_of_the_interpreter_is_used() {
    let yard = Yard::new();
    for (msgspec, is_good) in
        [("0.19.0", true), ("0.22.1", true), ("0.18.6", false), ("1.0", false), ("unknown", false)]
    {
        yard.python("bin/python3", Fake { msgspec: Some(msgspec), ..PYTHON_311 });
        let environment = yard.prepare().await.unwrap();
        assert_eq!(folders(&yard, &environment).len(), if is_good { 1 } else { 2 }, "{msgspec}");
    }
}

#[tokio::test]
async fn uv_is_preferred_to_pip() {
    let mut yard = Yard::new();
    yard.python("bin/python3", Fake { has_pip: false, has_venv: false, ..PYTHON_311 });
    yard.python("bin/uv", PYTHON_311);
    require(&mut yard, "flask\n");
    let environment = yard.prepare().await.unwrap();
    let hash = names(&yard.at("project/.msx/env")).remove(0);
    let env = format!("/project/.msx/env/{hash}");
    assert_eq!(yard.without_folder(environment.interpreter.to_str().unwrap()), format!("{env}/bin/python"));
    let commands = yard.commands();
    assert_eq!(commands[1], format!("/bin/uv venv --python /bin/python3 {env}"));
    assert_eq!(
        commands[2],
        format!("/bin/uv pip install --python {env}/bin/python -r /project/requirements.txt")
    );
    assert!(
        commands[4]
            .starts_with(&format!("/bin/uv pip install --python {env}/bin/python --target /cache/deps/"))
    );
    assert!(commands[4].ends_with(".partial msgspec>=0.19,<1"));
}

#[tokio::test]
async fn a_project_gets_an_environment_of_its_own_and_the_old_one_goes() {
    let mut yard = Yard::with_python();
    require(&mut yard, "flask\n-r more.txt\n");
    yard.write("project/more.txt", "requests\n");
    yard.prepare().await.unwrap();
    let first = complete_in(&yard, "project/.msx/env");
    yard.write("project/more.txt", "requests>=2\n");
    let environment = yard.prepare().await.unwrap();
    let second = complete_in(&yard, "project/.msx/env");
    assert_eq!((first.len(), second.len()), (1, 1));
    assert_ne!(first, second, "an included file changed");
    assert_eq!(environment.interpreter, second[0].join("bin/python"));
    assert_eq!(names(&yard.at("project/.msx/env")).len(), 2, "it and its lock");
}

#[tokio::test]
async fn without_ensurepip_packages_go_to_a_folder_on_the_path() {
    let mut yard = Yard::new();
    yard.python("bin/python3", Fake { has_venv: false, ..PYTHON_311 });
    require(&mut yard, "flask\n");
    let environment = yard.prepare().await.unwrap();
    let site = complete_in(&yard, "project/.msx/env").remove(0).join("site");
    assert!(site.join("installed").exists());
    assert_eq!(folders(&yard, &environment)[2], yard.without_folder(site.to_str().unwrap()));
    assert_eq!(environment.interpreter, yard.at("bin/python3"));
}

#[tokio::test]
async fn progress_counts_packages() {
    let mut yard = Yard::with_python();
    require(&mut yard, "flask\n");
    yard.prepare().await.unwrap();
    let what = "the packages of requirements.txt".to_owned();
    let progress = yard.progress.borrow();
    let steps: Vec<_> = progress.iter().filter(|step| step.0 == what).map(|step| (step.1, step.2)).collect();
    assert_eq!(steps, [(0, 0), (1, 0), (2, 0), (3, 3)]);
}

#[tokio::test]
async fn a_failed_install_shows_what_the_installer_said_and_leaves_nothing() {
    let mut yard = Yard::with_python();
    require(&mut yard, "broken\n");
    insta::assert_snapshot!(yard.failure().await, @"
    could not install the packages of requirements.txt: pip ended with exit status: 1
    help: correct requirements.txt; the installer's own words say what failed
    ERROR: No matching distribution found for broken
    ");
    assert!(complete_in(&yard, "project/.msx/env").is_empty());
    require(&mut yard, "flask\n");
    yard.prepare().await.unwrap();
}

#[tokio::test]
async fn neither_uv_nor_pip() {
    let mut yard = Yard::new();
    yard.python("bin/python3", Fake { has_pip: false, ..PYTHON_311 });
    insta::assert_snapshot!(yard.failure().await, @"
    could not install the packages that msx needs: `/bin/python3` has no pip, and uv is not on PATH
    help: install pip (`apt install python3-pip`) or uv
    ");
    yard.os_release = "ID=\"rocky\"\nID_LIKE=\"rhel centos fedora\"\n";
    insta::assert_snapshot!(yard.failure().await, @"
    could not install the packages that msx needs: `/bin/python3` has no pip, and uv is not on PATH
    help: install pip (`dnf install python3-pip`) or uv
    ");
    yard.python("project/.venv/bin/python", Fake { has_pip: false, in_venv: true, ..PYTHON_311 });
    insta::assert_snapshot!(yard.failure().await, @"
    could not install the packages that msx needs: `/project/.venv/bin/python` has no pip, and uv is not on PATH
    help: put pip into that virtual environment (`/project/.venv/bin/python -m ensurepip`), or install uv
    ");
}

#[tokio::test]
async fn a_cache_that_cannot_be_written() {
    let yard = Yard::with_python();
    yard.write("cache", "a file");
    insta::assert_snapshot!(yard.failure().await, @"
    could not create the folder `/cache/sdk`: Not a directory (os error 20)
    help: a part of this path is a file: remove it; XDG_CACHE_HOME moves the cache of msx elsewhere
    ");
}

#[tokio::test]
async fn a_requirements_file_that_is_missing() {
    let mut yard = Yard::with_python();
    yard.requirements = Some(PathBuf::from("requirements.txt"));
    insta::assert_snapshot!(yard.failure().await, @"
    could not read `/project/requirements.txt`, which `[python] requirements` in services.toml names: No such file or directory (os error 2)
    help: correct the name, or create the file
    ");
    require(&mut yard, "--constraint=limits.txt # why\n");
    insta::assert_snapshot!(yard.failure().await, @"
    could not read `/project/limits.txt`, which `/project/requirements.txt` includes: No such file or directory (os error 2)
    help: correct the name, or create the file
    ");
}

#[tokio::test]
async fn dependencies_of_a_pyproject_are_installed() {
    let mut yard = Yard::with_python();
    yard.requirements = Some(PathBuf::from("pyproject.toml"));
    yard.write(
        "project/pyproject.toml",
        "[project]\nname = \"x\"\nrequires-python = \">=3.10\"\ndependencies = [\"flask>=3\", \"requests\"]\n",
    );
    yard.prepare().await.unwrap();
    let commands = yard.commands();
    assert!(commands.iter().any(|command| command.ends_with(" flask>=3 requests")), "{commands:?}");
}

#[tokio::test]
async fn a_pyproject_that_does_not_say_what_it_needs() {
    let mut yard = Yard::with_python();
    yard.requirements = Some(PathBuf::from("pyproject.toml"));
    yard.write("project/pyproject.toml", "[project]\nname = \"x\"\ndynamic = [\"dependencies\"]\n");
    insta::assert_snapshot!(yard.failure().await, @"
    pyproject.toml leaves `dependencies` to its build system (`dynamic`), which msx does not run
    help: name a requirements.txt in `[python] requirements` instead
    ");
    yard.write("project/pyproject.toml", "[tool.black]\n");
    insta::assert_snapshot!(yard.failure().await, @"
    pyproject.toml has no [project] table, where its dependencies would be
    help: add the table with a list `dependencies`, or name a requirements.txt instead
    ");
    yard.write("project/pyproject.toml", "[project]\ndependencies = \"flask\"\n");
    insta::assert_snapshot!(yard.failure().await, @r#"
    could not read the dependencies in pyproject.toml
    help: correct the text that is shown
    TOML parse error at line 2, column 16
      |
    2 | dependencies = "flask"
      |                ^^^^^^^
    invalid type: string "flask", expected a sequence
    "#);
}

#[tokio::test]
async fn a_project_that_needs_another_python() {
    let mut yard = Yard::with_python();
    yard.requirements = Some(PathBuf::from("pyproject.toml"));
    yard.write("project/pyproject.toml", "[project]\nrequires-python = \">=3.12\"\n");
    insta::assert_snapshot!(yard.failure().await, @r#"
    pyproject.toml needs Python >=3.12, but `/bin/python3` (from PATH) is Python 3.11.7
    help: name another one in services.toml: `[python] interpreter = "/path/to/python3"`
    "#);
    yard.write("project/pyproject.toml", "[project]\nrequires-python = \"latest\"\n");
    insta::assert_snapshot!(yard.failure().await, @r#"
    pyproject.toml has `requires-python = "latest"`, which is no version specifier
    help: write it like `>=3.10` or `>=3.10,<3.14`
    "#);
}

fn script(yard: &Yard, name: &str, dependencies: &str) -> Vec<Candidate> {
    let text = format!("# /// script\n# dependencies = {dependencies}\n# ///\n@microservice\ndef f(): ...\n");
    candidates(&yard.write(&format!("project/{name}"), &text)).unwrap()
}

#[tokio::test]
async fn dependencies_of_scripts_are_merged() {
    let mut yard = Yard::with_python();
    yard.scripts = script(
        &yard,
        "one.py",
        r#"["Flask>=3", "requests", "tomli; python_version < '3.11'", "tomli>2; python_version >= '3.11'"]"#,
    );
    yard.scripts.extend(script(&yard, "two.py", r#"["flask >= 3", "Requests>=2", "numpy"]"#));
    yard.scripts.extend(script(&yard, "three.py", "[]"));
    yard.prepare().await.unwrap();
    let commands = yard.commands();
    let install = commands.iter().find(|command| command.contains("Flask")).unwrap();
    assert!(
        install.ends_with(
            " Flask>=3 numpy Requests>=2 tomli; python_version < '3.11' tomli>2; python_version >= '3.11'"
        ),
        "{install}"
    );
    assert_eq!(yard.progress.borrow()[0].0, "the packages of one.py and two.py");
}

#[tokio::test]
async fn scripts_that_need_different_versions() {
    let mut yard = Yard::with_python();
    yard.scripts = script(&yard, "one.py", r#"["my_lib==1.0"]"#);
    yard.scripts.extend(script(&yard, "two.py", r#"["My-Lib>=2"]"#));
    insta::assert_snapshot!(yard.failure().await, @"
    one.py needs `my_lib==1.0`, but two.py needs `My-Lib>=2`
    help: the services of one project share one environment: make the two lines agree
    ");
}

#[tokio::test]
async fn a_script_with_a_broken_block() {
    let mut yard = Yard::with_python();
    yard.scripts = script(&yard, "one.py", "[flask]");
    insta::assert_snapshot!(yard.failure().await, @"
    could not read the dependencies in one.py
    help: correct the text that is shown
    TOML parse error at line 1, column 17
      |
    1 | dependencies = [flask]
      |                 ^^^^^
    invalid boolean, expected `false`
    ");
}

/// The real thing, offline: a wheel made on the spot goes into a real virtual environment by real pip.
#[tokio::test]
async fn a_real_python_gets_a_real_environment() {
    let mut yard = Yard::new();
    yard.vars = std::env::vars_os().collect();
    let wheel = yard.write("project/make_wheel.py", include_str!("make_wheel.py"));
    require(&mut yard, "./tiny-1.0-py3-none-any.whl\n");
    let (found, site) = yard
        .within(async |context| {
            let base = interpreter::choose(context).await.unwrap();
            python(&base.interpreter.path, wheel.parent().unwrap(), &["make_wheel.py"]);
            let requirements = Requirements::read(context.request).unwrap();
            of_project(context, base, &requirements).await.unwrap()
        })
        .await;
    let path = site.map(|site| format!("sys.path.append({site:?});")).unwrap_or_default();
    let script = format!("import sys; {path} import tiny; print(tiny.ANSWER)");
    assert_eq!(python(&found.interpreter.path, &yard.at(""), &["-c", &script]), "42\n");
}

fn python(path: &Path, cwd: &Path, arguments: &[&str]) -> String {
    let output = std::process::Command::new(path).args(arguments).current_dir(cwd).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}
