//! Reads against the model, and what apply and checkpoint promise without crashes.

use proptest::prelude::*;
use tenet_seam::fake::FakeDisk;
use tenet_types::{CatalogVersion, CodecError, Entry, Key, LogIndex, RequestId, Span, Term, Timestamp, Write};

use super::support::*;
use crate::{Meta, ScanLimit, Store, StoreError, StoreOptions};

/// A key at, just before or just after one of the model's, or a bare prefix.
fn draw_bound(luck: &mut Luck) -> Key {
    let exact = key(luck.below(40));
    match luck.below(5) {
        0 => exact,
        1 => exact.successor(),
        2 => Key(exact.0[..12].to_vec()),
        3 => exact.prefix_end().unwrap(),
        _ => Key(exact.0[..luck.below(exact.0.len() as u64) as usize].to_vec()),
    }
}

/// Reads a span to its end and returns its rows; every page keeps its limits.
fn scan(store: &Store, span: &Span, at: Timestamp, limit: ScanLimit) -> Vec<(Key, Vec<u8>)> {
    let mut rows = Vec::new();
    let mut rest = span.clone();
    loop {
        let page = store.scan(&rest, at, limit).unwrap();
        let bytes: usize = page.rows.iter().map(|(key, value)| key.0.len() + value.len()).sum();
        assert!(page.rows.len() <= limit.rows);
        assert!(page.rows.len() <= 1 || bytes <= limit.bytes, "{bytes} bytes of {}", limit.bytes);
        rows.extend(page.rows);
        let Some(resume) = page.resume else { return rows };
        assert!(rest.contains(&resume) && (resume > rest.start || rest.start == span.start), "no progress");
        rest.start = resume;
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]
    #[test]
    fn reads_at_any_time_equal_the_model(seed: u64, entry_count in 0u64..160, key_count in 1u64..40) {
        let luck = &mut Luck(seed);
        let disk = FakeDisk::new(seed);
        let mut model = Model::new();
        let mut store = Store::create(disk.handle(), PATH, &TIGHT, SHARD).unwrap();
        while model.last() < entry_count {
            for _ in 0..luck.range(1, 12) {
                model.draw(luck, key_count);
            }
            let before = store.meta().applied;
            let applied = store.apply(model.entries(before)).unwrap();
            for (at, applied) in applied.iter().enumerate() {
                let meta = &model.metas[before.0 as usize + 1 + at];
                prop_assert_eq!((applied.timestamp, applied.state_hash), (meta.timestamp, meta.state_hash));
            }
            if luck.one_in(4) {
                prop_assert_eq!(store.checkpoint().unwrap(), store.meta());
                prop_assert_eq!(store.durable(), store.meta());
            }
            if luck.one_in(6) {
                store.close().unwrap();
                store = open(&disk).unwrap();
                prop_assert_eq!(store.durable(), model.meta().clone());
            }
        }
        assert_is_model(&store, &model);
        if luck.one_in(2) {
            store.steps_max = luck.range(1, 40) as usize;
        }
        for _ in 0..60 {
            let at = match luck.below(4) {
                0 => Timestamp(luck.next()),
                1 => Timestamp::MAX,
                2 => Timestamp::ZERO,
                _ => model.metas[luck.below(model.metas.len() as u64) as usize].timestamp,
            };
            let wanted = key(luck.below(key_count));
            prop_assert_eq!(store.get(&wanted, at).unwrap(), model.get(&wanted, at), "{} at {}", wanted, at);
            let odd = draw_bound(luck);
            prop_assert_eq!(store.get(&odd, at).unwrap(), model.get(&odd, at), "{} at {}", odd, at);

            let span = Span { start: draw_bound(luck), end: draw_bound(luck) };
            let limit = ScanLimit { rows: luck.range(1, 20) as usize, bytes: luck.below(20_000) as usize };
            prop_assert_eq!(scan(&store, &span, at, limit), model.scan(&span, at), "{:?} at {}", span, at);
        }
        let limit = ScanLimit { rows: 3, bytes: 10_000 };
        let now = model.meta().timestamp;
        prop_assert_eq!(scan(&store, &everything(), now, limit), model.scan(&everything(), now));
    }
}

