//! Services that have no instance while nobody calls them.

use serde_json::Value;

use crate::support::Sandbox;
use crate::support::hub::{Hub, wait_for};
use crate::support::load::Load;

const LAZY: &str = "\
import time
from msx import microservice

@microservice
def lazy():
    time.sleep(0.05)
    return 'it'
";

fn project(service: &str) -> Sandbox {
    let manifest =
        format!("[python]\nmodules = [\"m\"]\n[gateway]\nlisten = \"127.0.0.1:0\"\n[defaults]\n{service}\n");
    Sandbox::with_manifest(&manifest).file("m.py", LAZY)
}

fn no_instance(hub: &Hub) {
    wait_for("no instance", || hub.service("lazy")["instances"].as_array().unwrap().is_empty().then_some(()));
}

/// Instances before and after, of all steps of the autoscaler.
fn steps(hub: &Hub) -> Vec<(u64, u64)> {
    let lines = hub.msx(&["events", "--service", "lazy", "--json"]);
    let events = lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let steps = events.filter(|event| event["kind"] == "scaled");
    steps.map(|step| (step["from"].as_u64().unwrap(), step["to"].as_u64().unwrap())).collect()
}

#[test]
fn calls_wait_for_the_first_instance_and_the_last_one_goes_when_they_stop() {
    let sandbox = project("instances = { min = 0, max = 2 }\nscale = { down_after = \"1s\", machine = 1.0 }");
    let hub = Hub::up(&sandbox, &[]);
    no_instance(&hub);
    for round in 1..=2 {
        let load = Load::start(&hub.gateway(), "lazy", "{}", 8);
        wait_for("answers", || (load.answered() >= 40).then_some(()));
        let tally = load.end();
        assert_eq!(tally.failures, Vec::<String>::new(), "round {round}");
        no_instance(&hub);
    }
    let steps = steps(&hub);
    assert!(steps.iter().filter(|(from, to)| *from == 0 && *to > 0).count() == 2, "{steps:?}");
    assert!(steps.iter().filter(|(_, to)| *to == 0).count() == 2, "{steps:?}");
    assert!(
        steps.windows(2).all(|pair| pair[0].1 == pair[1].0),
        "one step begins where the last one ended: {steps:?}"
    );
    let why = hub.msx(&["ps", "--why"]);
    assert!(why.contains("scales itself, 0 to 2; now ") && why.contains(" ago  "), "{why}");
}

#[test]
fn an_idle_service_is_brought_to_zero_although_its_min_is_one() {
    let sandbox = project("instances = 1\nscale = { idle_to_zero = \"1s\" }");
    let hub = Hub::up(&sandbox, &[]);
    assert_eq!(hub.service("lazy")["mode"], "auto");
    no_instance(&hub);
    assert_eq!(hub.call(&["lazy"]), "it");
    no_instance(&hub);
    assert_eq!(steps(&hub), [(1, 0), (0, 1), (1, 0)]);
}

#[test]
fn a_first_instance_that_cannot_start_refuses_the_calls_that_wait_for_it() {
    let sandbox = project("instances = { min = 0, max = 2 }");
    sandbox.edit("m.py", "import time\n", "import time\nimport msx\n\n@msx.on_start\ndef start():\n    raise RuntimeError('no such table: orders')\n\n");
    let hub = Hub::up(&sandbox, &[]);
    let (code, stderr) = hub.call_fails(&["lazy"]);
    assert_eq!(code, 1);
    assert!(
        stderr.contains("crashes at every start") && stderr.contains("no such table: orders"),
        "{stderr}"
    );
    let events = hub.msx(&["events"]);
    assert!(events.contains("crashloop"), "{events}");
    assert!(
        hub.msx(&["metrics"]).contains("msx_calls_refused_total{service=\"m.lazy\",reason=\"crash_loop\"} 1")
    );
}
