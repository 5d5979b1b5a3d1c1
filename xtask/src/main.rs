//! The project's hands: one command for each thing that is done often, all in Rust.
//!
//! `check` is what CI runs: formatting, lints, floors and tests, once each. `floors` holds the crates to the floor plan.
//! `bless` rewrites goldens. `breaks` plants known bugs and sees whether the simulator finds them. `browser` opens the pages of
//! `tenet-check --html` in a real browser.
//! Nothing here is part of the database, and nothing of the database is used here.

mod breaks;
mod browser;
mod check;
mod floors;

use std::process::{Command, ExitCode};

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "cargo xtask", about = "What the project does often")]
struct Options {
    #[command(subcommand)]
    hand: Hand,
}

#[derive(Subcommand)]
enum Hand {
    /// Formatting, lints, floors and all tests, once each
    Check,
    /// Hold each crate to the floor plan: it uses only what lies below it
    Floors,
    /// Rewrite the golden files from what the code does now, then test again: read the diff afterwards
    Bless {
        /// Only this package
        #[arg(long, short)]
        package: Option<String>,
    },
    /// Plant the bugs under docs/evidence/breaks/ one by one and see the simulator find each
    Breaks(breaks::BreaksOptions),
    /// Open pages of `tenet-check --html` in headless Chromium, click in them, and take pictures into docs/
    Browser,
}

/// What stops a hand: a sentence for the person who called it.
pub type Stopped = Box<dyn std::error::Error>;

fn main() -> ExitCode {
    let done = match Options::parse().hand {
        Hand::Check => check::check(),
        Hand::Floors => floors::floors(),
        Hand::Bless { package } => bless(package.as_deref()),
        Hand::Breaks(options) => breaks::breaks(&options),
        Hand::Browser => browser::browser(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(stopped) => {
            eprintln!("xtask: {stopped}");
            ExitCode::FAILURE
        }
    }
}

/// The second run proves that what was written is what the code gives again.
fn bless(package: Option<&str>) -> Result<(), Stopped> {
    for update in ["always", "no"] {
        let mut test = cargo();
        test.arg("test")
            .env("INSTA_UPDATE", update)
            .env("INSTA_FORCE_PASS", if update == "always" { "1" } else { "0" });
        match package {
            Some(package) => test.args(["--package", package]),
            None => test.arg("--workspace"),
        };
        succeed(&mut test)?;
    }
    println!("blessed; now read the diff: git diff -- '*.snap'");
    Ok(())
}

/// The cargo that runs this.
fn cargo() -> Command {
    Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

fn succeed(command: &mut Command) -> Result<(), Stopped> {
    let status = command.status().map_err(|error| format!("cannot run {command:?}: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("{command:?} failed: {status}").into()) }
}
