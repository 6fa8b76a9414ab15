//! What a program is started with: its words, its environment, its port or socket.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::net::TcpListener;
use std::os::fd::RawFd;
use std::path::Path;
use std::sync::Arc;

use nix::fcntl::OFlag;
use nix::unistd::pipe2;

use super::launch::Output;
use crate::config::command::{CommandSpec, PORT, SOCKET, expand};
use crate::guard::{LISTEN_PID, SpawnSpec};
use crate::registry::ServiceEntry;

/// Number of the first socket that a program is handed (`SD_LISTEN_FDS_START`).
const LISTEN_FD: RawFd = 3;

/// A program ready to be spawned.
pub struct Launch {
    pub spec: SpawnSpec,
    pub output: Output,
}

/// Where a program is to take connections.
#[derive(Clone, Debug)]
pub enum Home {
    Port(u16),
    Path(Arc<Path>),
}

impl Home {
    /// What the words and the environment of the program call it.
    pub fn variable(&self) -> (&'static str, String) {
        match self {
            Self::Port(port) => (PORT, port.to_string()),
            Self::Path(path) => (SOCKET, path.display().to_string()),
        }
    }
}

/// Puts it together. `socket` is what the program is handed.
pub fn prepare(
    project: &Path,
    service: &ServiceEntry,
    command: &CommandSpec,
    label: &str,
    home: Option<&Home>,
    socket: Option<TcpListener>,
) -> io::Result<Launch> {
    let (stdout, child_stdout) = pipe2(OFlag::O_CLOEXEC)?;
    let (stderr, child_stderr) = pipe2(OFlag::O_CLOEXEC)?;
    let mut fds = vec![(child_stdout, 1), (child_stderr, 2)];
    let is_handed = socket.is_some();
    fds.extend(socket.map(|socket| (socket.into(), LISTEN_FD)));
    let spec = SpawnSpec {
        argv: words(&command.argv, home),
        env: environment(std::env::vars_os(), service, label, home, is_handed).into_iter().collect(),
        cwd: project.join(&service.spec.cwd),
        fds,
    };
    Ok(Launch { spec, output: Output { stdout, stderr } })
}

/// The words of a command with its port or socket in them.
pub fn words(argv: &[String], home: Option<&Home>) -> Vec<OsString> {
    let Some((name, value)) = home.map(Home::variable) else {
        return argv.iter().map(OsString::from).collect();
    };
    argv.iter().map(|word| expand(word, name, &value).into()).collect()
}

/// The hub's environment, under the service's own, under what msx tells an instance.
pub fn environment(
    hub: impl Iterator<Item = (OsString, OsString)>,
    service: &ServiceEntry,
    label: &str,
    home: Option<&Home>,
    is_handed: bool,
) -> BTreeMap<OsString, OsString> {
    let text = |(key, value): (&str, &str)| (OsString::from(key), OsString::from(value));
    // So that lines are in the log when they are printed.
    let unless_set = [("PYTHONUNBUFFERED", "1")].map(text);
    let home = home.map(Home::variable);
    let own = [("MSX_SERVICE", service.spec.name.as_str()), ("MSX_INSTANCE", label)];
    let own = own.into_iter().chain(home.as_ref().map(|(name, value)| (*name, value.as_str())));
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
        home: Option<&Home>,
        is_handed: bool,
    ) -> BTreeMap<OsString, OsString> {
        let mut offer = offer("m.web");
        offer.spec.env =
            BTreeMap::from([("LEVEL".to_owned(), "service".to_owned()), ("PORT".to_owned(), "1".to_owned())]);
        let hub = hub.iter().map(|(key, value)| (OsString::from(key), OsString::from(value)));
        environment(hub, &Registry::new(vec![offer]).snapshot().services[0], "web-1", home, is_handed)
    }

    #[test]
    fn later_layers_win_and_the_port_is_not_the_users_to_choose() {
        let env = environment_of(
            &[("LEVEL", "hub"), ("HOME", "/home/x"), ("LISTEN_FDS", "2")],
            Some(&Home::Port(20_000)),
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
        let env = environment_of(&[], Some(&Home::Port(20_000)), true);
        assert_eq!(env.get(OsStr::new("LISTEN_FDS")).unwrap(), "1");
        assert_eq!(env.get(OsStr::new("LISTEN_PID")).unwrap(), "", "the guard's child fills it in");
    }

    #[test]
    fn words_are_left_alone_without_a_port() {
        let argv = ["serve".to_owned(), "$PORT".to_owned()];
        assert_eq!(words(&argv, Some(&Home::Port(80))), ["serve", "80"]);
        let path = Home::Path(Path::new("/run/web.sock").into());
        assert_eq!(words(&["unix:$SOCKET".to_owned()], Some(&path)), ["unix:/run/web.sock"]);
        assert_eq!(words(&argv, None), ["serve", "$PORT"]);
    }
}
