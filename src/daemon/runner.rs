//! Runs the helper programs of the runtimes through the guard, like everything that msx starts.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use nix::fcntl::OFlag;
use nix::unistd::pipe2;
use tokio::net::unix::pipe;

use crate::guard::{ExitStatus, Guard, SpawnSpec};
use crate::runtime::{Command, Finished, Runner, Tail};

/// A runner whose programs are children of the guard; dropping a run ends its group.
pub fn runner(guard: Guard) -> Arc<Runner> {
    Arc::new(move |command| {
        let guard = guard.clone();
        Box::pin(run(guard, command))
    })
}

async fn run(guard: Guard, command: Command) -> io::Result<Finished> {
    let (stdout, stdout_child) = pipe_pair()?;
    let (stderr, stderr_child) = pipe_pair()?;
    let Command { argv, env, cwd, lines } = command;
    let fds = vec![(stdout_child, 1), (stderr_child, 2)];
    let mut process = guard.spawn(SpawnSpec { argv, env, cwd, fds }).await.map_err(io::Error::other)?;
    let ended = async {
        let status = process.exited().await;
        // What a program leaves running would hold its pipes open.
        process.signal(nix::sys::signal::Signal::SIGKILL);
        process.emptied().await;
        status
    };
    let (status, stdout, stderr) =
        tokio::join!(ended, Tail::new(lines.clone()).read(stdout), Tail::new(lines).read(stderr));
    Ok(Finished {
        status_ok: status == ExitStatus::Code(0),
        status: status.to_string(),
        stdout: stdout?,
        stderr: stderr?,
    })
}

fn pipe_pair() -> io::Result<(pipe::Receiver, OwnedFd)> {
    let (ours, theirs) = pipe2(OFlag::O_CLOEXEC)?;
    Ok((pipe::Receiver::from_owned_fd(ours)?, theirs))
}
