//! The few system calls that no crate offers in safe form: starting a program with exactly the descriptors it
//! is to have, looking at a dead child without reaping it, descriptors that arrive by a socket, process handles.
//!
//! This is the only file with `unsafe`. A child is made by fork and exec by hand because `std::process` can
//! neither say which step failed nor keep a child waitable, and because the caller has one thread.
#![expect(unsafe_code, reason = "raw system calls; each block says why it is sound")]

use std::collections::VecDeque;
use std::ffi::{CStr, CString, c_char};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::ptr;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl, open};
use nix::sys::signal::Signal;
use nix::sys::socket::{ControlMessageOwned, MsgFlags, UnixAddr, recvmsg};
use nix::sys::stat::Mode;
use nix::unistd::{pipe2, read};

/// Descriptors that one message may carry: the kernel's own limit (`SCM_MAX_FD`).
pub const DESCRIPTORS_MAX: usize = 253;

/// How a child stands to its parent.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// A session of its own: no terminal, and it outlives its parent.
    Session,
    /// A process group of its own, killed when its parent dies.
    Group,
}

/// What a child is made of.
pub struct Image {
    /// Files to try in this order, relative ones from `cwd`.
    pub files: Vec<CString>,
    pub argv: Vec<CString>,
    /// `NAME=value`, the complete environment.
    pub env: Vec<CString>,
    /// A further variable of this name holds the child's own process id, which nobody knows before.
    pub pid_variable: Option<&'static str>,
    pub cwd: CString,
    /// Each descriptor with its number in the child. Of 0, 1 and 2 those not named are `/dev/null`.
    pub fds: Vec<(OwnedFd, RawFd)>,
    pub standing: Standing,
}

/// Why a program did not start.
#[derive(Debug, PartialEq, Eq)]
pub struct Failure {
    pub step: &'static str,
    pub errno: i32,
}

/// A child that was forked and has perhaps not executed its program yet.
pub struct Started {
    pub pid: i32,
    outcome: OwnedFd,
}

impl Started {
    /// Whether the program runs; `None`: not known yet, the descriptor becomes readable when it is.
    pub fn outcome(&self) -> Option<Result<(), Failure>> {
        let mut report = [0; REPORT_BYTES];
        match read(&self.outcome, &mut report) {
            Err(Errno::EAGAIN | Errno::EINTR) => None,
            // The pipe was closed by exec (or by the death of the child, whose exit status then tells).
            Ok(0) | Err(_) => Some(Ok(())),
            Ok(_) => Some(Err(decode_report(report))),
        }
    }
}

impl AsFd for Started {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.outcome.as_fd()
    }
}

const REPORT_BYTES: usize = 5;
const STEPS: [&str; 8] =
    ["setsid", "setpgid", "set the parent-death signal", "chdir", "close_range", "dup2", "exec", "start"];
const SETSID: u8 = 0;
const SETPGID: u8 = 1;
const DEATH_SIGNAL: u8 = 2;
const CHDIR: u8 = 3;
const CLOSE_RANGE: u8 = 4;
const DUP2: u8 = 5;
const EXEC: u8 = 6;
const START: u8 = 7;

fn decode_report([step, errno @ ..]: [u8; REPORT_BYTES]) -> Failure {
    let step = STEPS.get(usize::from(step)).copied().unwrap_or(STEPS[usize::from(START)]);
    Failure { step, errno: i32::from_ne_bytes(errno) }
}

/// Starts a program. The caller must have one thread only; the child is the caller's to wait for.
pub fn spawn(image: Image) -> Result<Started, Failure> {
    let at = |step: &'static str| move |errno: Errno| Failure { step, errno: errno as i32 };
    let above = image.fds.iter().map(|&(_, number)| number).fold(2, RawFd::max).saturating_add(1);
    let fds = prepare_fds(&image.fds, above).map_err(at("prepare its descriptors"))?;
    let (outcome, report) = pipe2(OFlag::O_CLOEXEC | OFlag::O_NONBLOCK).map_err(at("pipe"))?;
    let report = duplicate_above(&report, above).map_err(at("pipe"))?;
    let mut pid_text = image.pid_variable.map(|name| [name.as_bytes(), b"=", &[0; PID_BYTES]].concat());
    let mut env = pointers(&image.env);
    let last = env.len() - 1;
    env.splice(last..last, pid_text.iter().map(|text| text.as_ptr().cast()));
    let plan = Plan {
        argv: pointers(&image.argv),
        env,
        pid_digits: pid_text.as_mut().and_then(|text| text.last_chunk_mut()).map(ptr::from_mut),
        files: &image.files,
        cwd: &image.cwd,
        fds: &fds,
        standing: image.standing,
        parent: std::process::id().cast_signed(),
        report: report.as_raw_fd(),
    };
    // SAFETY: the child runs `Plan::run` only, which makes system calls on memory prepared above.
    match unsafe { libc::fork() } {
        -1 => Err(at("fork")(Errno::last())),
        0 => plan.run(),
        pid => {
            if image.standing == Standing::Group {
                // The child does it too: whoever comes first, the group exists before a signal is sent to it.
                // SAFETY: plain system call.
                unsafe { libc::setpgid(pid, pid) };
            }
            Ok(Started { pid, outcome })
        }
    }
}

