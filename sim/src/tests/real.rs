//! The real server and the real driver in worlds: lies are found, by the oracle that is meant for them, and a seed gives the same
//! bytes in another process.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use crate::plan::{Control, Plan, Wishes};
use crate::replay::{Comparison, Errand, run_twice, write_report};
use crate::report::{Report, judge};
use crate::world::Played;
use crate::{Finished, SimOptions, node, simulate, world};

fn play(plan: &Plan, options: SimOptions) -> Finished<Played> {
    tenet_types::be_strict();
    let plan = plan.clone();
    simulate(options, move |sim| world::play(sim, plan, node::cast()))
}

fn report(seed: u64, wishes: &Wishes) -> Report {
    let plan = Plan::draw(seed, wishes).unwrap();
    judge(&plan, play(&plan, SimOptions::new(seed)), BTreeMap::new(), Duration::ZERO).0
}

/// A short world of that workload, with these faults and no others.
fn wishes(workload: &str, faults: &[&str], storm_seconds: u64) -> Wishes {
    Wishes {
        faults: Some(faults.iter().map(|name| name.to_string()).collect()),
        workload: Some(workload.to_string()),
        nodes: Some(3),
        storm_seconds: Some(storm_seconds),
        ..Wishes::default()
    }
}

/// The same world passes without the lie, and with it the oracle of that name complains, in one of the first seeds.
fn is_found(control: Control, oracle: &str, honest: &Wishes, seeds: u64) {
    let lying = Wishes { control: Some(control), ..honest.clone() };
    let mut said = Vec::new();
    let found = (1..=seeds).find(|seed| {
        let report = report(*seed, &lying);
        let found = report.failures.iter().any(|failure| failure.oracle == oracle);
        said.push(report.verdict());
        found
    });
    let seed = found.unwrap_or_else(|| panic!("{oracle} did not find {}: {said:#?}", control.name()));
    let report = report(seed, honest);
    assert!(report.is_passed(), "seed {seed} fails without {}\n{}\n{report}", control.name(), report.plan);
}

#[test]
fn a_client_that_reads_stale_values_is_found() {
    is_found(Control::StaleReads, "linearizable", &wishes("register", &[], 1), 1);
}

#[test]
fn a_client_that_loses_acknowledged_writes_is_found() {
    is_found(Control::LostWrites, "linearizable", &wishes("register", &[], 1), 1);
    is_found(Control::LostWrites, "lists", &wishes("list-append", &[], 1), 1);
}

#[test]
fn disks_that_lie_about_sync_are_found() {
    is_found(Control::LyingDisks, "linearizable", &wishes("register", &["outage"], 4), 12);
}

/// What the variable asks for, in a process of its own; nothing when it is not set.
#[test]
fn errand() {
    let Ok(text) = std::env::var("TENET_WORLD_ERRAND") else { return };
    let (workload, window, report): (String, std::ops::Range<u64>, PathBuf) = serde_json::from_str(&text).unwrap();
    let plan = Plan::draw(3, &short(&workload)).unwrap();
    let finished = play(&plan, SimOptions { window, ..SimOptions::new(3) });
    assert!(finished.result.is_ok());
    write_report(&report, &finished).unwrap();
}

/// All that a seed draws, but a shorter storm.
fn short(workload: &str) -> Wishes {
    Wishes { workload: Some(workload.to_string()), storm_seconds: Some(3), ..Wishes::default() }
}

fn two_processes_agree_on(workload: &str) {
    let folder = tempfile::tempdir().unwrap();
    let command = |errand: &Errand| {
        let mut command = Command::new(std::env::current_exe().unwrap());
        let text = serde_json::to_string(&(workload, &errand.window, &errand.report)).unwrap();
        command.args(["--exact", "tests::real::errand"]).env("TENET_WORLD_ERRAND", text);
        command
    };
    match run_twice(folder.path(), command).unwrap() {
        Comparison::Same(fingerprint) => assert!(fingerprint.events > 10_000, "{} events", fingerprint.events),
        Comparison::Different(difference) => panic!("{difference}"),
    }
}

#[test]
fn two_processes_agree_on_register() {
    two_processes_agree_on("register");
}

#[test]
fn two_processes_agree_on_bank() {
    two_processes_agree_on("bank");
}

#[test]
fn two_processes_agree_on_list_append() {
    two_processes_agree_on("list-append");
}

#[test]
fn two_processes_agree_on_write_skew() {
    two_processes_agree_on("write-skew");
}

#[test]
fn two_processes_agree_on_predicate_skew() {
    two_processes_agree_on("predicate-skew");
}
