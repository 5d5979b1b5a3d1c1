//! Histories of a few transactions, from databases that are honest only at times.

use proptest::prelude::*;
use tenet_histories::{Call, Completion, Event, Header, History, Outcome, Process, Value, What};

pub const KEYS: i64 = 2;

/// A transaction drawn before its reads are answered: (appends?, key), where the key beyond all stands for a read of all
/// of them; how it ends; and its lies.
pub type Plan = (Vec<(bool, i64)>, Outcome, Vec<u8>);

pub fn append(key: i64, element: i64) -> Value {
    Value::List(vec!["append".into(), key.into(), element.into()])
}

pub fn read(key: i64, list: Value) -> Value {
    Value::List(vec!["r".into(), key.into(), list])
}

pub fn call(asked: Vec<Value>) -> Call {
    Call { function: "txn".into(), key: Value::Nil, value: Value::List(asked) }
}

/// Intervals from a shuffle: each transaction's number occurs twice, first to invoke, then to complete. A process is used
/// again as soon as it is free, so that there are sessions.
pub fn history_of(shuffle: &[usize], calls: &[(Call, Completion)]) -> History {
    let mut busy: Vec<Option<usize>> = Vec::new();
    let mut events = Vec::new();
    for number in shuffle {
        let time_ns = events.len() as u64;
        let (call, completion) = &calls[*number];
        let what = if let Some(process) = busy.iter().position(|busy| *busy == Some(*number)) {
            busy[process] = None;
            What::Complete { process: Process(process as u32), completion: completion.clone() }
        } else {
            let process = busy.iter().position(Option::is_none).unwrap_or(busy.len());
            busy.resize(busy.len().max(process + 1), None);
            busy[process] = Some(*number);
            What::Invoke { process: Process(process as u32), call: call.clone() }
        };
        events.push(Event::new(time_ns, what));
    }
    History { header: Header::default(), events }
}

/// Runs plans against a database whose transactions take effect at once when they begin or when they end, or read when they
/// begin and write when they end. Reads may be some versions behind, and now and then nothing is written at all.
pub fn list_history(shuffle: &[usize], plans: &[Plan], final_read: bool) -> History {
    let mut lists = vec![Vec::<i64>::new(); KEYS as usize];
    let mut calls = vec![(Call::default(), Completion::new(Outcome::Fail)); plans.len()];
    let mut begun = vec![false; plans.len()];
    let mut element = 0;
    for number in shuffle {
        let (plan, outcome, lies) = &plans[*number];
        let applies = *outcome == Outcome::Ok || *outcome == Outcome::Unknown && lies[0] % 4 < 2;
        let applies = applies && lies[0] < 250;
        let (is_late, is_split) = (lies[0] % 2 == 1, lies[1] % 3 == 0);
        let is_end = std::mem::replace(&mut begun[*number], true);
        if is_split && is_end && applies {
            for micro in calls[*number].0.value.as_list().unwrap() {
                if let [Value::Text(name), Value::Int(key), Value::Int(element)] = micro.as_list().unwrap()
                    && name == "append"
                {
                    lists[*key as usize].push(*element);
                }
            }
        }
        if is_split && is_end || !is_split && is_end != is_late {
            continue;
        }
        let (mut asked, mut answered) = (Vec::new(), Vec::new());
        let mut own = lists.clone();
        for ((appends, key), lie) in plan.iter().zip(lies) {
            let behind = if *lie < 200 { 0 } else { usize::from(lie % 3) };
            let is_range = *key == KEYS && !appends;
            if is_range {
                let range = Value::from(vec![0, KEYS - 1]);
                let there = own
                    .iter()
                    .enumerate()
                    .map(|(key, list)| (key as i64, list[..list.len().saturating_sub(behind)].to_vec()));
                let pairs = there.filter(|(_, list)| !list.is_empty());
                let pairs: Vec<Value> = pairs.map(|(key, list)| Value::List(vec![key.into(), list.into()])).collect();
                asked.push(Value::List(vec!["rr".into(), range.clone(), Value::Nil]));
                answered.push(Value::List(vec!["rr".into(), range, Value::List(pairs)]));
                continue;
            }
            let key = &(key % KEYS);
            let list = &mut own[*key as usize];
            if *appends {
                element += 1;
                list.push(element);
                asked.push(append(*key, element));
                answered.push(append(*key, element));
            } else {
                let seen = list[..list.len() - behind.min(list.len())].to_vec();
                asked.push(read(*key, Value::Nil));
                answered.push(read(*key, seen.into()));
            }
        }
        if applies && !is_split {
            lists = own;
        }
        let answer = if *outcome == Outcome::Ok { Value::List(answered) } else { Value::Nil };
        calls[*number] = (call(asked), Completion { value: answer, ..Completion::new(*outcome) });
    }
    let mut shuffle = shuffle.to_vec();
    if final_read {
        shuffle.extend([plans.len(), plans.len()]);
        let asked = (0..KEYS).map(|key| read(key, Value::Nil)).collect();
        let answered = (0..KEYS).map(|key| read(key, lists[key as usize].clone().into())).collect();
        calls.push((call(asked), Completion::ok(Value::List(answered))));
    }
    history_of(&shuffle, &calls)
}

