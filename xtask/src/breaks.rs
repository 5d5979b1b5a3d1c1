//! Plants known bugs, one at a time, and sees whether the simulator finds each: how far is "no failure found" to be trusted?
//!
//! A break is a patch `docs/evidence/breaks/NAME.patch` that opens with a few words of its own (see [`Break`]). It is applied
//! in a worktree of the last commit, under the target folder, and the simulator built there runs one seed after the other
//! until one fails. How many it took goes into docs/evidence.md. A world that does not end is ended by the simulator itself.
//!
//! Rules
//!  B1  A patch that does not apply or is not found within its bound is a failure: evidence goes stale loudly.
//!  B2  The seed that found a break passes without it. Otherwise the seed found something else.
//!  B3  Only the verdict of an oracle counts that the patch names: a simulator that does not build, a world that got stuck on a
//!      slow machine, or a failure of another kind has found nothing.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use cargo_metadata::MetadataCommand;

use crate::{Stopped, cargo, succeed};

/// Where the patches are, from the workspace's root.
const BREAKS: &str = "docs/evidence/breaks";

/// Where what was found is written.
const EVIDENCE: &str = "docs/evidence.md";

/// The lines between these are ours, the rest of the document is people's.
const TABLE_OPENS: &str = "<!-- written by `cargo xtask breaks` -->";
const TABLE_CLOSES: &str = "<!-- end of what it writes -->";

/// Every break rebuilds the crate that instantiates DataFusion, which is minutes when it is optimised. Worlds are the same without.
const QUICK_SQL: &str = "profile.dev.package.tenet-sql.opt-level=0";

/// The simulator's exit code for arguments that it does not know (B3).
const EXIT_USAGE: i32 = 2;

#[derive(clap::Args)]
pub struct BreaksOptions {
    /// Only the break of this name
    name: Option<String>,
    /// How many worlds run at a time
    #[arg(long, default_value_t = 2)]
    jobs: u64,
}

/// One bug, as its patch describes itself before the diff begins.
///
/// ```text
/// What: serve reads without a heartbeat round
/// Seeds-max: 60
/// Oracles: linearizable timestamps
/// Arguments: --workload register      (optional, for `tenet-sim run`)
/// ```
#[derive(Debug, PartialEq, Eq)]
struct Break {
    name: String,
    what: String,
    seeds_max: u64,
    /// Any of which may find it.
    oracles: Vec<String>,
    arguments: Vec<String>,
}

struct Found {
    seed: u64,
    /// The simulator's own words.
    verdict: String,
    seconds: u64,
}

pub fn breaks(options: &BreaksOptions) -> Result<(), Stopped> {
    let metadata = MetadataCommand::new().no_deps().exec()?;
    let root = metadata.workspace_root.into_std_path_buf();
    let target = metadata.target_directory.into_std_path_buf();
    let breaks = read_breaks(&root.join(BREAKS), options.name.as_deref())?;

    let worktree = Worktree::add(&root, target.join("breaks/worktree"))?;
    let workshop = target.join("breaks");
    let intact = build(&worktree.path, &workshop, "intact")?;
    let mut missed = Vec::new();
    for each in &breaks {
        println!("== {}: {}", each.name, each.what);
        match try_break(each, &root, &worktree, &workshop, &intact, options.jobs) {
            Ok(found) => {
                println!("== {}: found by seed {} ({} s): {}", each.name, found.seed, found.seconds, found.verdict);
                record(&root.join(EVIDENCE), each, &found, &worktree.commit)?;
            }
            Err(stopped) => {
                println!("== {}: {stopped}", each.name);
                missed.push(each.name.clone());
            }
        }
    }
    if missed.is_empty() { Ok(()) } else { Err(format!("not found: {}", missed.join(", ")).into()) }
}

