//! msx: any Python function becomes a supervised, balanced, autoscaled microservice.

mod balancer;
mod calls;
mod config;
mod core;
mod model;
mod protocol;
mod shard;
mod worker;

fn main() {}
