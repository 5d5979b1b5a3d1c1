//! Many seeds, each in a process of its own.
//!
//! A process per seed, because a run must be a function of its seed alone: drivers keep counters for a whole process (names of
//! prepared statements), marks are counted for a whole process, and a world that aborts or hangs must not take others along.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io;
use std::ops::RangeInclusive;
use std::process::Stdio;
use std::time::{Duration, Instant};

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use tokio::process::Command;

use crate::faults;
use crate::replay::{Comparison, Errand, run_twice};
use crate::report::{Failure, Report};

/// From this many seeds on, whatever never happened is a failure of the swarm.
const SEEDS_TO_PROMISE: u64 = 200;

/// The slowest seeds are named.
const SLOW_SHOWN: usize = 3;

/// What to run.
#[derive(Clone, Debug)]
pub struct SwarmOptions {
    pub seeds: RangeInclusive<u64>,
    pub jobs: usize,
    /// Run each seed twice in differing processes, too, and compare.
    pub twice: bool,
    /// A world that lasts longer, by the real clock, has failed.
    pub patience: Duration,
    /// Passed on to `run`.
    pub arguments: Vec<String>,
}

/// How one seed ended.
struct Outcome {
    seed: u64,
    report: Option<Report>,
    failures: Vec<Failure>,
}

#[derive(Default)]
struct Sums {
    outcomes: Vec<Outcome>,
    failed: Vec<u64>,
}

/// Runs all seeds. True: all passed, and nothing was missing.
pub fn swarm(options: &SwarmOptions) -> io::Result<bool> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(run(options))
}

async fn run(options: &SwarmOptions) -> io::Result<bool> {
    let begun = Instant::now();
    let mut sums = Sums::default();
    let mut seeds = options.seeds.clone();
    let total = options.seeds.clone().count();
    let mut running = FuturesUnordered::new();
    let mut interrupted = false;
    loop {
        while running.len() < options.jobs
            && let Some(seed) = seeds.next()
        {
            running.push(run_seed(seed, options));
        }
        let next = tokio::select! {
            biased;
            signal = tokio::signal::ctrl_c() => {
                signal?;
                interrupted = true;
                break;
            }
            next = running.next() => next,
        };
        let Some(outcome) = next.transpose()? else { break };
        if let Some(first) = outcome.failures.first() {
            let more = outcome.failures.len() - 1;
            let more = if more > 0 { format!(" (and {more} more)") } else { String::new() };
            println!("seed {} failed: {}: {}{more}", outcome.seed, first.oracle, first.explanation);
            println!("  repeat with: {}", repeat(outcome.seed, &options.arguments));
            sums.failed.push(outcome.seed);
        }
        sums.outcomes.push(outcome);
        let done = sums.outcomes.len();
        eprint!("\r{done} of {total} seeds, {} failed, {:.0} s ", sums.failed.len(), begun.elapsed().as_secs_f64());
    }
    drop(running); // their processes end with them
    eprintln!();
    let missing = sums.missing(options);
    print!("{}", sums.table(begun.elapsed(), interrupted));
    for what in &missing {
        println!("missing    {what} never happened");
    }
    let enough = sums.outcomes.len() as u64 >= SEEDS_TO_PROMISE;
    let passed = sums.failed.is_empty() && (!enough || missing.is_empty());
    println!("verdict: {}", if passed { "passed" } else { "failed" });
    Ok(passed)
}

/// The command that repeats a seed.
pub fn repeat(seed: u64, arguments: &[String]) -> String {
    let mut command = format!("cargo run --bin tenet-sim -- run --seed {seed}");
    for argument in arguments {
        let argument = if argument.is_empty() { "''" } else { argument };
        write!(command, " {argument}").expect("a string takes all");
    }
    command
}

async fn run_seed(seed: u64, options: &SwarmOptions) -> io::Result<Outcome> {
    let mut outcome = run_once(seed, options).await?;
    if options.twice && outcome.failures.is_empty() {
        let arguments = options.arguments.clone();
        let compared =
            tokio::task::spawn_blocking(move || compare(seed, &arguments)).await.map_err(io::Error::other)?;
        if let Comparison::Different(difference) = compared? {
            outcome.failures.push(Failure { oracle: "replay".to_string(), explanation: difference.to_string() });
        }
    }
    Ok(outcome)
}

async fn run_once(seed: u64, options: &SwarmOptions) -> io::Result<Outcome> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["run", "--json", "--seed", &seed.to_string()]).args(&options.arguments);
    // Ctrl-C is for the swarm; what runs ends with it.
    command.process_group(0).kill_on_drop(true);
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let failed = |explanation: String| {
        let failures = vec![Failure { oracle: "process".to_string(), explanation }];
        Ok(Outcome { seed, report: None, failures })
    };
    let output = match tokio::time::timeout(options.patience, child.wait_with_output()).await {
        Ok(output) => output?,
        Err(_) => return failed(format!("did not end within {} s", options.patience.as_secs())),
    };
    let last = output.stdout.rsplit(|byte| *byte == b'\n').find(|line| !line.is_empty()).unwrap_or_default();
    match serde_json::from_slice::<Report>(last) {
        Ok(report) => Ok(Outcome { seed, failures: report.failures.clone(), report: Some(report) }),
        Err(_) => {
            let said = String::from_utf8_lossy(&output.stderr);
            let end: Vec<&str> = said.lines().rev().take(20).collect();
            failed(format!("ended with {}: {}", output.status, end.into_iter().rev().collect::<Vec<_>>().join("\n")))
        }
    }
}

