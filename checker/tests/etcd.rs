//! The model of etcd against a slow obvious one: all orders are tried, and every revision's keys are remembered.

use std::collections::BTreeMap;

use proptest::prelude::*;
use tenet_checker::budget::{Budget, Meter};
use tenet_checker::linearizable::models::Etcd;
use tenet_checker::linearizable::{Collector, Outcome as Found, check_part, confirm};
use tenet_checker::{CheckError, Finding, judge};
use tenet_histories::{Call, Completion, Event, Header, History, Outcome, Process, Value, What};

/// A text, the revision of its last write, the count of its writes, its lease.
type Keys = BTreeMap<String, (String, i64, i64, i64)>;

#[derive(Clone, Debug)]
struct Store {
    /// The keys at each revision, the first is 1.
    revisions: Vec<Keys>,
    leases: Vec<i64>,
}

fn field<'v>(value: &'v Value, name: &str) -> &'v Value {
    value.field(name).unwrap_or(&Value::Nil)
}

fn text(value: &Value, name: &str) -> String {
    field(value, name).as_text().unwrap_or_default().to_string()
}

fn int(value: &Value, name: &str) -> i64 {
    field(value, name).as_int().unwrap_or(0)
}

fn found(keys: &Keys, range: &Value) -> Value {
    let (start, end) = (text(range, "Start"), text(range, "End"));
    let in_range = |key: &str| if end.is_empty() { key == start } else { *key >= *start && *key < *end };
    let kv = |(key, (value, revision, version, _)): (&String, &(String, i64, i64, i64))| {
        let stored = Value::map([("Value", value.as_str().into())]);
        let (revision, version) = (("ModRevision", (*revision).into()), ("Version", (*version).into()));
        Value::map([("Key", key.as_str().into()), ("Value", stored), revision, version])
    };
    let kvs: Vec<Value> = keys.iter().filter(|(key, _)| in_range(key)).map(kv).collect();
    Value::map([("Count", Value::Int(kvs.len() as i64)), ("KVs", Value::List(kvs))])
}

impl Store {
    fn keys(&self) -> &Keys {
        self.revisions.last().unwrap()
    }

    fn revision(&self) -> i64 {
        self.revisions.len() as i64
    }

