//! Starting the guard.

use std::ffi::{CString, OsString};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::net::UnixStream;
use std::path::Path;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::prctl;

use super::leftovers::{self, Environment};
use super::link::Guard;
use super::run;
use crate::sys::{self, Failure, Image, Standing};

/// A guard that runs, before the hub has a runtime.
pub struct Launch {
    pub(super) pid: u32,
    socket: UnixStream,
    mark: Environment,
}

impl Launch {
    /// Starts the tasks that talk to the guard. Must be called inside a runtime.
    pub fn connect(self) -> io::Result<Guard> {
        Guard::new(self.pid, self.socket, self.mark)
    }
}

/// Starts the guard of this project: this program as `msx __guard`, with the socket and the hub's stderr.
///
/// To be called while the hub has one thread only, and once stderr is where it is to stay. The hub becomes a
/// child subreaper, so that what a dying guard leaves falls to it.
pub fn launch(project: &Path) -> io::Result<Launch> {
    begin(project, |socket, mark| {
        let inherited = std::env::vars_os().filter(|(name, _)| mark.iter().all(|(marked, _)| marked != name));
        let env = inherited.chain(mark.iter().cloned()).map(variable).collect::<Result<_, _>>()?;
        let image = Image {
            files: vec![c"/proc/self/exe".into()],
            argv: vec![c"msx".into(), c"__guard".into()],
            env,
            pid_variable: None,
            cwd: c".".into(),
            fds: vec![(socket, run::SOCKET), (io::stderr().as_fd().try_clone_to_owned()?, 2)],
            standing: Standing::Session,
        };
        start(image)
    })
}

/// Connects this process with a guard that `start` makes of the other end of a socket pair.
pub(super) fn begin(
    project: &Path,
    start: impl FnOnce(OwnedFd, &Environment) -> io::Result<u32>,
) -> io::Result<Launch> {
    let mark = leftovers::mark(project)?;
    prctl::set_child_subreaper(true)?;
    let (socket, guard) = UnixStream::pair()?;
    let pid = start(guard.into(), &mark)?;
    Ok(Launch { pid, socket, mark })
}

/// Starts a program and waits until it runs.
fn start(image: Image) -> io::Result<u32> {
    let failed = |Failure { step, errno }| {
        let error = io::Error::from_raw_os_error(errno);
        io::Error::new(error.kind(), format!("cannot start the guard: {step}: {error}"))
    };
    let started = sys::spawn(image).map_err(failed)?;
    loop {
        if let Some(outcome) = started.outcome() {
            return outcome.map(|()| started.pid.cast_unsigned()).map_err(failed);
        }
        match poll(&mut [PollFd::new(started.as_fd(), PollFlags::POLLIN)], PollTimeout::NONE) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// `NAME=value`
fn variable((name, value): (OsString, OsString)) -> io::Result<CString> {
    Ok(CString::new([name.into_vec(), value.into_vec()].join(&b'='))?)
}
