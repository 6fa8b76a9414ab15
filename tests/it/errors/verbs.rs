//! `scale`, `restart`, `logs` and a second `up`, used wrongly while a hub runs.

use crate::support::hub::Hub;
use crate::support::{Sandbox, assert_output};

const SERVICE: &str = "from msx import microservice\n\n@microservice(max=2)\ndef work():\n    return 1\n";

fn worker() -> Sandbox {
    Sandbox::with_manifest("[python]\nmodules = [\"jobs\"]\n\n[gateway]\nlisten = \"127.0.0.1:0\"\n")
        .file("jobs.py", SERVICE)
}

#[test]
fn numbers_and_names_that_do_not_fit() {
    let sandbox = worker();
    let hub = Hub::up(&sandbox, &[]);

    assert_output!(sandbox, ["scale", "work=3"], @"");
    assert_output!(sandbox, ["scale", "work=1", "wrk=2"], @"");
    assert_output!(sandbox, ["scale", "work=-1"], @"");
    assert_output!(sandbox, ["scale", "work=99999999999"], @"");
    assert_output!(sandbox, ["scale", "work=1.5"], @"");
    assert_output!(sandbox, ["scale", "msx.orchestrator.health=2"], @"");
    assert_output!(sandbox, ["call", "msx.orchestrator.scale", "work", "-1"], @"");
    assert_output!(sandbox, ["call", "msx.orchestrator.scale", "work", "9"], @"");
    assert_output!(sandbox, ["restart", "work", "wrk"], @"");
    assert_output!(sandbox, ["logs", "wrk"], @"");
    assert_output!(sandbox, ["up"], @"");
    assert_output!(sandbox, ["up", "--wait"], @"");
    // Nothing of it changed anything.
    assert_eq!(hub.service("work")["desired"], 1);
    assert_eq!(hub.service("work")["mode"], "auto");
}

#[test]
fn a_restart_with_code_that_does_not_start() {
    let sandbox = worker();
    let hub = Hub::up(&sandbox, &[]);
    let old = hub.pids("work");
    sandbox.edit("jobs.py", "@microservice", "raise RuntimeError('no configuration')\n@microservice");
    assert_output!(sandbox, ["restart", "work"], @"");
    assert_eq!(hub.pids("work"), old);
    assert_eq!(hub.call(&["work"]), "1");
    assert_output!(sandbox, ["scale", "work=2"], @"");
    assert_eq!(hub.pids("work"), old);
}
