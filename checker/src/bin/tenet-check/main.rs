//! `tenet-check`: says of a history whether it can have happened to an honest database, and if not, why.
//!
//! Everything that knows about histories or anomalies is in the libraries; here are files, words, clocks and exit codes.
//! Checks run on threads of their own while this one watches over time and memory ([`watch`]), so that a limit always ends
//! in `unknown`.
//!
//! Exit codes: 0 valid, 1 INVALID, 2 wrong usage or input that cannot be read, 3 unknown. Of several histories the
//! gravest: 1, 2, 3, 0.

mod answer;
mod check;
mod convert;
mod generate;
mod input;
mod limits;
mod minimize;
mod model;
mod watch;

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use tenet_checker::isolation::Level;
use tenet_histories::{Format, Value};

use crate::limits::{bytes, duration};

#[derive(Parser)]
#[command(
    name = "tenet-check",
    version,
    about = "Says whether a history can have happened to an honest database, and if not, why",
    after_help = "exit codes: 0 valid, 1 INVALID, 2 usage or unreadable input, 3 unknown",
    args_conflicts_with_subcommands = true,
    disable_help_subcommand = true
)]
struct Command {
    #[command(subcommand)]
    hand: Option<Hand>,
    #[command(flatten)]
    check: check::CheckOptions,
}

#[derive(Subcommand)]
enum Hand {
    /// Write the smallest part of a history that shows the same anomaly: it lacks it without any single operation
    Minimize(minimize::MinimizeOptions),
    /// Copy a history into another format; refuse where that format cannot say it
    Convert(convert::ConvertOptions),
    /// Make a history with a known verdict
    Generate(generate::GenerateOptions),
}

/// How a history is to be read and judged.
#[derive(Args, Clone)]
struct Judging {
    /// What the database promises: register, list-append, rw-register, kv, bank, set, queue, .. [default: recognised]
    #[arg(long, short)]
    model: Option<String>,
    /// The level of isolation, for list-append and rw-register [default: strict-serializable]
    #[arg(long, short, value_parser = level)]
    level: Option<Level>,
    /// The first value of every key: JSON, or a word [default: nil]
    #[arg(long, value_parser = fact_value)]
    init: Option<Value>,
    /// A fact that the model needs and the file does not say, for example total=100
    #[arg(long = "fact", value_name = "NAME=VALUE", value_parser = fact)]
    facts: Vec<(String, Value)>,
    /// The format of the files [default: recognised]
    #[arg(long, value_parser = format)]
    format: Option<Format>,
    /// Give up after so long, with `unknown`: 30s, 5m, 1h
    #[arg(long, value_parser = duration)]
    timeout: Option<std::time::Duration>,
    /// Give up above so much memory, with `unknown`: 500M, 4G [default: four fifths of what is free]
    #[arg(long, value_parser = bytes)]
    memory: Option<usize>,
}

/// What stops the command: a sentence for the person who called it.
type Stopped = Box<dyn std::error::Error + Send + Sync>;

const INVALID: u8 = 1;
const UNUSABLE: u8 = 2;
const UNKNOWN: u8 = 3;

fn main() -> ExitCode {
    let command = Command::parse();
    let done = match command.hand {
        None => check::check(&command.check),
        Some(Hand::Minimize(options)) => minimize::minimize(&options),
        Some(Hand::Convert(options)) => convert::convert(&options),
        Some(Hand::Generate(options)) => generate::generate(&options),
    };
    let code = done.unwrap_or_else(|stopped| {
        complain(&stopped.to_string());
        UNUSABLE
    });
    ExitCode::from(code)
}

/// To standard error; if that is closed there is nobody to tell.
fn complain(text: &str) {
    writeln!(std::io::stderr(), "tenet-check: {text}").ok();
}

/// To standard output. Whoever has closed it wants no more.
fn say(text: &str) -> Result<(), Stopped> {
    say_bytes(text.as_bytes())
}

fn say_bytes(bytes: &[u8]) -> Result<(), Stopped> {
    match std::io::stdout().write_all(bytes) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}

/// Writes a file whole or not at all.
fn write_whole(path: &PathBuf, write: impl FnOnce(&mut dyn Write) -> Result<(), Stopped>) -> Result<(), Stopped> {
    let mut name = path.file_name().ok_or_else(|| format!("{}: no name of a file", path.display()))?.to_os_string();
    name.push(format!(".{}.part", std::process::id()));
    let part = path.with_file_name(name);
    let cannot = |error: std::io::Error| format!("{}: cannot write: {error}", path.display());
    let written = std::fs::File::create(&part).map_err(|error| cannot(error).into()).and_then(|file| {
        let mut file = std::io::BufWriter::new(file);
        write(&mut file)?;
        file.flush().map_err(|error| cannot(error).into())
    });
    let done = written.and_then(|()| std::fs::rename(&part, path).map_err(|error| cannot(error).into()));
    if done.is_err() {
        // What could not be written cannot always be removed either; the error says what matters.
        std::fs::remove_file(&part).ok();
    }
    done
}

fn level(name: &str) -> Result<Level, String> {
    name.parse().map_err(|_| format!("expected one of {}", Level::ALL.map(Level::name).join(", ")))
}

fn format(name: &str) -> Result<Format, String> {
    name.parse().map_err(|error: tenet_histories::UnknownFormat| error.to_string())
}

/// JSON where it is JSON, otherwise the text itself.
fn fact_value(text: &str) -> Result<Value, String> {
    Ok(serde_json::from_str(text).unwrap_or_else(|_| match text {
        "nil" => Value::Nil,
        text => Value::from(text),
    }))
}

fn fact(text: &str) -> Result<(String, Value), String> {
    let (name, value) = text.split_once('=').ok_or("expected NAME=VALUE")?;
    Ok((name.to_string(), fact_value(value)?))
}