/// The same over registers: the value of one is the last element of a list.
pub fn register_history(shuffle: &[usize], plans: &[Plan], final_read: bool) -> History {
    let mut history = list_history(shuffle, plans, final_read);
    for parts in micros_of(&mut history) {
        if parts[0].as_text() == Some("append") {
            parts[0] = "w".into();
        }
        let is_range = parts[0].as_text() == Some("rr");
        if let Value::List(pairs) = &mut parts[2]
            && is_range
        {
            for pair in pairs {
                let Value::List(pair) = pair else { unreachable!() };
                pair[1] = last_of(&pair[1]);
            }
        } else if let Value::List(_) = &parts[2] {
            parts[2] = last_of(&parts[2]);
        }
    }
    history
}

/// All steps of all transactions, asked and answered.
fn micros_of(history: &mut History) -> impl Iterator<Item = &mut Vec<Value>> {
    let values = history.events.iter_mut().filter_map(|event| match &mut event.what {
        What::Invoke { call, .. } => Some(&mut call.value),
        What::Complete { completion, .. } => Some(&mut completion.value),
        _ => None,
    });
    let lists = values.filter_map(|value| if let Value::List(micros) = value { Some(micros) } else { None });
    lists.flatten().map(|micro| if let Value::List(parts) = micro { parts } else { unreachable!() })
}

fn last_of(list: &Value) -> Value {
    list.as_list().unwrap().last().cloned().unwrap_or(Value::Nil)
}

/// The same history with elements and values that are no integers, or hardly.
pub fn with_other_values(history: &History) -> History {
    let mut history = history.clone();
    for parts in micros_of(&mut history) {
        let is_range = parts[0].as_text() == Some("rr");
        match &mut parts[2] {
            Value::List(pairs) if is_range => {
                for pair in pairs {
                    let Value::List(pair) = pair else { unreachable!() };
                    pair[1] = other(&pair[1]);
                }
            }
            there => *there = other(there),
        }
    }
    history
}

/// Integers become something else, no two of them the same.
fn other(value: &Value) -> Value {
    match value {
        Value::Int(1) => true.into(),
        Value::Int(int) => match int % 5 {
            0 => Value::Text(int.to_string()),
            1 => Value::Keyword(int.to_string()),
            2 => Value::Number(format!("{int}.50")),
            3 => Value::from(vec![*int, 0]),
            _ => Value::Int(i64::MIN + int),
        },
        Value::List(list) => Value::List(list.iter().map(other).collect()),
        other => other.clone(),
    }
}

pub fn outcomes() -> impl Strategy<Value = Outcome> {
    prop_oneof![6 => Just(Outcome::Ok), 1 => Just(Outcome::Fail), 2 => Just(Outcome::Unknown)]
}

pub fn plans() -> impl Strategy<Value = (Vec<usize>, Vec<Plan>)> {
    (1usize..6).prop_flat_map(|count| {
        let micros = prop::collection::vec((any::<bool>(), 0..=KEYS), 1..5);
        let plans = prop::collection::vec((micros, outcomes(), prop::collection::vec(any::<u8>(), 5)), count);
        (Just((0..count).chain(0..count).collect::<Vec<_>>()).prop_shuffle(), plans)
    })
}
