//! The hub's side: the handles through which the other rooms start and end processes.
//!
//! Two tasks per guard. The writer takes spawn requests from a bounded channel, and signals from a set per
//! process: like the kernel's own pending signals they merge, so asking needs neither room nor waiting. The
//! reader turns what the guard tells into the phase of each process, which its handle watches.

use std::collections::HashMap;
use std::ffi::OsString;
use std::io::{self, IoSlice};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::signal::{SigSet, Signal};
use nix::sys::socket::{self, ControlMessage, MsgFlags, UnixAddr, sendmsg};
use parking_lot::Mutex;
use serde_bytes::ByteBuf;
use tokio::io::Interest;
use tokio::net::UnixStream;
use tokio::sync::{Notify, mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::leftovers::Environment;
use crate::protocol::guard::{Decoder, Event, ExitStatus, Request, encode};
use crate::sys::DESCRIPTORS_MAX;

/// Spawn requests that wait for the socket; each further one waits in its `spawn`.
const SPAWNS_MAX: usize = 64;

const READ_BYTES: usize = 16 << 10;

/// The kernel bounds the descriptors that are under way in sockets; the guard takes ours out within this time.
const DESCRIPTORS_PAUSE: Duration = Duration::from_millis(5);

/// The hub's handle on its guard.
#[derive(Clone)]
pub struct Guard {
    pid: u32,
    shared: Arc<Shared>,
}

/// What to start.
pub struct SpawnSpec {
    /// The program and its arguments. A program without a slash is looked for along the `PATH` of `env`.
    pub argv: Vec<OsString>,
    /// The complete environment, to which the guard room adds the project's mark.
    pub env: Vec<(OsString, OsString)>,
    pub cwd: PathBuf,
    /// Each descriptor with its number in the child. Of 0, 1 and 2 those not named are `/dev/null`.
    pub fds: Vec<(OwnedFd, RawFd)>,
}

/// Why a process did not start.
#[derive(Debug, thiserror::Error)]
pub enum SpawnError {
    /// A step on the way failed: `chdir to …`, `exec`, …
    #[error("cannot start {program}: {step}: {error}")]
    Failed { program: String, step: String, error: io::Error },
    #[error("cannot start {program}: the guard is gone")]
    GuardLost { program: String },
}

/// A process group that the guard started, by its leader. Dropping it kills the group: what nobody owns does
/// not live on.
pub struct Process {
    /// The leader's process id, and the group's.
    pub pid: u32,
    phase: watch::Receiver<Phase>,
    signaller: Signaller,
}

/// Signals a process group for as long as it has members; afterwards it does nothing.
#[derive(Clone)]
pub struct Signaller {
    id: u64,
    shared: Arc<Shared>,
}

struct Shared {
    next_id: AtomicU64,
    /// The processes whose group is not empty; `None`: the guard is gone.
    entries: Mutex<Option<HashMap<u64, Entry>>>,
    spawns: mpsc::Sender<Outgoing>,
    /// A signal waits in an entry.
    signalled: Notify,
    closing: CancellationToken,
    lost: CancellationToken,
    mark: Environment,
}

struct Outgoing {
    bytes: Vec<u8>,
    fds: Vec<OwnedFd>,
}

struct Entry {
    phase: watch::Sender<Phase>,
    /// Sent once the guard has the process.
    signals: SigSet,
}

/// What the guard told about a process so far.
#[derive(Clone, Default)]
struct Phase {
    /// Its pid, or the step that failed with its error number.
    start: Option<Result<u32, (String, i32)>>,
    status: Option<ExitStatus>,
    empty: bool,
}

impl Guard {
    pub(super) fn new(pid: u32, socket: StdUnixStream, mark: Environment) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        let socket = Arc::new(UnixStream::from_std(socket)?);
        let (spawns, requests) = mpsc::channel(SPAWNS_MAX);
        let shared = Arc::new(Shared {
            next_id: AtomicU64::new(0),
            entries: Mutex::new(Some(HashMap::new())),
            spawns,
            signalled: Notify::new(),
            closing: CancellationToken::new(),
            lost: CancellationToken::new(),
            mark,
        });
        tokio::spawn(write(Arc::clone(&socket), Arc::clone(&shared), requests));
        tokio::spawn(read(socket, Arc::clone(&shared)));
        Ok(Self { pid, shared })
    }

    /// Starts a program as the leader of a new process group. Returns when it runs, or with the step that
    /// failed. When the caller gives up waiting, what has been started is killed.
    pub async fn spawn(&self, spec: SpawnSpec) -> Result<Process, SpawnError> {
        let program = spec.argv.first().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let cwd = spec.cwd.display().to_string();
        let failed = |(step, errno): (String, i32)| {
            let step = if step == "chdir" { format!("chdir to {cwd}") } else { step };
            let error = io::Error::from_raw_os_error(errno);
            SpawnError::Failed { program: program.clone(), step, error }
        };
        let lost = || SpawnError::GuardLost { program: program.clone() };
        let id = self.shared.next_id.fetch_add(1, Ordering::Relaxed);
        let outgoing = self.request(id, spec).map_err(failed)?;
        let permit = self.shared.spawns.reserve().await.map_err(|_| lost())?;
        let mut process = self.shared.enter(id).ok_or_else(lost)?;
        permit.send(outgoing);
        let start =
            process.phase.wait_for(|phase| phase.start.is_some()).await.map_err(|_| lost())?.start.clone();
        process.pid = start.ok_or_else(lost)?.map_err(failed)?;
        Ok(process)
    }

    /// The guard's own process.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Resolves when the guard is gone, and with it every process that could be told about.
    pub async fn lost(&self) {
        self.shared.lost.cancelled().await;
    }

    /// Has the guard kill all that is left, and resolves when it is gone. Whether anything outlived it tells
    /// [`super::end_descendants`], which also reaps the guard.
    pub async fn close(&self) {
        self.shared.closing.cancel();
        self.lost().await;
    }

    fn request(&self, process: u64, spec: SpawnSpec) -> Result<Outgoing, (String, i32)> {
        if spec.fds.len() > DESCRIPTORS_MAX {
            return Err(("send its descriptors".to_owned(), Errno::EMFILE as i32));
        }
        let bytes = |text: OsString| ByteBuf::from(text.into_vec());
        let mark = &self.shared.mark;
        let own = spec.env.into_iter().filter(|(name, _)| mark.iter().all(|(marked, _)| marked != name));
        let env = own.chain(mark.iter().cloned()).map(|(name, value)| (bytes(name), bytes(value))).collect();
        let (fds, numbers) = spec.fds.into_iter().unzip();
        let argv = spec.argv.into_iter().map(bytes).collect();
        let request = Request::Spawn { process, argv, env, cwd: bytes(spec.cwd.into()), fds: numbers };
        let bytes =
            encode(&request).map_err(|_| ("send its command line".to_owned(), Errno::E2BIG as i32))?;
        Ok(Outgoing { bytes, fds })
    }
}