#[test]
fn a_page_that_ends_with_the_span_says_so() {
    let disk = FakeDisk::new(1);
    let mut model = Model::new();
    model.append(&commit((0..6).map(|n| Write { key: key(6 * n), value: Some(vec![1]) }).collect()));
    let store = filled(&disk, &model, &TIGHT);
    let rows = model.scan(&everything(), Timestamp::MAX);
    let limit = ScanLimit { rows: rows.len(), bytes: usize::MAX };
    let page = store.scan(&everything(), Timestamp::MAX, limit).unwrap();
    assert_eq!((page.rows, page.resume), (rows.clone(), None));

    let limit = ScanLimit { rows: rows.len() - 1, bytes: usize::MAX };
    let page = store.scan(&everything(), Timestamp::MAX, limit).unwrap();
    assert!(page.resume.is_some());

    let none = Span { start: key(5), end: key(5) };
    assert_eq!(store.scan(&none, Timestamp::MAX, limit).unwrap().resume, None);
}

fn commit(writes: Vec<Write>) -> Entry {
    let request = RequestId { session: 1, sequence: 1 };
    Entry::Commit { request, catalog: CatalogVersion(0), wall_ms: 5, writes }
}

#[test]
fn a_scan_does_not_step_through_the_versions_of_one_key() {
    let disk = FakeDisk::new(1);
    let mut model = Model::new();
    let write = |n: u64, value: u64| Write { key: key(3 * n), value: Some(value.to_be_bytes().to_vec()) };
    model.append(&commit(vec![write(0, 0), write(2, 0), write(4, 0)]));
    for value in 1..5_000 {
        model.append(&commit(vec![write(2, value)]));
    }
    let mut store = Store::create(disk.handle(), PATH, &StoreOptions::default(), SHARD).unwrap();
    store.apply(model.entries(LogIndex::ZERO)).unwrap();
    // A scan that stepped through them would stop and ask to be continued.
    store.steps_max = 60;
    let limit = ScanLimit { rows: 10, bytes: usize::MAX };
    for at in [model.metas[1].timestamp, model.metas[2_500].timestamp, model.meta().timestamp] {
        let page = store.scan(&everything(), at, limit).unwrap();
        assert_eq!((page.rows, page.resume), (model.scan(&everything(), at), None));
    }
}

/// However little one call may do, the next one begins further on.
#[test]
fn a_scan_makes_progress_from_between_the_versions_of_a_key() {
    let disk = FakeDisk::new(1);
    let mut model = Model::new();
    let write = |n: u64, value| Write { key: key(6 * n), value: Some(vec![value]) };
    for value in 0..30 {
        model.append(&commit(vec![write(0, value), write(1, value), write(2, value)]));
    }
    let mut store = filled(&disk, &model, &TIGHT);
    store.steps_max = 1;
    let span = Span { start: key(0).successor(), ..everything() };
    let limit = ScanLimit { rows: 10, bytes: usize::MAX };
    assert_eq!(scan(&store, &span, Timestamp::MAX, limit), model.scan(&span, Timestamp::MAX));
}

#[test]
fn work_in_one_call_is_bounded_though_nothing_is_found() {
    let disk = FakeDisk::new(1);
    let mut model = Model::new();
    let keys: Vec<Key> = (0..300).map(|n| key(6 * n)).collect();
    let write =
        |value: Option<Vec<u8>>| keys.iter().map(|key| Write { key: key.clone(), value: value.clone() }).collect();
    model.append(&commit(write(Some(vec![1]))));
    model.append(&commit(write(None)));
    let mut store = filled(&disk, &model, &TIGHT);
    store.steps_max = 100;
    let limit = ScanLimit { rows: 10, bytes: usize::MAX };
    let page = store.scan(&everything(), Timestamp::MAX, limit).unwrap();
    assert!(page.rows.is_empty() && page.resume.is_some(), "300 deleted rows within 100 steps");
    assert_eq!(scan(&store, &everything(), Timestamp::MAX, limit), vec![]);
    let early = Meta { timestamp: Timestamp(1), ..store.meta() };
    let chunk = store.export(&early, None, 1_000_000).unwrap();
    assert!(chunk.resume.is_some(), "600 later versions within 100 steps");
    assert_eq!(versions(&store, &early).unwrap(), vec![]);
}

