//! How many instances each service should have, and why.
//!
//! Once a second, and when a call meets a service with no instance, [`plan::plan`] turns one sample of a service into
//! a number and a sentence; it is pure. [`sample`] reads what the kernel knows of processes and the machine. Who acts
//! on the number is not known here.

pub mod history;
pub mod plan;
pub mod sample;

#[cfg(test)]
mod simulation;
