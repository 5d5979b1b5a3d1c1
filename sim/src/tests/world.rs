//! Worlds around a stand-in server: what the frame catches, and that it catches nothing in an honest one.

use std::collections::BTreeMap;
use std::time::Duration;

use super::stand_in::{Flaw, cast};
use crate::plan::{Control, Plan, Wishes};
use crate::report::{Report, judge};
use crate::{SimOptions, simulate, world};

pub(super) fn report(seed: u64, wishes: Wishes, flaw: Flaw) -> Report {
    let wishes = Wishes { workload: Some("register".to_string()), nodes: Some(1), ..wishes };
    let mut plan = Plan::draw(seed, &wishes).unwrap();
    plan.database = "postgres".to_string();
    plan.timestamps = false;
    let playing = plan.clone();
    let finished = simulate(SimOptions::new(seed), move |sim| world::play(sim, playing, cast(flaw)));
    judge(&plan, finished, BTreeMap::new(), Duration::ZERO).0
}

fn only(faults: &[&str]) -> Wishes {
    Wishes { faults: Some(faults.iter().map(|name| name.to_string()).collect()), ..Wishes::default() }
}

#[test]
fn an_honest_server_passes_and_every_kind_strikes() {
    let mut strikes: BTreeMap<String, u64> = BTreeMap::new();
    let (mut unsynced, mut torn) = (0, 0);
    for seed in 0..30 {
        let report = report(seed, Wishes::default(), Flaw::None);
        assert!(report.is_passed(), "seed {seed}\n{}\n{report}", report.plan);
        for (name, count) in report.strikes {
            *strikes.entry(name).or_default() += count;
        }
        unsynced += report.crashes.unsynced;
        torn += report.crashes.torn;
    }
    let missing: Vec<_> = crate::faults::names()
        .into_iter()
        .filter(|name| !["wipe", "outage", "leader-kill"].contains(name)) // they need several nodes
        .filter(|name| strikes.get(*name).copied().unwrap_or(0) == 0)
        .collect();
    assert!(missing.is_empty(), "never struck: {missing:?}");
    println!("{strikes:?}, {unsynced} crashes with unsynced bytes, {torn} torn");
    assert!(unsynced > 5);
}

/// Runs seeds until an oracle of that name complains.
fn is_found(oracle: &str, seeds: u64, wishes: impl Fn() -> Wishes, flaw: Flaw) {
    let found = (0..seeds).find(|seed| {
        let report = report(*seed, wishes(), flaw);
        report.failures.iter().any(|failure| failure.oracle == oracle)
    });
    assert!(found.is_some(), "{oracle} found nothing in {seeds} seeds");
}

#[test]
fn lying_clients_are_found() {
    is_found("linearizable", 3, || Wishes { control: Some(Control::StaleReads), ..Wishes::default() }, Flaw::None);
    is_found("linearizable", 3, || Wishes { control: Some(Control::LostWrites), ..Wishes::default() }, Flaw::None);
}

#[test]
fn a_lying_disk_and_an_early_answer_are_found() {
    is_found("linearizable", 10, || Wishes { control: Some(Control::LyingDisks), ..only(&["kill"]) }, Flaw::None);
    is_found("linearizable", 10, || only(&["kill"]), Flaw::EarlyAnswers);
}

#[test]
fn a_server_that_ends_itself_for_no_reason_is_found() {
    is_found("world", 1, Wishes::default, Flaw::Quits);
}

#[test]
fn a_world_in_which_nobody_meets_anybody_is_found() {
    is_found("vacuity", 1, || Wishes { clients: Some(1), ..Wishes::default() }, Flaw::None);
}

/// Seed 172: seven clients who asked more often than wires of milliseconds could answer. All were at it all the time, for the same
/// rows, and of those who write one wins.
#[test]
fn clients_are_not_asked_for_more_than_the_wires_can_carry() {
    let mut dense = 0;
    for seed in 0..1_000 {
        let plan = Plan::draw(seed, &Wishes::default()).unwrap();
        let wire_s = (plan.latency_us.0 + plan.latency_us.1) as f64 / 2e6;
        let busy = plan.clients as f64 * plan.rate * 8.0 * wire_s;
        // In a dense world they are, and fewer need succeed. So need those of tenants, which are never dense.
        let is_dense = plan.ok_percent_min < 50 && plan.workload != "tenants";
        dense += u64::from(is_dense);
        let most = if is_dense { 5.0 } else { 1.0 };
        assert!(
            plan.rate > 0.5 && busy < most,
            "seed {seed}: {} clients, {} operations/s each",
            plan.clients,
            plan.rate
        );
    }
    assert!((120..220).contains(&dense), "{dense} of 1,000 worlds are dense");
    for seed in 0..20 {
        let workload = Some("register".to_string());
        let wished = Plan::draw(seed, &Wishes { rate: Some(50.0), workload, ..Wishes::default() }).unwrap();
        assert_eq!((wished.rate, wished.ok_percent_min), (50.0, 50), "seed {seed}");
    }
}

#[test]
fn wishes_change_what_they_name_and_nothing_else() {
    let plain = Plan::draw(7, &Wishes::default()).unwrap();
    let wished = Plan::draw(7, &only(&["reset"])).unwrap();
    assert_eq!(wished.faults, ["reset"]);
    assert_eq!((plain.limits, plain.latency_us, plain.workload), (wished.limits, wished.latency_us, wished.workload));
    let without = Plan::draw(7, &Wishes { without: vec!["kill".to_string()], ..Wishes::default() }).unwrap();
    assert!(!without.faults.contains(&"kill"));
    let unknown = Plan::draw(7, &only(&["earthquake"])).unwrap_err();
    assert!(unknown.to_string().contains("earthquake") && unknown.to_string().contains("crash-point"));
}