/// Runs a seed in two differing processes.
pub fn compare(seed: u64, arguments: &[String]) -> io::Result<Comparison> {
    let folder = std::env::temp_dir().join(format!("tenet-sim-{}-{seed}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let executable = std::env::current_exe()?;
    let compared = run_twice(&folder, |errand: &Errand| {
        let mut command = std::process::Command::new(&executable);
        command.args(["run", "--seed", &seed.to_string()]).args(arguments).arg("--sighting").arg(&errand.report);
        command.args(["--trace", &format!("{}..{}", errand.window.start, errand.window.end)]);
        command
    });
    std::fs::remove_dir_all(&folder)?;
    compared
}

impl Sums {
    fn reports(&self) -> impl Iterator<Item = &Report> {
        self.outcomes.iter().filter_map(|outcome| outcome.report.as_ref())
    }

    fn sum(&self, what: impl Fn(&Report) -> u64) -> u64 {
        self.reports().map(what).sum()
    }

    fn strikes(&self) -> BTreeMap<&str, u64> {
        let mut strikes = BTreeMap::new();
        for (name, count) in self.reports().flat_map(|report| &report.strikes) {
            *strikes.entry(name.as_str()).or_default() += count;
        }
        strikes
    }

    /// What a swarm of worlds must have seen, and this one has not.
    fn missing(&self, options: &SwarmOptions) -> Vec<String> {
        let strikes = self.strikes();
        let chosen = options.arguments.iter().any(|argument| argument == "--faults" || argument == "--without");
        let kinds = faults::names().into_iter().filter(|name| !chosen && !strikes.contains_key(name));
        let mut missing: Vec<String> = kinds.map(|name| format!("the fault {name}")).collect();
        let needed: [(&str, u64); 3] = [
            ("a crash inside a store's commit", self.sum(|report| report.crashes.in_store)),
            ("a crash inside an append to the log", self.sum(|report| report.crashes.in_wal)),
            ("a torn write", self.sum(|report| report.crashes.torn)),
        ];
        missing.extend(needed.into_iter().filter(|(_, count)| *count == 0).map(|(what, _)| what.to_string()));
        missing
    }

    fn table(&self, wall: Duration, interrupted: bool) -> String {
        let mut text = String::new();
        let mut line = |label: &str, words: String| writeln!(text, "{label:<10} {words}").expect("a string takes all");
        let count = self.outcomes.len();
        let interrupted = if interrupted { ", interrupted" } else { "" };
        line("seeds", format!("{count} run, {} failed{interrupted}", self.failed.len()));
        if !self.failed.is_empty() {
            let failed: Vec<String> = self.failed.iter().map(u64::to_string).collect();
            line("failed", failed.join(", "));
        }
        let simulated = self.sum(|report| report.simulated_ms) as f64 / 1_000.0;
        let wall = wall.as_secs_f64();
        line("time", format!("{simulated:.0} s simulated in {wall:.0} s ({:.0} to 1)", simulated / wall.max(0.001)));
        line(
            "operations",
            format!(
                "{} ok, {} failed, {} unknown",
                self.sum(|report| report.all.ok),
                self.sum(|report| report.all.fail),
                self.sum(|report| report.all.unknown),
            ),
        );
        let strikes: Vec<String> = self.strikes().iter().map(|(name, count)| format!("{name} {count}")).collect();
        line("faults", strikes.join(", "));
        line(
            "crashes",
            format!(
                "{}: {} with unsynced bytes, {} with torn writes, {} inside a store's commit, {} inside an append",
                self.sum(|report| report.crashes.all),
                self.sum(|report| report.crashes.unsynced),
                self.sum(|report| report.crashes.torn),
                self.sum(|report| report.crashes.in_store),
                self.sum(|report| report.crashes.in_wal),
            ),
        );
        line("elections", self.sum(|report| report.elections).to_string());
        let mut marks: BTreeMap<&str, u64> = BTreeMap::new();
        for (name, count) in self.reports().flat_map(|report| &report.marks) {
            *marks.entry(name).or_default() += count;
        }
        line("marks", format!("{} reached", marks.len()));
        let mut slow: Vec<&Report> = self.reports().collect();
        slow.sort_by_key(|report| std::cmp::Reverse(report.wall_ms));
        let slow = slow.iter().take(SLOW_SHOWN).map(|report| format!("{} ({} ms)", report.seed, report.wall_ms));
        line("slowest", slow.collect::<Vec<_>>().join(", "));
        text
    }
}