impl Process {
    /// Sends a signal to the whole group.
    pub fn signal(&self, signal: Signal) {
        self.signaller.signal(signal);
    }

    /// A handle that can only signal, for others than the owner.
    pub fn signaller(&self) -> Signaller {
        self.signaller.clone()
    }

    /// Waits until the leader has ended. A lost guard counts as SIGKILL: its death kills every leader.
    pub async fn exited(&mut self) -> ExitStatus {
        match self.phase.wait_for(|phase| phase.status.is_some()).await {
            Ok(phase) => phase.status.unwrap_or(ExitStatus::Signal(libc::SIGKILL)),
            Err(_) => ExitStatus::Signal(libc::SIGKILL),
        }
    }

    /// Waits until the group is proven empty and its leader reaped. When the guard is lost there is nobody to
    /// prove it and this never resolves: see [`Guard::lost`].
    pub async fn emptied(&mut self) {
        if self.phase.wait_for(|phase| phase.empty).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.signal(Signal::SIGKILL);
    }
}

impl Signaller {
    /// Sends a signal to the whole group.
    pub fn signal(&self, signal: Signal) {
        let mut entries = self.shared.entries.lock();
        let Some(entry) = entries.as_mut().and_then(|entries| entries.get_mut(&self.id)) else { return };
        entry.signals.add(signal);
        self.shared.signalled.notify_one();
    }
}

impl Shared {
    fn enter(self: &Arc<Self>, id: u64) -> Option<Process> {
        let (sender, phase) = watch::channel(Phase::default());
        let entry = Entry { phase: sender, signals: SigSet::empty() };
        self.entries.lock().as_mut()?.insert(id, entry);
        Some(Process { pid: 0, phase, signaller: Signaller { id, shared: Arc::clone(self) } })
    }

