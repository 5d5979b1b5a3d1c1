//! A seed run twice, in two processes that differ in all that must not matter.
//!
//! The second process runs later, and has another working folder, time zone and language, and a larger environment (which
//! moves the stack). If the fingerprints differ, the run is not a function of its seed: something reached past the seam. Prefix
//! digests tell the window; both processes run again with a trace of that window alone, and the first event that differs is
//! shown.

use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde::{Deserialize, Serialize};

use crate::digest::Fingerprint;
use crate::simulation::Finished;

/// Events shown before the first that differs.
const CONTEXT_EVENTS: usize = 5;

/// How often a difference is looked for with a trace before giving up: what reads the real time need not differ twice at the
/// same place.
const TRACES_MAX: usize = 4;

/// What a child process must do: run the seed, and write what it saw.
#[derive(Clone, Debug)]
pub struct Errand {
    /// Where to write ([`write_report`]).
    pub report: PathBuf,
    /// The events to trace.
    pub window: Range<u64>,
}

/// What a child process saw.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sighting {
    pub fingerprint: Fingerprint,
    pub trace: Vec<String>,
}

/// What two processes saw.
#[derive(Clone, Debug)]
pub enum Comparison {
    Same(Fingerprint),
    Different(Difference),
}

/// Where two runs of a seed part.
#[derive(Clone, Debug)]
pub struct Difference {
    /// Events among which the first difference was.
    pub window: Range<u64>,
    /// The last events that both have.
    pub before: Vec<String>,
    /// The first event that differs, in each. Both `None` if the runs with a trace did not differ again.
    pub first: Option<String>,
    pub second: Option<String>,
}

impl std::fmt::Display for Difference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "two runs of one seed differ, first among events {}..{}", self.window.start, self.window.end)?;
        for line in &self.before {
            writeln!(f, "  both    {line}")?;
        }
        writeln!(f, "  first   {}", self.first.as_deref().unwrap_or("(no event)"))?;
        write!(f, "  second  {}", self.second.as_deref().unwrap_or("(no event)"))
    }
}

/// Writes what this process saw, for the one that sent it.
pub fn write_report<T>(path: &Path, finished: &Finished<T>) -> io::Result<()> {
    let sighting = Sighting { fingerprint: finished.fingerprint.clone(), trace: finished.trace.clone() };
    std::fs::write(path, serde_json::to_vec(&sighting)?)
}

/// Runs what `command` makes of an errand in two differing processes and compares what they saw. `folder` is for reports
/// and serves as the second process's working folder.
pub fn run_twice(folder: &Path, command: impl Fn(&Errand) -> Command) -> io::Result<Comparison> {
    let (first, second) = see_twice(folder, 0..0, &command)?;
    let Some(mut window) = first.fingerprint.first_difference(&second.fingerprint) else {
        return Ok(Comparison::Same(first.fingerprint));
    };
    for _ in 0..TRACES_MAX {
        let (first, second) = see_twice(folder, window.clone(), &command)?;
        let equal = first.trace.iter().zip(&second.trace).take_while(|(a, b)| a == b).count();
        if equal < first.trace.len().max(second.trace.len()) {
            let before = first.trace[equal.saturating_sub(CONTEXT_EVENTS)..equal].to_vec();
            let (first, second) = (first.trace.get(equal).cloned(), second.trace.get(equal).cloned());
            return Ok(Comparison::Different(Difference { window, before, first, second }));
        }
        if let Some(elsewhere) = first.fingerprint.first_difference(&second.fingerprint) {
            window = elsewhere;
        }
    }
    Ok(Comparison::Different(Difference { window, before: Vec::new(), first: None, second: None }))
}

fn see_twice(
    folder: &Path,
    window: Range<u64>,
    command: &impl Fn(&Errand) -> Command,
) -> io::Result<(Sighting, Sighting)> {
    let errands = ["first", "second"].map(|name| Errand { report: folder.join(name), window: window.clone() });
    let mut first = command(&errands[0]);
    first.env("TZ", "UTC").env("LANG", "C");
    let mut second = command(&errands[1]);
    second.env("TZ", "Asia/Kathmandu").env("LANG", "tr_TR.UTF-8").current_dir(folder);
    second.env("TENET_SIM_BALLAST", "x".repeat(20_000));
    // One after the other: the real time is among the things that differ.
    let [first, second] = [first, second].map(|mut command| command.stdin(Stdio::null()).output());
    Ok((fetch(first?, &errands[0])?, fetch(second?, &errands[1])?))
}

fn fetch(output: std::process::Output, errand: &Errand) -> io::Result<Sighting> {
    let report = std::fs::read(&errand.report).map_err(|error| {
        let said = String::from_utf8_lossy(&output.stderr);
        io::Error::other(format!("a run left no report ({error}); it ended with {} and said: {said}", output.status))
    })?;
    std::fs::remove_file(&errand.report)?;
    Ok(serde_json::from_slice(&report)?)
}
