//! The swarm, around a shell that plays the part of `tenet-sim`.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::stand_in::Flaw;
use super::world::report;
use crate::plan::Wishes;
use crate::report::{Failure, Report};
use crate::swarm::{SwarmOptions, swarm};

/// What the variable asks for, in a process of its own: a swarm of so many seeds, each "run" by a script. Nothing when it is not
/// set.
#[test]
fn errand() {
    let Ok(text) = std::env::var("TENET_SWARM_ERRAND") else { return };
    let (script, seeds): (String, u64) = serde_json::from_str(&text).unwrap();
    let options = SwarmOptions {
        program: ["sh", "-c", &script].map(Into::into).to_vec(),
        seeds: 1..=seeds,
        jobs: 2,
        twice: false,
        patience: Duration::from_secs(60),
        arguments: Vec::new(),
    };
    println!("passed: {}", swarm(&options).unwrap());
}

/// Begins a swarm. In the script `$3` is the seed, `$0 $1 $2` being `run --json --seed`.
fn begin(script: &str, seeds: u64) -> Child {
    let text = serde_json::to_string(&(script, seeds)).unwrap();
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "tests::swarm::errand", "--nocapture"]).env("TENET_SWARM_ERRAND", text);
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

fn run(script: &str) -> String {
    run_seeds(script, 8)
}

fn run_seeds(script: &str, seeds: u64) -> String {
    String::from_utf8(begin(script, seeds).wait_with_output().unwrap().stdout).unwrap()
}

fn write(path: &Path, report: &Report) {
    std::fs::write(path, serde_json::to_vec(report).unwrap()).unwrap();
}

fn a_report() -> Report {
    report(1, Wishes::default(), Flaw::None)
}

#[test]
fn a_failure_is_said_once_in_full_and_the_table_names_all() {
    let folder = tempfile::tempdir().unwrap();
    let fail = |name: &str, oracle: &str, explanation: &str| {
        let failure = Failure { oracle: oracle.to_string(), explanation: explanation.to_string() };
        write(&folder.path().join(name), &Report { failures: vec![failure], ..a_report() });
    };
    write(&folder.path().join("1"), &a_report());
    fail("3", "lists", "element 17 was lost\nby transaction 9");
    fail("4", "lists", "element 18 was lost\nby transaction 10");
    let script = format!("cd {}; if [ -e $3 ]; then cat $3; else cat 1; fi", folder.path().display());
    let said = run(&script);
    assert_eq!(said.matches("by transaction").count(), 1, "{said}");
    assert!(said.contains("seed 3 failed: lists") && said.contains("seed 4 failed: lists"), "{said}");
    assert!(said.contains("run --seed 4\n"), "{said}");
    assert!(said.contains("8 run, 2 failed\n"), "{said}");
    let named = |order: &str| said.contains(&format!("failed     {order}\n"));
    assert!(named("3 (lists), 4 (lists)") || named("4 (lists), 3 (lists)"), "{said}");
    assert!(said.contains("verdict: failed\npassed: false"), "{said}");
}

#[test]
fn a_process_without_a_report_has_failed() {
    let said = run("echo it went wrong >&2; exit 3");
    assert!(said.contains("8 run, 8 failed") && said.contains("it went wrong"), "{said}");
}

#[test]
fn a_kind_that_never_struck_is_missing_even_if_it_was_counted() {
    let folder = tempfile::tempdir().unwrap();
    let mut report = a_report();
    report.strikes = crate::faults::names().into_iter().map(|name| (name.to_string(), 3)).collect();
    report.strikes.insert("full-disk".to_string(), 0);
    report.crashes.in_store = 1;
    report.crashes.in_wal = 1;
    report.rows_compared = 1;
    report.crashes.torn = 0;
    write(&folder.path().join("report"), &report);
    let said = run(&format!("cat {}/report", folder.path().display()));
    let missing = "missing    full-disk, a torn write (no failure in fewer than 200 seeds)";
    assert!(said.contains(&format!("\n{missing}\nverdict: passed\npassed: true")), "{said}");
    let said = run_seeds(&format!("cat {}/report", folder.path().display()), 200);
    assert!(said.contains("\nmissing    full-disk, a torn write\nverdict: failed\npassed: false"), "{said}");
}

#[test]
fn an_interrupted_swarm_says_what_is_known_and_leaves_nobody_behind() {
    let folder = tempfile::tempdir().unwrap();
    write(&folder.path().join("1"), &a_report());
    // The first seed has a report; the others tell who they are, and last.
    let script =
        format!("cd {}; if [ $3 = 1 ]; then cat 1; else echo $$ > pid$3; exec sleep 600; fi", folder.path().display());
    let mut swarm = begin(&script, 8);
    let mut lines = BufReader::new(swarm.stderr.take().unwrap()).lines().map(Result::unwrap);
    lines.find(|line| line.starts_with("1 of 8 seeds, 0 failed")).expect("progress is told");
    let started = |seed: u64| folder.path().join(format!("pid{seed}"));
    let pids = [2, 3].map(|seed| {
        loop {
            match std::fs::read_to_string(started(seed)) {
                Ok(pid) if pid.ends_with('\n') => break pid.trim().to_string(),
                _ => std::thread::yield_now(),
            }
        }
    });
    let interrupted = Command::new("kill").args(["-s", "INT", &swarm.id().to_string()]).status().unwrap();
    assert!(interrupted.success());
    let said = String::from_utf8(swarm.wait_with_output().unwrap().stdout).unwrap();
    assert!(said.contains("1 run, 0 failed") && said.contains("operations"), "{said}");
    assert!(said.contains("verdict: interrupted; 1 of 8 seeds were run, and passed\npassed: false"), "{said}");
    // Both have been told to end; when they do is the kernel's business.
    for pid in pids {
        let running = |state: String| !state.contains(" Z ") && !state.contains(" X ");
        while std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(running) {
            std::thread::yield_now();
        }
    }
}