    /// What it answers: a completion, and the extra key `mod_revision` of a get. None: it refuses.
    fn act(&mut self, call: &Call) -> Option<(Completion, Option<i64>)> {
        let key = call.key.as_text().unwrap_or_default().to_string();
        let now = |store: &Store| Some(store.revision() as u64);
        match call.function.as_ref() {
            "get" => {
                let kept = self.keys().get(&key);
                let value = kept.map_or(Value::Nil, |kept| kept.0.as_str().into());
                let revision = kept.map(|kept| kept.1);
                Some((Completion { read_timestamp: now(self), ..Completion::ok(value) }, revision))
            }
            "put" => {
                self.write(|keys, next| put(keys, &key, call.value.as_text().unwrap(), next, 0));
                Some((Completion { commit_timestamp: now(self), ..Completion::ok(Value::Nil) }, None))
            }
            "delete" => {
                let is_there = self.keys().contains_key(&key);
                if is_there {
                    self.write(|keys, _| drop(keys.remove(&key)));
                }
                Some((Completion { commit_timestamp: now(self), ..Completion::ok(i64::from(is_there).into()) }, None))
            }
            "etcd-range" => {
                let range = field(&call.value, "Range");
                let at = int(range, "Revision");
                let at = if at == 0 { self.revision() } else { at };
                let keys = self.revisions.get(usize::try_from(at - 1).ok()?)?;
                let answer = [("Range", found(keys, range)), ("Revision", self.revision().into())];
                Some((Completion::ok(Value::map(answer)), None))
            }
            "etcd-txn" => {
                let txn = field(&call.value, "Txn");
                let holds = |condition: &Value| {
                    let kept = self.keys().get(&text(condition, "Key"));
                    match int(condition, "ExpectedVersion") {
                        0 => kept.map_or(0, |kept| kept.1) == int(condition, "ExpectedRevision"),
                        version => kept.map_or(0, |kept| kept.2) == version,
                    }
                };
                let failure = !field(txn, "Conditions").as_list().unwrap_or_default().iter().all(holds);
                let branch = if failure { "OperationsOnFailure" } else { "OperationsOnSuccess" };
                let (mut keys, mut has_written, mut results) = (self.keys().clone(), false, Vec::new());
                for operation in field(txn, branch).as_list().unwrap_or_default() {
                    let (asked, gone) = (field(operation, "Put"), text(field(operation, "Delete"), "Key"));
                    results.push(match text(operation, "Type").as_str() {
                        "range-operation" => found(&keys, field(operation, "Range")),
                        "put-operation" => {
                            let lease = int(asked, "LeaseID");
                            if lease == 0 || self.leases.contains(&lease) {
                                let value = text(field(asked, "Value"), "Value");
                                put(&mut keys, &text(asked, "Key"), &value, self.revision() + 1, lease);
                                has_written = true;
                            }
                            Value::map([])
                        }
                        _ => {
                            let is_there = keys.remove(&gone).is_some();
                            has_written |= is_there;
                            Value::map([("Deleted", i64::from(is_there).into())])
                        }
                    });
                }
                if has_written {
                    self.revisions.push(keys);
                }
                let txn = Value::map([("Failure", Value::Bool(failure)), ("Results", Value::List(results))]);
                Some((Completion::ok(Value::map([("Txn", txn), ("Revision", self.revision().into())])), None))
            }
            "etcd-leaseGrant" => {
                self.leases.push(int(field(&call.value, "LeaseGrant"), "LeaseID"));
                Some((Completion::ok(Value::map([("Revision", self.revision().into())])), None))
            }
            "etcd-leaseRevoke" => {
                let lease = int(field(&call.value, "LeaseRevoke"), "LeaseID");
                self.leases.retain(|other| *other != lease);
                if self.keys().values().any(|kept| kept.3 == lease) {
                    self.write(|keys, _| keys.retain(|_, kept| kept.3 != lease));
                }
                Some((Completion::ok(Value::map([("Revision", self.revision().into())])), None))
            }
            other => panic!("no {other} in etcd"),
        }
    }

    fn write(&mut self, change: impl FnOnce(&mut Keys, i64)) {
        let (mut keys, next) = (self.keys().clone(), self.revision() + 1);
        change(&mut keys, next);
        self.revisions.push(keys);
    }
}

fn put(keys: &mut Keys, key: &str, value: &str, revision: i64, lease: i64) {
    let version = keys.get(key).map_or(0, |kept| kept.2) + 1;
    keys.insert(key.to_string(), (value.to_string(), revision, version, lease));
}

fn empty() -> Store {
    Store { revisions: vec![Keys::new()], leases: Vec::new() }
}

/// Numbers that decide what one operation is.
type Dice = [u8; 6];

