//! The six workloads against a model database: honest ones are valid whatever the trouble, and each flaw is found by the
//! oracle that is meant for it.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use crate::model::executor::{self, Time};
use crate::model::{Connection, Database, Flaw, Trouble};
use tenet_checker::{Judgement, Oracle, vacuity};
use tenet_histories::{History, Process};
use tenet_workloads::controls::{LostWrites, StaleReads};
use tenet_workloads::{Client, Luck, NAMES, Pace, ProcessReport, Run, RunOptions, draw};

const CLIENTS: u32 = 5;
const PATIENCE: Duration = Duration::from_secs(60);

const TROUBLE: Trouble = Trouble { connection_lost_percent: 3, unknown_percent: 8, refused_percent: 2 };

/// Stands between the workload and the model.
type Wrap = fn(Connection, Luck) -> Box<dyn Client>;

const HONEST: Wrap = |connection, _| Box::new(connection);

struct Setting {
    workload: &'static str,
    flaw: Flaw,
    trouble: Trouble,
    wrap: Wrap,
    timestamps: bool,
    operations: u64,
    /// Of each client.
    per_second: f64,
}

impl Setting {
    fn new(workload: &'static str, flaw: Flaw) -> Setting {
        Setting {
            workload,
            flaw,
            trouble: Trouble::default(),
            wrap: HONEST,
            timestamps: false,
            operations: 60,
            per_second: 500.0,
        }
    }

    fn run(&self, seed: u64) -> (History, Judgement) {
        let mut luck = Luck::from_seed(seed);
        let time = Time::default();
        let database = Database::new(self.flaw, self.trouble, luck.next_u64());
        let workload = draw(self.workload, &mut luck).unwrap();
        let options = RunOptions { patience: PATIENCE, timestamps: self.timestamps };
        let run = Run::new(workload.clone(), Arc::new(time.clone()), options);
        let alone = |future: Pin<Box<dyn Future<Output = ()> + '_>>, luck: &mut Luck| {
            executor::run(&time, luck, vec![future]);
        };
        let mut client = database.connection();
        let mut setup_luck = Luck::from_seed(luck.next_u64());
        let setup = async { run.set_up(&mut client, &mut setup_luck, PATIENCE).await.unwrap() };
        alone(Box::pin(setup), &mut luck);

        run.recorder.phase("calm", true);
        let pace = Pace { operations_max: Some(self.operations), ..Pace::per_second(self.per_second) };
        let mut clients: Vec<(Box<dyn Client>, Luck)> = (0..CLIENTS)
            .map(|_| {
                let client = (self.wrap)(database.connection(), Luck::from_seed(luck.next_u64()));
                (client, Luck::from_seed(luck.next_u64()))
            })
            .collect();
        let processes = clients.iter_mut().enumerate().map(|(number, (client, luck))| {
            let run = &run;
            let future = async move { run.process(Process(number as u32), &mut **client, luck, pace).await };
            Box::pin(future) as Pin<Box<dyn Future<Output = ProcessReport> + '_>>
        });
        let reports = executor::run(&time, &mut luck, processes.collect());
        assert!(reports.iter().all(|report| report.alarmed || report.operations == self.operations));

        // What is undecided may be decided at any time; reads at the end have to live with it.
        let mut finish_luck = Luck::from_seed(luck.next_u64());
        let finish = async { run.finish(Process(CLIENTS), &mut client, &mut finish_luck, PATIENCE).await.unwrap() };
        alone(Box::pin(finish), &mut luck);
        let history = run.recorder.history();
        let judgement = workload.check(&history).unwrap();
        (history, judgement)
    }

    fn is_valid(&self, seeds: std::ops::Range<u64>) {
        for seed in seeds {
            let (history, judgement) = self.run(seed);
            assert!(judgement.is_valid(), "{} seed {seed}:\n{judgement}\n{}", self.workload, text(&history));
        }
    }

    /// At least half of the seeds must show it.
    fn is_found_by(&self, oracle: Oracle) {
        const SEEDS: u64 = 12;
        let judgements: Vec<Judgement> = (0..SEEDS).map(|seed| self.run(seed).1).collect();
        let found = judgements.iter().filter(|judgement| judgement.is_invalid_by(oracle)).count();
        let says = judgements.iter().map(|judgement| judgement.to_string()).collect::<Vec<_>>().join("\n");
        assert!(found * 2 >= SEEDS as usize, "{}: {oracle} found {found} of {SEEDS}:\n{says}", self.workload);
    }
}

fn text(history: &History) -> String {
    let mut bytes = Vec::new();
    tenet_histories::write(history, &mut bytes).unwrap();
    String::from_utf8(bytes).unwrap()
}

#[test]
fn honest_database_is_valid() {
    for workload in NAMES {
        Setting::new(workload, Flaw::None).is_valid(0..25);
    }
}

#[test]
fn honest_database_in_trouble_is_valid() {
    for workload in NAMES {
        let setting = Setting { trouble: TROUBLE, ..Setting::new(workload, Flaw::None) };
        setting.is_valid(0..60);
        let (history, _) = setting.run(0);
        let counts = vacuity::tally(&history, &[]).unwrap().all;
        assert!(counts.ok > 0 && counts.fail > 0 && counts.unknown > 0, "{workload}: {counts:?}");
    }
}

