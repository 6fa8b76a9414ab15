//! The control API, served from the hub's first moment to its last: `down` also ends a hub that is still starting.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use crate::control::server::{self, Control, Entry};
use crate::failure::Failure;
use crate::project::{HubFile, Project};

/// How long callers may take to read their last answer.
const LAST_ANSWERS_BOUND: Duration = Duration::from_secs(1);

/// The control API being served; its socket goes with it.
pub struct ControlApi {
    /// When the hub started, on both clocks.
    pub started: Instant,
    started_at: String,
    socket: PathBuf,
    /// Names the socket that is ours, should another one have taken its place.
    inode: Option<u64>,
    entry: Arc<Entry>,
    ending: CancellationToken,
    ended: CancellationToken,
}

impl ControlApi {
    /// `stop` is cancelled by `down`, the only thing that can be asked before [`ControlApi::open`].
    pub fn start(project: &Project, stop: CancellationToken) -> Result<Self, Failure> {
        let socket = project.socket()?;
        let listener = server::listen(&socket)
            .map_err(|error| Failure::failed(format!("cannot listen on {}: {error}", socket.display())))?;
        let api = Self {
            started: Instant::now(),
            started_at: jiff::Timestamp::now().to_string(),
            inode: inode(&socket),
            socket,
            entry: Arc::new(Entry::new(stop)),
            ending: CancellationToken::new(),
            ended: CancellationToken::new(),
        };
        let router = server::router(api.entry.clone());
        let (ending, ended) = (api.ending.clone(), api.ended.clone().drop_guard());
        tokio::spawn(async move {
            let served = axum::serve(listener, router).with_graceful_shutdown(ending.cancelled_owned());
            // It has no error: what goes wrong on a connection stays there.
            let _ = served.await;
            drop(ended);
        });
        Ok(api)
    }

    /// From now on it answers everything.
    pub fn open(&self, control: Control) {
        self.entry.open(control);
    }

    /// What `hub.json` says.
    pub fn hub_file(&self, stopping: bool) -> HubFile {
        HubFile {
            socket: self.socket.clone(),
            pid: std::process::id(),
            started: self.started_at.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            stopping,
            failure: None,
        }
    }

    /// Returns when the last answers are out, or will not be read.
    pub async fn stop(&self) {
        self.ending.cancel();
        let _ = tokio::time::timeout(LAST_ANSWERS_BOUND, self.ended.cancelled()).await;
    }
}

impl Drop for ControlApi {
    fn drop(&mut self) {
        if inode(&self.socket) == self.inode {
            // The folder belongs to the user; a socket that cannot be removed is replaced by the next hub.
            let _ = std::fs::remove_file(&self.socket);
        }
    }
}

fn inode(path: &Path) -> Option<u64> {
    std::fs::symlink_metadata(path).ok().map(|meta| meta.ino())
}
