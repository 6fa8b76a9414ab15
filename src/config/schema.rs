//! The table of settings: every key of the manifest stands here once, with its type, check and default, or with
//! what to do while it is not built yet. Reading, layering and `msx config` all follow from this table.

use std::net::SocketAddr;
use std::time::Duration;

use super::diagnostics::Diagnostics;
use super::place::Located;
use super::raw::Table;
use super::section::State::{Anywhere, Function, Later, OfCommand, OfFunction, OneService};
use super::section::{Key, Section, Title};
use super::spec::{INSTANCES_MAX, RetryPolicy};
use super::value::{Dependencies, Env, Line, Names, ProbeSetting, Setting, Signal};

/// Makes of each table two types: `$layer` with what one place says (every field may be absent), and `$settings`
/// with what counts after the layers were laid over each other.
macro_rules! settings {
    (
        $(#[$about:meta])* $layer:ident => $settings:ident {
            $($(#[$doc:meta])* $field:ident: $type:ty = $default:expr, $path:literal in $state:expr, $check:expr;)*
        }
        later { $($later:literal: $instead:expr;)* }
    ) => {
        #[doc = concat!("What one place says about [`", stringify!($settings), "`].")]
        #[derive(Clone, Debug, Default)]
        pub struct $layer {
            $(pub $field: Option<Located<$type>>,)*
        }

        $(#[$about])*
        #[derive(Clone, Debug)]
        pub struct $settings {
            $($(#[$doc])* pub $field: Located<$type>,)*
        }

        impl $layer {
            pub const KEYS: &[Key] = &[
                $(Key { path: $path, state: $state },)*
                $(Key { path: $later, state: Later($instead) },)*
            ];

            /// Checks one table; everything wrong in it is added to `problems`.
            pub fn read(title: &Title, table: &Table, problems: &mut Diagnostics) -> Self {
                let section = Section::open(title, table, Self::KEYS, problems);
                Self { $($field: section.read($path, problems, $check),)* }
            }
        }

        impl $settings {
            /// Lays the layers over the defaults, the last one on top.
            pub fn lay(layers: &[&$layer]) -> Self {
                Self { $($field: lay($default, layers.iter().filter_map(|layer| layer.$field.clone())),)* }
            }

            /// All values, in the order of the table.
            pub fn lines(&self) -> Vec<Line> {
                let mut lines = Vec::new();
                $(lines.extend(self.$field.value.lines($path, &self.$field.place));)*
                lines
            }
        }
    };
}

fn lay<T: Setting>(default: T, layers: impl Iterator<Item = Located<T>>) -> Located<T> {
    layers.fold(Located::default(default), |below, above| {
        Located::new(above.value.over(below.value), above.place)
    })
}

settings! {
    /// `[project]`
    ProjectLayer => Project {
        /// Shown to people; without it the folder's name.
        name: Option<String> = None, "name" in Anywhere, |field| field.text().map(Some);
    }
    later {}
}

settings! {
    /// `[python]`: where the services' code and its interpreter come from.
    PythonLayer => Python {
        /// `requirements.txt` or `pyproject.toml`, relative to the manifest.
        requirements: Option<String> = None, "requirements" in Anywhere, |field| field.text().map(Some);
        /// The interpreter to use as it is.
        interpreter: Option<String> = None, "interpreter" in Anywhere, |field| field.text().map(Some);
        /// Folders put on `sys.path`, relative to the manifest.
        path: Names = Names::new(), "path" in Anywhere, |field| field.names();
        /// Modules whose decorated functions are services.
        modules: Names = Names::new(), "modules" in Anywhere, |field| field.modules();
    }
    later {}
}

settings! {
    /// `[node]`: services written in JavaScript.
    NodeLayer => Node {
        /// The Node.js to use: a path, or a command on PATH.
        interpreter: Option<String> = None, "interpreter" in Anywhere, |field| field.text().map(Some);
        /// Files whose exported `microservice(…)` are services, relative to the manifest.
        modules: Names = Names::new(), "modules" in Anywhere, |field| field.scripts();
    }
    later {}
}

settings! {
    /// `[gateway]`: the public HTTP entrance.
    GatewayLayer => Gateway {
        /// `None`: 127.0.0.1:8080, or the next free port.
        listen: Option<SocketAddr> = None, "listen" in Anywhere, |field| field.address().map(Some);
    }
    later {
        "tls": "remove it: the gateway speaks plain HTTP on loopback; let a reverse proxy in front speak TLS";
        "tokens": "remove it: the gateway listens on loopback only; let a reverse proxy in front check who calls";
        "insecure": "remove it: the gateway listens on loopback only";
    }
}

/// More threads than this in one process help nobody: use instances.
const THREADS_MAX: u32 = 1_024;
/// Coroutines are cheap, but each running call holds its arguments in memory.
const CONCURRENCY_MAX: u32 = 100_000;
/// A parked `def` call is a blocked thread; a parked `async def` call a pending coroutine.
const PARKED_MAX: u32 = 100_000;
/// Every queued call holds its arguments in the hub's memory.
const QUEUE_MAX: u32 = 1_000_000;
/// With growing pauses, more take half an hour and longer.
const RETRIES_MAX: u32 = 100;
/// Larger batches gain nothing, and each is one message.
const BATCH_MAX: u32 = 1_000;
/// A caller that waits longer for others does not want a batch.
const WITHIN_MAX: Duration = Duration::from_secs(60);
/// The longest pause, however often a call has failed.
const BACKOFF_MAX: Duration = Duration::from_secs(30);
/// Long enough for any wait that is meant.
const DURATION_MAX: Duration = Duration::from_secs(7 * 86_400);
const MILLISECOND: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);

settings! {
    /// The settings of one service.
    ServiceLayer => Service {
        /// Always `native`: Python functions run by msx itself.
        server: String = "native".to_owned(), "server" in Function(NO_CALLS),
            |field| field.word(&["native"], &["gunicorn", "http"], ONLY_FUNCTIONS);
        /// Calls of a `def` service that may run at once in one instance.
        threads: u32 = 2, "threads" in Function(SLOTS),
            |field| field.count(1..=THREADS_MAX);
        /// Calls of an `async def` service that may run at once in one instance.
        concurrency: u32 = 100, "concurrency" in Function(SLOTS),
            |field| field.count(1..=CONCURRENCY_MAX);
        /// Fewest instances; 0: none before the first call.
        min: u32 = 1, "instances.min" in Anywhere,
            |field| field.count(0..=INSTANCES_MAX);
        /// Most instances.
        max: u32 = 8, "instances.max" in Anywhere,
            |field| field.count(1..=INSTANCES_MAX);
        /// Share of the slots that should be busy.
        utilization: f64 = 0.7, "scale.utilization" in Anywhere,
            |field| field.share();
        /// Share of the cores an instance can use that should be busy.
        cpu: f64 = 0.8, "scale.cpu" in Anywhere,
            |field| field.share();
        /// No scale-up while the machine is busier; 1.0 switches it off.
        machine: f64 = 0.9, "scale.machine" in Anywhere,
            |field| field.share();
        /// How long fewer instances must have been enough before one is stopped.
        down_after: Duration = Duration::from_secs(60), "scale.down_after" in Anywhere,
            |field| field.duration(SECOND..=DURATION_MAX);
        /// Without a call for so long no instance is kept; `None`: `instances.min` are.
        idle_to_zero: Option<Duration> = None, "scale.idle_to_zero" in Anywhere,
            |field| field.duration(SECOND..=DURATION_MAX).map(Some);
        /// Suspended calls that may stay in one instance beyond its slots.
        max_parked: u32 = 256, "max_parked" in Function(NO_CALLS),
            |field| field.count(0..=PARKED_MAX);
        /// Root calls that may wait for a slot.
        queue_max: u32 = 1_024, "queue.max" in Anywhere,
            |field| field.count(1..=QUEUE_MAX);
        /// How long each of them waits at most.
        queue_timeout: Duration = Duration::from_secs(10), "queue.timeout" in Anywhere,
            |field| field.duration(MILLISECOND..=DURATION_MAX);
        /// The longest uninterrupted run of a call in a slot.
        run_timeout: Duration = Duration::from_secs(30), "run_timeout" in Function(NO_CALLS),
            |field| field.duration(MILLISECOND..=DURATION_MAX);
        /// How often a call that had begun is tried again when it fails.
        retries_max: u32 = 0, "retries.max" in Function(NO_CALLS),
            |field| field.count(0..=RETRIES_MAX);
        /// The pause before the first retry; each further one is twice as long.
        retries_backoff: Duration = RetryPolicy::BACKOFF, "retries.backoff" in Function(NO_CALLS),
            |field| field.duration(MILLISECOND..=BACKOFF_MAX);
        /// A call may be run twice: it is tried again, three times unless `retries` says otherwise.
        idempotent: bool = false, "idempotent" in Anywhere,
            |field| field.flag();
        /// Calls under one key (`a.options(key=…)`) that may run at once; `None`: as many as there are slots.
        concurrency_key: Option<u32> = None, "concurrency_key" in Function(NO_CALLS),
            |field| field.count(1..=CONCURRENCY_MAX).map(Some);
        /// The most calls that one run takes, where the function is given lists.
        batch: Option<u32> = None, "batch" in OfFunction(LISTS),
            |field| field.count(1..=BATCH_MAX).map(Some);
        /// How long the first of them waits for more while a slot is free; `None`: not at all.
        within: Option<Duration> = None, "within" in OfFunction(LISTS),
            |field| field.duration(Duration::ZERO..=WITHIN_MAX).map(Some);
        /// What follows when a replay differs: the call fails, or is paused until somebody sees to it.
        on_nondeterminism: String = "fail".to_owned(), "on_nondeterminism" in Function(NO_CALLS),
            |field| field.word(&["fail", "pause"], &[], "");
        /// Always `none`: calls are kept in memory.
        durability: String = "none".to_owned(), "durability" in Function(NO_CALLS),
            |field| field.word(&["none"], &["async", "fsync"], ONLY_MEMORY);
        /// Whether the gateway may call it.
        expose: bool = true, "expose" in Function(NO_CALLS),
            |field| field.flag();
        /// The service's own front; `None`: a free port that stays the same.
        listen: Option<SocketAddr> = None, "listen" in OneService("an address belongs to one service"),
            |field| field.address().map(Some);
        /// Services that must be ready, completed or started before this one starts.
        depends_on: Dependencies = Dependencies::new(), "depends_on" in OneService("what a service needs is its own"),
            |field| field.dependencies();
        /// Variables of its instances.
        env: Env = Env::default(), "env" in Anywhere,
            |field| field.env();
        /// A file of `NAME=value` lines, relative to the manifest; `env` goes before it.
        env_file: Option<String> = None, "env_file" in OneService("such a file belongs to one service"),
            |field| field.text().map(Some);
        /// Working folder, relative to the manifest.
        cwd: String = ".".to_owned(), "cwd" in Anywhere,
            |field| field.text();
        /// Paths whose changes restart the service under `msx up --watch`, relative to the manifest.
        watch: Names = Names::new(), "watch" in Anywhere,
            |field| field.names();
        /// What an instance is sent to stop it.
        stop_signal: Signal = Signal(libc::SIGTERM), "stop.signal" in Anywhere,
            |field| field.signal();
        /// How long a process may take from the signal to its end.
        stop_grace: Duration = Duration::from_secs(10), "stop.grace" in Anywhere,
            |field| field.duration(Duration::ZERO..=DURATION_MAX);
        /// The program of a service that is no function, and its arguments.
        command: Names = Names::new(), "command" in OfCommand("write it in [services.NAME]"),
            |field| field.argv();
        /// Requests that may run at once in one instance of it; `None`: 16.
        slots: Option<u32> = None, "slots" in OfCommand("use `threads` (def) or `concurrency` (async def)"),
            |field| field.count(1..=CONCURRENCY_MAX).map(Some);
        /// It is handed its listening socket, as systemd does it.
        socket_activation: bool = false, "socket_activation" in OfCommand(OF_COMMANDS),
            |field| field.flag();
        /// Asked until it has started.
        startup: Option<ProbeSetting> = None, "startup" in OfCommand(READY_BY_HELLO),
            |field| field.probe().map(Some);
        /// Asked all the time: in the balancer, or out of it.
        ready: Option<ProbeSetting> = None, "ready" in OfCommand(READY_BY_HELLO),
            |field| field.probe().map(Some);
        /// Asked all the time: restarted when it fails.
        live: Option<ProbeSetting> = None, "live" in OfCommand(LIVE_BY_ITSELF),
            |field| field.probe().map(Some);
        /// When it is started again after its end.
        restart: Option<String> = None, "restart" in OfCommand(ALWAYS_RESTARTED),
            |field| field.word(&["always", "on-failure", "never"], &[], "").map(Some);
        /// It does something once and ends.
        oneshot: bool = false, "oneshot" in OfCommand(OF_COMMANDS),
            |field| field.flag();
    }
    later {
        "workers": "use `instances`: the number of processes";
        "worker_class": ONLY_FUNCTIONS;
        "extra": ONLY_FUNCTIONS;
        "limits": "remove it: set limits around msx itself, with ulimit or systemd";
    }
}

const LISTS: &str = "whether a function takes lists is its own";
const ONLY_FUNCTIONS: &str =
    "remove it: only decorated Python functions (`server = \"native\"`) are run so far";
const ONLY_MEMORY: &str =
    "remove it: there is no journal yet, and calls end with the hub (`durability = \"none\"`)";
const READY_BY_HELLO: &str =
    "remove it: a service is ready when its module is imported and its on_start hooks have run";

const LIVE_BY_ITSELF: &str =
    "remove it: an instance that ends is restarted, and `run_timeout` ends one that hangs in a call";
const ALWAYS_RESTARTED: &str =
    "remove it: an instance that ends is always restarted, after a pause that grows";
const OF_COMMANDS: &str = "remove it, or name the program: `command = [\"…\"]`";
const SLOTS: &str = "use `slots`: requests that may run at once in one instance";
const NO_CALLS: &str = "remove it: a program is not called, it serves requests";

/// The section that a key belongs in.
pub fn home(key: &str) -> Option<&'static str> {
    let has = |keys: &[Key]| keys.iter().any(|known| known.top() == key);
    let tables = [
        (has(ProjectLayer::KEYS), "[project]"),
        (has(PythonLayer::KEYS), "[python]"),
        (has(NodeLayer::KEYS), "[node]"),
        (has(GatewayLayer::KEYS), "[gateway]"),
        (has(ServiceLayer::KEYS), "[defaults] or [services.NAME]"),
    ];
    tables.into_iter().find(|(has, _)| *has).map(|(_, home)| home)
}