    /// The signals that wait and can be sent, as messages.
    fn take_signals(&self) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        for (&process, entry) in self.entries.lock().iter_mut().flatten() {
            // Before it is started the guard would not know it; the event of its start comes back here.
            if entry.phase.borrow().start.is_none() {
                continue;
            }
            for signal in std::mem::replace(&mut entry.signals, SigSet::empty()).iter() {
                let request = Request::Signal { process, signal: signal as i32 };
                bytes.extend(encode(&request).map_err(io::Error::other)?);
            }
        }
        Ok(bytes)
    }

    fn hear(&self, event: Event) {
        match event {
            Event::Spawned { process, pid } => {
                self.update(process, |phase| phase.start = Some(Ok(pid)));
                self.signalled.notify_one();
            }
            Event::Failed { process, step, errno } => {
                self.update(process, |phase| phase.start = Some(Err((step, errno))));
                self.remove(process);
            }
            Event::Exited { process, status } => self.update(process, |phase| phase.status = Some(status)),
            Event::Emptied { process } => {
                self.update(process, |phase| phase.empty = true);
                self.remove(process);
            }
        }
    }

    fn update(&self, process: u64, change: impl FnOnce(&mut Phase)) {
        if let Some(entry) = self.entries.lock().as_ref().and_then(|entries| entries.get(&process)) {
            entry.phase.send_modify(change);
        }
    }

    fn remove(&self, process: u64) {
        if let Some(entries) = self.entries.lock().as_mut() {
            entries.remove(&process);
        }
    }
}

/// The writer task. When it ends, for whatever reason, the guard reads the end of the socket and ends too.
async fn write(socket: Arc<UnixStream>, shared: Arc<Shared>, mut spawns: mpsc::Receiver<Outgoing>) {
    loop {
        let outgoing = tokio::select! {
            biased;
            () = shared.closing.cancelled() => break,
            () = shared.lost.cancelled() => break,
            () = shared.signalled.notified() => {
                shared.take_signals().map(|bytes| Outgoing { bytes, fds: Vec::new() })
            }
            Some(outgoing) = spawns.recv() => Ok(outgoing),
        };
        let Ok(outgoing) = outgoing else { break };
        if let Err(error) = send(&socket, outgoing).await {
            tracing::error!("cannot write to the guard: {error}");
            break;
        }
    }
    let _ = socket::shutdown(socket.as_raw_fd(), socket::Shutdown::Write);
}

async fn send(socket: &UnixStream, Outgoing { bytes, fds }: Outgoing) -> io::Result<()> {
    let mut numbers: Vec<RawFd> = fds.iter().map(AsRawFd::as_raw_fd).collect();
    let mut rest = bytes.as_slice();
    while !rest.is_empty() {
        match socket.async_io(Interest::WRITABLE, || send_some(socket, rest, &numbers)).await {
            Ok(sent) => {
                // The descriptors went with the first byte.
                numbers.clear();
                rest = &rest[sent..];
            }
            Err(error) if error.raw_os_error() == Some(Errno::ETOOMANYREFS as i32) => {
                tokio::time::sleep(DESCRIPTORS_PAUSE).await;
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn send_some(socket: &UnixStream, bytes: &[u8], fds: &[RawFd]) -> io::Result<usize> {
    let rights = [ControlMessage::ScmRights(fds)];
    let control = if fds.is_empty() { &[][..] } else { &rights[..] };
    let flags = MsgFlags::MSG_NOSIGNAL | MsgFlags::MSG_DONTWAIT;
    Ok(sendmsg::<UnixAddr>(socket.as_raw_fd(), &[IoSlice::new(bytes)], control, flags, None)?)
}

/// The reader task. It ends with the guard, and tells all who wait for anything.
async fn read(socket: Arc<UnixStream>, shared: Arc<Shared>) {
    if let Err(error) = read_events(&socket, &shared).await {
        tracing::error!("cannot read from the guard: {error}");
        shared.closing.cancel();
    }
    shared.entries.lock().take();
    shared.lost.cancel();
}

async fn read_events(socket: &UnixStream, shared: &Shared) -> io::Result<()> {
    let mut decoder = Decoder::<Event>::default();
    let mut buffer = vec![0; READ_BYTES];
    loop {
        socket.readable().await?;
        match socket.try_read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(length) => {
                for event in decoder.push(&buffer[..length]).map_err(io::Error::other)? {
                    shared.hear(event);
                }
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return Ok(()),
            Err(error) => return Err(error),
        }
    }
}
