//! msx: any Python function becomes a supervised, balanced, autoscaled microservice.

mod config;
mod model;
mod protocol;
mod python;

fn main() {}
