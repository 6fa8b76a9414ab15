//! What the rooms of the runtimes know of the machine: its environment, and which distribution it is. Read once and
//! passed down, so that nothing below depends on the process it happens to run in.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

pub struct Host {
    vars: BTreeMap<OsString, OsString>,
    /// Content of `/etc/os-release`, empty if there is none.
    os_release: String,
}

impl Host {
    pub fn new(vars: impl IntoIterator<Item = (OsString, OsString)>, os_release: String) -> Self {
        Self { vars: vars.into_iter().collect(), os_release }
    }

    pub fn of_this_process() -> Self {
        Self::new(std::env::vars_os(), fs::read_to_string("/etc/os-release").unwrap_or_default())
    }

    pub fn var(&self, name: &str) -> Option<&OsStr> {
        self.vars.get(OsStr::new(name)).map(OsString::as_os_str).filter(|value| !value.is_empty())
    }

    pub fn vars(&self) -> impl Iterator<Item = (&OsString, &OsString)> {
        self.vars.iter()
    }

    /// The environment of a helper: this one with `changes` laid over it.
    pub fn environment(&self, changes: &[(&str, &OsStr)]) -> Vec<(OsString, OsString)> {
        let mut vars = self.vars.clone();
        vars.extend(changes.iter().map(|(name, value)| (OsString::from(name), OsString::from(value))));
        vars.into_iter().collect()
    }

    /// The first executable file of that name on PATH.
    pub fn find(&self, program: &str) -> Option<PathBuf> {
        let folders = std::env::split_paths(self.var("PATH")?);
        folders
            .filter(|folder| folder.is_absolute())
            .map(|folder| folder.join(program))
            .find(|path| is_executable(path))
    }

    /// The family of this distribution: its `ID`, else one of those that it is like.
    pub fn distribution(&self) -> &'static str {
        let value = |key| {
            let mut lines = self.os_release.lines();
            lines.find_map(|line| line.strip_prefix(key)).unwrap_or_default().trim_matches(['"', '\''])
        };
        let names = || value("ID=").split_whitespace().chain(value("ID_LIKE=").split_whitespace());
        let family = |name| match name {
            "debian" | "ubuntu" => Some("debian"),
            "fedora" | "rhel" | "centos" => Some("fedora"),
            "alpine" => Some("alpine"),
            "arch" => Some("arch"),
            "suse" | "opensuse" => Some("suse"),
            _ => None,
        };
        names().find_map(family).unwrap_or_default()
    }
}

pub fn is_executable(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
}
