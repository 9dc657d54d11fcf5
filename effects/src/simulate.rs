//! Seeded recordings with effects of known place, size and time: the answer key that live systems lack.
//!
//! In: a scenario (what happens), a world (how it was recorded) and a seed. Out: a case and what truly happened
//! in it. The same seed gives the same bytes.

mod graph;
mod noise;
mod scenario;
mod traffic;
mod world;

pub use graph::simulate;
pub use noise::{Noise, Rng};
pub use scenario::{Scenario, Truth};
pub use traffic::{Traffic, edges};
pub use world::World;