#[test]
fn apply_refuses_gaps_old_terms_and_garbage_and_changes_nothing() {
    let disk = FakeDisk::new(1);
    let luck = &mut Luck(3);
    let mut model = Model::new();
    for _ in 0..30 {
        model.draw(luck, 9);
    }
    let store = filled(&disk, &model, &TIGHT);
    let next = LogIndex(31);
    let noop: std::sync::Arc<[u8]> = Entry::Noop.encode().into();
    for (index, term) in [(LogIndex(30), Term(9)), (LogIndex(32), Term(9)), (next, Term(3))] {
        let refused = store.apply(&[(index, term, noop.clone())]);
        assert!(matches!(refused, Err(StoreError::NotContiguous { .. })), "{refused:?}");
    }
    let good = commit(vec![Write { key: key(1), value: None }]).encode();
    let torn = good[..good.len() - 1].to_vec();
    let refused = store.apply(&[(next, Term(9), good.into()), (next.next(), Term(9), torn.into())]);
    let expected = CodecError { what: "write kind", offset: refused_offset(&refused) };
    assert!(
        matches!(&refused, Err(StoreError::Entry { index: LogIndex(32), source }) if *source == expected),
        "{refused:?}"
    );
    assert_is_model(&store, &model);
    assert_eq!(store.meta(), *model.meta());
    store.apply(&[(next, Term(9), noop)]).unwrap();
    assert_eq!(store.apply(&[]).unwrap(), vec![]);
}

fn refused_offset(result: &Result<Vec<crate::Applied>, StoreError>) -> usize {
    match result {
        Err(StoreError::Entry { source, .. }) => source.offset,
        _ => 0,
    }
}

#[test]
fn batches_do_not_matter() {
    let luck = &mut Luck(5);
    let mut model = Model::new();
    for _ in 0..60 {
        model.draw(luck, 20);
    }
    let mut exports = Vec::new();
    for batch_max in [1, 7, 60] {
        let disk = FakeDisk::new(batch_max as u64);
        let store = Store::create(disk.handle(), PATH, &TIGHT, SHARD).unwrap();
        for batch in model.log.chunks(batch_max) {
            store.apply(batch).unwrap();
        }
        exports.push((store.meta(), export(&store, &store.meta(), 5_000).unwrap()));
    }
    assert!(exports.windows(2).all(|pair| pair[0] == pair[1]));
}

/// A read that is held makes redb keep every page freed since (T3). Our streams hold none between two pages.
#[test]
fn a_stream_of_pages_holds_no_transaction() {
    let grown = |streaming: bool, held: bool| {
        let luck = &mut Luck(9);
        let disk = FakeDisk::new(9);
        let mut model = Model::new();
        let writes = |luck: &mut Luck, n: u64| {
            let value = (0..100).map(|_| luck.next() as u8).collect();
            commit(vec![Write { key: key(n), value: Some(value) }])
        };
        for n in 0..500 {
            model.append(&writes(luck, n));
        }
        let store = filled(&disk, &model, &TIGHT);
        store.checkpoint().unwrap();
        let at = store.meta();
        let mut resume = None;
        let mut export_resume = None;
        let mut txn = None;
        for round in 0..1_500 {
            model.append(&writes(luck, round % 500));
            store.apply(model.entries(store.meta().applied)).unwrap();
            if round == 10 && held {
                txn = Some(store.with_database(|db| Ok(redb::ReadableDatabase::begin_read(db).unwrap())).unwrap());
            }
            if streaming && round % 3 == 0 {
                let span = Span { start: resume.take().unwrap_or_default(), ..everything() };
                resume = store.scan(&span, at.timestamp, ScanLimit { rows: 1, bytes: 100 }).unwrap().resume;
                export_resume = store.export(&at, export_resume, 500).unwrap().resume;
            }
            if round == 700 && !held {
                assert!(
                    !streaming || (resume.is_some() && export_resume.is_some()),
                    "both streams are in their middle"
                );
                store.scrub().unwrap(); // redb refuses while any transaction is open
            }
        }
        drop(txn);
        store.checkpoint().unwrap();
        disk.used_bytes()
    };
    let quiet = grown(false, false);
    assert_eq!(grown(true, false), quiet);
    let held = grown(false, true);
    assert!(held > 2 * quiet, "the control: {held} bytes with a transaction held, {quiet} without");
}