/// Copies with numbers that no `dup2` of the child will overwrite.
fn prepare_fds(named: &[(OwnedFd, RawFd)], above: RawFd) -> Result<Vec<(OwnedFd, RawFd)>, Errno> {
    let mut fds = Vec::with_capacity(named.len() + 3);
    for number in (0..=2).filter(|number| !named.iter().any(|(_, taken)| taken == number)) {
        let null = open("/dev/null", OFlag::O_RDWR | OFlag::O_CLOEXEC, Mode::empty())?;
        fds.push((duplicate_above(&null, above)?, number));
    }
    for (fd, number) in named {
        fds.push((duplicate_above(fd, above)?, *number));
    }
    Ok(fds)
}

fn duplicate_above(fd: &OwnedFd, above: RawFd) -> Result<OwnedFd, Errno> {
    let copy = fcntl(fd, FcntlArg::F_DUPFD_CLOEXEC(above))?;
    // SAFETY: the kernel just made this descriptor for us.
    Ok(unsafe { OwnedFd::from_raw_fd(copy) })
}

/// Room for the digits of a process id and the null behind them.
const PID_BYTES: usize = 11;

/// Writes a number as text, without the allocator.
fn write_digits(number: u32, text: &mut [u8; PID_BYTES]) {
    let length = number.checked_ilog10().unwrap_or(0) as usize + 1;
    let mut rest = number;
    for digit in text[..length].iter_mut().rev() {
        *digit = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
}

/// The array of pointers that exec takes, ended by a null.
fn pointers(strings: &[CString]) -> Vec<*const c_char> {
    strings.iter().map(|s| s.as_ptr()).chain([ptr::null()]).collect()
}

/// What the child needs between fork and exec, all of it allocated before the fork.
struct Plan<'a> {
    argv: Vec<*const c_char>,
    env: Vec<*const c_char>,
    pid_digits: Option<*mut [u8; PID_BYTES]>,
    files: &'a [CString],
    cwd: &'a CStr,
    fds: &'a [(OwnedFd, RawFd)],
    standing: Standing,
    parent: i32,
    report: RawFd,
}

impl Plan<'_> {
    /// The child's way to its program: system calls only, since a lock may be held by a thread that is not here.
    fn run(&self) -> ! {
        // SAFETY: plain system calls on numbers and on memory that `self` borrows.
        unsafe {
            match self.standing {
                Standing::Session => self.must(SETSID, libc::setsid()),
                Standing::Group => {
                    self.must(SETPGID, libc::setpgid(0, 0));
                    self.must(DEATH_SIGNAL, libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL));
                    // The parent may have died before it was set.
                    if libc::getppid() != self.parent {
                        libc::_exit(127);
                    }
                }
            }
            self.must(CHDIR, libc::chdir(self.cwd.as_ptr()));
            let flags = libc::CLOSE_RANGE_CLOEXEC.cast_signed();
            let closed = libc::syscall(libc::SYS_close_range, 3, libc::c_uint::MAX, flags);
            self.must(CLOSE_RANGE, if closed < 0 { -1 } else { 0 });
            for (fd, number) in self.fds {
                self.must(DUP2, libc::dup2(fd.as_raw_fd(), *number));
            }
            reset_signals();
            if let Some(digits) = self.pid_digits {
                // This copy of the parent's memory is the child's alone.
                write_digits(libc::getpid().cast_unsigned(), &mut *digits);
            }
        }
        self.fail(EXEC, self.exec())
    }

    /// Tries every file as `execvp` does; returns only when none could be executed.
    fn exec(&self) -> i32 {
        let mut errno = libc::ENOENT;
        for file in self.files {
            // SAFETY: both arrays end with a null and live as long as `self`.
            unsafe { libc::execve(file.as_ptr(), self.argv.as_ptr(), self.env.as_ptr()) };
            match Errno::last_raw() {
                libc::ENOENT | libc::ENOTDIR => {}
                libc::EACCES => errno = libc::EACCES,
                other => return other,
            }
        }
        errno
    }

    fn must(&self, step: u8, result: i32) {
        if result < 0 {
            self.fail(step, Errno::last_raw());
        }
    }

    fn fail(&self, step: u8, errno: i32) -> ! {
        let mut report = [step; REPORT_BYTES];
        report[1..].copy_from_slice(&errno.to_ne_bytes());
        // SAFETY: the buffer outlives the call; `_exit` runs no handlers of the parent's.
        unsafe {
            libc::write(self.report, report.as_ptr().cast(), report.len());
            libc::_exit(127)
        }
    }
}

