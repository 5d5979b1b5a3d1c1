//! The verdict on a world, and a screenful about it.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tenet_checker::{CheckError, Finding, Judgement, Verdict, liveness, vacuity};
use tenet_histories::Process;

use crate::boot::{Death, Obituary};
use crate::digest::{Fingerprint, Kind};
use crate::plan::Plan;
use crate::simulation::{Broken, Finished};
use crate::world::{LIVENESS, Played};

/// The mark that counts elections.
const ELECTED: &str = "raft: elected";

/// A store's file, and a segment of the log, by where a node keeps them (docs/formats.md). Anything else, its identity say, is
/// neither.
const STORE_SUFFIX: &str = ".redb";
const WAL_PREFIX: &str = "wal/";

/// What a swarm keeps of a world.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Report {
    pub seed: u64,
    /// What was drawn, in lines.
    pub plan: String,
    /// The oracle that failed, and what it says. Empty: the world passed.
    pub failures: Vec<Failure>,
    /// Oracles that found nothing.
    pub passed: Vec<String>,
    pub simulated_ms: u64,
    pub wall_ms: u64,
    /// Of `wall_ms`, in the oracles.
    pub judged_ms: u64,
    pub all: Operations,
    pub calm: Operations,
    pub overlap_max: u64,
    pub strikes: BTreeMap<String, u64>,
    pub elections: u64,
    pub boots: u64,
    pub crashes: Crashes,
    pub hashes_compared: u64,
    /// On the disks, when all was over: stores of a shard that several nodes hold, and rows in them.
    pub stores_compared: u64,
    pub rows_compared: u64,
    pub marks: BTreeMap<String, u64>,
    pub fingerprint: Fingerprint,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    pub oracle: String,
    pub explanation: String,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Operations {
    pub ok: u64,
    pub fail: u64,
    pub unknown: u64,
}

/// Deaths of nodes, by what they met.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Crashes {
    pub all: u64,
    pub unsynced: u64,
    pub torn: u64,
    /// Inside a write or sync of a store that had been opened before: in a commit.
    pub in_store: u64,
    /// Inside a write or sync of a store that was just being opened: made, or recovered.
    pub in_opening: u64,
    /// Inside a write or sync of the log: in an append.
    pub in_wal: u64,
    /// Ended by themselves.
    pub halted: u64,
}

impl Crashes {
    fn of(obituaries: &[Obituary]) -> Crashes {
        let count =
            |test: &dyn Fn(&Obituary) -> bool| obituaries.iter().filter(|obituary| test(obituary)).count() as u64;
        let inside = |obituary: &Obituary, file: &dyn Fn(&str, bool) -> bool| match &obituary.death {
            Death::CrashPoint { operation: Kind::DiskWrite | Kind::DiskSync | Kind::DiskSetLen, path, opening } => {
                file(path, *opening)
            }
            Death::CrashPoint { .. } | Death::Killed | Death::Halted { .. } | Death::Exited { .. } => false,
        };
        Crashes {
            all: obituaries.len() as u64,
            unsynced: count(&|obituary| obituary.crash.pending_bytes > 0),
            torn: count(&|obituary| obituary.crash.torn > 0),
            in_store: count(&|obituary| inside(obituary, &|path, opening| path.ends_with(STORE_SUFFIX) && !opening)),
            in_opening: count(&|obituary| inside(obituary, &|path, opening| path.ends_with(STORE_SUFFIX) && opening)),
            in_wal: count(&|obituary| inside(obituary, &|path, _| path.starts_with(WAL_PREFIX))),
            halted: count(&|obituary| matches!(obituary.death, Death::Halted { .. })),
        }
    }
}

/// Judges a world that was played.
pub fn judge(
    plan: &Plan,
    finished: Finished<Played>,
    marks: BTreeMap<&'static str, u64>,
    wall: Duration,
) -> (Report, Option<Played>) {
    let begun = std::time::Instant::now();
    let mut report = Report {
        seed: plan.seed,
        plan: plan.to_string(),
        failures: Vec::new(),
        passed: Vec::new(),
        simulated_ms: finished.fingerprint.nanos / 1_000_000,
        wall_ms: 0,
        judged_ms: 0,
        all: Operations::default(),
        calm: Operations::default(),
        overlap_max: 0,
        strikes: BTreeMap::new(),
        elections: marks.get(ELECTED).copied().unwrap_or(0),
        boots: 0,
        crashes: Crashes::default(),
        hashes_compared: 0,
        stores_compared: 0,
        rows_compared: 0,
        marks: marks.into_iter().map(|(name, count)| (name.to_string(), count)).collect(),
        fingerprint: finished.fingerprint,
    };
    let played = match finished.result {
        Ok(played) => Some(played),
        Err(broken) => {
            let oracle = match broken {
                Broken::Panicked { .. } => "panic",
                Broken::Stuck { .. } => "stuck",
            };
            report.fail(oracle, broken);
            None
        }
    };
    if let Some(played) = &played {
        report.take(plan, played);
    }
    let judged = begun.elapsed();
    report.judged_ms = judged.as_millis() as u64;
    report.wall_ms = (wall + judged).as_millis() as u64;
    (report, played)
}

impl Report {
    pub fn is_passed(&self) -> bool {
        self.failures.is_empty()
    }

