//! Candidates in a folder, and services in modules.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use tokio::sync::mpsc;

use super::{PYTHON_311, Yard, names, run};
use crate::model::WorkerKind;
use crate::python::{Environment, candidates, discover};
use crate::runtime::Command;
use crate::runtime::{Discovery, SetupError};

const SERVICE: &str = "from msx import microservice\n\n@microservice\ndef f(): ...\n";

fn found(yard: &Yard, root: &str) -> Vec<(String, String)> {
    let found = candidates(&yard.at(root)).unwrap();
    let root = |root: &Path| yard.without_folder(root.to_str().unwrap());
    found.into_iter().map(|candidate| (candidate.module, root(&candidate.root))).collect()
}

fn pair(module: &str, root: &str) -> (String, String) {
    (module.to_owned(), root.to_owned())
}

#[test]
fn modules_are_named_from_the_folder_or_from_above_their_package() {
    let yard = Yard::new();
    for file in ["a.py", "flows/chain.py", "pack/__init__.py", "pack/deep/__init__.py", "pack/deep/b.py"] {
        yard.write(&format!("app/{file}"), SERVICE);
    }
    yard.write("app/src/lib/__init__.py", "");
    yard.write("app/src/lib/c.py", SERVICE);
    yard.write("app/plain.py", "print('no service')\n");
    assert_eq!(
        found(&yard, "app"),
        [
            pair("a", "/app"),
            pair("flows.chain", "/app"),
            pair("pack", "/app"),
            pair("pack.deep", "/app"),
            pair("pack.deep.b", "/app"),
            pair("lib.c", "/app/src"),
        ]
    );
    assert_eq!(found(&yard, "app/pack/deep"), [pair("pack.deep", "/app"), pair("pack.deep.b", "/app")]);
    assert_eq!(found(&yard, "app/flows/chain.py"), [pair("chain", "/app/flows")]);
    assert_eq!(found(&yard, "app/pack/deep/b.py"), [pair("pack.deep.b", "/app")]);
    assert_eq!(found(&yard, "app/plain.py"), []);
}

#[test]
fn folders_of_others_and_tests_are_left_out() {
    let yard = Yard::new();
    for file in [
        ".hidden/a.py",
        ".venv/lib/a.py",
        "venv/a.py",
        "node_modules/a.py",
        "__pycache__/a.py",
        "target/a.py",
        "lib/site-packages/a.py",
        "tests/test_a.py",
        "__main__.py",
        ".a.py",
        "a.txt",
    ] {
        yard.write(&format!("app/{file}"), SERVICE);
    }
    yard.write("app/tests/helper.py", SERVICE);
    assert_eq!(found(&yard, "app"), [pair("tests.helper", "/app")]);
}

#[test]
fn names_that_cannot_be_imported_are_refused() {
    let yard = Yard::new();
    let refused = || yard.without_folder(&candidates(&yard.at("app")).unwrap_err().to_string());
    for file in ["one/lib/__init__.py", "two/lib/__init__.py"] {
        yard.write(&format!("app/{file}"), SERVICE);
    }
    insta::assert_snapshot!(refused(), @"`/app/one/lib/__init__.py` and `/app/two/lib/__init__.py` would both be imported as `lib`: rename one of them");
    fs::remove_dir_all(yard.at("app")).unwrap();
    yard.write("app/msx.py", SERVICE);
    insta::assert_snapshot!(refused(), @"`/app/msx.py` would be imported as `msx`, a name that msx needs: rename it");
    fs::remove_dir_all(yard.at("app")).unwrap();
    insta::assert_snapshot!(refused(), @"could not read `/app`: No such file or directory (os error 2)");
}

#[test]
fn links_and_large_files_are_not_followed_without_end() {
    let yard = Yard::new();
    yard.write("app/a.py", SERVICE);
    yard.write("app/data.py", &format!("{SERVICE}DATA = '{}'\n", "x".repeat(1 << 20)));
    std::os::unix::fs::symlink(yard.at("app"), yard.at("app/loop")).unwrap();
    std::os::unix::fs::symlink("/nonexistent", yard.at("app/gone.py")).unwrap();
    assert_eq!(found(&yard, "app"), [pair("a", "/app")]);
}

