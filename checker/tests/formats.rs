//! The same history in each format gets the same verdict.
//!
//! Every history of the corpus is written in every format that can say it and judged by what is read again; so are random
//! histories of compare-and-set, whose answers are told in different ways. What has no place in a format and tells the
//! judges nothing may be lost; the header, where it is lost, is said again, as a person would with `--model` and `--fact`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Cursor;
use std::path::{Path, PathBuf};

use tenet_checker::models::{MODELS, STAMPED};
use tenet_checker::{Finding, Judgement, judge};
use tenet_histories::{
    Call, Completion, Event, Format, Header, History, HistoryError, Loss, Outcome, Process, Value, What, WriteOptions,
    collect, facts, functions, write_as,
};

/// The history as it comes back from a format; an error: the format cannot say it.
fn through(history: &History, format: Format, losses: &[Loss]) -> Result<History, HistoryError> {
    let mut bytes = Vec::new();
    let options = WriteOptions { losses: losses.to_vec(), concurrency: Some(CONCURRENCY) };
    write_as(history, format, &mut bytes, "h", &options)?;
    let reading = format.source(Cursor::new(&bytes), "h").and_then(|mut source| collect(source.as_mut()));
    let reading = reading.unwrap_or_else(|error| panic!("{error}\n{}", String::from_utf8_lossy(&bytes)));
    assert!(reading.truncated.is_none(), "{format}: {:?}", reading.truncated);
    let header = if losses.contains(&Loss::Header) { history.header.clone() } else { reading.history.header };
    assert_eq!(header, history.header, "{format}");
    Ok(History { header, ..reading.history })
}

/// More than any process of the corpus.
const CONCURRENCY: u32 = 1000;

/// Models that look at clocks: for all others the order is enough.
const TIMED: [&str; 3] = ["leases", "staleness", "convergence"];

/// What was found, and by whom, in which operations.
fn findings(judgement: &Judgement) -> Vec<String> {
    let finding = |finding: &Finding| match finding {
        Finding::Valid => "valid".to_string(),
        Finding::Invalid { operations, .. } => format!("invalid {operations:?}"),
        Finding::Unknown { .. } => "unknown".to_string(),
    };
    judgement.verdicts.iter().map(|verdict| format!("{}: {}", verdict.oracle, finding(&verdict.finding))).collect()
}

fn corpus() -> Vec<(PathBuf, History)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../histories/corpus");
    let folders = fs::read_dir(root).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_dir());
    let files = folders.flat_map(|folder| fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()));
    let mut files: Vec<PathBuf> = files.filter(|path| path.extension().is_some_and(|kind| kind == "jsonl")).collect();
    files.sort();
    let read = |path: PathBuf| {
        let history = tenet_histories::read_file(&path).unwrap().history;
        (path, history)
    };
    files.into_iter().map(read).collect()
}

/// Histories near to this one that poorer formats can say. Their verdicts may differ from its own.
fn variants(history: &History) -> Vec<History> {
    let mut variants = vec![history.clone()];
    // Formats of transactions without an order between sessions; all of them begin with 0 or with nothing.
    if history.header.workload == "rw-register" {
        for initial in [Some(Value::Int(0)), None] {
            let mut unordered = history.clone();
            unordered.header.facts = [(facts::REAL_TIME.to_string(), Value::Bool(false))].into();
            unordered.header.facts.extend(initial.map(|initial| ("initial".to_string(), initial)));
            // By sessions, as such a format stands.
            unordered.events.sort_by_key(|event| match event.what {
                What::Invoke { process, .. } | What::Complete { process, .. } => process,
                What::Fault(_) | What::Phase { .. } | What::Alarm(_) => Process(u32::MAX),
            });
            plain(&mut unordered);
            variants.push(unordered.clone());
            for event in &mut unordered.events {
                match &mut event.what {
                    What::Invoke { call, .. } => named_keys(&mut call.value),
                    What::Complete { completion, .. } => named_keys(&mut completion.value),
                    What::Fault(_) | What::Phase { .. } | What::Alarm(_) => {}
                }
            }
            variants.push(unordered);
        }
    }
    // Formats without keys, if there is but one; and none with keys that are no text.
    let key = |event: &Event| match &event.what {
        What::Invoke { call, .. } => Some(call.key.clone()),
        What::Complete { .. } | What::Fault(_) | What::Phase { .. } | What::Alarm(_) => None,
    };
    let keys: BTreeSet<Value> = history.events.iter().filter_map(key).collect();
    let with_keys = |name: &dyn Fn(&Value) -> Value| {
        let mut other = history.clone();
        plain(&mut other);
        for event in &mut other.events {
            if let What::Invoke { call, .. } = &mut event.what {
                call.key = name(&call.key);
            }
        }
        other
    };
    if keys.len() == 1 {
        variants.push(with_keys(&|_| Value::Nil));
    }
    variants.push(with_keys(&|key| key.as_text().map_or_else(|| Value::from(key.to_string()), Value::from)));
    variants
}

