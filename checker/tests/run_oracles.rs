//! The oracles that judge a run rather than a workload: state hashes, vacuity, liveness; and what no oracle can read.

use std::time::Duration;

use tenet_checker::leaders::Leaders;
use tenet_checker::promises::{Promise, Promises};
use tenet_checker::replica_rows::ReplicaRows;
use tenet_checker::state_hash::StateHashes;
use tenet_checker::vacuity::Demands;
use tenet_checker::{Finding, Verdict, judge, liveness, vacuity};
use tenet_histories::{Call, Completion, Event, Header, History, Outcome, Process, Value, What};

/// Builds a history event by event; each takes a millisecond.
#[derive(Default)]
struct Script(History);

impl Script {
    fn push(mut self, what: What) -> Script {
        let time_ns = (self.0.events.len() as u64 + 1) * 1_000_000;
        self.0.events.push(Event::new(time_ns, what));
        self
    }

    fn invoke(self, process: u32, function: &'static str, key: i64) -> Script {
        let call = Call { function: function.into(), key: key.into(), value: Value::Int(0) };
        self.push(What::Invoke { process: Process(process), call })
    }

    fn end(self, process: u32, outcome: Outcome) -> Script {
        let completion = Completion { error: Some("because".into()), ..Completion::new(outcome) };
        self.push(What::Complete { process: Process(process), completion })
    }

    fn write(self, process: u32, outcome: Outcome) -> Script {
        self.invoke(process, "write", 1).end(process, outcome)
    }

    fn phase(self, calm: bool) -> Script {
        self.push(What::Phase { name: "p".into(), calm })
    }

    /// Three writes of one key at one time.
    fn crowd(self) -> Script {
        let script = self.invoke(0, "write", 1).invoke(1, "write", 1).invoke(2, "write", 1);
        script.end(0, Outcome::Ok).end(1, Outcome::Ok).end(2, Outcome::Ok)
    }

    fn vacuity(&self) -> Verdict {
        self.demanding(Demands::default())
    }

    fn demanding(&self, demands: Demands) -> Verdict {
        vacuity::check(&self.0, &self.0.phases(), &demands).unwrap()
    }
}

fn explanation(verdict: &Verdict) -> &str {
    match &verdict.finding {
        Finding::Invalid { explanation, .. } => explanation,
        other => panic!("not invalid but {other:?}"),
    }
}

#[test]
fn busy_calm_run_is_not_vacuous() {
    let script = Script::default().phase(true).crowd().write(0, Outcome::Fail).write(0, Outcome::Fail);
    assert!(script.vacuity().is_valid());
}

#[test]
fn too_few_successes_in_calm_phases_are_vacuous() {
    let mut script = Script::default().phase(true).crowd();
    for _ in 0..4 {
        script = script.write(0, Outcome::Fail);
    }
    assert_eq!(explanation(&script.vacuity()), "3 of 7 operations in calm phases were ok, expected 50% at least");
    assert!(script.demanding(Demands { ok_percent_min: 40, ..Demands::default() }).is_valid());
    // The same failures outside of it do not count; nor do the same successes.
    let mut script = Script::default().phase(true).crowd().phase(false);
    for _ in 0..4 {
        script = script.write(0, Outcome::Fail);
    }
    assert!(script.vacuity().is_valid());
    let script = Script::default().phase(false).crowd();
    assert_eq!(explanation(&script.vacuity()), "0 of 0 operations in calm phases were ok, expected 50% at least");
}

#[test]
fn unknown_outcomes_in_calm_phases_are_found() {
    let script = Script::default().phase(true).crowd().write(1, Outcome::Unknown);
    assert_eq!(
        explanation(&script.vacuity()),
        "1 operations with unknown outcome in calm phases, first operation 3 (process 1, 0.008000 s): because"
    );
    // Never completed.
    let script = Script::default().phase(true).crowd().invoke(1, "write", 1);
    assert!(explanation(&script.vacuity()).starts_with("1 operations with unknown outcome in calm phases"));
    // Those of whom it is allowed have been answered; who hangs has not.
    assert!(!script.demanding(Demands { unknown_percent_max: 100, ..Demands::default() }).is_valid());
    // Across the border of the phase, after a moment in it: the storm's.
    let across = |outcome| Script::default().phase(true).crowd().invoke(1, "write", 1).phase(false).end(1, outcome);
    assert!(across(Outcome::Unknown).vacuity().is_valid());
    // After more than a moment: it had hung before the storm. If it succeeded it did not hang, it was late.
    let late = |mut script: Script| {
        script.0.events[8..].iter_mut().for_each(|event| event.time_ns += vacuity::HANG_NS);
        script.vacuity()
    };
    assert!(
        explanation(&late(across(Outcome::Unknown))).starts_with("1 operations with unknown outcome in calm phases")
    );
    assert!(late(across(Outcome::Ok)).is_valid());
}

