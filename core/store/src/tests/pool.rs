//! The pool: its bound, its order, its users; files made, removed and replaced, with a crash anywhere.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tenet_seam::Open;
use tenet_seam::fake::FakeDisk;
use tenet_types::{Entry, LogIndex, ShardId, Term, Timestamp, Write};

use super::support::*;
use crate::{Meta, PoolOptions, StoreError, StorePool};

fn pool(disk: &FakeDisk, stores_max: usize) -> StorePool {
    StorePool::new(disk.handle(), PoolOptions { stores_max, cache_bytes: 0 })
}

fn put(index: u64, value: u64) -> LogEntry {
    let writes = vec![Write { key: key(1), value: Some(value.to_be_bytes().to_vec()) }];
    let entry = Entry::Commit { request: Default::default(), catalog: Default::default(), wall_ms: 1, writes };
    (LogIndex(index), Term(1), entry.encode().into())
}

/// Whether the shard's store is open, seen from outside: an open one answers without the disk.
fn is_open(disk: &FakeDisk, pool: &StorePool, shard: u64) -> bool {
    let calls = disk.operations();
    let store = pool.get(ShardId(shard)).unwrap();
    drop(store);
    disk.operations() == calls
}

#[test]
fn the_least_recently_used_idle_store_is_checkpointed_and_closed() {
    let disk = FakeDisk::new(1);
    let pool = pool(&disk, 3);
    for shard in 1..=3 {
        pool.create(ShardId(shard)).unwrap().apply(&[put(1, shard)]).unwrap();
    }
    pool.get(ShardId(1)).unwrap();
    pool.create(ShardId(4)).unwrap();
    assert_eq!(pool.open_count(), 3);
    for shard in [1, 3, 4] {
        assert!(is_open(&disk, &pool, shard), "{shard}");
    }
    // What it had applied is durable: it comes back after a power cut.
    disk.crash();
    let pool = self::pool(&disk, 3);
    assert_eq!(pool.get(ShardId(2)).unwrap().meta().applied, LogIndex(1));
    assert_eq!(pool.get(ShardId(3)).unwrap().meta().applied, LogIndex::ZERO);
    assert_eq!(pool.list().unwrap(), [ShardId(1), ShardId(2), ShardId(3), ShardId(4)]);
}

#[test]
fn a_store_in_use_is_not_closed_and_the_bound_gives_way() {
    let disk = FakeDisk::new(1);
    let pool = pool(&disk, 2);
    let held: Vec<_> = (1..=4).map(|shard| pool.create(ShardId(shard)).unwrap()).collect();
    assert_eq!(pool.open_count(), 4);
    for store in &held {
        store.apply(&[put(1, 1)]).unwrap();
    }
    drop(held);
    pool.create(ShardId(5)).unwrap();
    assert_eq!(pool.open_count(), 2, "once they are idle the bound is restored");
    assert!(is_open(&disk, &pool, 4));
    pool.close().unwrap();
    assert_eq!(pool.open_count(), 0);
    disk.crash();
    let pool = self::pool(&disk, 2);
    for shard in 1..=4 {
        assert_eq!(pool.get(ShardId(shard)).unwrap().meta().applied, LogIndex(1));
    }
}

#[test]
fn absent_shards_are_missing_and_leave_no_trace() {
    let disk = FakeDisk::new(1);
    let pool = pool(&disk, 2);
    assert_eq!(pool.list().unwrap(), []);
    assert!(matches!(pool.get(ShardId(9)), Err(StoreError::Missing { .. })));
    assert!(!pool.exists(ShardId(9)).unwrap());
    pool.remove(ShardId(9)).unwrap();
    assert_eq!((pool.open_count(), disk.paths()), (0, vec![]));
    pool.create(ShardId(9)).unwrap();
    assert!(pool.exists(ShardId(9)).unwrap());
    assert!(matches!(pool.create(ShardId(9)), Err(StoreError::Exists { .. })));
    assert_eq!(disk.paths(), ["shards/9.redb"]);
}

