//! Files that are not what was written: rotten bits, cut files, other files; and disks that refuse.

use tenet_seam::Open;
use tenet_seam::fake::FakeDisk;
use tenet_types::{Key, LogIndex, ShardId, Span, Timestamp};

use super::support::*;
use crate::backend::{Place, open_database};
use crate::store::{DATA, META, META_KEY};
use crate::{META_FORMAT, Meta, ScanLimit, Store, StoreError, StoreOptions, version};

fn model_of(entry_count: usize, key_count: u64) -> Model {
    let luck = &mut Luck(21);
    let mut model = Model::new();
    while model.log.len() < entry_count {
        model.draw(luck, key_count);
    }
    model
}

/// A cleanly closed store with the model in it.
fn closed(model: &Model) -> FakeDisk {
    let disk = FakeDisk::new(1);
    filled(&disk, model, &TIGHT).close().unwrap();
    disk
}

fn is_damage(error: &StoreError) -> bool {
    // Damage in a place that says what format the file has looks like another format.
    matches!(error, StoreError::Damaged { .. } | StoreError::Version { .. } | StoreError::Dead { .. })
}

#[derive(Debug, Default)]
struct Verdicts {
    harmless: u64,
    refused: u64,
    /// A row was not found, or an older version of it.
    hidden: u64,
    /// Of these, what a scrub did not see.
    unseen: u64,
    /// Single reads that hid a row, whatever other reads saw.
    hiding_reads: u64,
}

/// What every way in should find.
struct Expected<'a> {
    model: &'a Model,
    gets: Vec<(&'a Key, Timestamp, Option<(Timestamp, Vec<u8>)>)>,
    first_rows: Vec<(Span, Option<Row>)>,
    rows: Vec<Row>,
    versions: Vec<(Vec<u8>, Option<Vec<u8>>)>,
}

type Row = (Key, Vec<u8>);

impl Expected<'_> {
    fn of(model: &Model) -> Expected<'_> {
        let gets =
            model.versions.keys().map(|(key, timestamp)| (key, *timestamp, model.get(key, *timestamp))).collect();
        let mut keys: Vec<&Key> = model.versions.keys().map(|(key, _)| key).collect();
        keys.dedup();
        let rows = model.scan(&everything(), Timestamp::MAX);
        let from =
            |key: &Key| (Span { start: key.clone(), ..everything() }, rows.iter().find(|row| row.0 >= *key).cloned());
        let first_rows = keys.into_iter().map(from).collect();
        Expected { model, gets, first_rows, rows, versions: model.up_to(Timestamp::MAX) }
    }
}

/// Looks at every version through every way in. Never may a value be given out that was not written at that key and time.
fn judge(disk: &FakeDisk, expected: &Expected<'_>, verdicts: &mut Verdicts) {
    let store = match open(disk) {
        Ok(store) => store,
        Err(error) => {
            assert!(is_damage(&error), "{error}");
            verdicts.refused += 1;
            return;
        }
    };
    let (mut refused, mut hiding_reads) = (false, 0);
    let mut note = |found: Result<bool, StoreError>| match found {
        Ok(complete) => hiding_reads += u64::from(!complete),
        Err(error) => {
            assert!(is_damage(&error), "{error}");
            refused = true;
        }
    };
    for (key, timestamp, wanted) in &expected.gets {
        let found = store.get(key, *timestamp);
        if let Ok(Some((timestamp, value))) = &found {
            let written = &expected.model.versions[&((*key).clone(), *timestamp)];
            assert_eq!(written.as_ref(), Some(value), "a value from nowhere");
        }
        note(found.map(|found| found == *wanted));
    }
    for (span, wanted) in &expected.first_rows {
        let limit = ScanLimit { rows: 1, bytes: usize::MAX };
        note(store.scan(span, Timestamp::MAX, limit).map(|page| page.rows.first() == wanted.as_ref()));
    }
    let limit = ScanLimit { rows: usize::MAX, bytes: usize::MAX };
    note(store.scan(&everything(), Timestamp::MAX, limit).map(|page| page.rows == expected.rows));
    note(versions(&store, expected.model.meta()).map(|found| found == expected.versions));
    verdicts.hiding_reads += hiding_reads;
    match (refused, hiding_reads > 0) {
        (true, _) => verdicts.refused += 1,
        (false, false) => verdicts.harmless += 1,
        (false, true) => {
            verdicts.hidden += 1;
            verdicts.unseen += u64::from(store.scrub().is_ok());
        }
    }
}

