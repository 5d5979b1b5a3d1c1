//! The checks of one promise each, against slow obvious ones on small random histories.

mod bank;
mod causal;
mod convergence;
mod counter;
mod leases;
mod log;
mod queue;
mod random;
mod registry;
mod session;
mod set;
mod staleness;
mod unique_ids;
