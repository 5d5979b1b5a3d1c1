//! `tenet-sim`: the seam over a deterministic scheduler, and the worlds that are played on it.
//!
//! Everything that happens follows from a seed: the same seed gives the same bytes, on any machine, in any environment. The
//! fingerprint of a run ([`digest`]) proves it, and a run that differs from itself is a failure like any other.
//!
//! ```text
//!   core, unchanged                 workloads, unchanged, with a real Postgres client
//!        │                                    │
//!   ┌────┴────────────── Seam ────────────────┴────┐
//!   │ clock   entropy   tasks   net   disk         │   one boot of one machine each (boot)
//!   └──────┬───────────────────────────────┬───────┘
//!     madsim: tasks, virtual time        digest: every event, folded
//! ```
//!
//! Not here: protocol code. Nothing below knows what the bytes mean.

#[cfg(not(madsim))]
compile_error!(
    "tenet-sim needs `--cfg madsim`, which .cargo/config.toml sets for the whole workspace. \
     Is RUSTFLAGS set in the environment? It replaces those flags: unset it."
);

#[cfg(madsim)]
pub mod audit;
#[cfg(madsim)]
pub mod boot;
#[cfg(madsim)]
pub mod client;
#[cfg(madsim)]
pub mod clock;
#[cfg(madsim)]
pub mod digest;
#[cfg(madsim)]
pub mod disk;
#[cfg(madsim)]
mod entropy;
#[cfg(madsim)]
pub mod faults;
#[cfg(madsim)]
pub mod net;
#[cfg(madsim)]
pub mod node;
#[cfg(madsim)]
pub mod plan;
#[cfg(madsim)]
pub mod replay;
#[cfg(madsim)]
pub mod report;
#[cfg(madsim)]
mod simulation;
#[cfg(madsim)]
pub mod swarm;
#[cfg(madsim)]
mod tasks;
#[cfg(madsim)]
mod witness;
#[cfg(madsim)]
pub mod world;

#[cfg(madsim)]
pub use simulation::{Broken, Finished, Sim, SimOptions, simulate};

#[cfg(all(test, madsim))]
mod tests;
