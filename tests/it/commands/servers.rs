//! Programs that serve HTTP: on `$PORT`, on `PORT` of their environment, on a socket that they are handed.

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use super::{get, instance, project, upstream, wait_state};
use crate::node::node;
use crate::support::Sandbox;
use crate::support::hub::{Hub, kill, wait_for};

const PYTHON: &str = "[services.web]\ncommand = [\"python3\", \"-m\", \"http.server\", \"$PORT\"]\n";

fn answers(address: &str) -> bool {
    get(address, "/").status == 200
}

#[test]
fn a_server_is_ready_when_it_listens_and_leaves_nothing() {
    let sandbox = project(PYTHON);
    let hub = Hub::up(&sandbox, &[]);
    let web = hub.service("web");
    assert_eq!((web["kind"].as_str(), web["slots"].as_u64()), (Some("command"), Some(16)));
    let address = upstream(&web["instances"][0]);
    let range = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap();
    let ephemeral: u16 = range.split_whitespace().next().unwrap().parse().unwrap();
    let port: u16 = address.strip_prefix("127.0.0.1:").unwrap().parse().unwrap();
    assert!(port < ephemeral, "{port}");
    assert!(answers(&address));
    assert!(hub.msx(&["ps"]).contains(&format!(" at {address}")));
    assert!(hub.msx(&["logs", "web"]).contains("GET / HTTP/1.1"));
    drop(hub);
    assert!(std::net::TcpStream::connect(&address).is_err(), "the port is free again");
}

#[test]
fn instances_are_scaled_rolled_and_restarted_like_any_other() {
    let sandbox = project(PYTHON);
    let hub = Hub::up(&sandbox, &[]);
    hub.msx(&["scale", "web=3"]);
    let addresses = |hub: &Hub<'_>| -> BTreeSet<String> {
        hub.service("web")["instances"].as_array().unwrap().iter().map(upstream).collect()
    };
    let before = addresses(&hub);
    assert_eq!(before.len(), 3);
    assert!(before.iter().all(|address| answers(address)));
    hub.msx(&["restart", "web"]);
    let after = addresses(&hub);
    assert_eq!(after.len(), 3);
    assert!(after.iter().all(|address| answers(address)));
    hub.msx(&["scale", "web=1"]);
    let pid = hub.pids("web")[0];
    kill(pid, 9);
    wait_for("a new process", || hub.pids("web").first().filter(|new| **new != pid).copied());
    assert_eq!(instance(&hub, "web")["restarts"], 1);
}

#[test]
fn node_serves_on_the_port_of_its_environment() {
    let script =
        "require('http').createServer((q, r) => r.end(process.env.GREETING)).listen(process.env.PORT)";
    let sandbox = project(&format!(
        "[services.web]\ncommand = [{:?}, \"server.cjs\"]\nslots = 4\ncwd = \"app\"\nenv_file = \"web.env\"\n",
        node().display().to_string()
    ))
    .file("app/server.cjs", script)
    .file("web.env", "GREETING=hello\n");
    let hub = Hub::up(&sandbox, &[]);
    let page = get(&upstream(&instance(&hub, "web")), "/");
    assert_eq!((page.status, page.body.as_str()), (200, "hello"));
    assert_eq!(hub.service("web")["slots"], 4);
}

/// Reads the protocol as `sd_listen_fds` does.
const ACTIVATED: &str = r#"
import os, socket
from http.server import BaseHTTPRequestHandler, HTTPServer

assert os.environ["LISTEN_PID"] == str(os.getpid()), os.environ["LISTEN_PID"]
assert os.environ["LISTEN_FDS"] == "1"

class Page(BaseHTTPRequestHandler):
    def do_GET(self):
        body = os.environ["PORT"].encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

server = HTTPServer(("127.0.0.1", 0), Page, bind_and_activate=False)
server.socket.close()
server.socket = socket.socket(fileno=3)
server.serve_forever()
"#;

#[test]
fn a_program_may_be_handed_its_socket() {
    let sandbox = project(
        "[services.web]\ncommand = [\"python3\", \"server.py\"]\nsocket_activation = true\nready = { http = \"/\" }\n",
    )
    .file("server.py", ACTIVATED);
    let hub = Hub::up(&sandbox, &[]);
    let address = upstream(&instance(&hub, "web"));
    let page = get(&address, "/");
    assert_eq!(format!("127.0.0.1:{}", page.body), address);
}

/// A server on a Unix socket, which leaves its file behind.
const ON_SOCKET: &str = r#"
import os, sys
from http.server import BaseHTTPRequestHandler
from socketserver import UnixStreamServer