fn read_breaks(folder: &Path, only: Option<&str>) -> Result<Vec<Break>, Stopped> {
    let mut breaks = Vec::new();
    let entries = fs::read_dir(folder).map_err(|error| format!("cannot read {}: {error}", folder.display()))?;
    for entry in entries {
        let path = entry?.path();
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let wanted = only.is_none_or(|only| only == name);
        if wanted && path.extension().is_some_and(|extension| extension == "patch") {
            breaks.push(parse(&name, &fs::read_to_string(&path)?)?);
        }
    }
    breaks.sort_by(|a, b| a.name.cmp(&b.name));
    match (breaks.is_empty(), only) {
        (false, _) => Ok(breaks),
        (true, Some(only)) => Err(format!("no break of the name {only} in {}", folder.display()).into()),
        (true, None) => Err(format!("no break in {}", folder.display()).into()),
    }
}

fn parse(name: &str, patch: &str) -> Result<Break, Stopped> {
    let head = patch.lines().take_while(|line| !line.starts_with("diff --git"));
    let fields: BTreeMap<&str, &str> =
        head.filter_map(|line| line.split_once(": ")).map(|(field, value)| (field, value.trim())).collect();
    let field = |field: &str| {
        fields.get(field).copied().ok_or_else(|| format!("break {name} opens without a line \"{field}: …\""))
    };
    Ok(Break {
        name: name.to_owned(),
        what: field("What")?.to_owned(),
        seeds_max: field("Seeds-max")?.parse().map_err(|error| format!("break {name}, Seeds-max: {error}"))?,
        oracles: field("Oracles")?.split_whitespace().map(str::to_owned).collect(),
        arguments: fields.get("Arguments").unwrap_or(&"").split_whitespace().map(str::to_owned).collect(),
    })
}

fn try_break(
    each: &Break,
    root: &Path,
    worktree: &Worktree,
    workshop: &Path,
    intact: &Path,
    jobs: u64,
) -> Result<Found, Stopped> {
    worktree.clean()?;
    let patch = root.join(BREAKS).join(format!("{}.patch", each.name));
    succeed(git(&worktree.path).arg("apply").arg(&patch)).map_err(|_| "the patch no longer applies")?;
    let broken = build(&worktree.path, workshop, &each.name)?;
    let start = Instant::now();
    let Some((seed, verdict)) = first_failure(&broken, each, jobs)? else {
        return Err(format!("not found in {} seeds", each.seeds_max).into());
    };
    let seconds = start.elapsed().as_secs();
    let output = run_seed(intact, each, seed)?;
    if !output.status.success() {
        return Err(format!("seed {seed} fails without the break too: {}", verdict_of(&output)).into());
    }
    Ok(Found { seed, verdict, seconds })
}

/// The first seed that fails, with the simulator's words. Seeds are drawn in order by all jobs; when one has failed, those
/// before it are still waited for, so that the answer does not depend on which job was faster.
fn first_failure(simulator: &Path, each: &Break, jobs: u64) -> Result<Option<(u64, String)>, Stopped> {
    let next = AtomicU64::new(1);
    let failures: Mutex<BTreeMap<u64, String>> = Mutex::new(BTreeMap::new());
    let unusable: Mutex<Option<String>> = Mutex::new(None);
    let work = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            let over = !failures.lock().expect("no holder panics").is_empty();
            if seed > each.seeds_max || over || unusable.lock().expect("no holder panics").is_some() {
                return;
            }
            match run_seed(simulator, each, seed) {
                Ok(output) if output.status.success() => {}
                Ok(output) => {
                    let verdict = verdict_of(&output);
                    let oracle = verdict.split(':').next().unwrap_or_default();
                    if each.oracles.iter().any(|named| named == oracle) {
                        failures.lock().expect("no holder panics").insert(seed, verdict);
                    } else {
                        println!("== {}: seed {seed} does not count: {verdict}", each.name);
                    }
                }
                Err(stopped) => *unusable.lock().expect("no holder panics") = Some(stopped.to_string()),
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..jobs.max(1) {
            scope.spawn(work);
        }
    });
    if let Some(stopped) = unusable.into_inner().expect("no holder panics") {
        return Err(stopped.into());
    }
    Ok(failures.into_inner().expect("no holder panics").pop_first())
}

fn run_seed(simulator: &Path, each: &Break, seed: u64) -> Result<Output, Stopped> {
    let mut run = Command::new(simulator);
    run.arg("run").args(["--seed", &seed.to_string()]).args(&each.arguments);
    let output = run.output().map_err(|error| format!("cannot run {}: {error}", simulator.display()))?;
    if output.status.code() == Some(EXIT_USAGE) {
        return Err(format!("the simulator refused {run:?}: {}", String::from_utf8_lossy(&output.stderr)).into());
    }
    Ok(output)
}

