//! The guard's own loop: one thread, one poll, over its socket to the hub, the deaths of children, and the
//! starts that are under way.

use std::collections::{BTreeMap, VecDeque};
use std::ffi::{CString, OsStr};
use std::io::{self, ErrorKind, IoSlice};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::prctl;
use nix::sys::signal::{SigSet, Signal, killpg};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::socket::{MsgFlags, UnixAddr, sendmsg};
use nix::unistd::Pid;

use super::end::{end_descendants, this_process};
use super::processes;
use crate::protocol::guard::{Decoder, Event, ExitStatus, LISTEN_PID, Request, encode};
use crate::sys::{self, Ended, Failure, Image, Standing, Started};

/// The socket's number in the guard.
pub const SOCKET: i32 = 3;

/// How long the guard tries to end everything when the hub is gone. Killed processes die within milliseconds;
/// only one in an uninterruptible system call lives longer, and no signal ends that.
const END_BOUND: Duration = Duration::from_secs(5);

/// At least this long between two looks through `/proc`, however many orphans die in between.
const LOOK_INTERVAL: Duration = Duration::from_millis(10);

/// While a leader is dead and its group is not: members that are not ours to reap die unheard, so look again,
/// less and less often.
const LOOK_PAUSES: (Duration, Duration) = (Duration::from_millis(10), Duration::from_millis(250));

const READ_BYTES: usize = 64 << 10;

/// Where programs are looked for when the environment of the child names no `PATH`.
const DEFAULT_PATH: &[u8] = b"/usr/local/bin:/usr/bin:/bin";

/// The body of `msx __guard`.
pub fn run() -> ExitCode {
    match sys::inherited(SOCKET) {
        Ok(socket) => serve(socket),
        Err(_) => {
            eprintln!("msx __guard is started by `msx up`, it does nothing by itself");
            ExitCode::from(2)
        }
    }
}