#[test]
fn timestamps_of_an_honest_database_agree() {
    // Tenants have a time of their own each, and record none.
    for workload in NAMES.into_iter().filter(|workload| *workload != "tenants") {
        let setting = Setting { timestamps: true, trouble: TROUBLE, ..Setting::new(workload, Flaw::None) };
        setting.is_valid(0..25);
        let history = text(&setting.run(0).0);
        assert!(history.contains("\"read_timestamp\"") && history.contains("\"commit_timestamp\""), "{workload}");
    }
}

#[test]
fn busy_runs_are_not_vacuous() {
    for workload in NAMES {
        for seed in 0..10 {
            // Not so busy that most transactions collide.
            let setting = Setting { per_second: 100.0, ..Setting::new(workload, Flaw::None) };
            let (history, _) = setting.run(seed);
            let verdict = vacuity::check(&history, &history.phases(), &vacuity::Demands::default()).unwrap();
            assert!(verdict.is_valid(), "{workload} seed {seed}: {verdict}");
        }
    }
}

#[test]
fn one_seed_gives_one_history() {
    for workload in NAMES {
        let setting = Setting { trouble: TROUBLE, timestamps: true, ..Setting::new(workload, Flaw::None) };
        assert_eq!(setting.run(3).0, setting.run(3).0);
        assert_ne!(setting.run(3).0, setting.run(4).0);
    }
}

#[test]
fn snapshot_isolation_is_found_by_write_skew() {
    Setting::new("write-skew", Flaw::SnapshotIsolation).is_found_by(Oracle::WriteSkew);
}

#[test]
fn snapshot_isolation_is_found_by_lists() {
    Setting::new("list-append", Flaw::SnapshotIsolation).is_found_by(Oracle::Lists);
}

#[test]
fn snapshot_isolation_keeps_registers_and_bank() {
    Setting::new("register", Flaw::SnapshotIsolation).is_valid(0..10);
    Setting::new("bank", Flaw::SnapshotIsolation).is_valid(0..10);
}

#[test]
fn lost_updates_are_found_by_bank_total() {
    Setting::new("bank", Flaw::ReadCommitted).is_found_by(Oracle::BankTotal);
}

#[test]
fn lost_updates_are_found_by_lists() {
    Setting::new("list-append", Flaw::ReadCommitted).is_found_by(Oracle::Lists);
}

#[test]
fn tenants_that_are_not_kept_apart_are_found() {
    Setting::new("tenants", Flaw::SharedTables).is_found_by(Oracle::Linearizable);
}

#[test]
fn a_database_that_outlives_its_drop_is_found() {
    let setting = Setting { operations: 200, ..Setting::new("tenants", Flaw::DropsNothing) };
    setting.is_found_by(Oracle::Linearizable);
}

#[test]
fn dirty_reads_are_found_by_bank_total() {
    Setting::new("bank", Flaw::DirtyReads).is_found_by(Oracle::BankTotal);
}

#[test]
fn missing_spans_are_found_by_predicate_skew() {
    Setting::new("predicate-skew", Flaw::NoSpans).is_found_by(Oracle::PredicateSkew);
}

#[test]
fn missing_spans_leave_other_workloads_valid() {
    Setting::new("register", Flaw::NoSpans).is_valid(0..10);
    Setting::new("write-skew", Flaw::NoSpans).is_valid(0..10);
}

#[test]
fn stale_snapshots_are_found_by_linearizable() {
    Setting::new("register", Flaw::StaleSnapshots).is_found_by(Oracle::Linearizable);
}

#[test]
fn stale_snapshots_are_found_by_timestamps() {
    let bank = Setting { timestamps: true, ..Setting::new("bank", Flaw::StaleSnapshots) };
    bank.is_found_by(Oracle::Timestamps);
}

#[test]
fn forgotten_commits_are_found_by_linearizable_and_lists() {
    Setting::new("register", Flaw::ForgetsCommits).is_found_by(Oracle::Linearizable);
    Setting::new("list-append", Flaw::ForgetsCommits).is_found_by(Oracle::Lists);
}

#[test]
fn a_fail_that_took_effect_is_found() {
    let troubled = |workload| Setting { trouble: TROUBLE, ..Setting::new(workload, Flaw::FailsWhatHappened) };
    troubled("register").is_found_by(Oracle::Linearizable);
    troubled("list-append").is_found_by(Oracle::Lists);
}

#[test]
fn control_of_stale_reads_is_found_by_linearizable() {
    let wrap: Wrap = |connection, luck| Box::new(StaleReads::new(connection, luck, 10));
    Setting { wrap, ..Setting::new("register", Flaw::None) }.is_found_by(Oracle::Linearizable);
}

#[test]
fn control_of_lost_writes_is_found_by_linearizable_and_lists() {
    let wrap: Wrap = |connection, luck| Box::new(LostWrites::new(connection, luck, 10));
    Setting { wrap, ..Setting::new("register", Flaw::None) }.is_found_by(Oracle::Linearizable);
    Setting { wrap, ..Setting::new("list-append", Flaw::None) }.is_found_by(Oracle::Lists);
}
