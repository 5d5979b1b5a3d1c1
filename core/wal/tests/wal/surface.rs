//! The interface: what is refused, what is counted, what is freed.

use std::sync::Arc;

use tenet_seam::SECTOR_BYTES;
use tenet_seam::fake::FakeDisk;
use tenet_types::{LogIndex, ReplicaId, ShardId, Term};
use tenet_wal::{BATCH_BYTES_MAX, Batch, Change, Frame, Wal, WalError, WalOptions};

const S1: ShardId = ShardId(1);
const S2: ShardId = ShardId(2);

fn at(index: u64, term: u64) -> Option<(LogIndex, Term)> {
    Some((LogIndex(index), Term(term)))
}

fn entries(first: u64, last: u64, term: u64, payload: &[u8]) -> Vec<Frame> {
    let frame = |index| Frame { index: LogIndex(index), term: Term(term), payload: payload.into() };
    (first..=last).map(frame).collect()
}

fn one(shard: ShardId, change: Change) -> Batch {
    Batch { groups: vec![(shard, change)] }
}

fn create(shard: ShardId, replica: u64) -> Batch {
    one(shard, Change { create: Some(ReplicaId(replica)), ..Change::default() })
}

fn append(shard: ShardId, first: u64, last: u64, term: u64, payload: &[u8]) -> Batch {
    one(shard, Change { entries: entries(first, last, term, payload), ..Change::default() })
}

fn compact(shard: ShardId, index: u64, term: u64) -> Batch {
    one(shard, Change { checkpoint: at(index, term), compact: at(index, term), ..Change::default() })
}

fn open(fake: &FakeDisk, options: WalOptions) -> Wal {
    Wal::open(fake.handle(), "wal", options).unwrap()
}

#[test]
fn contradictions_are_refused_and_leave_nothing_behind() {
    let fake = FakeDisk::new(0);
    let wal = open(&fake, WalOptions::default());
    wal.append(create(S1, 5)).unwrap();
    let voted = Change { hard_state: Some((Term(4), Some(ReplicaId(2)))), ..Change::default() };
    wal.append(one(S1, Change { entries: entries(1, 9, 3, b"x"), ..voted })).unwrap();
    wal.append(compact(S1, 4, 3)).unwrap();
    let hard_state =
        |term, vote: Option<u64>| Change { hard_state: Some((Term(term), vote.map(ReplicaId))), ..Change::default() };
    let (state, written) = (wal.group(S1), fake.contents(&fake.paths()[0]));
    let refused = [
        (create(S1, 6), "another replica id"),
        (one(S1, hard_state(3, Some(2))), "the term goes back"),
        (one(S1, hard_state(4, Some(1))), "the vote changes"),
        (one(S1, hard_state(4, None)), "the vote changes"),
        (append(S1, 11, 11, 3, b""), "do not join"),
        (append(S1, 3, 3, 3, b""), "do not join"),
        (append(S1, 10, 10, 2, b""), "terms of the entries go back"),
        (one(S1, Change { checkpoint: at(10, 3), ..Change::default() }), "not an entry"),
        (one(S1, Change { checkpoint: at(6, 2), ..Change::default() }), "not an entry"),
        (one(S1, Change { compact: at(5, 3), ..Change::default() }), "after the checkpoint"),
        (one(S1, Change { reset: at(3, 3), ..Change::default() }), "older than the checkpoint"),
        (Batch { groups: vec![(S1, Change::default()), (S1, Change::default())] }, "twice"),
        (
            one(
                S1,
                Change { entries: [entries(10, 10, 3, b""), entries(12, 12, 3, b"")].concat(), ..Change::default() },
            ),
            "not contiguous",
        ),
        (
            Batch {
                groups: vec![
                    (S1, Change { entries: entries(10, 10, 3, b""), ..Change::default() }),
                    (S1, Change::default()),
                ],
            },
            "twice",
        ),
    ];
    for (batch, why) in refused {
        let error = wal.append(batch).unwrap_err();
        assert!(
            matches!(error, WalError::Refused { shard: S1, .. }) && error.to_string().contains(why),
            "{error}, not {why}"
        );
    }
    assert_eq!(state, wal.group(S1));
    assert!(written == fake.contents(&fake.paths()[0]), "something was written");
    wal.append(one(S1, Change { checkpoint: at(6, 3), ..Change::default() })).unwrap();
    let error = wal.append(append(S1, 6, 6, 4, b"")).unwrap_err();
    assert!(error.to_string().contains("checkpointed"), "{error}");
    assert!(matches!(wal.append(append(S2, 1, 1, 1, b"")), Err(WalError::NoGroup { shard: S2 })));
    assert!(matches!(wal.read(S2, LogIndex(1), LogIndex(1), 1), Err(WalError::NoGroup { shard: S2 })));
    let bounds = wal.group(S1).unwrap();
    assert_eq!((bounds.checkpoint.0, bounds.last), (LogIndex(6), LogIndex(9)));
}

