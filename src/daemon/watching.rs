//! `msx up --watch`: a changed file restarts the services of its module.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::Report;
use super::setup::Planned;
use crate::failure::Failure;
use crate::model::ServiceId;
use crate::protocol::progress::Progress;
use crate::supervisor::Supervisor;
use crate::supervisor::watch::Watch;

/// What a service depends on: the file of its function, and the folders or files of `watch`.
pub struct Watched {
    pub service: ServiceId,
    pub file: Option<PathBuf>,
    pub extra: Vec<PathBuf>,
}

/// Watches until the hub ends; the answer is to be kept.
pub fn start(
    root: &Path,
    watched: Vec<Watched>,
    supervisor: Supervisor,
    report: Report,
) -> Result<Watch, Failure> {
    let folders: BTreeSet<PathBuf> = watched
        .iter()
        .flat_map(|service| {
            let own = service.file.as_deref().and_then(Path::parent).map(Path::to_owned);
            own.into_iter().chain(service.extra.iter().map(|extra| folder_of(&root.join(extra))))
        })
        .collect();
    let runtime = tokio::runtime::Handle::current();
    let root = root.to_owned();
    let cannot = |error| {
        Failure::failed(format!("cannot watch the project's files: {error}"))
            .with_help("the kernel's limit may be too low: `sysctl fs.inotify.max_user_watches`")
    };
    Watch::start(&folders, move |changed| {
        let services: Vec<ServiceId> = watched
            .iter()
            .filter(|s| changed.iter().any(|file| s.depends_on(&root, file)))
            .map(|s| s.service)
            .collect();
        if services.is_empty() {
            return;
        }
        changed.iter().for_each(|file| forget_bytecode(file));
        let names: Vec<String> = changed.iter().map(|file| shown(file, &root)).collect();
        report(Progress::Note(format!("{} changed: restarting its services", names.join(", "))));
        let (supervisor, report) = (supervisor.clone(), report.clone());
        runtime.spawn(async move {
            if let Err(error) = supervisor.restart(services, true).await {
                report(Progress::Note(format!("the old code goes on: {error}")));
            }
        });
    })
    .map_err(cannot)
}

/// What the planned services, in the order of their ids, depend on.
pub fn watched(services: &[Planned]) -> Vec<Watched> {
    let numbered = (0..).map(ServiceId).zip(services);
    let watched = numbered.map(|(service, planned)| Watched {
        service,
        file: planned.file.clone(),
        extra: planned.spec.watch.iter().map(PathBuf::from).collect(),
    });
    watched.collect()
}

impl Watched {
    fn depends_on(&self, root: &Path, changed: &Path) -> bool {
        self.file.as_deref() == Some(changed)
            || self.extra.iter().any(|extra| changed.starts_with(root.join(extra)))
    }
}

/// Python takes the cached bytecode of a source for current if its length and the second of its change agree; two
/// quick edits can leave both as they were.
fn forget_bytecode(source: &Path) {
    let (Some(folder), Some(stem)) = (source.parent(), source.file_stem()) else { return };
    let Ok(cached) = std::fs::read_dir(folder.join("__pycache__")) else { return };
    let prefix = format!("{}.", stem.display());
    let of_source = cached.flatten().filter(|file| file.file_name().to_string_lossy().starts_with(&prefix));
    // One that stays is most likely current.
    of_source.for_each(|file| drop(std::fs::remove_file(file.path())));
}

fn folder_of(path: &Path) -> PathBuf {
    match path.is_dir() {
        true => path.to_owned(),
        false => path.parent().map_or_else(|| path.to_owned(), Path::to_owned),
    }
}

fn shown(path: &Path, root: &Path) -> String {
    path.strip_prefix(root).unwrap_or(path).display().to_string()
}