/// The line in which the simulator says what it found, or else where it panicked.
fn verdict_of(output: &Output) -> String {
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let said = out.lines().chain(err.lines()).map(str::trim).find(|line| line.starts_with("verdict"));
    let panicked = || err.lines().skip_while(|line| !line.contains("panicked at")).nth(1).map(str::trim);
    let words = said.or_else(panicked).map_or_else(|| output.status.to_string(), str::to_owned);
    words.trim_start_matches("verdict").trim_start_matches([':', ' ']).to_owned()
}

/// Builds the simulator of the worktree, and puts it aside under `name`. The worktree has a target folder of its own, kept for
/// the next time: in the project's, cargo would take the crates of one for those of the other.
fn build(worktree: &Path, workshop: &Path, name: &str) -> Result<PathBuf, Stopped> {
    let target = workshop.join("target");
    let mut build = cargo();
    build.args(["build", "--quiet", "--bin", "tenet-sim", "--config", QUICK_SQL]);
    build.current_dir(worktree).env("CARGO_TARGET_DIR", &target);
    succeed(&mut build).map_err(|stopped| format!("does not build: {stopped}"))?;
    let aside = workshop.join(format!("tenet-sim-{name}"));
    fs::copy(target.join("debug/tenet-sim"), &aside)?;
    Ok(aside)
}

/// The last commit in a folder of its own; gone when this is dropped.
struct Worktree {
    root: PathBuf,
    path: PathBuf,
    /// What it holds, in short.
    commit: String,
}

impl Worktree {
    fn add(root: &Path, path: PathBuf) -> Result<Worktree, Stopped> {
        let head = git(root).args(["rev-parse", "--short", "HEAD"]).output()?;
        let commit = String::from_utf8_lossy(&head.stdout).trim().to_owned();
        let worktree = Worktree { root: root.to_owned(), path, commit };
        // One may be left from a run that was killed.
        worktree.remove();
        succeed(git(root).args(["worktree", "add", "--quiet", "--detach"]).arg(&worktree.path).arg("HEAD"))?;
        Ok(worktree)
    }

    fn clean(&self) -> Result<(), Stopped> {
        succeed(git(&self.path).args(["checkout", "--quiet", "--force", "HEAD", "--", "."]))?;
        succeed(git(&self.path).args(["clean", "--quiet", "--force", "-d"]))
    }

    fn remove(&self) {
        if self.path.exists() {
            let removed = succeed(git(&self.root).args(["worktree", "remove", "--force"]).arg(&self.path));
            if let Err(stopped) = removed {
                eprintln!("xtask: the worktree {} stays: {stopped}", self.path.display());
            }
        }
    }
}

impl Drop for Worktree {
    fn drop(&mut self) {
        self.remove();
    }
}

fn git(folder: &Path) -> Command {
    let mut git = Command::new("git");
    git.arg("-C").arg(folder);
    git
}

/// Writes the break's row into the evidence, in the place of an older one.
fn record(evidence: &Path, each: &Break, found: &Found, commit: &str) -> Result<(), Stopped> {
    let document = fs::read_to_string(evidence).map_err(|error| format!("cannot read {EVIDENCE}: {error}"))?;
    fs::write(evidence, with_row(&document, each, found, commit)?)?;
    Ok(())
}