/// Default dispositions and an empty mask, as a program expects to find them.
unsafe fn reset_signals() {
    // SAFETY: plain system calls; numbers that cannot be set (KILL, STOP, libc's own) are refused harmlessly.
    unsafe {
        for signal in 1..=libc::SIGRTMAX() {
            libc::signal(signal, libc::SIG_DFL);
        }
        let mut none = std::mem::zeroed();
        libc::sigemptyset(&mut none);
        libc::sigprocmask(libc::SIG_SETMASK, &none, ptr::null_mut());
    }
}

/// A child that ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ended {
    pub pid: i32,
    /// Whether it exited by itself: `status` is its exit code, else the signal that killed it.
    pub exited: bool,
    pub status: i32,
}

/// Looks for a child that ended, any one or this one, and reaps it or leaves it as it is.
///
/// nix's `waitid` cannot be used: it fails on a child that a real-time signal killed.
pub fn wait(pid: Option<i32>, reap: bool) -> io::Result<Option<Ended>> {
    let (kind, id) = pid.map_or((libc::P_ALL, 0), |pid| (libc::P_PID, pid.cast_unsigned()));
    let keep = if reap { 0 } else { libc::WNOWAIT };
    // SAFETY: `info` is plain data that the kernel fills; the fields read are those of a child's end.
    let info = unsafe {
        let mut info: libc::siginfo_t = std::mem::zeroed();
        if libc::waitid(kind, id, &mut info, libc::WEXITED | libc::WNOHANG | libc::__WALL | keep) < 0 {
            return Err(io::Error::last_os_error());
        }
        (info.si_pid(), info.si_code, info.si_status())
    };
    let (pid, code, status) = info;
    Ok((pid != 0).then_some(Ended { pid, exited: code == libc::CLD_EXITED, status }))
}

/// Reads from a Unix socket without waiting; descriptors that come along are appended to `fds` in order.
pub fn receive(socket: &OwnedFd, buffer: &mut [u8], fds: &mut VecDeque<OwnedFd>) -> io::Result<usize> {
    let mut space = nix::cmsg_space!([RawFd; DESCRIPTORS_MAX]);
    let mut slices = [io::IoSliceMut::new(buffer)];
    let flags = MsgFlags::MSG_CMSG_CLOEXEC | MsgFlags::MSG_DONTWAIT;
    let message = recvmsg::<UnixAddr>(socket.as_raw_fd(), &mut slices, Some(&mut space), flags)?;
    for part in message.cmsgs()? {
        if let ControlMessageOwned::ScmRights(numbers) = part {
            // SAFETY: the kernel just made these descriptors for us.
            fds.extend(numbers.into_iter().map(|number| unsafe { OwnedFd::from_raw_fd(number) }));
        }
    }
    Ok(message.bytes)
}

/// Takes a descriptor that whoever started this program put at this number.
pub fn inherited(number: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: only borrowed for the call, which fails when nothing is open at this number.
    let fd = unsafe { BorrowedFd::borrow_raw(number) };
    fcntl(fd, FcntlArg::F_SETFD(nix::fcntl::FdFlag::FD_CLOEXEC))?;
    // SAFETY: it is open, and nothing else in this program knows the number.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// A handle that means this process for ever, even when its id is used again.
pub fn pidfd(pid: i32) -> io::Result<OwnedFd> {
    // SAFETY: plain system call; a non-negative result is a descriptor made for us.
    unsafe {
        match libc::syscall(libc::SYS_pidfd_open, pid, 0) {
            -1 => Err(io::Error::last_os_error()),
            fd => Ok(OwnedFd::from_raw_fd(fd as RawFd)),
        }
    }
}

/// Signals the process behind a handle.
pub fn pidfd_signal(pidfd: &OwnedFd, signal: Signal) -> io::Result<()> {
    let (fd, none) = (pidfd.as_raw_fd(), ptr::null::<libc::siginfo_t>());
    // SAFETY: plain system call; a null siginfo is allowed.
    match unsafe { libc::syscall(libc::SYS_pidfd_send_signal, fd, signal as i32, none, 0) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Runs `body` in a copy of this test program, which has one thread and exits with what `body` returns, or with
/// 101 when it panics. With a descriptor given, that is number 3 there, and all but 0, 1 and 2 are closed.
#[cfg(test)]
pub fn fork(only: Option<OwnedFd>, body: impl FnOnce() -> u8) -> i32 {
    // SAFETY: the C library makes fork safe for its allocator, and `body` uses no lock of another thread's.
    match unsafe { libc::fork() } {
        0 => unsafe {
            if let Some(fd) = &only {
                libc::dup2(fd.as_raw_fd(), 3);
                libc::syscall(libc::SYS_close_range, 4, libc::c_uint::MAX, 0);
            }
            let code = std::panic::catch_unwind(std::panic::AssertUnwindSafe(body)).unwrap_or(101);
            libc::_exit(code.into())
        },
        pid => {
            assert!(pid > 0, "cannot fork: {}", io::Error::last_os_error());
            pid
        }
    }
}
