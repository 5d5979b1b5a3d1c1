//! Every history of histories/corpus gets the verdict that stands beside it.

use std::fs;
use std::path::{Path, PathBuf};

use tenet_checker::{Finding, Oracle, judge};

fn corpus() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../histories/corpus");
    let mut found = Vec::new();
    let mut folders = vec![root];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "jsonl") || said_of(&path).exists() {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

/// Where the verdict on a history is.
fn said_of(path: &Path) -> PathBuf {
    match path.extension() {
        Some(extension) if extension == "jsonl" => path.with_extension("expected"),
        _ => path.with_added_extension("expected"),
    }
}

#[test]
fn every_history_gets_its_verdict() {
    let corpus = corpus();
    assert!(corpus.len() >= 50, "the corpus has {} histories", corpus.len());
    let mut wrong = Vec::new();
    let mut found_by = Vec::new();
    for path in &corpus {
        let reading = tenet_histories::read_file(path).unwrap();
        assert!(reading.truncated.is_none(), "{}", path.display());
        let judgement = judge(&reading.history).unwrap();
        let expected = fs::read_to_string(said_of(path)).unwrap();
        let mut lines = expected.lines();
        let mut failures = judgement.failures();
        let found = match failures.next() {
            None => "valid".to_string(),
            Some(verdict) => match &verdict.finding {
                Finding::Invalid { operations, .. } => {
                    let count = reading.history.operations().unwrap().len();
                    assert!(operations.iter().all(|operation| *operation < count), "{}", path.display());
                    found_by.push(verdict.oracle);
                    format!("invalid {}", verdict.oracle)
                }
                // No file beside may ask for it: what stands here is known.
                Finding::Unknown { .. } => panic!("{}: {verdict}", path.display()),
                Finding::Valid => unreachable!("valid is no failure"),
            },
        };
        let more = failures.count();
        let says = judgement.to_string();
        let missing: Vec<&str> = lines.clone().skip(1).filter(|phrase| !says.contains(phrase)).collect();
        if lines.next() != Some(found.as_str()) || more > 0 || !missing.is_empty() {
            wrong.push(format!("{}\nexpected: {expected}found: {says}\nmissing: {missing:?}\n", path.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let by_history = [
        Oracle::Linearizable,
        Oracle::BankTotal,
        Oracle::Lists,
        Oracle::Registers,
        Oracle::WriteSkew,
        Oracle::PredicateSkew,
        Oracle::Timestamps,
        Oracle::Alarm,
        Oracle::Set,
        Oracle::Counter,
        Oracle::UniqueIds,
        Oracle::Queue,
        Oracle::Session,
        Oracle::Causal,
        Oracle::Convergence,
        Oracle::Staleness,
        Oracle::Leases,
        Oracle::Log,
    ];
    for oracle in by_history {
        assert!(found_by.contains(&oracle), "no history that {oracle} finds invalid");
    }
}
