//! Transactions against an obvious model: whatever the interleaving, those that commit could have run one after the other,
//! in the order of their timestamps.

mod memory;

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::executor::block_on;
use memory::Memory;
use proptest::prelude::*;
use tenet_shard::{ShardError, Target};
use tenet_txn::{PageLimit, Transaction, TxnError};
use tenet_types::{
    CatalogVersion, IndexId, Key, KeyBuilder, RangeEpoch, RequestId, ShardId, Span, TXN_BYTES_MAX, TableId, TenantId,
    Timestamp, Value,
};

const SHARD: ShardId = ShardId(2);

fn key(n: u8) -> Key {
    KeyBuilder::new(TableId(100), IndexId(1)).push(&Value::Int4(i32::from(n))).build()
}

fn target(catalog: Option<CatalogVersion>) -> Target {
    Target { tenant: TenantId(1), shard: SHARD, epoch: RangeEpoch(1), catalog }
}

fn begin(memory: &Arc<Memory>, sequence: u64) -> Transaction {
    Transaction::begin(memory.clone(), target(Some(CatalogVersion(0))), RequestId { session: 1, sequence })
}

#[derive(Clone, Debug)]
enum Step {
    Get(u8),
    /// First key, number of keys, number of rows wanted.
    Scan(u8, u8, usize),
    Put(u8, u8),
    Delete(u8),
    Commit,
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (0u8..8).prop_map(Step::Get),
        2 => (0u8..8, 0u8..5, 1usize..4).prop_map(|(first, count, rows)| Step::Scan(first, count, rows)),
        4 => (0u8..8, any::<u8>()).prop_map(|(key, value)| Step::Put(key, value)),
        1 => (0u8..8).prop_map(Step::Delete),
        2 => Just(Step::Commit),
    ]
}

/// What one transaction did and saw, to be done again alone.
#[derive(Default)]
struct Run {
    transaction: Option<Transaction>,
    seen: Vec<(Step, Vec<(Key, Vec<u8>)>)>,
}

type Rows = BTreeMap<Key, Vec<u8>>;

/// Does the steps of one transaction alone on `rows` and compares what is seen.
fn replay(seen: &[(Step, Vec<(Key, Vec<u8>)>)], rows: &mut Rows) {
    for (step, result) in seen {
        let expected: Vec<(Key, Vec<u8>)> = match step {
            Step::Get(n) => rows.get_key_value(&key(*n)).map(|(k, v)| (k.clone(), v.clone())).into_iter().collect(),
            Step::Scan(first, count, _) => {
                rows.range(key(*first)..key(first + count)).map(|(k, v)| (k.clone(), v.clone())).collect()
            }
            Step::Put(n, value) => {
                rows.insert(key(*n), vec![*value]);
                continue;
            }
            Step::Delete(n) => {
                rows.remove(&key(*n));
                continue;
            }
            Step::Commit => continue,
        };
        // A scan that stopped at its limit saw a prefix; one that did not saw everything.
        match step {
            Step::Scan(_, _, usize::MAX) | Step::Get(_) => assert_eq!(expected, *result, "{step:?}"),
            _ => assert!(expected.starts_with(result), "{step:?} saw {result:?} of {expected:?}"),
        }
    }
}

async fn scan_rows(transaction: &Transaction, span: Span, wanted: usize) -> (Vec<(Key, Vec<u8>)>, bool) {
    let (mut rows, mut start) = (Vec::new(), Some(span.start.clone()));
    while let Some(from) = start {
        let limit = PageLimit { rows: wanted, bytes: 1 << 20 };
        let page = transaction.scan(&Span { start: from, end: span.end.clone() }, limit).await.unwrap();
        rows.extend(page.rows);
        start = page.resume;
        if rows.len() >= wanted {
            return (rows, start.is_none());
        }
    }
    (rows, true)
}

