//! Many seeds, each in a process of its own.
//!
//! A process per seed, because a run must be a function of its seed alone: drivers keep counters for a whole process (names of
//! prepared statements), marks are counted for a whole process, and a world that aborts or hangs must not take others along.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fmt::Write as _;
use std::io::{self, IsTerminal};
use std::ops::RangeInclusive;
use std::pin::pin;
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

/// Where progress is not a line that is written over, it is told at most so often.
const PROGRESS_LINES: usize = 20;

/// A process may outlive its patience by this much: it has its own report to write.
const GRACE: Duration = Duration::from_secs(20);

/// What to run.
#[derive(Clone, Debug)]
pub struct SwarmOptions {
    /// The command that runs one world, without its arguments: `tenet-sim`, or a test's stand-in.
    pub program: Vec<OsString>,
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
    /// What has been said in full: oracle and explanation, without their numbers.
    said: BTreeSet<String>,
}

/// Runs all seeds. True: all were run and passed, and nothing was missing.
pub fn swarm(options: &SwarmOptions) -> io::Result<bool> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(run(options))
}

async fn run(options: &SwarmOptions) -> io::Result<bool> {
    let begun = Instant::now();
    let mut sums = Sums::default();
    let mut seeds = options.seeds.clone();
    let total = options.seeds.clone().count();
    let mut running = FuturesUnordered::new();
    let mut interrupt = pin!(tokio::signal::ctrl_c());
    let mut interrupted = false;
    loop {
        while running.len() < options.jobs
            && let Some(seed) = seeds.next()
        {
            running.push(run_seed(seed, options));
        }
        let next = tokio::select! {
            biased;
            signal = &mut interrupt => {
                signal?;
                interrupted = true;
                break;
            }
            next = running.next() => next,
        };
        let Some(outcome) = next.transpose()? else { break };
        if let Some(text) = sums.complaint(&outcome, &options.arguments) {
            println!("{text}");
        }
        sums.outcomes.push(outcome);
        sums.progress(total, begun.elapsed());
    }
    drop(running); // their processes end with them
    eprintln!();
    let missing = sums.missing(options);
    print!("{}", sums.table(begun.elapsed()));
    let run = sums.outcomes.len();
    let enough = run as u64 >= SEEDS_TO_PROMISE;
    if !missing.is_empty() {
        let excuse =
            if enough { String::new() } else { format!(" (no failure in fewer than {SEEDS_TO_PROMISE} seeds)") };
        println!("missing    {}{excuse}", missing.join(", "));
    }
    let failed = sums.failed().count() > 0 || (enough && !missing.is_empty());
    match (failed, interrupted) {
        (true, _) => println!("verdict: failed"),
        (false, true) => println!("verdict: interrupted; {run} of {total} seeds were run, and passed"),
        (false, false) => println!("verdict: passed"),
    }
    Ok(!failed && !interrupted)
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
    let [program, words @ ..] = &options.program[..] else { return Err(io::Error::other("no program to run")) };
    let mut command = Command::new(program);
    let patience = options.patience.as_secs().to_string();
    command.args(words).args(["run", "--json", "--seed", &seed.to_string(), "--patience", &patience]);
    command.args(&options.arguments);
    // Ctrl-C is for the swarm; what runs ends with it.
    command.process_group(0).kill_on_drop(true);
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let failed = |explanation: String| {
        let failures = vec![Failure { oracle: "process".to_string(), explanation }];
        Ok(Outcome { seed, report: None, failures })
    };
    let output = match tokio::time::timeout(options.patience + GRACE, child.wait_with_output()).await {
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

    fn failed(&self) -> impl Iterator<Item = (u64, &Failure)> {
        self.outcomes.iter().filter_map(|outcome| outcome.failures.first().map(|first| (outcome.seed, first)))
    }

    /// What to say of a seed that failed: all of it, but what an earlier seed said too, up to numbers, with its first line alone.
    fn complaint(&mut self, outcome: &Outcome, arguments: &[String]) -> Option<String> {
        let first = outcome.failures.first()?;
        let shape = format!("{} {}", first.oracle, first.explanation).replace(|c: char| c.is_ascii_digit(), "");
        let explanation = match self.said.insert(shape) {
            true => first.explanation.as_str(),
            false => first.explanation.lines().next().unwrap_or_default(),
        };
        let more: Vec<&str> = outcome.failures[1..].iter().map(|failure| failure.oracle.as_str()).collect();
        let more = if more.is_empty() { String::new() } else { format!("\n  also failed: {}", more.join(", ")) };
        let repeat = repeat(outcome.seed, arguments);
        Some(format!("seed {} failed: {}: {explanation}{more}\n  repeat with: {repeat}", outcome.seed, first.oracle))
    }

    /// On a terminal one line that is written over; elsewhere few lines.
    fn progress(&self, total: usize, wall: Duration) {
        let (done, failed, seconds) = (self.outcomes.len(), self.failed().count(), wall.as_secs());
        let line = format!("{done} of {total} seeds, {failed} failed, {seconds} s");
        if io::stderr().is_terminal() {
            eprint!("\r{line} ");
        } else if done.is_multiple_of(total.div_ceil(PROGRESS_LINES)) || done == total {
            eprintln!("{line}");
        }
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
        let struck = |name: &str| strikes.get(name).is_some_and(|count| *count > 0);
        let kinds = faults::names().into_iter().filter(|name| !chosen && !struck(name));
        let mut missing: Vec<String> = kinds.map(str::to_string).collect();
        let needed: [(&str, u64); 4] = [
            ("a crash inside a store's commit", self.sum(|report| report.crashes.in_store)),
            ("a crash inside an append to the log", self.sum(|report| report.crashes.in_wal)),
            ("a torn write", self.sum(|report| report.crashes.torn)),
            ("a row compared between replicas", self.sum(|report| report.rows_compared)),
        ];
        missing.extend(needed.into_iter().filter(|(_, count)| *count == 0).map(|(what, _)| what.to_string()));
        missing
    }

    fn table(&self, wall: Duration) -> String {
        let mut text = String::new();
        let mut line = |label: &str, words: String| writeln!(text, "{label:<10} {words}").expect("a string takes all");
        let failed: Vec<String> = self.failed().map(|(seed, first)| format!("{seed} ({})", first.oracle)).collect();
        line("seeds", format!("{} run, {} failed", self.outcomes.len(), failed.len()));
        if !failed.is_empty() {
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
                "{}: {} with unsynced bytes, {} with torn writes, {} inside a store's commit, {} while one was \
                 opened, {} inside an append",
                self.sum(|report| report.crashes.all),
                self.sum(|report| report.crashes.unsynced),
                self.sum(|report| report.crashes.torn),
                self.sum(|report| report.crashes.in_store),
                self.sum(|report| report.crashes.in_opening),
                self.sum(|report| report.crashes.in_wal),
            ),
        );
        line("elections", self.sum(|report| report.elections).to_string());
        let audited = self.reports().filter(|report| report.rows_compared > 0).count();
        let rows = self.sum(|report| report.rows_compared);
        line("compared", format!("{rows} rows of replicas at the end, in {audited} worlds"));
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
