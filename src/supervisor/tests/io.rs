//! The supervisor with real processes under a real guard. Only the core is played: it passes on what it hears.
//!
//! A worker here is Python that runs what the test wrote for its service. On the control channel it says `def` or
//! `async` for a hello, and reads `drain`.

use std::collections::HashMap;
use std::ffi::CString;
use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::wait::waitpid;
use nix::unistd::{Pid, execv};
use parking_lot::Mutex;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::guard::{self, Guard};
use crate::model::{InstanceId, ServiceId, WorkerKind};
use crate::protocol::control::InstanceState;
use crate::protocol::progress::Progress;
use crate::protocol::signature::Signature;
use crate::registry::tests::{offer, ready_first};
use crate::registry::{InstanceEntry, Offer, Registry};
use crate::supervisor::logs::LogStore;
use crate::supervisor::{Failure, Hello, Outward, Settings, Supervisor, Wiring};

/// How long anything may take on a busy machine; nothing waits this long when it works.
const PATIENCE: Duration = Duration::from_secs(40);

/// What every worker begins with.
const PRELUDE: &str = "
import os, signal, socket, subprocess, sys, time
control = socket.socket(fileno=int(os.environ['MSX_FD']))
exec(open(sys.argv[1] + '.py').read())
";

/// A worker that is well.
const WELL: &str = "
control.sendall(b'def')
control.recv(64)
";

// ── the guard ────────────────────────────────────────────────────────────────────────────────────────────────────────

/// Not a test: `guard::launch` runs this program with the name of this function, and it serves as the guard.
///
/// A test has a thread of its own, and the guard hears of its children by a signal that no other thread may take. So
/// the program starts over with that signal blocked, which `exec` leaves as it is.
#[test]
fn __guard() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["__guard"] => {
            SigSet::from(Signal::SIGCHLD).thread_block().unwrap();
            let arguments = ["msx", "__guard", "--nocapture"].map(|text| CString::new(text).unwrap());
            panic!("cannot start over: {:?}", execv(c"/proc/self/exe", &arguments));
        }
        ["__guard", "--nocapture"] => {
            guard::run();
            std::process::exit(0);
        }
        _ => {}
    }
}

// ── a hub ────────────────────────────────────────────────────────────────────────────────────────────────────────────

/// The part of the core: it answers a drain at once and passes hellos on.
#[derive(Default)]
struct Core {
    supervisor: OnceLock<Supervisor>,
    controls: Mutex<HashMap<InstanceId, UnixStream>>,
    /// What it was told, in words.
    heard: Mutex<Vec<String>>,
    /// Its calls never end.
    is_busy: bool,
}

impl Core {
    fn hear(self: &Arc<Self>, what: Outward) {
        self.heard.lock().push(words(&what));
        match what {
            Outward::Attach { instance, channels, .. } => {
                let control = UnixStream::from(channels.control);
                self.controls.lock().insert(instance, control.try_clone().unwrap());
                let core = self.clone();
                thread::spawn(move || core.listen(instance, control));
            }
            Outward::Drain { instance, .. } if !self.is_busy => self.supervisor.wait().drained(instance),
            Outward::Finish { instance } => {
                // It may have ended meanwhile.
                let _ = self.controls.lock().get_mut(&instance).map(|control| control.write_all(b"drain"));
            }
            Outward::Gone { instance, .. } => drop(self.controls.lock().remove(&instance)),
            _ => {}
        }
    }

    fn listen(&self, instance: InstanceId, mut control: UnixStream) {
        let mut bytes = [0; 64];
        while let Ok(length @ 1..) = control.read(&mut bytes) {
            let kind = if bytes.starts_with(b"async") { WorkerKind::Async } else { WorkerKind::Def };
            let text = String::from_utf8_lossy(&bytes[..length]).into_owned();
            let mut signature = Signature::default();
            signature.text = text;
            let signature = Arc::new(signature);
            let hello = Hello { pid: 0, kind, signature, python: String::new() };
            self.supervisor.wait().hello(instance, hello);
        }
        self.supervisor.wait().severed(instance, None);
    }
}

