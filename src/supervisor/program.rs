//! What a program is started with: its words, its environment, its port or socket.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::net::TcpListener;
use std::os::fd::RawFd;
use std::path::Path;

use nix::fcntl::OFlag;
use nix::unistd::pipe2;

use super::launch::Output;
use crate::config::command::{CommandSpec, Serving, expand};
use crate::guard::SpawnSpec;
use crate::registry::ServiceEntry;

/// Number of the first socket that a program is handed (`SD_LISTEN_FDS_START`).
const LISTEN_FD: RawFd = 3;

/// A program ready to be spawned.
pub struct Launch {
    pub spec: SpawnSpec,
    pub output: Output,
    pub port: Option<u16>,
}

/// Puts it together. `listener` is on the port that the program is to have, if it is to have one.
pub fn prepare(
    project: &Path,
    service: &ServiceEntry,
    command: &CommandSpec,
    label: &str,
    listener: Option<TcpListener>,
) -> io::Result<Launch> {
    let port = listener.as_ref().map(|listener| listener.local_addr()).transpose()?.map(|at| at.port());
    let (stdout, child_stdout) = pipe2(OFlag::O_CLOEXEC)?;
    let (stderr, child_stderr) = pipe2(OFlag::O_CLOEXEC)?;
    let mut fds = vec![(child_stdout, 1), (child_stderr, 2)];
    let is_handed = command.serving == Serving::Socket;
    // Else the program binds the port itself, and must find it free.
    fds.extend(listener.filter(|_| is_handed).map(|listener| (listener.into(), LISTEN_FD)));
    let spec = SpawnSpec {
        argv: words(&command.argv, port),
        env: environment(std::env::vars_os(), service, label, port).into_iter().collect(),
        cwd: project.join(&service.spec.cwd),
        fds,
    };
    Ok(Launch { spec, output: Output { stdout, stderr }, port })
}

/// The words of a command with its port in them.
pub fn words(argv: &[String], port: Option<u16>) -> Vec<OsString> {
    let word = |word: &String| port.map_or_else(|| word.clone(), |port| expand(word, port)).into();
    argv.iter().map(word).collect()
}

/// The hub's environment, under the service's own, under what msx tells an instance.
pub fn environment(
    hub: impl Iterator<Item = (OsString, OsString)>,
    service: &ServiceEntry,
    label: &str,
    port: Option<u16>,
) -> BTreeMap<OsString, OsString> {
    let text = |(key, value): (&str, &str)| (OsString::from(key), OsString::from(value));
    // So that lines are in the log when they are printed.
    let unless_set = [("PYTHONUNBUFFERED", "1")].map(text);
    let port = port.map(|port| port.to_string());
    let own = [("MSX_SERVICE", service.spec.name.as_str()), ("MSX_INSTANCE", label)];
    let own = own.into_iter().chain(port.as_deref().map(|port| ("PORT", port)));
    let theirs = service.spec.env.iter().map(|(key, value)| text((key, value)));
    unless_set.into_iter().chain(hub).chain(theirs).chain(own.map(text)).collect()
}
