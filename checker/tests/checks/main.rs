//! The checks of one promise each, against slow obvious ones on small random histories.

mod bank;
mod counter;
mod queue;
mod random;
mod registry;
mod set;
mod unique_ids;