    fn take(&mut self, plan: &Plan, played: &Played) {
        let hashes_compared = (plan.nodes > 1).then_some(played.hashes_compared);
        let demands = vacuity::Demands {
            ok_percent_min: plan.ok_percent_min,
            unknown_percent_max: plan.unknown_percent_max,
            hashes_compared,
        };
        self.strikes = played.strikes.iter().map(|(name, count)| (name.to_string(), *count)).collect();
        self.boots = played.boots;
        self.crashes = Crashes::of(&played.obituaries);
        self.hashes_compared = played.hashes_compared;
        self.stores_compared = played.stores_compared;
        self.rows_compared = played.rows_compared;
        for violation in &played.violations {
            let seconds = violation.nanos as f64 / 1e9;
            let times = if violation.count > 1 { format!(" ({} times)", violation.count) } else { String::new() };
            self.fail("world", format!("at {seconds:.3} s: {}{times}", violation.what));
        }
        match judgement(played, &demands) {
            Ok((judgement, tally)) => {
                self.all = operations(tally.all);
                self.calm = operations(tally.calm);
                self.overlap_max = tally.overlap_max as u64;
                for Verdict { oracle, finding } in judgement.verdicts {
                    match finding {
                        Finding::Valid => self.passed.push(oracle.to_string()),
                        Finding::Invalid { explanation, .. } => self.fail(oracle.name(), explanation),
                        Finding::Unknown { reason } => self.fail(oracle.name(), format!("undecided: {reason}")),
                    }
                }
            }
            Err(error) => self.fail("history", error),
        }
    }

    fn fail(&mut self, oracle: &str, explanation: impl fmt::Display) {
        self.failures.push(Failure { oracle: oracle.to_string(), explanation: explanation.to_string() });
    }

    /// One line that says how it ended.
    pub fn verdict(&self) -> String {
        match self.failures.first() {
            None => "verdict: passed".to_string(),
            Some(first) => format!("verdict: {}: {}", first.oracle, first.explanation.lines().next().unwrap_or("")),
        }
    }
}

fn judgement(played: &Played, demands: &vacuity::Demands) -> Result<(Judgement, vacuity::Tally), CheckError> {
    let history = &played.history;
    let phases = history.phases();
    let mut judgement = played.workload.check(history)?;
    let clients = (0..played.clients as u32).map(Process);
    judgement.push(liveness::check(history, clients, played.healed_ns, LIVENESS)?);
    judgement.push(vacuity::check(history, &phases, demands)?);
    played.replicas.iter().for_each(|verdict| judgement.push(verdict.clone()));
    Ok((judgement, vacuity::tally(history, &phases)?))
}

fn operations(counts: tenet_histories::Counts) -> Operations {
    Operations { ok: counts.ok, fail: counts.fail, unknown: counts.unknown + counts.open }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = |ms: u64| ms as f64 / 1_000.0;
        let speed = self.simulated_ms as f64 / self.wall_ms.max(1) as f64;
        writeln!(
            f,
            "time       {:.1} s simulated in {:.2} s ({speed:.0} to 1; oracles {:.2} s)",
            seconds(self.simulated_ms),
            seconds(self.wall_ms),
            seconds(self.judged_ms),
        )?;
        let Operations { ok, fail, unknown } = self.all;
        let rate = (ok + fail + unknown) as f64 / seconds(self.wall_ms.max(1));
        writeln!(f, "operations {ok} ok, {fail} failed, {unknown} unknown ({rate:.0} per second of wall time)")?;
        let calm = self.calm;
        writeln!(
            f,
            "calm       {} ok, {} failed, {} unknown; at most {} at a time on one key",
            calm.ok, calm.fail, calm.unknown, self.overlap_max
        )?;
        let strikes: Vec<String> = self.strikes.iter().map(|(name, count)| format!("{name} {count}")).collect();
        writeln!(f, "faults     {}", if strikes.is_empty() { "none".to_string() } else { strikes.join(", ") })?;
        let crashes = self.crashes;
        writeln!(
            f,
            "crashes    {}: {} with unsynced bytes, {} with torn writes, {} inside a store's commit, {} while one was opened, {} inside \
             an append; {} ended themselves",
            crashes.all,
            crashes.unsynced,
            crashes.torn,
            crashes.in_store,
            crashes.in_opening,
            crashes.in_wal,
            crashes.halted,
        )?;
        writeln!(
            f,
            "cluster    {} boots, {} elections, {} state hashes compared; at the end {} stores and {} rows",
            self.boots, self.elections, self.hashes_compared, self.stores_compared, self.rows_compared
        )?;
        writeln!(f, "digest     {} over {} events", self.fingerprint.digest, self.fingerprint.events)?;
        if !self.passed.is_empty() {
            writeln!(f, "valid      {}", self.passed.join(", "))?;
        }
        for failure in self.failures.iter().skip(1) {
            writeln!(f, "also       {}: {}", failure.oracle, failure.explanation)?;
        }
        write!(f, "{}", self.verdict())?;
        let rest = self.failures.first().map_or(Vec::new(), |first| first.explanation.lines().skip(1).collect());
        rest.into_iter().try_for_each(|line| write!(f, "\n  {line}"))
    }
}