#[test]
fn replicas_that_nobody_compared_are_vacuous() {
    let script = Script::default().phase(true).crowd();
    let compared = |count| script.demanding(Demands { hashes_compared: Some(count), ..Demands::default() });
    assert!(compared(1).is_valid());
    let expected = "no state of a replica was compared with another's, expected one at least";
    assert_eq!(explanation(&compared(0)), expected);
}

#[test]
fn clients_that_never_meet_are_vacuous() {
    let mut script = Script::default().phase(true).invoke(0, "write", 1).invoke(1, "write", 1).invoke(2, "write", 2);
    for process in 0..3 {
        script = script.end(process, Outcome::Ok);
    }
    let expected = "at most 2 operations were open on one key at one time, expected 3 at least once";
    assert_eq!(explanation(&script.vacuity()), expected);
    // An operation without a key touches all.
    let all = Script::default().phase(true).invoke(0, "write", 1).invoke(1, "write", 1);
    let all = all.push(What::Invoke { process: Process(2), call: Call { function: "read".into(), ..Call::default() } });
    let all = all.end(0, Outcome::Ok).end(1, Outcome::Ok).end(2, Outcome::Ok);
    assert!(all.vacuity().is_valid());
}

#[test]
fn transactions_meet_on_the_keys_they_touch() {
    let call = |keys: &[i64]| Call {
        function: "txn".into(),
        value: Value::List(keys.iter().map(|key| Value::List(vec!["r".into(), (*key).into(), Value::Nil])).collect()),
        ..Call::default()
    };
    let invoke = |script: Script, process, keys: &[i64]| {
        script.push(What::Invoke { process: Process(process), call: call(keys) })
    };
    let script = invoke(invoke(invoke(Script::default(), 0, &[1, 1, 2]), 1, &[2, 3]), 2, &[2]);
    assert_eq!(vacuity::tally(&script.0, &[]).unwrap().overlap_max, 3);
    // One transaction meets itself not.
    let script = invoke(invoke(Script::default(), 0, &[1, 1, 1]), 1, &[2]);
    assert_eq!(vacuity::tally(&script.0, &[]).unwrap().overlap_max, 1);
}

#[test]
fn clients_that_stay_stuck_are_named() {
    let script = Script::default().write(0, Outcome::Ok).write(1, Outcome::Ok).write(0, Outcome::Ok);
    let script = script.write(1, Outcome::Fail).invoke(2, "write", 1);
    let healed_ns = 4_000_001;
    let check = |processes: &[u32], within| {
        let processes = processes.iter().map(|process| Process(*process));
        liveness::check(&script.0, processes, healed_ns, within).unwrap()
    };
    let second = Duration::from_secs(1);
    assert!(check(&[0], second).is_valid());
    assert_eq!(
        explanation(&check(&[0, 1], second)),
        "process 1 did not succeed within 1 s after all was healed at 0.004000001 s; \
         its last operation, 3, ended at 0.008000 s with: because"
    );
    assert!(explanation(&check(&[2], second)).ends_with("operation 4 is open since 0.009000 s"));
    assert!(explanation(&check(&[3, 1], second)).ends_with("(nor did 1 others); it began nothing"));
    // Too late is not at all.
    assert!(!check(&[0], Duration::from_micros(1500)).is_valid());
}

#[test]
fn replicas_that_differ_are_named() {
    let mut hashes = StateHashes::default();
    for (replica, shard, index, byte) in [("n1", 2, 5, 7), ("n2", 2, 5, 7), ("n2", 2, 6, 8), ("n1", 3, 5, 9)] {
        hashes.applied(replica, shard, index, [byte; 32]);
    }
    hashes.applied("n1", 3, 5, [9; 32]); // after a restart
    assert!(hashes.verdict().is_valid());
    assert_eq!(hashes.compared(), 1);
    for (replica, index, byte) in [("n3", 6, 9), ("n3", 9, 1), ("n1", 9, 2)] {
        hashes.applied(replica, 2, index, [byte; 32]);
    }
    assert_eq!(explanation(&hashes.verdict()), "shard 2 after entry 6: n2 has state 080808080808, n3 has 090909090909");
}

