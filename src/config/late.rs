//! Mistakes that show only when a value of the manifest is used: a module that is not there, a port that is taken.
//! Whoever uses the value says what is wrong; here it gets its place.

use std::net::SocketAddr;

use super::diagnostics::Problem;
use super::manifest::Manifest;
use super::place::{Located, Place};

/// A value of the manifest.
#[derive(Clone, Copy, Debug)]
pub enum Written<'a> {
    Interpreter,
    Requirements,
    /// An entry of `path` in `[python]`.
    Folder(&'a str),
    /// An entry of `modules` in `[python]`.
    Module(&'a str),
    NodeInterpreter,
    /// An entry of `modules` in `[node]`.
    NodeModule(&'a str),
    /// The gateway's address, or that of a service's own front.
    Listen(SocketAddr),
}

impl Manifest {
    /// A mistake in this value.
    pub fn mistake(&self, of: Written<'_>, message: impl Into<String>, help: impl Into<String>) -> Problem {
        let problem = Problem::new(message).help(help);
        let label = match of {
            Written::Interpreter | Written::NodeInterpreter => "this interpreter",
            Written::Requirements => "this file",
            Written::Folder(_) => "this folder",
            Written::Module(_) | Written::NodeModule(_) => "this module",
            Written::Listen(_) => "this address",
        };
        match self.place(of) {
            Some(place) => problem.at(place, label),
            None => problem,
        }
    }

    /// Where the value stands, if it is in a text.
    pub fn place(&self, of: Written<'_>) -> Option<&Place> {
        let place = match of {
            Written::Interpreter => Some(&self.python.interpreter.place),
            Written::Requirements => Some(&self.python.requirements.place),
            Written::Folder(folder) => entry(&self.python.path, folder),
            Written::Module(module) => entry(&self.python.modules, module),
            Written::NodeInterpreter => Some(&self.node.interpreter.place),
            Written::NodeModule(module) => entry(&self.node.modules, module),
            Written::Listen(address) => self.listens().find(|l| l.value == Some(address)).map(|l| &l.place),
        };
        place.filter(|place| !matches!(place, Place::Default))
    }

    fn listens(&self) -> impl Iterator<Item = &Located<Option<SocketAddr>>> {
        let services = self.services.iter().filter_map(|section| section.layer.listen.as_ref());
        [&self.gateway.listen].into_iter().chain(services)
    }
}

fn entry<'a>(list: &'a [Located<String>], value: &str) -> Option<&'a Place> {
    list.iter().find(|entry| entry.value == value).map(|entry| &entry.place)
}
