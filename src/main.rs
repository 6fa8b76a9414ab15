//! msx: any Python function becomes a supervised, balanced, autoscaled microservice.

mod autoscaler;
mod config;
mod gateway;
mod model;
mod protocol;

fn main() {}