/// Serves the hub until it is gone or nonsense comes from it, then ends every descendant.
pub(super) fn serve(socket: OwnedFd) -> ExitCode {
    let served = Loop::new(socket).and_then(|mut guard| guard.run());
    if let Err(error) = &served {
        eprintln!("msx guard: cannot serve the hub any longer: {error}");
    }
    let ended = end_descendants(END_BOUND);
    if let Err(survivors) = &ended {
        eprintln!("msx guard: still alive after SIGKILL: {survivors:?}");
    }
    if served.is_ok() && ended.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// A process group the hub asked for.
struct Child {
    /// The leader, and the number of the group.
    pid: i32,
    state: State,
}

enum State {
    /// Forked; the program does not run yet.
    Starting(Started),
    Running,
    /// The leader is dead and unreaped. `sealed`: the group was seen empty and killed since, so that the next
    /// look decides.
    Ended {
        sealed: bool,
    },
}

struct Loop {
    socket: OwnedFd,
    deaths: SignalFd,
    decoder: Decoder<Request>,
    /// Descriptors that came and are not yet named by a complete message.
    fds: VecDeque<OwnedFd>,
    children: BTreeMap<u64, Child>,
    look_at: Option<Instant>,
    last_look: Instant,
    look_pause: Duration,
}

impl Loop {
    fn new(socket: OwnedFd) -> io::Result<Self> {
        prctl::set_child_subreaper(true)?;
        prctl::set_name(c"msx-guard")?;
        // All signals wait for ever: only the hub's end ends the guard. Deaths are read from a descriptor.
        SigSet::all().thread_block()?;
        let mut deaths = SigSet::empty();
        deaths.add(Signal::SIGCHLD);
        Ok(Self {
            socket,
            deaths: SignalFd::with_flags(&deaths, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)?,
            decoder: Decoder::default(),
            fds: VecDeque::new(),
            children: BTreeMap::new(),
            look_at: None,
            last_look: Instant::now(),
            look_pause: LOOK_PAUSES.0,
        })
    }

    /// Ends well when the hub is gone. Every step does what there is to do and never waits, so one poll wakes all.
    fn run(&mut self) -> io::Result<()> {
        loop {
            self.poll()?;
            if self.deaths.read_signal()?.is_some() {
                self.look_soon();
            }
            self.confirm_starts()?;
            self.report_exits()?;
            if self.look_at.is_some_and(|at| at <= Instant::now()) {
                self.look()?;
            }
            if !self.hear()? {
                return Ok(());
            }
        }
    }

    fn poll(&self) -> io::Result<()> {
        let starting = self.children.values().filter_map(|child| match &child.state {
            State::Starting(started) => Some(started.as_fd()),
            _ => None,
        });
        let mut fds: Vec<PollFd> = [self.socket.as_fd(), self.deaths.as_fd()]
            .into_iter()
            .chain(starting)
            .map(|fd| PollFd::new(fd, PollFlags::POLLIN))
            .collect();
        let left = self.look_at.map(|at| at.saturating_duration_since(Instant::now()));
        let timeout = match left {
            None => PollTimeout::NONE,
            // Rounded up: a poll that ends before the time would spin.
            Some(left) => PollTimeout::try_from(left.as_micros().div_ceil(1000)).unwrap_or(PollTimeout::MAX),
        };
        match poll(&mut fds, timeout) {
            Ok(_) | Err(Errno::EINTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Reads once and does what is asked; false: the hub is gone.
    fn hear(&mut self) -> io::Result<bool> {
        let mut buffer = [0; READ_BYTES];
        let length = match sys::receive(&self.socket, &mut buffer, &mut self.fds) {
            Ok(0) => return Ok(false),
            Ok(length) => length,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {
                return Ok(true);
            }
            Err(error) if error.kind() == ErrorKind::ConnectionReset => return Ok(false),
            Err(error) => return Err(error),
        };
        for request in self.decoder.push(&buffer[..length]).map_err(io::Error::other)? {
            match request {
                Request::Spawn { process, argv, env, cwd, fds } => {
                    let fds = self.take_fds(fds)?;
                    let image = image(argv, env, cwd.into_vec(), fds);
                    self.spawn(process, image)?;
                }
                Request::Signal { process, signal } => self.signal(process, signal),
            }
        }
        Ok(true)
    }

    fn take_fds(&mut self, numbers: Vec<i32>) -> io::Result<Vec<(OwnedFd, i32)>> {
        if self.fds.len() < numbers.len() {
            return Err(io::Error::other("a spawn request came without its descriptors"));
        }
        Ok(self.fds.drain(..numbers.len()).zip(numbers).collect())
    }

    fn spawn(&mut self, process: u64, image: Result<Image, Failure>) -> io::Result<()> {
        match image.and_then(sys::spawn) {
            Ok(started) => {
                let child = Child { pid: started.pid, state: State::Starting(started) };
                self.children.insert(process, child);
                Ok(())
            }
            Err(failure) => self.report_failure(process, failure),
        }
    }

    fn signal(&mut self, process: u64, number: i32) {
        let (Some(child), Ok(signal)) = (self.children.get(&process), Signal::try_from(number)) else {
            return;
        };
        // It cannot fail but for lack of rights; then the group stays, and the hub names it after its bound.
        let _ = killpg(Pid::from_raw(child.pid), signal);
        self.look_pause = LOOK_PAUSES.0;
        if matches!(child.state, State::Ended { .. }) {
            self.look_soon();
        }
    }

    /// Tells of programs that run now, or could not be executed.
    fn confirm_starts(&mut self) -> io::Result<()> {
        let mut known = Vec::new();
        for (&process, child) in &mut self.children {
            let State::Starting(started) = &child.state else { continue };
            let Some(outcome) = started.outcome() else { continue };
            known.push((process, child.pid, outcome));
            child.state = State::Running;
        }
        for (process, pid, outcome) in known {
            match outcome {
                Ok(()) => self.send(&Event::Spawned { process, pid: pid.cast_unsigned() })?,
                Err(failure) => {
                    // The child exits right after its report; `look` reaps it as one that nobody asked for.
                    self.children.remove(&process);
                    self.look_soon();
                    self.report_failure(process, failure)?;
                }
            }
        }
        Ok(())
    }

    /// Tells of leaders that ended. They stay unreaped: their number is the group's.
    fn report_exits(&mut self) -> io::Result<()> {
        let mut ended = Vec::new();
        for (&process, child) in &mut self.children {
            if !matches!(child.state, State::Running) {
                continue;
            }
            if let Some(end) = sys::wait(Some(child.pid), false)? {
                child.state = State::Ended { sealed: false };
                ended.push((process, end));
            }
        }
        for (process, Ended { exited, status, .. }) in ended {
            let status = if exited { ExitStatus::Code(status) } else { ExitStatus::Signal(status) };
            self.send(&Event::Exited { process, status })?;
            self.look_soon();
        }
        Ok(())
    }

    fn look_soon(&mut self) {
        let at = Instant::now().max(self.last_look + LOOK_INTERVAL);
        self.look_at = Some(self.look_at.map_or(at, |planned| planned.min(at)));
    }

    /// Looks through `/proc`: reaps the orphans that fell to us, and decides which groups are empty.
    fn look(&mut self) -> io::Result<()> {
        self.last_look = Instant::now();
        self.look_at = None;
        // No table (descriptors of the machine used up, say): nothing is known, so nothing is decided.
        let Ok(table) = processes::all() else {
            self.look_soon();
            return Ok(());
        };
        for orphan in table.iter().filter(|seen| seen.parent == this_process() && !self.leads(seen.pid)) {
            sys::wait(Some(orphan.pid), true)?;
        }
        let mut empty = Vec::new();
        for (&process, child) in &mut self.children {
            let State::Ended { sealed } = &mut child.state else { continue };
            let inhabited =
                table.iter().any(|seen| seen.group == child.pid && seen.pid != child.pid && seen.alive);
            if inhabited {
                *sealed = false;
                let at = self.last_look + self.look_pause;
                self.look_at = Some(self.look_at.map_or(at, |planned| planned.min(at)));
            } else if !*sealed {
                *sealed = true;
                let _ = killpg(Pid::from_raw(child.pid), Signal::SIGKILL);
                self.look_at = Some(self.last_look);
            } else {
                empty.push((process, child.pid));
            }
        }
        self.look_pause = (self.look_pause * 2).min(LOOK_PAUSES.1);
        for (process, pid) in empty {
            sys::wait(Some(pid), true)?;
            self.children.remove(&process);
            self.send(&Event::Emptied { process })?;
        }
        Ok(())
    }

    fn leads(&self, pid: i32) -> bool {
        self.children.values().any(|child| child.pid == pid)
    }

    fn report_failure(&mut self, process: u64, Failure { step, errno }: Failure) -> io::Result<()> {
        self.send(&Event::Failed { process, step: step.to_owned(), errno })
    }

    /// Waits until the hub takes it: a hub that is stopped stops its guard, one that is gone ends the wait.
    fn send(&self, event: &Event) -> io::Result<()> {
        let bytes = encode(event).map_err(io::Error::other)?;
        let mut rest = bytes.as_slice();
        while !rest.is_empty() {
            let slices = [IoSlice::new(rest)];
            let fd = self.socket.as_raw_fd();
            match sendmsg::<UnixAddr>(fd, &slices, &[], MsgFlags::MSG_NOSIGNAL, None) {
                Ok(sent) => rest = &rest[sent..],
                // The hub is gone; reading will say so.
                Err(Errno::EPIPE | Errno::ECONNRESET) => return Ok(()),
                Err(Errno::EINTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}

/// The request in the form that `sys::spawn` takes.
fn image(
    argv: Vec<serde_bytes::ByteBuf>,
    env: Vec<(serde_bytes::ByteBuf, serde_bytes::ByteBuf)>,
    cwd: Vec<u8>,
    fds: Vec<(OwnedFd, i32)>,
) -> Result<Image, Failure> {
    let path = env.iter().find(|(name, _)| name.as_slice() == b"PATH");
    let path = path.map_or(DEFAULT_PATH, |(_, value)| value.as_slice()).to_vec();
    let files = candidates(argv.first().map_or(b"".as_slice(), |program| program.as_slice()), &path);
    // The socket activation protocol wants to hear from the child itself that it is the one who is meant.
    let is_own_pid = |name: &[u8], value: &[u8]| name == LISTEN_PID.as_bytes() && value.is_empty();
    let names_itself = env.iter().any(|(name, value)| is_own_pid(name, value));
    let others = env.iter().filter(|(name, value)| !is_own_pid(name, value));
    let pairs = others.map(|(name, value)| [name.as_slice(), value.as_slice()].join(&b'='));
    Ok(Image {
        files: c_strings(files, "program")?,
        argv: c_strings(argv.into_iter().map(serde_bytes::ByteBuf::into_vec), "arguments")?,
        env: c_strings(pairs, "environment")?,
        pid_variable: names_itself.then_some(LISTEN_PID),
        cwd: c_string(cwd, "chdir")?,
        fds,
        standing: Standing::Group,
    })
}

/// Where a program may be: a name with a slash is a path, any other is looked for along `PATH`.
fn candidates(program: &[u8], path: &[u8]) -> Vec<Vec<u8>> {
    if program.is_empty() || program.contains(&b'/') {
        return vec![program.to_vec()];
    }
    let folders = std::env::split_paths(OsStr::from_bytes(path));
    folders
        .map(|folder| folder.join(OsStr::from_bytes(program)).into_os_string().as_bytes().to_vec())
        .collect()
}

fn c_strings(all: impl IntoIterator<Item = Vec<u8>>, what: &'static str) -> Result<Vec<CString>, Failure> {
    all.into_iter().map(|bytes| c_string(bytes, what)).collect()
}

/// Refuses a text with a zero byte in it, naming what it is for.
fn c_string(bytes: Vec<u8>, what: &'static str) -> Result<CString, Failure> {
    CString::new(bytes).map_err(|_| Failure { step: what, errno: libc::EINVAL })
}
