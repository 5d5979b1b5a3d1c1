//! The command line.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tenet_server::{bench, demo, start};

/// A multi-tenant SQL database, replicated by Raft, whose every run can be replayed.
#[derive(Parser)]
#[command(name = "tenet", version)]
struct Options {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run a node: alone, or as one of a cluster
    Start(start::StartOptions),
    /// See three nodes lose a leader, and what their clients saw judged
    Demo(demo::DemoOptions),
    /// Measure this build on this machine
    Bench(bench::BenchOptions),
}

fn main() -> ExitCode {
    let result = match Options::parse().command {
        Command::Start(options) => start::start(options).map_err(|error| error.to_string()),
        Command::Demo(options) => demo::demo(&options).map_err(|error| error.to_string()),
        Command::Bench(options) => bench::bench(&options).map_err(|error| error.to_string()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("tenet: {error}");
            ExitCode::FAILURE
        }
    }
}