/// Rot anywhere in a small file: in leaves, inner pages, redb's headers and tables.
#[test]
fn a_flipped_bit_anywhere_gives_no_wrong_value() {
    let model = model_of(120, 50);
    let expected = Expected::of(&model);
    let base = closed(&model);
    let contents = base.contents(PATH);
    let used: Vec<usize> =
        (0..contents.len()).filter(|at| contents[at & !4095..][..4096].iter().any(|byte| *byte != 0)).collect();
    let luck = &mut Luck(5);
    let mut verdicts = Verdicts::default();
    for seed in 0..500 {
        let disk = base.fork(seed);
        disk.flip_bit(PATH, used[luck.below(used.len() as u64) as usize] as u64, luck.below(8) as u8);
        judge(&disk, &expected, &mut verdicts);
    }
    assert!(verdicts.refused > 60 && verdicts.harmless > 60, "{verdicts:?}");
    // Rot in redb's inner pages hides rows that are themselves intact. Rare, and the scrub sees it.
    assert!(verdicts.hidden <= 8 && verdicts.unseen == 0, "{verdicts:?}");
}

/// Every bit of one version, wherever a copy of it lies: found by whoever looks there, never passed over in silence.
#[test]
fn every_flipped_bit_of_a_version_is_seen() {
    let model = model_of(60, 12);
    let expected = Expected::of(&model);
    let base = closed(&model);
    let contents = base.contents(PATH);
    let mut in_use = 0;
    for ((key, timestamp), value) in model.versions.iter().step_by(29) {
        let stored_key = key.at(*timestamp);
        let stored = version::encode(&stored_key, value.as_deref());
        for part in [&stored_key, &stored] {
            let places = (0..contents.len() - part.len()).filter(|at| contents[*at..].starts_with(part));
            for place in places {
                let bits: Vec<usize> = (0..part.len() * 8).step_by(if part.len() > 64 { 41 } else { 1 }).collect();
                let mut verdicts = Verdicts::default();
                for bit in &bits {
                    let disk = base.fork(1);
                    disk.flip_bit(PATH, (place + bit / 8) as u64, (bit % 8) as u8);
                    judge(&disk, &expected, &mut verdicts);
                }
                // Either a copy that redb no longer uses, or the one it uses.
                assert!(
                    verdicts.refused == bits.len() as u64 || verdicts.harmless == bits.len() as u64,
                    "{verdicts:?}"
                );
                assert_eq!(verdicts.hiding_reads, 0, "a read passed over it in silence");
                in_use += u64::from(verdicts.refused > 0);
            }
        }
    }
    assert!(in_use >= 4, "{in_use}");
}

#[test]
fn damage_names_the_file_and_the_key_and_the_rest_is_readable() {
    let model = model_of(60, 12);
    let disk = closed(&model);
    let ((key, timestamp), value) = model.versions.iter().rfind(|(_, value)| value.is_some()).unwrap();
    let stored = version::encode(&key.at(*timestamp), value.as_deref());
    let contents = disk.contents(PATH);
    for at in (0..contents.len() - stored.len()).filter(|at| contents[*at..].starts_with(&stored)) {
        disk.flip_bit(PATH, at as u64 + 1, 0);
    }
    let store = open(&disk).unwrap();
    let error = store.get(key, *timestamp).unwrap_err();
    assert!(matches!(&error, StoreError::Damaged { key: Some(damaged), .. } if damaged.0 == key.at(*timestamp)));
    let text = error.to_string();
    assert!(text.contains(PATH) && text.contains(&key.to_string()) && text.contains("replace this replica"), "{text}");
    let (first, _) = model.versions.first_key_value().unwrap();
    assert_eq!(store.get(&first.0, first.1).unwrap(), model.get(&first.0, first.1));
    assert!(matches!(store.scrub(), Err(StoreError::Damaged { .. })));
    assert!(matches!(store.get(&first.0, first.1), Err(StoreError::Dead { .. })));
}