class Page(BaseHTTPRequestHandler):
    def do_GET(self):
        body = sys.argv[1].encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass

assert os.environ["SOCKET"] == sys.argv[1]
UnixStreamServer(sys.argv[1], Page).serve_forever()
"#;

#[test]
fn a_program_may_serve_on_a_unix_socket() {
    let sandbox = project(
        "[services.web]\ncommand = [\"python3\", \"server.py\", \"$SOCKET\"]\nready = { http = \"/\" }\n",
    )
    .file("server.py", ON_SOCKET);
    let hub = Hub::up(&sandbox, &[]);
    let address = upstream(&instance(&hub, "web"));
    let path = std::path::PathBuf::from(address.strip_prefix("unix:").unwrap());
    assert!(path.exists());
    let page = get(hub.service("web")["address"].as_str().unwrap(), "/");
    assert_eq!((page.status, page.body), (200, path.display().to_string()), "through its front");
    kill(hub.pids("web")[0], 9);
    wait_for("another socket", || {
        Some(instance(&hub, "web")).filter(|web| web["state"] == "ready" && upstream(web) != address)
    });
    wait_for("the old one to be gone", || (!path.exists()).then_some(()));
    let last = upstream(&instance(&hub, "web"));
    hub.msx(&["down"]);
    assert!(!std::path::Path::new(last.strip_prefix("unix:").unwrap()).exists());
}

#[test]
fn a_program_cannot_be_called() {
    let sandbox = project(&format!("{PYTHON}[services.tick]\ncommand = [\"sleep\", \"1000\"]\n"));
    let hub = Hub::up(&sandbox, &[]);
    let (code, error) = hub.call_fails(&["web"]);
    assert_eq!(code, 2);
    assert!(error.contains("error: web is a program and cannot be called"), "{error}");
    assert!(error.contains("help: it serves requests at http://127.0.0.1:"), "{error}");
    let (_, error) = hub.call_fails(&["tick", "1"]);
    assert!(error.contains("msx only runs it; `msx logs tick` shows what it prints"), "{error}");
}

#[test]
fn the_orchestrator_knows_programs() {
    let sandbox = project(&format!("{PYTHON}[services.tick]\ncommand = [\"sleep\", \"1000\"]\n"));
    let hub = Hub::up(&sandbox, &[]);
    let front = hub.call(&["msx.orchestrator.access", "web"]);
    assert_eq!(front, hub.service("web")["address"].as_str().unwrap());
    assert_eq!(hub.call(&["msx.orchestrator.access", "tick"]), "null");
    let services: serde_json::Value =
        serde_json::from_str(&hub.call(&["msx.orchestrator.services"])).unwrap();
    let named: Vec<(&str, u64)> = services
        .as_array()
        .unwrap()
        .iter()
        .map(|service| (service["name"].as_str().unwrap(), service["instances"].as_u64().unwrap()))
        .collect();
    assert_eq!(named, [("tick", 1), ("web", 1)]);
    let instances: serde_json::Value =
        serde_json::from_str(&hub.call(&["msx.orchestrator.instances", "web"])).unwrap();
    assert_eq!(instances[0]["address"], instance(&hub, "web")["upstream"]);
}

/// The leader waits for a child that serves, and for one that has left its process group.
const FORKS: &str = "setsid sleep 1000 & python3 -m http.server $PORT & wait";

#[test]
fn what_a_program_forks_belongs_to_it() {
    let sandbox = Sandbox::with_manifest(&format!(
        "[gateway]\nlisten = \"127.0.0.1:0\"\n[services.web]\ncommand = [\"sh\", \"-c\", {FORKS:?}]\n"
    ));
    let hub = Hub::up(&sandbox, &[]);
    assert!(answers(&upstream(&instance(&hub, "web"))));
    kill(hub.pids("web")[0], 9);
    wait_for("another instance", || (instance(&hub, "web")["restarts"] == 1).then_some(()));
    let again = wait_state(&hub, "web", "ready");
    assert!(answers(&upstream(&again)));
    // Dropping the hub fails the test if anything is left.
}

#[test]
fn a_program_that_ignores_its_signal_is_killed_after_its_grace() {
    let script = "trap '' TERM; while :; do sleep 1; done";
    let sandbox = project(&format!(
        "[services.deaf]\ncommand = [\"sh\", \"-c\", {script:?}]\nstop = {{ grace = \"200ms\" }}\n"
    ));
    let hub = Hub::up(&sandbox, &[]);
    let since = std::time::Instant::now();
    hub.msx(&["down"]);
    assert!(since.elapsed() < Duration::from_secs(10), "{:?}", since.elapsed());
}
