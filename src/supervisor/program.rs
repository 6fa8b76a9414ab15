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
use crate::guard::{LISTEN_PID, SpawnSpec};
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
        env: environment(std::env::vars_os(), service, label, port, is_handed).into_iter().collect(),
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
    is_handed: bool,
) -> BTreeMap<OsString, OsString> {
    let text = |(key, value): (&str, &str)| (OsString::from(key), OsString::from(value));
    // So that lines are in the log when they are printed.
    let unless_set = [("PYTHONUNBUFFERED", "1")].map(text);
    let port = port.map(|port| port.to_string());
    let own = [("MSX_SERVICE", service.spec.name.as_str()), ("MSX_INSTANCE", label)];
    let own = own.into_iter().chain(port.as_deref().map(|port| ("PORT", port)));
    let handed = [("LISTEN_FDS", "1"), (LISTEN_PID, "")].into_iter().filter(|_| is_handed);
    let own = own.chain(handed);
    // What msx itself was handed is not for its programs.
    let hub = hub.filter(|(name, _)| !name.as_encoded_bytes().starts_with(b"LISTEN_"));
    let theirs = service.spec.env.iter().map(|(key, value)| text((key, value)));
    unless_set.into_iter().chain(hub).chain(theirs).chain(own.map(text)).collect()
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;

    use super::*;
    use crate::registry::Registry;
    use crate::registry::tests::offer;

    fn environment_of(
        hub: &[(&str, &str)],
        port: Option<u16>,
        is_handed: bool,
    ) -> BTreeMap<OsString, OsString> {
        let mut offer = offer("m.web");
        offer.spec.env =
            BTreeMap::from([("LEVEL".to_owned(), "service".to_owned()), ("PORT".to_owned(), "1".to_owned())]);
        let hub = hub.iter().map(|(key, value)| (OsString::from(key), OsString::from(value)));
        environment(hub, &Registry::new(vec![offer]).snapshot().services[0], "web-1", port, is_handed)
    }

    #[test]
    fn later_layers_win_and_the_port_is_not_the_users_to_choose() {
        let env = environment_of(
            &[("LEVEL", "hub"), ("HOME", "/home/x"), ("LISTEN_FDS", "2")],
            Some(20_000),
            false,
        );
        let value = |key: &str| env.get(OsStr::new(key)).and_then(|value| value.to_str());
        assert_eq!(
            (value("LEVEL"), value("HOME"), value("PORT")),
            (Some("service"), Some("/home/x"), Some("20000"))
        );
        assert_eq!((value("MSX_SERVICE"), value("MSX_INSTANCE")), (Some("m.web"), Some("web-1")));
        assert_eq!((value("LISTEN_FDS"), value("LISTEN_PID")), (None, None), "those are the hub's own");
        let alone = environment_of(&[], None, false);
        assert_eq!(
            alone.get(OsStr::new("PORT")).unwrap(),
            "1",
            "a program without one of msx may have its own"
        );
    }

    #[test]
    fn a_socket_is_announced_as_systemd_does_it() {
        let env = environment_of(&[], Some(20_000), true);
        assert_eq!(env.get(OsStr::new("LISTEN_FDS")).unwrap(), "1");
        assert_eq!(env.get(OsStr::new("LISTEN_PID")).unwrap(), "", "the guard's child fills it in");
    }

    #[test]
    fn words_are_left_alone_without_a_port() {
        let argv = ["serve".to_owned(), "$PORT".to_owned()];
        assert_eq!(words(&argv, Some(80)), ["serve", "80"]);
        assert_eq!(words(&argv, None), ["serve", "$PORT"]);
    }
}