fn call_of([function, key, value, other, ..]: Dice) -> Call {
    let key = ["a", "b"][usize::from(key % 2)];
    let value = ["1", "2"][usize::from(value % 2)];
    let simple = |function: &'static str, value: Value| Call { function: function.into(), key: key.into(), value };
    let raw = |function: &'static str, name: &'static str, value: Value| Call {
        function: function.into(),
        key: Value::Nil,
        value: Value::map([(name, value)]),
    };
    let stored = Value::map([("Value", value.into())]);
    let operation =
        |name: &'static str, part: &'static str, fields: Value| Value::map([("Type", name.into()), (part, fields)]);
    let lease = ("LeaseID", Value::Int(i64::from(other % 4 / 2) * 7));
    let put = operation("put-operation", "Put", Value::map([("Key", key.into()), ("Value", stored), lease]));
    let get = operation("range-operation", "Range", Value::map([("Start", "a".into()), ("End", "c".into())]));
    let delete = operation("delete-operation", "Delete", Value::map([("Key", key.into())]));
    let lease = Value::map([("LeaseID", 7.into())]);
    match function % 12 {
        0 | 1 => simple("put", value.into()),
        2 => simple("delete", Value::Nil),
        3 => simple("get", Value::Nil),
        4 | 5 => {
            let range = [("Start", "a".into()), ("End", "c".into()), ("Revision", i64::from(other % 5).into())];
            raw("etcd-range", "Range", Value::map(range))
        }
        6 => raw("etcd-leaseGrant", "LeaseGrant", lease),
        7 => raw("etcd-leaseRevoke", "LeaseRevoke", lease),
        number => {
            let wants = if other % 2 == 0 { "ExpectedRevision" } else { "ExpectedVersion" };
            let condition = Value::map([("Key", key.into()), (wants, i64::from(other / 2 % 4).into())]);
            let conditions = if number == 8 { vec![] } else { vec![condition] };
            let success = if number == 9 { vec![put.clone(), get.clone()] } else { vec![put] };
            let failure = if number == 10 { vec![delete, get] } else { vec![] };
            let txn = [
                ("Conditions", Value::List(conditions)),
                ("OperationsOnSuccess", Value::List(success)),
                ("OperationsOnFailure", Value::List(failure)),
            ];
            raw("etcd-txn", "Txn", Value::map(txn))
        }
    }
}

/// The answer of another revision, or of what was not done.
fn lie(completion: &mut Completion, luck: u8) {
    for timestamp in [&mut completion.read_timestamp, &mut completion.commit_timestamp] {
        *timestamp = timestamp.map(|timestamp| timestamp + u64::from(luck % 2));
    }
    if let Value::Map(answer) = &mut completion.value
        && let Some(Value::Int(revision)) = answer.get_mut(&Value::from("Revision"))
    {
        *revision += i64::from(luck % 2);
    }
}

fn history_of(shuffle: &[usize], dice: &[Dice]) -> History {
    let mut store = empty();
    let mut events: Vec<Event> = Vec::new();
    let mut open: BTreeMap<usize, Option<(Completion, Option<i64>)>> = BTreeMap::new();
    for number in shuffle {
        let numbers = dice[*number];
        let [.., luck, fate] = numbers;
        let process = Process(*number as u32);
        let time_ns = events.len() as u64;
        let Some(answer) = open.remove(number) else {
            let call = call_of(numbers);
            // Done at once, or only when it is answered, or never; and of some the answer is lost.
            let is_lie = fate % 16 == 0;
            let answer = if is_lie && luck % 4 == 3 { store.clone().act(&call) } else { store.act(&call) };
            events.push(Event::new(time_ns, What::Invoke { process, call }));
            let answer = answer.map(|(mut completion, revision)| {
                if is_lie {
                    lie(&mut completion, luck);
                }
                (completion, revision)
            });
            open.insert(*number, answer);
            continue;
        };
        let (completion, revision) = match (answer, fate % 8) {
            (None, _) => (Completion::new(Outcome::Fail), None),
            (Some(_), 1 | 2) => (Completion::new(Outcome::Unknown), None),
            (Some(answer), _) => answer,
        };
        let mut event = Event::new(time_ns, What::Complete { process, completion });
        if let Some(revision) = revision {
            event.extra.insert("mod_revision", Value::Int(revision));
        }
        events.push(event);
    }
    History { header: Header { workload: "etcd".into(), ..Header::default() }, events }
}

struct Operation<'h> {
    call: &'h Call,
    invoked: usize,
    /// None: unknown.
    answered: Option<(usize, &'h Completion, Option<&'h Value>)>,
}