fn words(what: &Outward) -> String {
    match what {
        Outward::Attach { instance, slots, kind, .. } => {
            format!("attach {} {slots} {kind:?}", instance.number)
        }
        Outward::Serve { instance, upstream, .. } => format!("serve {} {upstream}", instance.number),
        Outward::Unready { instance } => format!("unready {}", instance.number),
        Outward::Ready { instance } => format!("ready {}", instance.number),
        Outward::Drain { instance, replay_now } => format!("drain {} {replay_now}", instance.number),
        Outward::Finish { instance } => format!("finish {}", instance.number),
        Outward::Gone { instance, reason } => format!("gone {}: {reason}", instance.number),
        Outward::Down { reason, .. } => format!("down {}", reason.is_some()),
        Outward::Zero { is_zero, .. } => format!("zero {is_zero}"),
    }
}

struct Hub {
    supervisor: Supervisor,
    registry: Registry,
    core: Arc<Core>,
    progress: Arc<Mutex<Vec<String>>>,
    guard: Guard,
    guard_pid: u32,
    project: tempfile::TempDir,
}

impl Hub {
    /// Starts services, each with the Python that its workers run.
    fn start(services: Vec<(Offer, &str)>) -> Self {
        Self::start_with("python3", services, Core::default())
    }

    fn start_with(interpreter: &str, services: Vec<(Offer, &str)>, core: Core) -> Self {
        let project = tempfile::tempdir().unwrap();
        write_workers(project.path(), &services);
        let launch = guard::launch(project.path()).unwrap();
        let guard = launch.connect().unwrap();
        let guard_pid = guard.pid();
        let registry = Registry::new(services.into_iter().map(|(offer, _)| offer).collect());
        let (core, progress) = (Arc::new(core), Arc::new(Mutex::new(Vec::new())));
        let (told, reported) = (core.clone(), progress.clone());
        let supervisor = Supervisor::start(Wiring {
            settings: Settings {
                python: Some(interpreter.into()),
                node: None,
                env: vec![("PYTHONPATH".into(), project.path().into())],
                project: project.path().to_owned(),
                sockets: project.path().join("s"),
            },
            guard: guard.clone(),
            registry: registry.clone(),
            logs: LogStore::new(&project.path().join("logs")).unwrap(),
            outward: Arc::new(move |what| told.hear(what)),
            report: Arc::new(move |progress| reported.lock().push(line(progress))),
        });
        let supervisor = supervisor.unwrap();
        assert!(core.supervisor.set(supervisor.clone()).is_ok());
        Self { supervisor, registry, core, progress, guard, guard_pid, project }
    }

    fn rewrite(&self, name: &str, script: &str) {
        fs::write(self.project.path().join(format!("{name}.py")), script).unwrap();
    }

    async fn ready(&self) {
        timeout(PATIENCE, self.supervisor.wait_ready()).await.unwrap().unwrap();
    }

    fn instances(&self) -> Vec<InstanceEntry> {
        self.registry.snapshot().services[0].instances.clone()
    }

    fn pids(&self) -> Vec<u32> {
        self.instances().iter().filter_map(|instance| instance.pid).collect()
    }

    fn heard(&self, what: &str) -> bool {
        self.core.heard.lock().iter().any(|told| told.starts_with(what))
    }

    /// Reads a number that a worker wrote into a file.
    async fn number(&self, file: &str) -> i32 {
        let path = self.project.path().join(file);
        let read = || fs::read_to_string(&path).ok()?.strip_suffix('\n')?.parse().ok();
        eventually("a worker writes its number", read).await
    }

    /// Shuts down, and checks that nothing of it is left.
    async fn end(self) {
        let pids = self.pids();
        timeout(PATIENCE, self.supervisor.shutdown(CancellationToken::new())).await.unwrap().unwrap();
        self.close(pids).await;
    }

