//! What is particular to Python on a machine: its variables, and the packages that a distribution has it in.

use std::ffi::{OsStr, OsString};

use crate::runtime::Host;

/// What a person may have to install.
#[derive(Clone, Copy)]
pub enum Missing {
    Python,
    Pip,
}

/// The environment of a helper that must not see the project: without PYTHONPATH, with `changes` laid over it.
pub fn isolated(host: &Host, changes: &[(&str, &OsStr)]) -> Vec<(OsString, OsString)> {
    let mut vars = host.environment(changes);
    vars.retain(|(name, _)| name != "PYTHONPATH");
    vars
}

/// Variables that change what an interpreter finds. PYTHONPATH is not among them: helpers run without it.
pub fn python_vars(host: &Host) -> impl Iterator<Item = (&OsString, &OsString)> {
    let changes = |name: &OsStr| name.as_encoded_bytes().starts_with(b"PYTHON") && name != "PYTHONPATH";
    host.vars().filter(move |(name, _)| changes(name))
}

/// The command that installs what is missing on this machine, in the words of a help line.
pub fn how_to_install(host: &Host, missing: Missing) -> &'static str {
    match (host.distribution(), missing) {
        ("debian", Missing::Python) => "`apt install python3 python3-pip`",
        ("debian", Missing::Pip) => "`apt install python3-pip`",
        ("fedora", Missing::Python) => "`dnf install python3 python3-pip`",
        ("fedora", Missing::Pip) => "`dnf install python3-pip`",
        ("alpine", Missing::Python) => "`apk add python3 py3-pip`",
        ("alpine", Missing::Pip) => "`apk add py3-pip`",
        ("arch", Missing::Python) => "`pacman -S python python-pip`",
        ("arch", Missing::Pip) => "`pacman -S python-pip`",
        ("suse", Missing::Python) => "`zypper install python3 python3-pip`",
        ("suse", Missing::Pip) => "`zypper install python3-pip`",
        (_, Missing::Python) => "from python.org or your distribution",
        (_, Missing::Pip) => "from your distribution",
    }
}