#[test]
fn a_row_that_one_replica_lacks_is_named() {
    let row = |key: u8, value: u8| (vec![key, 0xa0], [value; 32]);
    let all = || vec![row(1, 1), row(2, 2), row(3, 3)];
    let verdict = |theirs: Vec<_>| {
        let mut audit = ReplicaRows::default();
        audit.audited("n1", 7, 40, all());
        // Another shard, and another time, are no contradiction.
        audit.audited("n2", 8, 40, Vec::new());
        audit.audited("n2", 7, 39, Vec::new());
        audit.audited("n3", 7, 40, theirs);
        assert_eq!(audit.compared(), 3);
        audit.verdict()
    };
    assert!(verdict(all()).is_valid());
    let cases = [
        (vec![row(1, 1), row(3, 4)], "n1 holds key 02a0, and n3 does not"),
        (vec![row(0, 0), row(2, 2), row(3, 3)], "n3 holds key 00a0, and n1 does not"),
        (vec![row(1, 1), row(2, 2), row(3, 4)], "n1 and n3 hold different values of key 03a0"),
        (vec![row(2, 2), row(1, 1), row(3, 3)], "n1 and n3 hold the same rows in another order, or twice"),
        (Vec::new(), "n1 holds key 01a0, and n3 does not"),
    ];
    for (theirs, expected) in cases {
        assert_eq!(explanation(&verdict(theirs)), format!("shard 7 as of 40: {expected}"));
    }
    let mut audit = ReplicaRows::default();
    audit.unreadable("n2", "it is damaged");
    assert_eq!(explanation(&audit.verdict()), "n2 after its last loss of power: it is damaged");
}

#[test]
fn a_term_has_one_leader() {
    let mut leaders = Leaders::default();
    for (replica, shard, term) in [("n1", 1, 1), ("n2", 1, 2), ("n2", 2, 1), ("n1", 1, 4)] {
        leaders.elected(replica, shard, term);
    }
    assert!(leaders.verdict().is_valid());
    let mut twice = leaders.clone();
    twice.elected("n2", 1, 2);
    assert_eq!(explanation(&twice.verdict()), "shard 1, term 2: n2 was elected, and then n2");
    leaders.elected("n3", 1, 4);
    leaders.elected("n3", 2, 1);
    assert_eq!(explanation(&leaders.verdict()), "shard 1, term 4: n1 was elected, and then n3");
}

#[test]
fn a_promise_outlives_its_replica() {
    let promise = |term, vote| Promise { term, vote };
    let verdict = |then: Promise| {
        let mut promises = Promises::default();
        promises.promised("n1", 1, promise(3, None));
        promises.promised("n1", 1, promise(3, Some(12)));
        promises.promised("n1", 2, promise(9, None));
        promises.promised("n2", 1, promise(8, Some(11)));
        promises.restored("n1", 1, then);
        promises.restored("n3", 1, promise(0, None));
        promises.verdict()
    };
    for kept in [promise(3, Some(12)), promise(4, None), promise(5, Some(11))] {
        assert!(verdict(kept).is_valid(), "{kept}");
    }
    for broken in [promise(2, Some(12)), promise(3, None), promise(3, Some(11))] {
        assert!(!verdict(broken).is_valid(), "{broken}");
    }
    assert_eq!(
        explanation(&verdict(promise(2, None))),
        "shard 1: n1 was in term 3 with its vote for replica 12, and came back in term 2 without a vote"
    );
}

#[test]
fn what_cannot_be_read_is_refused_with_its_place() {
    let error = |workload: &str, script: Script| {
        let header = Header { workload: workload.into(), facts: [("total".into(), Value::Int(1))].into() };
        judge(&History { header, ..script.0 }).unwrap_err().to_string()
    };
    let write = || Script::default().write(0, Outcome::Ok);
    let read = |answer: Value| {
        let invoke = What::Invoke { process: Process(0), call: Call { function: "read".into(), ..Call::default() } };
        let complete = What::Complete { process: Process(0), completion: Completion::ok(answer) };
        Script::default().push(invoke).push(complete)
    };
    let cases = [
        (
            "chess",
            write(),
            "workload `chess`, expected register, bank, list-append, write-skew, predicate-skew, tenants or the name of a model",
        ),
        ("bank", write(), "operation 0 (write): \"write\", expected read or transfer"),
        (
            "bank",
            read(Value::Int(3)),
            "operation 0 (read): 3, expected [[account, balance], ..] or {account: balance, ..}, balances integers",
        ),
        ("write-skew", read(vec![1, 2].into()), "operation 0 (read): [1,2], expected [bool, bool]"),
        ("predicate-skew", read(true.into()), "operation 0 (read): true, expected a count, an integer"),
        ("list-append", write(), "operation 0 (write): \"write\", expected txn"),
        (
            "register",
            Script::default().invoke(0, "cas", 1).end(0, Outcome::Ok),
            "operation 0 (cas): 0, expected [from, to]",
        ),
        ("register", write().end(0, Outcome::Ok), "event 2: process 0 completes, expected an invocation of it before"),
    ];
    for (workload, script, expected) in cases {
        assert_eq!(error(workload, script), expected);
    }
}