/// Times and processes, which explanations name.
fn named(history: &History) -> Vec<(u64, Option<Process>)> {
    let process = |what: &What| match what {
        What::Invoke { process, .. } | What::Complete { process, .. } => Some(*process),
        What::Fault(_) | What::Phase { .. } | What::Alarm(_) => None,
    };
    history.events.iter().map(|event| (event.time_ns, process(&event.what))).collect()
}

/// Time is the order, and nothing was done to the database.
fn plain(history: &mut History) {
    history.events.retain(|event| !matches!(event.what, What::Fault(_) | What::Phase { .. }));
    for (position, event) in history.events.iter_mut().enumerate() {
        event.time_ns = position as u64;
    }
}

/// `["r", 1, 2]` to `["r", "k1", 2]`.
fn named_keys(transaction: &mut Value) {
    let Value::List(micros) = transaction else { return };
    for micro in micros {
        if let Value::List(micro) = micro
            && let Some(key) = micro.get_mut(1)
        {
            *key = Value::from(format!("k{}", key.to_string().trim_matches('"')));
        }
    }
}

#[test]
fn the_corpus_gets_the_same_verdict_in_each_format() {
    // For each format and model, how many valid and invalid histories it can say.
    let mut said: BTreeMap<Format, BTreeMap<String, [usize; 2]>> = BTreeMap::new();
    for (path, original) in corpus() {
        for history in variants(&original) {
            let Ok(expected) = judge(&history) else { continue };
            for format in Format::ALL {
                let model = &history.header.workload;
                let mut losses = vec![Loss::Errors, Loss::Extra, Loss::Time];
                if !matches!(format, Format::JsonLines | Format::Binary | Format::JepsenEdn) {
                    losses.push(Loss::Header);
                }
                if TIMED.contains(&model.as_str()) {
                    losses.retain(|loss| *loss != Loss::Time);
                }
                let Ok(again) = through(&history, format, &losses) else { continue };
                let is_valid = expected.failures().next().is_none();
                said.entry(format).or_default().entry(model.clone()).or_default()[usize::from(!is_valid)] += 1;
                let found = judge(&again).unwrap_or_else(|error| panic!("{} as {format}: {error}", path.display()));
                assert_eq!(findings(&found), findings(&expected), "{} as {format}", path.display());
                // Where nothing that the words name was lost (a process that crashed goes on as another).
                if named(&again) == named(&history) {
                    assert_eq!(found.to_string(), expected.to_string(), "{} as {format}", path.display());
                }
            }
        }
    }
    let mut pairs = said.iter().flat_map(|(format, models)| models.iter().map(move |of| (format, of)));
    let toothless = pairs.find(|(_, (_, [_, invalid]))| *invalid == 0);
    assert_eq!(toothless, None, "a format and a model that no invalid history went through");
    let models: BTreeSet<&str> = MODELS.iter().map(|model| model.name).collect();
    let of = |format: Format| said[&format].keys().map(String::as_str).collect::<BTreeSet<&str>>();
    for rich in [Format::JsonLines, Format::Binary, Format::JepsenEdn, Format::ElleJson] {
        assert_eq!(of(rich), models, "{rich}");
    }
    // A log has no place for timestamps.
    assert_eq!(of(Format::JepsenLog), models.iter().copied().filter(|name| *name != STAMPED).collect());
    assert_eq!(of(Format::PorcupineKv), ["kv"].into());
    assert_eq!(of(Format::EtcdJson), ["etcd", "kv"].into());
    assert_eq!(of(Format::PolysiText), ["rw-register"].into());
    assert_eq!(of(Format::DbcopText), ["rw-register"].into());
}

