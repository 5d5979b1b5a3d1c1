//! The workloads without any real database: against a model of one, and against a script.

mod against_model;
mod model;
mod sessions;