async fn discovered(yard: &Yard, words: &[&str]) -> Result<Discovery, SetupError> {
    let environment = Environment {
        interpreter: yard.python("bin/python3", PYTHON_311),
        version: "3.11.7".to_owned(),
        python_path: "/sdk".into(),
        folders: vec![yard.at("project")],
        scratch: yard.at("project/.msx/tmp"),
    };
    let modules: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
    let found = discover(&environment, &modules, &*yard.runner(), &yard.at("project")).await;
    assert_eq!(names(&environment.scratch), Vec::<String>::new());
    found
}

#[tokio::test]
async fn a_discovery_tells_services_and_errors() {
    let yard = Yard::new();
    let answer = serde_json::json!({
        "services": [{"name": "a.a", "module": "a", "function": "a", "kind": "async", "file": "/p/a.py", "line": 5,
                      "options": {"threads": 4}, "signature": {"text": "(x)"}, "later": 1}],
        "errors": [{"module": "b", "file": null, "line": null, "message": "ModuleNotFoundError: …", "traceback": "…"}],
    });
    let found = discovered(&yard, &[&answer.to_string()]).await.unwrap();
    let service = &found.services[0];
    assert_eq!((service.name.as_str(), service.kind, service.line), ("a.a", WorkerKind::Async, 5));
    assert_eq!(service.module, "a");
    assert_eq!((service.file.as_path(), &service.options["threads"]), (Path::new("/p/a.py"), &4.into()));
    assert_eq!(service.signature.get(), r#"{"text":"(x)"}"#);
    let error = &found.errors[0];
    assert_eq!((error.module.as_str(), &error.file, error.line), ("b", &None::<PathBuf>, None));
    assert_eq!((error.message.as_str(), error.traceback.as_str()), ("ModuleNotFoundError: …", "…"));
}

#[tokio::test]
async fn nothing_to_import_starts_nothing() {
    let yard = Yard::new();
    assert!(discovered(&yard, &[]).await.unwrap().services.is_empty());
    assert!(yard.commands().is_empty());
}

#[tokio::test]
async fn a_module_that_ends_the_helper() {
    let yard = Yard::new();
    let error = discovered(&yard, &["exits", "b"]).await.unwrap_err();
    insta::assert_snapshot!(yard.shown(&error), @"
    the process that imports `exits`, `b` ended early, with exit status: 3
    help: a module must neither end nor crash the process when it is imported
    goodbye
    ");
    let error = discovered(&yard, &["silent"]).await.unwrap_err();
    insta::assert_snapshot!(yard.shown(&error), @"
    the process that imports `silent` ended early, with exit status: 0
    help: a module must neither end nor crash the process when it is imported
    ");
    let error = discovered(&yard, &["{}"]).await.unwrap_err();
    insta::assert_snapshot!(yard.shown(&error), @"
    the process that imports the modules gave an answer that is not understood: missing field `services` at line 1 column 2
    help: this is a defect in msx: please report it
    ");
}

#[tokio::test]
async fn of_a_long_output_the_end_is_kept_and_lines_come_at_once() -> io::Result<()> {
    let (lines, mut seen) = mpsc::channel(4);
    let script = "i=0; while [ $i -lt 20000 ]; do echo line $i; i=$((i+1)); done; printf 'no newline'";
    let command = Command {
        argv: ["/bin/sh", "-c", script].map(Into::into).to_vec(),
        env: Vec::new(),
        cwd: "/".into(),
        lines: Some(lines),
    };
    let finished = run(command).await?;
    assert_eq!(finished.stdout.len(), 64 * 1024);
    assert!(finished.stdout.ends_with(b"line 19999\nno newline"));
    assert_eq!(seen.recv().await.as_deref(), Some("line 0"));
    Ok(())
}
