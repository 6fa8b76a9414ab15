//! Zero configuration: which files under a folder define services. Found by reading, not by importing: a folder
//! may hold scripts whose import does things.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::{script, source};

/// A folder with more entries is not a project, but a home folder or a disk.
const ENTRIES_MAX: usize = 20_000;
/// A longer file was generated, or is data.
const FILE_BYTES_MAX: u64 = 1024 * 1024;
const SKIPPED_FOLDERS: [&str; 5] = ["venv", "node_modules", "__pycache__", "target", "site-packages"];

/// A file that seems to define services.
#[derive(Clone, Debug)]
pub struct Candidate {
    pub file: PathBuf,
    /// The name it is imported by.
    pub module: String,
    /// The folder that has to be on `sys.path` for that.
    pub root: PathBuf,
    /// The TOML text of its PEP 723 block.
    pub block: Option<String>,
}

/// The candidates under a folder, or the one file, in the order of their paths.
pub fn candidates(root: &Path) -> io::Result<Vec<Candidate>> {
    let is_folder = fs::metadata(root).map_err(|error| unreadable(root, &error))?.is_dir();
    let mut files = Vec::new();
    if is_folder {
        walk(root, &mut 0, &mut files)?;
        files.sort();
    } else {
        files.push(root.to_owned());
    }
    let folder = if is_folder { root } else { root.parent().unwrap_or(root) };
    let found = files.into_iter().filter_map(|file| candidate(folder, file).transpose());
    let found = found.collect::<io::Result<Vec<_>>>()?;
    check_names(&found)?;
    Ok(found)
}

fn unreadable(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("could not read `{}`: {error}", path.display()))
}

fn walk(folder: &Path, seen: &mut usize, files: &mut Vec<PathBuf>) -> io::Result<()> {
    let at = |error: io::Error| unreadable(folder, &error);
    for entry in fs::read_dir(folder).map_err(at)? {
        let entry = entry.map_err(at)?;
        *seen += 1;
        if *seen > ENTRIES_MAX {
            let message = format!(
                "more than {ENTRIES_MAX} files under the folder: name the one with the services in it"
            );
            return Err(io::Error::other(message));
        }
        let (name, kind) = (entry.file_name(), entry.file_type().map_err(at)?);
        let name = name.to_string_lossy();
        if kind.is_dir() && !name.starts_with('.') && !SKIPPED_FOLDERS.contains(&&*name) {
            walk(&entry.path(), seen, files)?;
        } else if !kind.is_dir() && is_module(&name) {
            files.push(entry.path());
        }
    }
    Ok(())
}

/// Tests decorate functions too, and `__main__.py` runs when it is imported.
fn is_module(name: &str) -> bool {
    name.ends_with(".py") && !name.starts_with("test_") && !name.starts_with('.') && name != "__main__.py"
}

fn candidate(folder: &Path, file: PathBuf) -> io::Result<Option<Candidate>> {
    // A link to nothing is no module.
    if !fs::metadata(&file).is_ok_and(|found| found.is_file() && found.len() <= FILE_BYTES_MAX) {
        return Ok(None);
    }
    let bytes = fs::read(&file).map_err(|error| unreadable(&file, &error))?;
    let text = String::from_utf8_lossy(&bytes);
    if !source::has_decorator(&text) {
        return Ok(None);
    }
    let root = import_root(folder, &file);
    Ok(Some(Candidate { module: module_name(&root, &file), root, block: script::block(&text), file }))
}

/// A file that is run, whether it defines services or not: its PEP 723 block counts.
pub fn script_file(file: &Path) -> io::Result<Candidate> {
    let text = fs::read(file).map_err(|error| unreadable(file, &error))?;
    let root = file.parent().unwrap_or(file).to_owned();
    let block = script::block(&String::from_utf8_lossy(&text));
    Ok(Candidate { module: module_name(&root, file), root, block, file: file.to_owned() })
}

/// Above the top package if the file is in a package, else the folder that was named.
fn import_root(folder: &Path, file: &Path) -> PathBuf {
    let is_package = |folder: &&Path| folder.join("__init__.py").is_file();
    let packages = file.ancestors().skip(1).take_while(is_package);
    match packages.last().and_then(Path::parent) {
        Some(root) => root.to_owned(),
        None => folder.to_owned(),
    }
}

fn module_name(root: &Path, file: &Path) -> String {
    let path = file.strip_prefix(root).unwrap_or(file).with_extension("");
    let path = if path.ends_with("__init__") { path.parent().unwrap_or(&path) } else { &path };
    let parts: Vec<_> = path.iter().map(|part| part.to_string_lossy()).collect();
    parts.join(".")
}

/// A name is imported from one place only.
fn check_names(found: &[Candidate]) -> io::Result<()> {
    let mut files: BTreeMap<&str, &Path> = BTreeMap::new();
    for Candidate { module, file, .. } in found {
        if module == "msx" || module.starts_with("msx.") {
            let message = format!(
                "`{}` would be imported as `{module}`, a name that msx needs: rename it",
                file.display()
            );
            return Err(io::Error::other(message));
        }
        if let Some(other) = files.insert(module, file) {
            let (other, file) = (other.display(), file.display());
            let message =
                format!("`{other}` and `{file}` would both be imported as `{module}`: rename one of them");
            return Err(io::Error::other(message));
        }
    }
    Ok(())
}