#[test]
fn stale_checkpoints_and_bases_change_nothing() {
    let fake = FakeDisk::new(0);
    let wal = open(&fake, WalOptions::default());
    wal.append(create(S1, 5)).unwrap();
    wal.append(one(S1, Change { reset: at(100, 7), ..Change::default() })).unwrap();
    let state = wal.group(S1).unwrap();
    assert_eq!((state.base, state.last, state.checkpoint), (at(100, 7).unwrap(), LogIndex(100), at(100, 7).unwrap()));
    wal.append(compact(S1, 40, 2)).unwrap();
    wal.append(create(S1, 5)).unwrap();
    assert_eq!(wal.group(S1), Some(state));
}

#[test]
fn a_batch_beyond_the_bound_is_refused_and_nobody_is_poisoned() {
    let fake = FakeDisk::new(0);
    let wal = open(&fake, WalOptions { cache_bytes: 0, ..WalOptions::default() });
    wal.append(create(S1, 1)).unwrap();
    let payload: Arc<[u8]> = vec![0; (BATCH_BYTES_MAX / 64) as usize].into();
    let frame = |index| Frame { index: LogIndex(index), term: Term(1), payload: payload.clone() };
    let change = Change { entries: (1..=64).map(frame).collect(), ..Change::default() };
    let error = wal.append(one(S1, change)).unwrap_err();
    assert!(matches!(error, WalError::TooLarge { .. }), "{error}");
    wal.append(append(S1, 1, 1, 1, b"x")).unwrap();
}

#[test]
fn a_segment_goes_when_nobody_needs_an_entry_in_it_and_takes_no_vote_along() {
    let fake = FakeDisk::new(0);
    let options = WalOptions { segment_bytes: 4096, ..WalOptions::default() };
    let wal = open(&fake, options);
    let vote = Change { hard_state: Some((Term(9), Some(ReplicaId(3)))), ..Change::default() };
    wal.append(one(S2, Change { create: Some(ReplicaId(4)), ..vote })).unwrap();
    wal.append(append(S2, 1, 1, 1, b"the only entry of an idle group")).unwrap();
    wal.append(create(S1, 1)).unwrap();
    for index in 1..=40 {
        wal.append(append(S1, index, index, 1, &[1; 300])).unwrap();
        wal.append(compact(S1, index, 1)).unwrap();
    }
    assert_eq!(wal.stats().segments_freed, 0);
    assert!(wal.stats().segments > 5);
    assert_eq!((wal.pinning(1), wal.pinning(5)), (vec![S2], vec![S2]));
    assert_eq!(wal.pinning(wal.stats().segments as usize), [], "one of them is the oldest");
    wal.append(compact(S2, 1, 1)).unwrap();
    wal.seal().unwrap();
    assert_eq!(wal.stats().segments, 1);
    assert_eq!(fake.paths().len(), 1);
    assert!(wal.pinning(1).is_empty());
    drop(wal);
    fake.crash();
    let wal = open(&fake, options);
    let state = wal.group(S2).unwrap();
    assert_eq!((state.replica, state.term, state.vote), (ReplicaId(4), Term(9), Some(ReplicaId(3))));
    assert_eq!((state.base, state.last), (at(1, 1).unwrap(), LogIndex(1)));
}

#[test]
fn a_group_that_ends_is_gone_and_frees_what_it_held() {
    let fake = FakeDisk::new(0);
    let options = WalOptions { segment_bytes: 2048, ..WalOptions::default() };
    let wal = open(&fake, options);
    wal.append(create(S1, 1)).unwrap();
    wal.append(append(S1, 1, 9, 1, &[1; 300])).unwrap();
    wal.append(append(S1, 10, 19, 1, &[1; 300])).unwrap();
    wal.append(one(S1, Change { drop: true, ..Change::default() })).unwrap();
    wal.seal().unwrap();
    assert_eq!((wal.groups(), wal.stats().segments), (vec![], 1));
    wal.append(create(S1, 2)).unwrap();
    fake.crash();
    let wal = open(&fake, options);
    assert_eq!(wal.group(S1).unwrap(), tenet_wal::GroupState::new(ReplicaId(2)));
}

#[test]
fn the_tail_is_read_from_memory_and_the_memory_is_bounded() {
    let fake = FakeDisk::new(0);
    let wal = open(&fake, WalOptions { cache_bytes: 10_000, ..WalOptions::default() });
    wal.append(create(S1, 1)).unwrap();
    wal.append(append(S1, 1, 100, 1, &[1; 500])).unwrap();
    assert!(wal.stats().cache_bytes <= 10_000);
    let before = fake.operations();
    assert_eq!(wal.read(S1, LogIndex(90), LogIndex(100), usize::MAX).unwrap().len(), 11);
    assert_eq!((fake.operations(), wal.stats().cache_reads), (before, 11));
    // What lies side by side is one read.
    assert_eq!(wal.read(S1, LogIndex(1), LogIndex(100), usize::MAX).unwrap().len(), 100);
    assert_eq!(fake.operations(), before + 1);
    assert_eq!(wal.read(S1, LogIndex(1), LogIndex(100), 1499).unwrap().len(), 2);
    assert_eq!(wal.read(S1, LogIndex(1), LogIndex(100), 0).unwrap().len(), 1);
    for index in 101..=3000 {
        wal.append(append(S1, index, index, 1, b"")).unwrap();
    }
    assert!(wal.stats().cache_bytes <= 10_000);
}