/// A register that swaps, asked by a few clients at random; it lies now and then.
fn swaps(seed: u64) -> History {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut luck = move |below: u64| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 11) % below
    };
    let mut history =
        History { header: Header { workload: "register".into(), ..Header::default() }, events: Vec::new() };
    let mut value = Value::Nil;
    let mut open: BTreeMap<u32, Completion> = BTreeMap::new();
    let mut clients = [0, 1, 2];
    for _ in 0..26 {
        let client = luck(3) as usize;
        let process = clients[client];
        let what = match open.remove(&process) {
            None => {
                let values = [Value::Int(luck(3) as i64), Value::Int(luck(3) as i64)];
                let (call, answer) = match luck(4) {
                    0 => (functions::READ, value.clone()),
                    1 => (functions::WRITE, Value::Nil),
                    _ => (functions::COMPARE_AND_SET, Value::Bool(values[0] == value)),
                };
                let call = Call {
                    function: call.into(),
                    key: Value::Nil,
                    value: match call {
                        functions::READ => Value::Nil,
                        functions::WRITE => values[1].clone(),
                        _ => Value::List(values.to_vec()),
                    },
                };
                let completion = match luck(12) {
                    0 => Completion::new(Outcome::Fail),
                    1 => Completion::new(Outcome::Unknown),
                    2 if call.function == functions::COMPARE_AND_SET => Completion::ok(Value::Bool(luck(2) == 0)),
                    3 if answer == Value::Bool(false) => Completion::new(Outcome::Fail),
                    4 if answer == Value::Bool(true) => Completion::ok(Value::Nil),
                    _ => Completion::ok(answer.clone()),
                };
                let writes = call.function == functions::WRITE || answer == Value::Bool(true);
                if writes && completion.outcome != Outcome::Fail {
                    value = values[1].clone();
                }
                open.insert(process, completion);
                What::Invoke { process: Process(process), call }
            }
            Some(completion) => {
                if completion.outcome == Outcome::Unknown {
                    clients[client] += 3;
                }
                What::Complete { process: Process(process), completion }
            }
        };
        history.events.push(Event::new(history.events.len() as u64, what));
    }
    history
}

/// Whether a compare-and-set was answered that it found another value.
fn has_refusals(history: &History) -> bool {
    history.events.iter().any(|event| match &event.what {
        What::Complete { completion, .. } => completion.value == Value::Bool(false),
        What::Invoke { .. } | What::Fault(_) | What::Phase { .. } | What::Alarm(_) => false,
    })
}

#[test]
fn a_refused_cas_means_the_same_in_each_format() {
    let (mut valid, mut invalid, mut without_refusals, mut other_by_loss) = (0, 0, 0, 0);
    for seed in 0..1500 {
        let history = swaps(seed);
        let expected = judge(&history).unwrap();
        let found = findings(&expected);
        *(if expected.failures().next().is_none() { &mut valid } else { &mut invalid }) += 1;
        for format in [Format::JsonLines, Format::Binary, Format::JepsenEdn, Format::ElleJson] {
            let losses: &[Loss] = if format == Format::ElleJson { &[Loss::Header] } else { &[] };
            let again = through(&history, format, losses).unwrap_or_else(|error| panic!("{seed}: {error}"));
            assert_eq!(again, history, "{seed} as {format}");
            assert_eq!(judge(&again).unwrap().to_string(), expected.to_string(), "{seed} as {format}");
        }
        match through(&history, Format::JepsenLog, &[Loss::Header]) {
            Ok(again) => {
                assert!(!has_refusals(&history), "{seed}");
                assert_eq!(findings(&judge(&again).unwrap()), found, "{seed}");
                without_refusals += 1;
            }
            Err(HistoryError::Inexpressible { loss: Loss::Refusals, .. }) => {
                assert!(has_refusals(&history), "{seed}");
                // Who loses the refusals loses proofs, and invents none (C1).
                let less = through(&history, Format::JepsenLog, &[Loss::Header, Loss::Refusals]).unwrap();
                let less = judge(&less).unwrap();
                other_by_loss += usize::from(findings(&less) != found);
                assert!(less.failures().next().is_none() || expected.failures().next().is_some(), "{seed}");
            }
            Err(error) => panic!("{seed}: {error}"),
        }
        for format in [Format::PorcupineKv, Format::EtcdJson, Format::PolysiText, Format::DbcopText] {
            assert!(through(&history, format, &Loss::ALL).is_err(), "{seed}: {format} has no cas");
        }
    }
    let counts = [valid, invalid, without_refusals, other_by_loss];
    assert!(counts.iter().all(|count| *count > 30), "{counts:?}");
}