fn operations(history: &History) -> Vec<Operation<'_>> {
    let mut operations: Vec<Operation<'_>> = Vec::new();
    let mut by_process: BTreeMap<Process, usize> = BTreeMap::new();
    let mut failed = Vec::new();
    for (position, event) in history.events.iter().enumerate() {
        match &event.what {
            What::Invoke { process, call } => {
                by_process.insert(*process, operations.len());
                operations.push(Operation { call, invoked: position, answered: None });
            }
            What::Complete { process, completion } => match completion.outcome {
                Outcome::Ok => {
                    let answered = Some((position, completion, event.extra.get("mod_revision")));
                    operations[by_process[process]].answered = answered;
                }
                Outcome::Fail => failed.push(by_process[process]),
                Outcome::Unknown => {}
            },
            What::Fault(_) | What::Phase { .. } | What::Alarm(_) => {}
        }
    }
    let kept = operations.into_iter().enumerate().filter(|(place, _)| !failed.contains(place));
    kept.map(|(_, operation)| operation).collect()
}

fn has_order(operations: &[Operation<'_>], done: u32, store: &Store) -> bool {
    let is_done = |place: usize| done & 1 << place != 0;
    let returns = |operation: &Operation<'_>| operation.answered.map(|(position, ..)| position);
    let waiting = operations.iter().enumerate().filter(|(place, _)| !is_done(*place));
    let Some(first) = waiting.filter_map(|(_, operation)| returns(operation)).min() else { return true };
    (0..operations.len()).filter(|place| !is_done(*place) && operations[*place].invoked < first).any(|place| {
        let mut store = store.clone();
        let answer = store.act(operations[place].call);
        let is_possible = match (operations[place].answered, answer) {
            (None, answer) => answer.is_some(),
            (Some((_, said, revision)), Some((completion, mod_revision))) => {
                let timestamp = |completion: &Completion| completion.read_timestamp.or(completion.commit_timestamp);
                said.value == completion.value
                    && timestamp(said) == timestamp(&completion)
                    && revision.and_then(Value::as_int) == mod_revision
            }
            (Some(_), None) => false,
        };
        is_possible && has_order(operations, done | 1 << place, &store)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    #[test]
    fn a_verdict_is_what_trying_all_orders_says(
        dice in prop::collection::vec(any::<Dice>(), 1..9),
        width in 1usize..4,
        luck in prop::collection::vec(any::<u8>(), 24),
    ) {
        // At most `width` at a time are open.
        let (mut shuffle, mut open, mut next) = (Vec::new(), Vec::new(), 0);
        for luck in luck {
            if next < dice.len() && open.len() < width && (luck % 2 == 0 || open.is_empty()) {
                open.push(next);
                shuffle.push(next);
                next += 1;
            } else if !open.is_empty() {
                shuffle.push(open.remove(usize::from(luck) % open.len()));
            }
        }
        let history = history_of(&shuffle, &dice);
        let expected = has_order(&operations(&history), 0, &empty());
        let mut collector = Collector::new(&Etcd, false);
        history.events.iter().for_each(|event| collector.push(event).unwrap());
        let mut is_valid = true;
        for part in collector.parts().unwrap() {
            match check_part(&Etcd, &part, &mut Meter::new(&Budget::default()), &|_| {}).unwrap() {
                Found::Order(order) => prop_assert_eq!(confirm(&Etcd, &part, &order), Ok(())),
                Found::Blocked(_) => is_valid = false,
            }
        }
        prop_assert_eq!(is_valid, expected, "{:#?}", history);
    }
}

/// As the tests of etcd leave it behind: a folder for each client.
#[test]
fn a_report_of_the_robustness_tests_gets_a_verdict() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../histories/corpus/formats/etcd-json/two_clients");
    let mut history = tenet_histories::read_file(std::path::Path::new(folder)).unwrap().history;
    let judgement = judge(&history).unwrap();
    assert_eq!(judgement.failures().next(), None, "{judgement}");
    // The last write to the key was another one.
    let seen = history.events.iter_mut().rev().find(|event| event.extra.get("mod_revision").is_some()).unwrap();
    assert_eq!(seen.extra.insert("mod_revision", 3.into()), Some(4.into()));
    let judgement = judge(&history).unwrap().to_string();
    let hash = r#"found "key3" with a text with the hash 2166136261"#;
    assert!(judgement.contains("linearizable: INVALID") && judgement.contains(hash), "{judgement}");
}

/// What the model does not know is refused by name, with the operation.
#[test]
fn what_is_not_modelled_is_refused() {
    let refusal = |call: Call, completion: Completion| {
        let events = [What::Invoke { process: Process(0), call }, What::Complete { process: Process(0), completion }];
        let events = events.into_iter().map(|what| Event::new(0, what)).collect();
        let header = Header { workload: "etcd".into(), ..Header::default() };
        let result = judge(&History { header, events });
        assert!(matches!(result, Err(CheckError::Shape { .. })), "{result:?}");
        result.unwrap_err().to_string()
    };
    let raw = |function: &'static str, value: Value| Call { function: function.into(), key: Value::Nil, value };
    let nothing = || Completion::ok(Value::map([("Revision", 2.into())]));
    assert!(refusal(raw("etcd-watch", Value::map([])), nothing()).contains("etcd-watch"));
    let stranger = Value::map([("Txn", Value::map([("Locks", 1.into())]))]);
    assert!(refusal(raw("etcd-txn", stranger), nothing()).contains("Locks"));
    let condition = Value::map([("Key", "a".into()), ("ExpectedValue", "1".into())]);
    let txn = Value::map([("Txn", Value::map([("Conditions", Value::List(vec![condition]))]))]);
    assert!(refusal(raw("etcd-txn", txn), nothing()).contains("ExpectedValue"));
    let put = Call { function: "put".into(), key: "a".into(), value: "1".into() };
    let problem = refusal(put, Completion::ok(Value::Nil));
    assert!(problem.contains("a revision (those without are for model kv)"), "{problem}");
}

/// Many clients, some of whose puts are never answered: a search has little to guess.
#[test]
fn lost_answers_do_not_make_it_slow() {
    const CLIENTS: usize = 20;
    const LOST: u64 = 127;
    let mut store = empty();
    let mut events = Vec::new();
    let mut open: Vec<(Process, Completion, Option<i64>)> = Vec::new();
    let mut state = 88172645463325252u64;
    for number in 0..20_000u32 {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let process = Process(number);
        let key = Value::from(format!("k{}", state % 10));
        let call = match state >> 20 & 3 {
            0 => Call { function: "get".into(), key, value: Value::Nil },
            _ => Call { function: "put".into(), key, value: Value::from(number.to_string()) },
        };
        // Of a hundred one is lost, half of them after they were done.
        let fate = state >> 32 & LOST;
        let answer = if fate == 0 { None } else { store.act(&call) };
        events.push(Event::new(events.len() as u64, What::Invoke { process, call }));
        match answer.filter(|_| fate > 1) {
            Some((completion, revision)) => open.push((process, completion, revision)),
            None => {
                let completion = Completion::new(Outcome::Unknown);
                events.push(Event::new(events.len() as u64, What::Complete { process, completion }));
            }
        }
        if open.len() > CLIENTS {
            let (process, completion, revision) = open.swap_remove((state >> 40) as usize % open.len());
            let mut event = Event::new(events.len() as u64, What::Complete { process, completion });
            if let Some(revision) = revision {
                event.extra.insert("mod_revision", Value::Int(revision));
            }
            events.push(event);
        }
    }
    let history = History { header: Header { workload: "etcd".into(), ..Header::default() }, events };
    let judgement = judge(&history).unwrap();
    assert!(judgement.verdicts.iter().all(|verdict| verdict.finding == Finding::Valid), "{judgement}");
}
