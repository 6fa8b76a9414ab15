//! `msx up -d`: the hub as a process of its own session, and what the terminal that started it sees of its start.
//!
//! The hub's stdout is a pipe on which it reports its progress, and its failure if it comes to that, one JSON object a
//! line. It moves the pipe out of the way at once, so that nothing it starts inherits it.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::net::unix::pipe::Receiver;
use tokio::time::timeout;

use super::progress::Display;
use super::session;
use super::terminal::{Terminal, say};
use crate::daemon::{self, UpOptions};
use crate::failure::Failure;
use crate::project::Project;
use crate::protocol::progress::Progress;

/// A hub that reports nothing for so long is given up. (A large package may take minutes to download.)
const SILENCE_MAX: Duration = Duration::from_secs(600);
/// The last hub's log is kept as `hub.log.1` beyond this size.
const HUB_LOG_BYTES_MAX: u64 = 1024 * 1024;

#[derive(Serialize, Deserialize)]
enum Report {
    Progress(Progress),
    Failed(Failure),
}

/// The hub in the background.
pub fn serve(options: UpOptions) -> Result<(), Failure> {
    let broken = |e: io::Error| Failure::failed(format!("cannot go to the background: {e}"));
    nix::unistd::setsid().map_err(|e| broken(e.into()))?;
    let pipe = take_stdout().map_err(broken)?;
    let pipe = Arc::new(Mutex::new(Some(pipe)));
    let progress = pipe.clone();
    let result = daemon::run(options, Arc::new(move |step| send(&progress, &Report::Progress(step))));
    if let Err(failure) = &result {
        send(&pipe, &Report::Failed(failure.clone()));
    }
    result
}

/// What was stdout, closed on exec; stdout itself leads nowhere from now on.
fn take_stdout() -> io::Result<File> {
    let pipe = io::stdout().as_fd().try_clone_to_owned()?;
    nix::unistd::dup2_stdout(OpenOptions::new().write(true).open("/dev/null")?)?;
    Ok(pipe.into())
}

/// Until the other side goes away, which it does when it has seen enough.
fn send(pipe: &Mutex<Option<File>>, report: &Report) {
    let mut pipe = pipe.lock();
    let Ok(mut line) = serde_json::to_vec(report) else { return };
    line.push(b'\n');
    if pipe.as_mut().is_some_and(|pipe| pipe.write_all(&line).is_err()) {
        *pipe = None;
    }
}

/// Starts the hub and waits until it accepts calls, or until all services are ready.
pub fn start(options: &UpOptions, ready: bool, terminal: &Terminal) -> Result<(), Failure> {
    let mut child = spawn(options)?;
    let pipe = child.stdout.take().map(OwnedFd::from);
    let mut display = Display::new(terminal, "`msx logs -f` follows them, `msx down` ends them");
    let result = session::block_on("interrupted: the hub goes on starting; `msx down` ends it", async {
        let pipe = pipe.map(Receiver::from_owned_fd).and_then(Result::ok);
        let Some(pipe) = pipe else { return Err(Failure::failed("cannot read what the hub reports")) };
        follow(BufReader::new(pipe).lines(), ready, &mut display, &options.project).await
    });
    display.clear();
    match result {
        Ok(true) => {
            say(&format!("the hub runs in the background (pid {})", child.id()));
            Ok(())
        }
        Ok(false) => Err(ended_silently(&mut child, &options.project)),
        Err(failure) => Err(failure),
    }
}

fn spawn(options: &UpOptions) -> Result<Child, Failure> {
    let log = hub_log(&options.project)?;
    let mut command = Command::new("/proc/self/exe");
    command.args(arguments(options)).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log);
    command.spawn().map_err(|e| Failure::failed(format!("cannot start msx in the background: {e}")))
}

/// The same request with absolute paths: `-C` has been followed already.
fn arguments(options: &UpOptions) -> Vec<OsString> {
    let mut out: Vec<OsString> = vec!["up".into(), "--background".into()];
    for (name, instances) in &options.scale {
        out.push(format!("--scale={name}={instances}").into());
    }
    if options.watch {
        out.push("--watch".into());
    }
    for manifest in &options.manifests {
        out.extend(["--file".into(), manifest.into()]);
    }
    if let Some(target) = &options.target {
        out.extend(["--".into(), target.into()]);
    }
    out
}

fn hub_log(project: &Project) -> Result<File, Failure> {
    let (folder, path) = (project.logs(), project.hub_log());
    let open = || {
        fs::create_dir_all(&folder)?;
        if fs::metadata(&path).is_ok_and(|meta| meta.len() > HUB_LOG_BYTES_MAX) {
            fs::rename(&path, folder.join("hub.log.1"))?;
        }
        OpenOptions::new().create(true).append(true).open(&path)
    };
    open().map_err(|error| Failure::file("open", &path, &error))
}

/// True when what was waited for has come, false when the hub ended without a word.
async fn follow(
    mut reports: Lines<BufReader<Receiver>>,
    ready: bool,
    display: &mut Display,
    project: &Project,
) -> Result<bool, Failure> {
    loop {
        let line = timeout(SILENCE_MAX, reports.next_line()).await.map_err(|_| silent(project))?;
        let Ok(Some(line)) = line else { return Ok(false) };
        let Ok(report) = serde_json::from_str(&line) else { continue };
        let progress = match report {
            Report::Failed(failure) => return Err(failure),
            Report::Progress(progress) => progress,
        };
        display.show(&progress);
        match progress {
            Progress::Ready => return Ok(true),
            Progress::Gateway { .. } if !ready => return Ok(true),
            Progress::Service { name, state, .. } if ready && state == "crashloop" => {
                return Err(crashes(&name));
            }
            Progress::Service { name, state, .. } if ready && state == "failed" => {
                return Err(failed(&name));
            }
            _ => {}
        }
    }
}

fn crashes(service: &str) -> Failure {
    Failure::failed(format!("{service} does not start: each of its starts has failed")).with_help(format!(
        "`msx ps` says why, `msx logs {service}` shows what it printed; the hub goes on trying"
    ))
}

fn failed(service: &str) -> Failure {
    Failure::failed(format!("{service} failed, and is not started again by itself")).with_help(format!(
        "`msx logs {service}` shows what it printed, `msx restart {service}` runs it again; the hub goes on"
    ))
}

fn silent(project: &Project) -> Failure {
    let message = format!("the hub has reported nothing for {} s", SILENCE_MAX.as_secs());
    Failure::failed(message).with_help(format!("see {}; `msx down` ends it", project.hub_log().display()))
}

fn ended_silently(child: &mut Child, project: &Project) -> Failure {
    let status = child.wait().map_or("an unknown status".to_owned(), |status| status.to_string());
    Failure::failed(format!("the hub ended while it started: {status}"))
        .with_help(format!("see {}", project.hub_log().display()))
}