fn check(schedule: &[(usize, Step)], page_rows_max: usize) {
    let memory = Arc::new(Memory::default());
    memory.with(SHARD, |shard| shard.page_rows_max = Some(page_rows_max));
    let mut runs: Vec<Run> = (0..3).map(|_| Run::default()).collect();
    let mut committed: BTreeMap<Timestamp, Vec<(Step, Vec<(Key, Vec<u8>)>)>> = BTreeMap::new();
    let mut read_only: Vec<(Timestamp, Vec<(Step, Vec<(Key, Vec<u8>)>)>)> = Vec::new();
    block_on(async {
        for (sequence, (who, step)) in schedule.iter().enumerate() {
            let run = &mut runs[*who];
            let transaction = run.transaction.get_or_insert_with(|| begin(&memory, sequence as u64));
            let mut result = Vec::new();
            match step {
                Step::Get(n) => {
                    let value = transaction.get(&[key(*n)]).await.unwrap().remove(0);
                    result.extend(value.map(|value| (key(*n), value)));
                }
                Step::Scan(first, count, wanted) => {
                    let span = Span { start: key(*first), end: key(first + count) };
                    let complete;
                    (result, complete) = scan_rows(transaction, span, *wanted).await;
                    if complete {
                        // Nothing follows: the replay must see exactly this.
                        run.seen.push((Step::Scan(*first, *count, usize::MAX), result.clone()));
                    }
                }
                Step::Put(n, value) => transaction.put(key(*n), vec![*value]).unwrap(),
                Step::Delete(n) => transaction.delete(key(*n)).unwrap(),
                Step::Commit => {
                    let Run { transaction, seen, .. } = std::mem::take(run);
                    let transaction = transaction.unwrap();
                    let snapshot = transaction.snapshot();
                    match (transaction.commit().await, snapshot) {
                        (Ok(Some(at)), _) => assert!(committed.insert(at, seen).is_none()),
                        (Ok(None), Some(at)) => read_only.push((at, seen)),
                        (Ok(None), None) | (Err(TxnError::Shard(ShardError::Conflict)), _) => {}
                        (Err(error), _) => panic!("{error}"),
                    }
                    continue;
                }
            }
            run.seen.push((step.clone(), result));
        }
    });
    let (mut rows, mut at_snapshot) = (Rows::new(), BTreeMap::from([(Timestamp::ZERO, Rows::new())]));
    for (at, seen) in &committed {
        replay(seen, &mut rows);
        at_snapshot.insert(*at, rows.clone());
    }
    for (at, seen) in &read_only {
        replay(seen, &mut at_snapshot[at].clone());
    }
    let now = memory.with(SHARD, |shard| shard.now);
    for n in 0..8 {
        let stored = memory.with(SHARD, |shard| shard.get(&key(n), now));
        assert_eq!(stored, rows.get(&key(n)).cloned());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]
    #[test]
    fn interleaved_transactions_are_serializable(
        schedule in prop::collection::vec((0usize..3, any_step()), 1..60), page_rows_max in 1usize..4,
    ) {
        check(&schedule, page_rows_max);
    }
}

/// The judge is judged: rows that a complete scan did not show are a phantom.
#[test]
#[should_panic(expected = "Scan")]
fn the_replay_sees_phantoms() {
    replay(&[(Step::Scan(0, 3, usize::MAX), Vec::new())], &mut Rows::from([(key(1), vec![1])]));
}

#[test]
fn two_that_insert_only_if_the_span_is_empty_do_not_both_commit() {
    let memory = Arc::new(Memory::default());
    let (mut a, mut b) = (begin(&memory, 1), begin(&memory, 2));
    let span = Span { start: key(0), end: key(9) };
    block_on(async {
        assert!(a.scan(&span, PageLimit::default()).await.unwrap().rows.is_empty());
        assert!(b.scan(&span, PageLimit::default()).await.unwrap().rows.is_empty());
        a.put(key(1), vec![1]).unwrap();
        b.put(key(2), vec![2]).unwrap();
        a.commit().await.unwrap();
        assert_eq!(b.commit().await, Err(TxnError::Shard(ShardError::Conflict)));
    });
}

#[test]
fn a_page_that_ended_early_leaves_the_rest_of_the_span_to_others() {
    let memory = Arc::new(Memory::default());
    block_on(async {
        let mut seed = begin(&memory, 1);
        (1..5).for_each(|n| seed.put(key(n), vec![n]).unwrap());
        seed.commit().await.unwrap();
        let mut reads_first = begin(&memory, 2);
        let span = Span { start: key(0), end: key(9) };
        let page = reads_first.scan(&span, PageLimit { rows: 1, bytes: 1 << 20 }).await.unwrap();
        assert_eq!((page.rows.len(), page.resume), (1, Some(key(2))));
        reads_first.put(key(100), vec![1]).unwrap();
        let mut writes_last = begin(&memory, 3);
        writes_last.put(key(4), vec![9]).unwrap();
        writes_last.commit().await.unwrap();
        reads_first.commit().await.unwrap();
    });
}

#[test]
fn a_reader_sees_the_writes_of_before_and_none_of_after() {
    let memory = Arc::new(Memory::default());
    block_on(async {
        let mut transaction = begin(&memory, 1);
        transaction.put(key(1), vec![1]).unwrap();
        let reader = transaction.reader();
        transaction.put(key(1), vec![2]).unwrap();
        transaction.put(key(2), vec![2]).unwrap();
        let span = Span { start: key(0), end: key(9) };
        assert_eq!(reader.scan(&span, PageLimit::default()).await.unwrap().rows, vec![(key(1), vec![1])]);
        assert_eq!(reader.get(&[key(1), key(2)]).await.unwrap(), vec![Some(vec![1]), None]);
        assert_eq!(transaction.get(&[key(2)]).await.unwrap(), vec![Some(vec![2])]);
        assert_eq!(transaction.snapshot(), reader.snapshot());
    });
}