    async fn close(self, pids: Vec<u32>) {
        assert!(pids.into_iter().all(|pid| !is_alive(pid.cast_signed())));
        assert!(self.instances().is_empty());
        assert_eq!(self.supervisor.scale(ServiceId(0), Some(1), true, false).await, Err(Failure::Stopping));
        timeout(PATIENCE, self.guard.close()).await.unwrap();
        waitpid(Pid::from_raw(self.guard_pid.cast_signed()), None).unwrap();
    }
}

fn write_workers(project: &Path, services: &[(Offer, &str)]) {
    fs::create_dir(project.join("msx")).unwrap();
    fs::write(project.join("msx/_worker.py"), PRELUDE).unwrap();
    for (offer, script) in services {
        fs::write(project.join(format!("{}.py", offer.spec.name)), script).unwrap();
    }
}

fn line(progress: Progress) -> String {
    match progress {
        Progress::Service { name, ready, wanted, state } => format!("{name} {ready}/{wanted} {state}"),
        other => format!("{other:?}"),
    }
}

fn with_instances(name: &str, min: u32) -> Offer {
    let mut offer = offer(name);
    offer.spec.instances.min = min;
    offer
}

fn is_alive(pid: i32) -> bool {
    kill(Pid::from_raw(pid), None) != Err(Errno::ESRCH)
}

