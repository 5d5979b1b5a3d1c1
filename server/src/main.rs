//! The command line.

use clap::Parser;

/// A multi-tenant SQL database, replicated by Raft, whose every run can be replayed.
#[derive(Parser)]
#[command(name = "tenet", version)]
struct Options {}

fn main() {
    Options::parse();
}