#[test]
fn readers_that_start_together_share_one_snapshot() {
    let memory = Arc::new(Memory::default());
    block_on(async {
        let transaction = begin(&memory, 1);
        let (a, b) = (transaction.reader(), transaction.reader());
        let (keys_a, keys_b) = ([key(1)], [key(2)]);
        let other = async {
            let mut other = begin(&memory, 2);
            other.put(key(2), vec![1]).unwrap();
            other.commit().await.unwrap();
            b.get(&keys_b).await.unwrap()
        };
        let (first, second) = futures::join!(a.get(&keys_a), other);
        assert_eq!((first, second), (Ok(vec![None]), vec![None]));
    });
}

#[test]
fn requests_are_counted_one_to_read_one_to_commit_and_none_for_what_is_known() {
    let memory = Arc::new(Memory::default());
    let requests = || memory.with(SHARD, |shard| std::mem::take(&mut shard.requests));
    block_on(async {
        let mut insert = begin(&memory, 1);
        assert_eq!(insert.get(&[key(1)]).await.unwrap(), vec![None]);
        assert_eq!(insert.get(&[key(1)]).await.unwrap(), vec![None]);
        insert.put(key(1), vec![1]).unwrap();
        assert_eq!(insert.get(&[key(1)]).await.unwrap(), vec![Some(vec![1])]);
        insert.commit().await.unwrap();
        let counted = requests();
        assert_eq!((counted.gets, counted.scans, counted.commits), (1, 0, 1));

        let reads = begin(&memory, 2);
        reads.get(&[key(1)]).await.unwrap();
        assert_eq!(reads.commit().await, Ok(None));
        let counted = requests();
        assert_eq!((counted.gets, counted.commits), (1, 0));

        let mut blind = begin(&memory, 3);
        blind.put(key(1), vec![1]).unwrap();
        blind.commit().await.unwrap();
        let counted = requests();
        assert_eq!((counted.gets, counted.commits), (1, 1));
        let reads = memory.with(SHARD, |shard| shard.commits.last().unwrap().1.reads.clone());
        assert_eq!(reads.keys, vec![Key::catalog_version()]);
    });
}

#[test]
fn a_change_of_the_catalog_stops_reads_and_commits_planned_before_it() {
    let memory = Arc::new(Memory::default());
    block_on(async {
        let mut old = begin(&memory, 1);
        old.get(&[key(1)]).await.unwrap();
        let mut ddl = begin(&memory, 2);
        ddl.get(&[Key::catalog_version()]).await.unwrap();
        ddl.put(Key::catalog_version(), vec![1]).unwrap();
        ddl.commit().await.unwrap();
        let changed = TxnError::Shard(ShardError::CatalogChanged);
        assert_eq!(old.get(&[key(2)]).await, Err(changed.clone()));
        old.put(key(1), vec![1]).unwrap();
        assert_eq!(old.commit().await, Err(changed));
        // Even a transaction that names no version conflicts, by its read set (T3).
        let mut any = Transaction::begin(memory.clone(), target(None), RequestId { session: 2, sequence: 1 });
        any.put(key(1), vec![1]).unwrap();
        any.get(&[key(1), key(3)]).await.unwrap();
        let mut ddl = Transaction::begin(memory.clone(), target(None), RequestId { session: 2, sequence: 2 });
        ddl.put(Key::catalog_version(), vec![2]).unwrap();
        ddl.commit().await.unwrap();
        assert_eq!(any.commit().await, Err(TxnError::Shard(ShardError::Conflict)));
    });
}

#[test]
fn writes_beyond_the_bound_are_refused_and_the_bound_holds_for_what_is_sent() {
    let memory = Arc::new(Memory::default());
    let mut transaction = begin(&memory, 1);
    assert_eq!(transaction.put(key(1), vec![0; TXN_BYTES_MAX]), Err(TxnError::TooLarge));
    for n in 0..200 {
        if transaction.put(key(n), vec![n; 10_000]).is_err() {
            break;
        }
    }
    assert_eq!(transaction.put(key(201), vec![0; 10_000]), Err(TxnError::TooLarge));
    transaction.put(key(0), vec![0; 9_000]).unwrap();
    // The same rows again take nothing more, however often.
    for n in (0..90).chain(0..90) {
        transaction.put(key(n), vec![n; 10_000]).unwrap();
    }
    block_on(transaction.commit()).unwrap();
    let writes = memory.with(SHARD, |shard| shard.commits[0].1.writes.clone());
    let entry = tenet_types::Entry::Commit {
        request: RequestId { session: u128::MAX, sequence: u64::MAX },
        catalog: CatalogVersion(u64::MAX),
        wall_ms: u64::MAX,
        writes,
    };
    assert!(entry.encode().len() <= TXN_BYTES_MAX);
}