/// Tries until there is a value.
async fn eventually<T>(what: &str, mut attempt: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(value) = attempt() {
            return value;
        }
        assert!(Instant::now() < deadline, "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

// ── tests ────────────────────────────────────────────────────────────────────────────────────────────────────────────

#[tokio::test]
async fn services_start_serve_and_stop() {
    let mut dependent = offer("web.a");
    dependent.spec.depends_on = vec![ready_first("b")];
    let hub = Hub::start(vec![(dependent, WELL), (offer("db.b"), WELL)]);
    hub.ready().await;
    let snapshot = hub.registry.snapshot();
    let shown: Vec<(&str, InstanceState, bool)> = snapshot
        .services
        .iter()
        .flat_map(|service| &service.instances)
        .map(|instance| (instance.label.as_str(), instance.state, instance.pid.is_some()))
        .collect();
    assert_eq!(shown, [("a-1", InstanceState::Ready, true), ("b-1", InstanceState::Ready, true)]);
    assert_eq!(snapshot.services[0].signature.text, "def");
    let (core, progress) = (hub.core.clone(), hub.progress.clone());
    hub.end().await;
    let heard = core.heard.lock().join(", ");
    assert_eq!(
        heard,
        "attach 1 2 Def, ready 1, attach 1 2 Def, ready 1, drain 1 false, finish 1, gone 1: exit status 0, \
         drain 1 false, finish 1, gone 1: exit status 0"
    );
    let progress = progress.lock().clone();
    for expected in ["web.a 0/1 starting", "web.a 1/1 ready", "db.b 0/1 draining", "db.b 0/1 stopped"] {
        assert!(progress.contains(&expected.to_owned()), "{expected} in {progress:?}");
    }
}

#[tokio::test]
async fn an_instance_knows_who_it_is_and_inherits_no_descriptor() {
    let script = "
fds = sorted(int(fd) for fd in os.listdir('/proc/self/fd'))
print(os.environ['MSX_SERVICE'], os.environ['MSX_INSTANCE'], fds[:4], os.getcwd(), flush=True)
control.sendall(b'def' if len(fds) <= 6 else b'')
control.recv(64)
";
    let hub = Hub::start(vec![(offer("jobs.resize"), script)]);
    hub.ready().await;
    let folder = hub.project.path().join("logs/jobs.resize");
    let expected = format!("resize-1 out jobs.resize resize-1 [0, 1, 2, 3] {}", hub.project.path().display());
    eventually("the line is in the log", || {
        let files = fs::read_dir(&folder).ok()?;
        let text: String = files.flatten().filter_map(|file| fs::read_to_string(file.path()).ok()).collect();
        text.contains(&expected).then_some(())
    })
    .await;
    hub.end().await;
}

#[tokio::test]
async fn a_killed_instance_is_replaced() {
    let hub = Hub::start(vec![(offer("a.a"), WELL)]);
    hub.ready().await;
    let first = hub.pids()[0];
    kill(Pid::from_raw(first.cast_signed()), Signal::SIGKILL).unwrap();
    eventually("its replacement is ready", || {
        let instance = hub.instances().into_iter().next()?;
        (instance.state == InstanceState::Ready && instance.pid != Some(first)).then_some(())
    })
    .await;
    assert!(hub.heard("gone 1: killed by SIGKILL"));
    assert_eq!(hub.instances()[0].restarts, 1);
    hub.end().await;
}

#[tokio::test]
async fn what_a_fallen_instance_started_is_killed_too() {
    let script = "
child = subprocess.Popen(['sleep', '1000'])
open('child', 'w').write(f'{child.pid}\\n')
control.sendall(b'def')
control.recv(64)
";
    let hub = Hub::start(vec![(offer("a.a"), script)]);
    hub.ready().await;
    let child = hub.number("child").await;
    kill(Pid::from_raw(hub.pids()[0].cast_signed()), Signal::SIGKILL).unwrap();
    eventually("the grandchild is gone", || (!is_alive(child)).then_some(())).await;
    eventually("the replacement is ready", || {
        hub.instances()
            .first()
            .filter(|one| one.state == InstanceState::Ready && one.restarts == 1)
            .map(|_| ())
    })
    .await;
    hub.end().await;
}

#[tokio::test]
async fn a_failed_start_is_reported_with_its_traceback() {
    let hub = Hub::start(vec![(offer("a.a"), WELL), (offer("b.b"), "import no_such_module")]);
    let failure = timeout(PATIENCE, hub.supervisor.wait_ready()).await.unwrap().unwrap_err();
    assert_eq!(failure.to_string(), "b-1 did not stay up: exit status 1");
    let detail = failure.detail().unwrap();
    assert!(detail.ends_with("ModuleNotFoundError: No module named 'no_such_module'"), "{detail}");
    eventually("the registry has the reason", || {
        let snapshot = hub.registry.snapshot();
        let reason = snapshot.services[1].instances.first()?.reason.clone()?;
        reason.starts_with("exit status 1\n").then_some(())
    })
    .await;
    hub.end().await;
}

#[tokio::test]
async fn an_interpreter_that_is_not_there_is_named() {
    let hub = Hub::start_with("/no/such/python", vec![(offer("a.a"), WELL)], Core::default());
    let failure = timeout(PATIENCE, hub.supervisor.wait_ready()).await.unwrap().unwrap_err();
    let text = failure.to_string();
    assert!(text.starts_with("a-1 did not stay up: cannot start /no/such/python: "), "{text}");
    assert!(text.contains("No such file or directory"), "{text}");
    hub.end().await;
}

#[tokio::test]
async fn scaling_goes_up_and_down() {
    let hub = Hub::start(vec![(offer("a.a"), WELL)]);
    hub.ready().await;
    for target in [3, 0, 2] {
        timeout(PATIENCE, hub.supervisor.scale(ServiceId(0), Some(target), true, false))
            .await
            .unwrap()
            .unwrap();
        let states: Vec<InstanceState> = hub.instances().iter().map(|instance| instance.state).collect();
        assert_eq!(states, vec![InstanceState::Ready; target as usize]);
    }
    let snapshot = hub.registry.snapshot();
    assert_eq!((snapshot.services[0].desired, snapshot.services[0].mode.as_str()), (2, "pinned"));
    hub.end().await;
}

#[tokio::test]
async fn nobody_gets_more_instances_than_allowed() {
    let hub = Hub::start(vec![(offer("a.a"), WELL)]);
    hub.ready().await;
    for (instances, force) in [(9, false), (1_025, true), (u32::MAX, true)] {
        let refused = hub.supervisor.scale(ServiceId(0), Some(instances), false, force).await;
        assert!(matches!(refused, Err(Failure::TooMany(_))), "{instances}: {refused:?}");
    }
    assert_eq!(hub.registry.snapshot().services[0].desired, 1);
    hub.end().await;
}

#[tokio::test]
async fn a_rolling_restart_replaces_every_process_and_is_never_without_one() {
    let hub = Hub::start(vec![(with_instances("a.a", 2), WELL)]);
    hub.ready().await;
    let before = hub.pids();
    timeout(PATIENCE, hub.supervisor.restart(vec![ServiceId(0)], true)).await.unwrap().unwrap();
    assert_eq!(hub.instances().len(), 2);
    assert!(hub.pids().iter().all(|pid| !before.contains(pid)));
    let mut ready = 0_i32;
    let heard = hub.core.heard.lock().clone();
    for told in heard.iter().skip_while(|told| !told.starts_with("ready 2")).skip(1) {
        ready += i32::from(told.starts_with("ready")) - i32::from(told.starts_with("drain"));
        assert!(ready >= 0, "{heard:?}");
    }
    hub.end().await;
}

#[tokio::test]
async fn a_rolling_restart_onto_broken_code_keeps_what_runs() {
    let hub = Hub::start(vec![(offer("a.a"), WELL)]);
    hub.ready().await;
    let before = hub.pids();
    hub.rewrite("a.a", "raise ValueError('broken on purpose')");
    let error =
        timeout(PATIENCE, hub.supervisor.restart(vec![ServiceId(0)], false)).await.unwrap().unwrap_err();
    assert!(error.0[0].detail().unwrap().ends_with("ValueError: broken on purpose"));
    assert_eq!(hub.pids(), before);
    hub.end().await;
}

#[tokio::test]
async fn an_instance_of_another_kind_than_announced_is_started_again_as_what_it_is() {
    let hub = Hub::start(vec![(offer("a.a"), "control.sendall(b'async')\ncontrol.recv(64)")]);
    hub.ready().await;
    assert_eq!(hub.registry.snapshot().services[0].kind, WorkerKind::Async);
    assert!(hub.heard("attach 1 2 Async"));
    hub.end().await;
}

#[tokio::test]
async fn an_instance_without_its_control_channel_is_replaced() {
    let script = "
control.sendall(b'def')
if not os.path.exists('once'):
    open('once', 'w').close()
    control.close()
    time.sleep(1000)
control.recv(64)
";
    let hub = Hub::start(vec![(offer("a.a"), script)]);
    eventually("it was killed for it", || {
        hub.heard("gone 1: it closed its control channel (killed by SIGKILL)").then_some(())
    })
    .await;
    hub.ready().await;
    hub.end().await;
}

#[tokio::test]
async fn the_second_signal_does_not_wait_for_anything() {
    let script = "
signal.signal(signal.SIGTERM, signal.SIG_IGN)
control.sendall(b'def')
time.sleep(1000)
";
    let core = Core { is_busy: true, ..Core::default() };
    let hub = Hub::start_with("python3", vec![(with_instances("a.a", 2), script)], core);
    hub.ready().await;
    let (pids, kill) = (hub.pids(), CancellationToken::new());
    let shutdown = tokio::spawn({
        let (supervisor, kill) = (hub.supervisor.clone(), kill.clone());
        async move { supervisor.shutdown(kill).await }
    });
    eventually("both drain", || (hub.heard("drain 1") && hub.heard("drain 2")).then_some(())).await;
    let begun = Instant::now();
    kill.cancel();
    timeout(PATIENCE, shutdown).await.unwrap().unwrap().unwrap();
    assert!(begun.elapsed() < Duration::from_secs(20), "it waited for the drain");
    hub.close(pids).await;
}