#[test]
fn an_append_is_one_write_and_one_sync() {
    let fake = FakeDisk::new(0);
    let wal = open(&fake, WalOptions::default());
    wal.append(create(S1, 1)).unwrap();
    for index in 1..=400 {
        let before = fake.operations();
        wal.append(append(S1, index, index, 1, &[9; 900])).unwrap();
        assert_eq!(fake.operations(), before + 2);
        assert_eq!(fake.unsynced_bytes(), 0);
    }
}

#[test]
fn a_full_disk_says_so_and_the_log_is_whole_after_room_was_made() {
    let fake = FakeDisk::new(0);
    let options = WalOptions { segment_bytes: 4096, ..WalOptions::default() };
    let wal = open(&fake, options);
    wal.append(create(S1, 1)).unwrap();
    fake.set_capacity(Some(fake.used_bytes() + 5000));
    let mut last = 0;
    let error = loop {
        assert!(last < 100, "the disk never became full");
        match wal.append(append(S1, last + 1, last + 1, 1, &[3; 700])) {
            Ok(()) => last += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(error, WalError::Full { .. }) && error.to_string().contains("the disk is full"), "{error}");
    assert!(matches!(wal.seal(), Err(WalError::Poisoned)));
    assert!(wal.read(S1, LogIndex(1), LogIndex(last), usize::MAX).is_ok(), "reads go on");
    fake.restart();
    fake.set_capacity(None);
    let wal = open(&fake, options);
    assert_eq!(wal.group(S1).unwrap().last, LogIndex(last));
    wal.append(append(S1, last + 1, last + 1, 1, &[3; 700])).unwrap();
}

#[test]
fn a_nested_folder_survives_too() {
    for seed in 0..20 {
        let fake = FakeDisk::new(seed);
        Wal::open(fake.handle(), "a/b/wal", WalOptions::default()).unwrap().append(create(S1, 3)).unwrap();
        fake.crash();
        let wal = Wal::open(fake.handle(), "a/b/wal", WalOptions::default()).unwrap();
        assert_eq!(wal.groups(), [S1]);
    }
}

#[test]
fn entries_without_payload_and_large_ones_return() {
    let fake = FakeDisk::new(0);
    let options = WalOptions { segment_bytes: 4096, cache_bytes: 0, ..WalOptions::default() };
    let wal = open(&fake, options);
    wal.append(create(S1, 1)).unwrap();
    wal.append(append(S1, 1, 2000, 1, b"")).unwrap();
    wal.append(append(S1, 2001, 2002, 2, &vec![0; 300_000])).unwrap();
    fake.crash();
    let wal = open(&fake, options);
    assert_eq!(wal.read(S1, LogIndex(1), LogIndex(2000), 0).unwrap().len(), 2000);
    assert_eq!(*wal.read(S1, LogIndex(2001), LogIndex(2002), usize::MAX).unwrap()[1].payload, vec![0; 300_000]);
}

/// The simulator's seed 62: a full disk took a write up to the middle of a sector.
#[test]
fn a_write_cut_short_inside_a_sector_is_cut_and_what_was_before_it_stays() {
    let shard = ShardId(1);
    let fake = FakeDisk::new(62);
    let options = WalOptions::default();
    let wal = open(&fake, options);
    wal.append(create(shard, 7)).unwrap();
    wal.append(append(shard, 1, 3, 1, &[5; 100])).unwrap();
    let path = fake.paths().into_iter().rfind(|path| path.ends_with(".seg")).unwrap();
    let end = fake.contents(&path).iter().rposition(|byte| *byte != 0).unwrap().next_multiple_of(SECTOR_BYTES);
    wal.append(append(shard, 4, 40, 1, &[6; 100])).unwrap();
    drop(wal);
    let whole = fake.contents(&path);
    for short in [200, SECTOR_BYTES + 1, 3 * SECTOR_BYTES + 511] {
        fake.restart();
        fake.overwrite(&path, whole[..end + short].to_vec());
        let wal = open(&fake, options);
        assert_eq!(wal.group(shard).unwrap().last, LogIndex(3), "{short} bytes of the batch");
        wal.append(append(shard, 4, 4, 2, b"next")).unwrap();
        drop(wal);
        fake.restart();
        assert_eq!(open(&fake, options).group(shard).unwrap().last, LogIndex(4), "{short} bytes of the batch");
    }
}
