//! Whatever a person can do wrong, and what msx says then: exit code, stdout and stderr as a whole.

mod calls;
mod decorators;
mod manifest;
mod modules;
mod node;
mod python;
mod seeing;
mod state;
mod verbs;
