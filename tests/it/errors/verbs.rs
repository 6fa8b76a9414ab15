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

    assert_output!(sandbox, ["scale", "work=3"], @r"
    exit: 2
    --- stdout
    --- stderr
    error: cannot scale work to 3 instances: its max is 2
    help: raise its max in services.toml or in its decorator, or use --force
    ");
    assert_output!(sandbox, ["scale", "work=1", "wrk=2"], @r"
    exit: 2
    --- stdout
    --- stderr
    error: there is no service `wrk`
    help: did you mean `work`?
    ");
    assert_output!(sandbox, ["scale", "work=1", "jobs.work=2"], @r"
    exit: 2
    --- stdout
    --- stderr
    error: cannot scale jobs.work: it is given two numbers
    help: name each service once
    ");
    assert_output!(sandbox, ["scale", "work=-1"], @r"
    exit: 2
    --- stdout
    --- stderr
    error: invalid value 'work=-1' for '<NAME=N>...': `-1` is not a number of instances: expected 0 or more or `auto`

    For more information, try '--help'.
    ");
    assert_output!(sandbox, ["scale", "work=99999999999"], @r"
    exit: 2
    --- stdout
    --- stderr
    error: invalid value 'work=99999999999' for '<NAME=N>...': `99999999999` is not a number of instances: expected 0 or more or `auto`

    For more information, try '--help'.
    ");
    assert_output!(sandbox, ["scale", "work=1.5"], @r"
    exit: 2
    --- stdout
    --- stderr
    error: invalid value 'work=1.5' for '<NAME=N>...': `1.5` is not a number of instances: expected 0 or more or `auto`

    For more information, try '--help'.
    ");
    assert_output!(sandbox, ["scale", "msx.orchestrator.health=2"], @r"
    exit: 2
    --- stdout
    --- stderr
    error: there is no service `msx.orchestrator.health`
    help: the only service is `work`
    ");
    assert_output!(sandbox, ["call", "msx.orchestrator.scale", "work", "-1"], @r"
    exit: 1
    --- stdout
    --- stderr
    ValueError: n must be a whole number from 0
    ");
    assert_output!(sandbox, ["call", "msx.orchestrator.scale", "work", "9"], @r"
    exit: 1
    --- stdout
    --- stderr
    ValueError: cannot scale work to 9 instances: its max is 2; raise its max in services.toml or in its decorator
    ");
    assert_output!(sandbox, ["restart", "work", "wrk"], @r"
    exit: 2
    --- stdout
    --- stderr
    error: there is no service `wrk`
    help: did you mean `work`?
    ");
    assert_output!(sandbox, ["logs", "wrk"], @r"
    exit: 2
    --- stdout
    --- stderr
    error: there is no log of `wrk`
    help: did you mean `jobs.work`?
    ");
    assert_output!(sandbox, ["up"], @r"
    exit: 1
    --- stdout
    --- stderr
    error: a hub is already running for [ROOT] (pid [PID])
    help: `msx ps` shows its services, `msx restart` restarts them, `msx down` ends it
    ");
    assert_eq!(sandbox.run(&["up", "--wait"]), sandbox.run(&["up"]));
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
    assert_output!(sandbox, ["restart", "work", "jobs.work"], @r#"
    exit: 1
    --- stdout
    --- stderr
    error: cannot restart: work-2 did not stay up: exit status 1

    Traceback (most recent call last):
      File "[ROOT]/jobs.py", line 3, in <module>
        raise RuntimeError('no configuration')
    RuntimeError: no configuration

    msx worker: jobs.work: its module 'jobs' cannot be imported

    help: the old instances go on; correct the code and restart again
    "#);
    assert_eq!(hub.pids("work"), old);
    assert_eq!(hub.call(&["work"]), "1");
    assert_output!(sandbox, ["scale", "work=2"], @r#"
    exit: 1
    --- stdout
    --- stderr
    error: cannot scale work to 2: work-2 did not stay up: exit status 1

    Traceback (most recent call last):
      File "[ROOT]/jobs.py", line 3, in <module>
        raise RuntimeError('no configuration')
    RuntimeError: no configuration

    msx worker: jobs.work: its module 'jobs' cannot be imported

    help: `msx logs work` shows the whole log; msx keeps trying to start it
    "#);
    assert_eq!(hub.pids("work"), old);
}
