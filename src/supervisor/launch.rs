//! What a native instance is started with: its command, environment and descriptors.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{OwnedFd, RawFd};
use std::path::PathBuf;

use nix::fcntl::OFlag;
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
use nix::unistd::pipe2;

use crate::guard::SpawnSpec;
use crate::model::Language;
use crate::protocol::worker::{Channels, Inherited, UNTOLD};
use crate::registry::ServiceEntry;

/// Number of the control channel in an instance, as its `MSX_FD` says.
const CONTROL_FD: RawFd = 3;
/// Numbers of the lane and of the tally in an instance that inherits them: `MSX_LANE_FD`, `MSX_TALLY_FD`.
const LANE_FD: RawFd = 4;
const TALLY_FD: RawFd = 5;

/// What all instances of the project have in common.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The Python that runs services, if there are any in Python.
    pub python: Option<PathBuf>,
    /// What runs services written for Node.js, if there are any.
    pub node: Option<NodeProgram>,
    /// Laid over the hub's environment, under the service's own: `PYTHONPATH`, `PYTHONHASHSEED`, …
    pub env: Vec<(OsString, OsString)>,
    pub project: PathBuf,
    /// How the paths of the sockets of its programs begin.
    pub sockets: PathBuf,
}

/// Node.js and the SDK for it.
#[derive(Clone, Debug)]
pub struct NodeProgram {
    pub interpreter: PathBuf,
    /// The folder of the SDK.
    pub sdk: PathBuf,
}

/// A process ready to be spawned, and the hub's ends of its channels.
pub struct Launch {
    pub spec: SpawnSpec,
    pub channels: Channels,
    pub output: Output,
}

/// The hub's ends of the pipes that the process prints to.
pub struct Output {
    pub stdout: OwnedFd,
    pub stderr: OwnedFd,
}

/// Opens the channels of an instance.
pub fn prepare(
    settings: &Settings,
    service: &ServiceEntry,
    (language, module): (Language, &str),
    label: &str,
) -> io::Result<Launch> {
    let (control, theirs) = stream_pair()?;
    let (stdout, child_stdout) = pipe2(OFlag::O_CLOEXEC)?;
    let (stderr, child_stderr) = pipe2(OFlag::O_CLOEXEC)?;
    let mut fds = vec![(theirs, CONTROL_FD), (child_stdout, 1), (child_stderr, 2)];
    let inherited = match language {
        Language::Python => None,
        Language::Node => Some(inherit(&mut fds)?),
    };
    let spec = SpawnSpec {
        argv: argv(settings, service, language, module)?,
        env: environment(std::env::vars_os(), settings, service, language, label).into_iter().collect(),
        cwd: settings.project.join(&service.spec.cwd),
        fds,
    };
    let channels = Channels { control, inherited };
    Ok(Launch { spec, channels, output: Output { stdout, stderr } })
}

fn stream_pair() -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(socketpair(AddressFamily::Unix, SockType::Stream, None, SockFlag::SOCK_CLOEXEC)?)
}

/// Node.js cannot receive descriptors. It needs one lane, so that this can be there from the start.
fn inherit(fds: &mut Vec<(OwnedFd, RawFd)>) -> io::Result<Inherited> {
    let (lane, theirs) = stream_pair()?;
    let mut tally = File::from(memfd_create(c"msx-tally", MFdFlags::MFD_CLOEXEC)?);
    tally.write_all(&UNTOLD)?;
    fds.push((theirs, LANE_FD));
    fds.push((tally.try_clone()?.into(), TALLY_FD));
    Ok(Inherited { lane, tally: tally.into() })
}

/// The program of an instance: what finds the function by its name, and serves it.
fn argv(
    settings: &Settings,
    service: &ServiceEntry,
    language: Language,
    module: &str,
) -> io::Result<Vec<OsString>> {
    let name = service.spec.name.as_str();
    match language {
        Language::Python => {
            let python = settings.python.as_ref().ok_or_else(|| io::Error::other("there is no Python"))?;
            Ok(vec![python.into(), "-m".into(), "msx._worker".into(), name.into()])
        }
        Language::Node => {
            let node = settings.node.as_ref().ok_or_else(|| io::Error::other("there is no Node.js"))?;
            let worker = node.sdk.join("worker.mjs");
            let file = settings.project.join(module);
            Ok(vec![node.interpreter.clone().into(), worker.into(), name.into(), file.into()])
        }
    }
}