#[test]
fn only_our_names_are_listed_and_leftovers_are_swept() {
    let disk = FakeDisk::new(1);
    let root = disk.handle();
    pool(&disk, 2).create(ShardId(30)).unwrap();
    pool(&disk, 2).create(ShardId(4)).unwrap();
    let others = ["5.redb.new", "6.redb.gone", "07.redb", "x.redb", "8.redb~", "notes"];
    for name in others {
        root.open(&format!("shards/{name}"), Open::New).unwrap();
    }
    let pool = pool(&disk, 2);
    assert_eq!(pool.list().unwrap(), [ShardId(4), ShardId(30)]);
    let left = ["shards/07.redb", "shards/30.redb", "shards/4.redb", "shards/8.redb~", "shards/notes", "shards/x.redb"];
    assert_eq!(disk.paths(), left);
}

#[test]
fn a_removed_store_is_dead_to_its_users_and_does_not_come_back() {
    let disk = FakeDisk::new(1);
    let pool = pool(&disk, 2);
    let store = pool.create(ShardId(1)).unwrap();
    store.apply(&[put(1, 1)]).unwrap();
    pool.remove(ShardId(1)).unwrap();
    assert!(matches!(store.apply(&[put(2, 1)]), Err(StoreError::Dead { .. })));
    assert!(matches!(store.checkpoint(), Err(StoreError::Dead { .. })));
    assert!(matches!(store.get(&key(1), Timestamp::MAX), Err(StoreError::Dead { .. })));
    drop(store);
    assert_eq!(disk.paths(), Vec::<String>::new());
    for seed in 0..20 {
        let disk = disk.fork(seed);
        disk.crash();
        assert_eq!(self::pool(&disk, 2).list().unwrap(), []);
    }
    pool.create(ShardId(1)).unwrap();
    assert_eq!(pool.get(ShardId(1)).unwrap().meta(), Meta::new(ShardId(1)));
}

#[test]
fn a_crash_anywhere_in_a_removal_leaves_all_or_nothing_and_it_can_be_repeated() {
    let base = FakeDisk::new(1);
    pool(&base, 2).create(ShardId(1)).unwrap().apply(&[put(1, 1)]).unwrap();
    let (mut stayed, mut went) = (0, 0);
    for fuse in 0..200 {
        for seed in 0..4 {
            let disk = base.fork(100 * fuse + seed);
            disk.set_fuse(Some(fuse));
            let removed = pool(&disk, 2).remove(ShardId(1)).is_ok();
            disk.crash();
            let pool = pool(&disk, 2);
            match pool.get(ShardId(1)) {
                Ok(store) => {
                    assert!(!removed, "it came back");
                    assert_eq!(store.meta().applied, LogIndex(1));
                    stayed += 1;
                }
                Err(error) => {
                    assert!(matches!(error, StoreError::Missing { .. }), "{error}");
                    went += 1;
                }
            }
            pool.remove(ShardId(1)).unwrap();
            drop(pool);
            disk.crash();
            assert_eq!(self::pool(&disk, 2).list().unwrap(), []);
            assert_eq!(disk.paths().iter().filter(|path| path.ends_with(".redb")).count(), 0);
        }
    }
    assert!(stayed >= 8 && went >= 8, "{stayed} stayed, {went} went");
}