fn with_row(document: &str, each: &Break, found: &Found, commit: &str) -> Result<String, Stopped> {
    let apart = || format!("{EVIDENCE} has lost the lines {TABLE_OPENS} and {TABLE_CLOSES}");
    let (before, rest) = document.split_once(TABLE_OPENS).ok_or_else(apart)?;
    let (table, after) = rest.split_once(TABLE_CLOSES).ok_or_else(apart)?;
    let name_of = |row: &str| row.split('|').nth(1).map(|name| name.trim().to_owned());
    let mut rows: BTreeMap<String, String> =
        table.lines().filter_map(|row| Some((name_of(row)?, row.to_owned()))).collect();
    rows.retain(|name, _| !matches!(name.as_str(), "Break" | "---"));
    let verdict = found.verdict.replace('|', "\\|");
    let arguments = if each.arguments.is_empty() { String::new() } else { format!(" `{}`", each.arguments.join(" ")) };
    let Break { name, what, seeds_max, .. } = each;
    let row = format!("| {name} | {what} | {} of {seeds_max}{arguments} | {verdict} | {commit} |", found.seed);
    rows.insert(each.name.clone(), row);
    let rows: Vec<&str> = rows.values().map(String::as_str).collect();
    let head =
        "| Break | The bug | Found by seed | What the simulator said | At commit |\n| --- | --- | --- | --- | --- |";
    Ok(format!("{before}{TABLE_OPENS}\n{head}\n{}\n{TABLE_CLOSES}{after}", rows.join("\n")))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATCH: &str = "Some words.\nWhat: serve reads without a heartbeat round\nSeeds-max: 60\nOracles: lists bank\n\
        Arguments: --workload register\n\ndiff --git a/x b/x\nWhat: not this\n";

    #[test]
    fn a_patch_describes_itself() {
        let each = parse("stale-read", PATCH).unwrap();
        assert_eq!(each.what, "serve reads without a heartbeat round");
        assert_eq!((each.seeds_max, each.arguments.join(" ").as_str()), (60, "--workload register"));
        assert!(parse("x", "Seeds-max: 60\ndiff --git").unwrap_err().to_string().contains("What"));
        assert!(parse("x", "What: y\nSeeds-max: many\n").unwrap_err().to_string().contains("Seeds-max"));
    }

    #[test]
    fn rows_are_replaced_and_sorted_and_the_rest_is_kept() {
        let document = format!("# Evidence\n\n{TABLE_OPENS}\n{TABLE_CLOSES}\n\nThe end.\n");
        let each = |name: &str| Break { name: name.into(), ..parse("x", PATCH).unwrap() };
        let found = |seed| Found { seed, verdict: "not linearizable: a|b".into(), seconds: 1 };
        let document = with_row(&document, &each("b"), &found(3), "c0ffee").unwrap();
        let document = with_row(&document, &each("a"), &found(4), "c0ffee").unwrap();
        let document = with_row(&document, &each("b"), &found(5), "c0ffee").unwrap();
        let rows: Vec<&str> =
            document.lines().filter(|line| line.starts_with("| a") || line.starts_with("| b")).collect();
        assert_eq!(rows.len(), 2);
        assert!(
            rows[0].starts_with("| a ")
                && rows[0].contains("| 4 of 60 `--workload register` | not linearizable: a\\|b | c0ffee |")
        );
        assert!(rows[1].starts_with("| b ") && rows[1].contains("| 5 of 60"));
        assert!(document.starts_with("# Evidence\n\n") && document.ends_with("\n\nThe end.\n"));
        assert!(with_row("no table", &each("a"), &found(1), "c0ffee").is_err());
    }

    #[test]
    fn the_first_failing_seed_is_found_whoever_runs_it() {
        let folder = std::env::temp_dir().join(format!("tenet-xtask-test-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let simulator = folder.join("simulator");
        let script = "#!/bin/sh\n[ $3 -ge 70 ] && exit 2\n[ $3 -lt 3 ] && exit 0\n\
             [ $3 -lt 5 ] && echo 'verdict: stuck: slow' || echo 'verdict: lists: lost write'; exit 1\n";
        fs::write(&simulator, script).unwrap();
        succeed(Command::new("chmod").arg("+x").arg(&simulator)).unwrap();
        let each = parse("x", PATCH).unwrap();
        for jobs in [1, 3] {
            let found = first_failure(&simulator, &each, jobs).unwrap();
            assert_eq!(found, Some((5, "lists: lost write".to_owned())));
        }
        let few = Break { seeds_max: 4, ..parse("x", PATCH).unwrap() };
        assert_eq!(first_failure(&simulator, &few, 2).unwrap(), None);
        let refused = run_seed(&simulator, &each, 70).unwrap_err().to_string();
        assert!(refused.contains("refused"), "B3: {refused}");
        fs::remove_dir_all(&folder).unwrap();
    }
}