/// Layers, the later over the earlier: what is good unless set, the hub's, the project's, the service's, the instance's.
fn environment(
    hub: impl Iterator<Item = (OsString, OsString)>,
    settings: &Settings,
    service: &ServiceEntry,
    language: Language,
    label: &str,
) -> BTreeMap<OsString, OsString> {
    let text = |(key, value): (&str, &str)| (OsString::from(key), OsString::from(value));
    // The processors are for instances, of which there are many; a pool of threads in each would fight over them.
    let unless_set =
        [("OMP_NUM_THREADS", "1"), ("OPENBLAS_NUM_THREADS", "1"), ("MKL_NUM_THREADS", "1")].map(text);
    let [control, lane, tally] = [CONTROL_FD, LANE_FD, TALLY_FD].map(|fd| fd.to_string());
    let own =
        [("MSX_FD", control.as_str()), ("MSX_SERVICE", service.spec.name.as_str()), ("MSX_INSTANCE", label)];
    let of_language = match language {
        Language::Python => vec![("PYTHONUNBUFFERED", "1")],
        Language::Node => vec![("MSX_LANE_FD", lane.as_str()), ("MSX_TALLY_FD", tally.as_str())],
    };
    let theirs = service.spec.env.iter().map(|(key, value)| text((key, value)));
    let layers = unless_set.into_iter().chain(hub).chain(settings.env.iter().cloned()).chain(theirs);
    layers.chain(own.into_iter().chain(of_language).map(text)).collect()
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::os::unix::fs::FileExt;

    use super::*;
    use crate::registry::Registry;
    use crate::registry::tests::offer;

    fn environment_of(hub: &[(&str, &str)]) -> BTreeMap<OsString, OsString> {
        let mut offer = offer("jobs.resize");
        offer.spec.env = BTreeMap::from([("LEVEL".to_owned(), "service".to_owned())]);
        let registry = Registry::new(vec![offer]);
        let settings = Settings {
            python: Some("/usr/bin/python3".into()),
            node: None,
            env: vec![("LEVEL".into(), "project".into()), ("PYTHONPATH".into(), "sdk".into())],
            project: "/".into(),
            sockets: "/run/p".into(),
        };
        let hub = hub.iter().map(|(key, value)| (OsString::from(key), OsString::from(value)));
        environment(hub, &settings, &registry.snapshot().services[0], Language::Python, "resize-1")
    }

    #[test]
    fn later_layers_win() {
        let env = environment_of(&[("LEVEL", "hub"), ("HOME", "/home/x"), ("MSX_INSTANCE", "outer-1")]);
        let value = |key: &str| env.get(OsStr::new(key)).unwrap().to_str().unwrap();
        assert_eq!(value("LEVEL"), "service");
        assert_eq!(value("PYTHONPATH"), "sdk");
        assert_eq!(value("HOME"), "/home/x");
        assert_eq!(value("MSX_INSTANCE"), "resize-1");
        assert_eq!(value("MSX_SERVICE"), "jobs.resize");
        assert_eq!(value("MSX_FD"), "3");
    }

    #[test]
    fn an_instance_of_node_inherits_its_lane_and_its_tally() {
        let node = NodeProgram { interpreter: "/bin/node".into(), sdk: "/sdk".into() };
        let settings = Settings {
            python: None,
            node: Some(node),
            env: Vec::new(),
            project: "/project".into(),
            sockets: "/run/p".into(),
        };
        let registry = Registry::new(vec![offer("jobs.resize")]);
        let function = (Language::Node, "jobs.mjs");
        let launch = prepare(&settings, &registry.snapshot().services[0], function, "resize-1").unwrap();
        let argv = ["/bin/node", "/sdk/worker.mjs", "jobs.resize", "/project/jobs.mjs"];
        assert_eq!(launch.spec.argv, argv);
        let numbers: Vec<RawFd> = launch.spec.fds.iter().map(|(_, number)| *number).collect();
        assert_eq!(numbers, [CONTROL_FD, 1, 2, LANE_FD, TALLY_FD]);
        let env: BTreeMap<OsString, OsString> = launch.spec.env.into_iter().collect();
        let value = |key: &str| env.get(OsStr::new(key)).unwrap().to_str().unwrap();
        assert_eq!((value("MSX_LANE_FD"), value("MSX_TALLY_FD")), ("4", "5"));
        let mut tally = [0; 16];
        let length = File::from(launch.channels.inherited.unwrap().tally).read_at(&mut tally, 0).unwrap();
        assert_eq!(tally[..length], UNTOLD, "until the worker writes there it has begun with everything");
    }

    #[test]
    fn thread_pools_are_small_unless_the_person_says_otherwise() {
        let env = environment_of(&[("OMP_NUM_THREADS", "4")]);
        assert_eq!(env.get(OsStr::new("OMP_NUM_THREADS")).unwrap(), "4");
        assert_eq!(env.get(OsStr::new("MKL_NUM_THREADS")).unwrap(), "1");
    }
}