fn refusal(disk: &FakeDisk) -> String {
    let before = disk.contents(PATH);
    let error = open(disk).err().expect("a refusal").to_string();
    assert!(error.contains(PATH), "{error}");
    assert_eq!(disk.contents(PATH).len(), before.len(), "a file that is not ours was changed");
    error
}

#[test]
fn other_files_are_refused_with_a_reason() {
    let model = model_of(20, 12);
    let base = closed(&model);

    let disk = base.fork(1);
    disk.overwrite(PATH, b"PK\x03\x04 something else entirely".to_vec());
    assert!(refusal(&disk).contains("not a redb file"));

    disk.overwrite(PATH, Vec::new());
    assert!(refusal(&disk).contains("not a redb file"));

    disk.overwrite(PATH, base.contents(PATH)[..5].to_vec());
    assert!(refusal(&disk).contains("not a redb file"));

    for len in [9, 100, 4096, 40_000] {
        disk.overwrite(PATH, base.contents(PATH)[..len].to_vec());
        assert!(refusal(&disk).contains("is damaged"), "{len}");
    }

    disk.lose_file(PATH);
    let error = open(&disk).err().unwrap();
    assert!(matches!(error, StoreError::Missing { .. }), "{error}");

    let error = Store::open(base.handle(), PATH, &TIGHT, ShardId(8)).err().unwrap();
    assert!(error.to_string().contains("belongs to shard s7, not to s8"), "{error}");

    let error = Store::create(base.handle(), PATH, &TIGHT, SHARD).err().unwrap();
    assert!(matches!(error, StoreError::Exists { .. }), "{error}");
    assert_is_model(&open(&base).unwrap(), &model);
}

/// A redb file of somebody else, and one of a later version of ours.
#[test]
fn redb_files_without_our_meta_are_refused() {
    let image = |meta: Option<Vec<u8>>| {
        let disk = FakeDisk::new(1);
        disk.handle().create_dir("shards").unwrap();
        let database = open_database(&*disk.handle(), &Place::new(PATH), Open::New, 0).unwrap();
        let txn = database.begin_write().unwrap();
        if let Some(row) = meta {
            txn.open_table(DATA).unwrap();
            txn.open_table(META).unwrap().insert(META_KEY, &row[..]).unwrap();
        }
        txn.commit().unwrap();
        drop(database);
        disk.contents(PATH)
    };
    let disk = closed(&Model::new());

    disk.overwrite(PATH, image(None));
    assert!(refusal(&disk).contains("meta"));

    let mut later = Meta::new(SHARD).encode();
    later.truncate(later.len() - 4);
    later[0] = META_FORMAT + 1;
    later.push(77);
    let crc = crc32c::crc32c(&later);
    later.extend_from_slice(&crc.to_le_bytes());
    disk.overwrite(PATH, image(Some(later)));
    let text = refusal(&disk);
    assert!(text.contains("meta format 2") && text.contains("reads 1"), "{text}");

    disk.overwrite(PATH, image(Some(vec![1, 2, 3])));
    assert!(refusal(&disk).contains("meta row"));

    disk.overwrite(PATH, image(Some(Meta::new(SHARD).encode())));
    assert_eq!(open(&disk).unwrap().meta(), Meta::new(SHARD));
}

#[test]
fn a_meta_row_returns_and_every_flipped_bit_of_it_is_seen() {
    let mut model = model_of(40, 12);
    model.metas.last_mut().unwrap().gc_threshold = Timestamp(77);
    let bytes = model.meta().encode();
    assert_eq!(Meta::decode(&bytes).as_ref(), Ok(model.meta()));
    for bit in 0..bytes.len() * 8 {
        let mut bad = bytes.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        assert!(Meta::decode(&bad).is_err(), "bit {bit}");
    }
    for cut in 0..bytes.len() {
        assert!(Meta::decode(&bytes[..cut]).is_err());
    }
}

