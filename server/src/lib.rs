//! `tenet`: the database on a real machine. The seam over tokio and the operating system, and the command line.
//!
//! No protocol code lives here: what a node does is in `core/`, and the simulator runs it unchanged.

pub mod seam;

pub mod log;
pub mod start;

pub mod cluster;
pub mod pg_client;
pub mod surroundings;

pub mod bench;
pub mod demo;