#[test]
fn an_installed_snapshot_is_what_the_next_user_gets_and_the_old_handle_still_reads() {
    let luck = &mut Luck(8);
    let mut model = Model::new();
    for _ in 0..80 {
        model.draw(luck, 30);
    }
    let peer_disk = FakeDisk::new(1);
    let peer = filled(&peer_disk, &model, &TIGHT);
    let disk = FakeDisk::new(2);
    let pool = pool(&disk, 2);
    let old = pool.create(SHARD).unwrap();
    old.apply(&model.log[..30]).unwrap();
    let mut import = pool.begin_import(SHARD).unwrap();
    for chunk in export(&peer, &peer.meta(), 3_000).unwrap() {
        import.push(&chunk).unwrap();
        assert_eq!(pool.get(SHARD).unwrap().meta(), model.metas[30]);
    }
    pool.install(SHARD, import, &peer.meta()).unwrap();
    assert_is_model(&old, &model);
    assert!(matches!(old.apply(&model.log[30..31]), Err(StoreError::Dead { .. })));
    assert!(matches!(old.checkpoint(), Err(StoreError::Dead { .. })));
    let new = pool.get(SHARD).unwrap();
    assert_eq!(new.meta(), peer.meta());
    assert_is_model(&new, &model);
    drop(old);
    drop(new);
    disk.crash();
    assert_is_model(&self::pool(&disk, 2).get(SHARD).unwrap(), &model);
}

#[test]
fn trouble_while_making_room_is_not_the_newcomers_unless_a_sync_failed() {
    let disk = FakeDisk::new(1);
    let pool = pool(&disk, 1);
    pool.create(ShardId(2)).unwrap();
    pool.create(ShardId(1)).unwrap().apply(&[put(1, 1)]).unwrap();
    disk.set_fault(Some(1)); // within the checkpoint of shard 1
    let store = pool.get(ShardId(2));
    assert!(store.is_ok(), "{:?}", store.err());
    assert!(
        matches!(pool.get(ShardId(1)).unwrap().checkpoint(), Err(StoreError::Dead { .. })),
        "its user learns of it"
    );
    drop(store);
    disk.restart();
    let pool = self::pool(&disk, 1);
    pool.get(ShardId(1)).unwrap().apply(&[put(1, 1)]).unwrap();
    disk.fail_next_sync();
    assert!(matches!(pool.get(ShardId(2)), Err(StoreError::SyncFailed { .. })));
}

/// Real threads: no deadlock, no store closed under its user, no file opened while it is being closed, nothing lost.
#[test]
fn many_threads_share_a_small_pool() {
    let disk = FakeDisk::new(1);
    // Syncs and shrinking last, so that others come in the middle of a close. (A panic here would be taken for redb's.)
    let twice = Arc::new(AtomicBool::new(false));
    let (looks, seen) = (disk.clone(), twice.clone());
    disk.set_pause(Some(Arc::new(move || {
        std::thread::park_timeout(Duration::from_millis(1));
        if looks.paths().iter().any(|path| looks.handles(path) > 1) {
            seen.store(true, Ordering::SeqCst);
        }
    })));
    let pool = Arc::new(pool(&disk, 2));
    for shard in 1..=6 {
        pool.create(ShardId(shard)).unwrap();
    }
    std::thread::scope(|scope| {
        for shard in 1..=6 {
            let pool = pool.clone();
            scope.spawn(move || {
                let luck = &mut Luck(shard);
                for index in 1..=60 {
                    let store = pool.get(ShardId(shard)).unwrap();
                    store.apply(&[put(index, index)]).unwrap();
                    let other = pool.get(ShardId(1 + luck.below(6))).unwrap();
                    let now = other.meta();
                    let found = other.get(&key(1), now.timestamp).unwrap();
                    assert_eq!(
                        found.map(|(_, value)| value),
                        (now.applied.0 > 0).then(|| now.applied.0.to_be_bytes().to_vec())
                    );
                }
            });
        }
    });
    disk.set_pause(None);
    assert!(!twice.load(Ordering::SeqCst), "a file was opened while it was open");
    assert!(pool.open_count() <= 6);
    pool.close().unwrap();
    disk.crash();
    let pool = self::pool(&disk, 2);
    for shard in 1..=6 {
        assert_eq!(pool.get(ShardId(shard)).unwrap().meta().applied, LogIndex(60));
    }
}