/// T5: nothing that is done with a store after a failed write reaches the disk.
#[test]
fn a_failed_sync_ends_the_store_and_loses_nothing_that_was_durable() {
    let model = model_of(60, 30);
    for seed in 0..20 {
        let disk = FakeDisk::new(seed);
        let store = Store::create(disk.handle(), PATH, &TIGHT, SHARD).unwrap();
        store.apply(&model.log[..20]).unwrap();
        store.checkpoint().unwrap();
        store.apply(&model.log[20..40]).unwrap();
        disk.fail_next_sync();
        let error = store.checkpoint().unwrap_err();
        assert!(matches!(error, StoreError::SyncFailed { .. }), "{error}");
        assert_eq!(store.durable(), model.metas[20]);
        assert!(matches!(store.apply(&model.log[40..]), Err(StoreError::Dead { .. })));
        assert!(matches!(store.checkpoint(), Err(StoreError::Dead { .. })));
        assert!(matches!(store.get(&key(1), Timestamp::MAX), Err(StoreError::Dead { .. })));
        let calls = disk.operations();
        drop(store);
        assert_eq!(disk.operations(), calls, "closing a dead store touched the disk");
        disk.crash();
        let store = open(&disk).unwrap();
        assert!(store.meta().applied.0 >= 20);
        assert_is_model(&store, &model);
    }
}

#[test]
fn a_drawn_error_ends_the_store_and_it_opens_again() {
    let model = model_of(120, 60);
    let mut failed = 0;
    for at in 0..120 {
        let disk = FakeDisk::new(at);
        let store = Store::create(disk.handle(), PATH, &TIGHT, SHARD).unwrap();
        store.apply(&model.log[..40]).unwrap();
        store.checkpoint().unwrap();
        disk.set_fault(Some(at));
        let result = store.apply(&model.log[40..]).and_then(|_| store.checkpoint());
        disk.set_fault(None);
        if let Err(error) = result {
            failed += 1;
            assert!(matches!(error, StoreError::Io { .. } | StoreError::SyncFailed { .. }), "{error}");
            assert!(matches!(store.checkpoint(), Err(StoreError::Dead { .. })));
        }
        store.kill();
        drop(store);
        // The process goes on: the file is as the last calls left it.
        let store = open(&disk).unwrap();
        assert!(store.meta().applied.0 >= 40);
        assert_is_model(&store, &model);
        store.apply(model.entries(store.meta().applied)).unwrap();
        assert_is_model(&store, &model);
    }
    assert!(failed >= 20, "{failed}");
}

#[test]
fn a_full_disk_is_called_so_and_room_helps() {
    let model = model_of(2_000, 300);
    let disk = FakeDisk::new(1);
    let store = Store::create(disk.handle(), PATH, &TIGHT, SHARD).unwrap();
    disk.set_capacity(Some(disk.used_bytes() + 200_000));
    let full = model.log.chunks(20).find_map(|batch| store.apply(batch).and_then(|_| store.checkpoint()).err());
    let error = full.expect("2,000 entries do not fit");
    assert!(matches!(error, StoreError::Full { .. }), "{error}");
    assert!(error.to_string().contains("the disk is full"), "{error}");
    drop(store);
    disk.set_capacity(None);
    let store = open(&disk).unwrap();
    assert_is_model(&store, &model);
    assert!(store.meta().applied > LogIndex::ZERO);
    store.apply(model.entries(store.meta().applied)).unwrap();
    store.checkpoint().unwrap();
    assert_is_model(&store, &model);
}

#[test]
fn reads_below_the_gc_threshold_are_refused() {
    let model = model_of(30, 12);
    let disk = FakeDisk::new(1);
    let peer = filled(&disk, &model, &StoreOptions::default());
    // Nothing raises it yet: a snapshot brings it.
    let threshold = model.metas[20].timestamp;
    let meta = Meta { gc_threshold: threshold, ..model.meta().clone() };
    let other = FakeDisk::new(2);
    let mut import = Store::begin_import(other.handle(), PATH, &TIGHT, SHARD).unwrap();
    for chunk in export(&peer, &meta, 10_000).unwrap() {
        import.push(&chunk).unwrap();
    }
    import.finish(&meta).unwrap();
    let store = open(&other).unwrap();
    let below = Timestamp(threshold.0 - 1);
    let limit = ScanLimit { rows: 1, bytes: 1 };
    let early = Meta { timestamp: below, ..meta.clone() };
    assert!(matches!(store.get(&key(1), below), Err(StoreError::BelowGc { .. })));
    assert!(matches!(store.scan(&everything(), below, limit), Err(StoreError::BelowGc { .. })));
    assert!(matches!(store.export(&early, None, 1_000), Err(StoreError::BelowGc { .. })));
    assert_eq!(store.get(&key(1), threshold).unwrap(), model.get(&key(1), threshold));
}
