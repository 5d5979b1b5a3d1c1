//! Snapshots: what arrives is what was sent, or is refused.

use proptest::prelude::*;
use tenet_seam::fake::FakeDisk;
use tenet_types::{COUNTER_MAX, CatalogVersion, LogIndex, ShardId, Term, Timestamp};

use super::support::*;
use crate::{Import, Meta, Store, StoreError};

fn model_of(seed: u64, entry_count: u64) -> Model {
    let luck = &mut Luck(seed);
    let mut model = Model::new();
    while model.last() < entry_count {
        model.draw(luck, 40);
    }
    model
}

fn import(disk: &FakeDisk) -> Import {
    Store::begin_import(disk.handle(), PATH, &TIGHT, SHARD).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn a_snapshot_taken_while_applying_goes_on_is_the_store_at_its_meta(seed: u64, entry_count in 0u64..150, chunk_bytes in 1usize..20_000) {
        let luck = &mut Luck(seed);
        let disk = FakeDisk::new(seed);
        let model = model_of(seed, entry_count);
        let mut peer = Store::create(disk.handle(), PATH, &TIGHT, SHARD).unwrap();
        let first = luck.below(entry_count + 1);
        peer.apply(&model.log[..first as usize]).unwrap();
        let at = peer.meta();
        if luck.one_in(2) {
            peer.steps_max = luck.range(1, 50) as usize;
        }

        let other = FakeDisk::new(seed + 1);
        let mut incoming = import(&other);
        let mut resume = None;
        loop {
            let chunk = peer.export(&at, resume, chunk_bytes).unwrap();
            incoming.push(&chunk.bytes).unwrap();
            resume = chunk.resume;
            if resume.is_none() {
                break;
            }
            let rest = model.entries(peer.meta().applied);
            peer.apply(&rest[..luck.below(3).min(rest.len() as u64) as usize]).unwrap();
        }
        incoming.finish(&at).unwrap();
        let store = open(&other).unwrap();
        prop_assert_eq!(store.meta(), at.clone());
        prop_assert_eq!(store.durable(), at.clone());
        assert_is_model(&store, &model);
        peer.steps_max = crate::STEPS_MAX;
        prop_assert_eq!(export(&store, &at, chunk_bytes).unwrap(), export(&peer, &at, chunk_bytes).unwrap());
        // From here the log goes on, and the two meet again.
        store.apply(model.entries(at.applied)).unwrap();
        peer.apply(model.entries(peer.meta().applied)).unwrap();
        prop_assert_eq!(store.meta(), peer.meta());
        let now = store.meta();
        prop_assert_eq!(export(&store, &now, chunk_bytes).unwrap(), export(&peer, &now, chunk_bytes).unwrap());
    }
}

#[test]
fn chunks_keep_their_bound() {
    let model = model_of(1, 300);
    let disk = FakeDisk::new(1);
    let store = filled(&disk, &model, &TIGHT);
    for bytes_max in [12_000, 50_000, 1_000_000] {
        let chunks = export(&store, model.meta(), bytes_max).unwrap();
        assert!(chunks.iter().all(|chunk| chunk.len() <= bytes_max), "{bytes_max}");
        let total: usize = chunks.iter().map(Vec::len).sum();
        assert!(chunks.len() <= 1 + 3 * total / bytes_max, "{} chunks of {total} bytes", chunks.len());
    }
}

fn refused(incoming: &mut Import, chunk: &[u8], reason: &str) {
    let error = incoming.push(chunk).unwrap_err();
    assert!(matches!(error, StoreError::Chunk { .. }) && error.to_string().contains(reason), "{error}");
}

#[test]
fn damaged_lost_repeated_and_foreign_chunks_are_refused_and_the_right_one_still_fits() {
    let model = model_of(2, 120);
    let disk = FakeDisk::new(1);
    let peer = filled(&disk, &model, &TIGHT);
    let chunks = export(&peer, model.meta(), 2_000).unwrap();
    assert!(chunks.len() > 5);
    let other = FakeDisk::new(2);
    let mut incoming = import(&other);
    refused(&mut incoming, &chunks[1], "another chunk");
    refused(&mut incoming, b"", "chunk");
    for (at, chunk) in chunks.iter().enumerate() {
        for bit in (0..chunk.len() * 8).step_by(97) {
            let mut bad = chunk.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            refused(&mut incoming, &bad, "chunk checksum");
        }
        refused(&mut incoming, &chunk[..chunk.len() - 1], "chunk checksum");
        if at > 0 {
            refused(&mut incoming, &chunks[at - 1], "another chunk");
        }
        incoming.push(chunk).unwrap();
    }
    refused(&mut incoming, &chunks[0], "the last chunk was here already");
    incoming.finish(model.meta()).unwrap();
    assert_is_model(&open(&other).unwrap(), &model);
}

/// A sender with a bug: the frame is intact and what is in it is not.
#[test]
fn chunks_whose_versions_are_wrong_are_refused() {
    let model = model_of(3, 30);
    let disk = FakeDisk::new(1);
    let peer = filled(&disk, &model, &TIGHT);
    let chunk = peer.export(model.meta(), None, 1_000_000).unwrap().bytes;
    let forge = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut forged = chunk[..chunk.len() - 4].to_vec();
        change(&mut forged);
        let crc = crc32c::crc32c(&forged);
        forged.extend_from_slice(&crc.to_le_bytes());
        forged
    };
    let mut incoming = import(&FakeDisk::new(2));
    refused(&mut incoming, &forge(&|bytes| *bytes.last_mut().unwrap() ^= 1), "a version's checksum");
    refused(&mut incoming, &forge(&|bytes| bytes[0] = 2), "chunk format");
    refused(&mut incoming, &forge(&|bytes| bytes[1] = 2), "last");
    refused(&mut incoming, &forge(&|bytes| bytes[1] = 0), "to");
    refused(&mut incoming, &forge(&|bytes| bytes.extend_from_slice(&[9])), "stored key");
    refused(&mut incoming, &forge(&|bytes| bytes.extend_from_within(4..)), "out of order");
    incoming.push(&chunk).unwrap();
}

#[test]
fn a_snapshot_that_does_not_fit_its_meta_is_refused_and_the_old_store_stays() {
    let model = model_of(4, 60);
    let disk = FakeDisk::new(1);
    let peer = filled(&disk, &model, &TIGHT);
    let chunks = export(&peer, model.meta(), 2_000).unwrap();
    let old = model_of(5, 20);
    let other = FakeDisk::new(2);
    filled(&other, &old, &TIGHT).close().unwrap();

    let finish = |chunk_count: usize, meta: &Meta| {
        let mut incoming = import(&other);
        chunks[..chunk_count].iter().for_each(|chunk| incoming.push(chunk).unwrap());
        let error = incoming.finish(meta).unwrap_err();
        assert!(matches!(error, StoreError::Snapshot { .. }));
        assert_is_model(&open(&other).unwrap(), &old);
        error.to_string()
    };
    let all = chunks.len();
    assert!(finish(all - 1, model.meta()).contains("its last chunk is missing"));
    assert!(finish(all, &Meta { shard: ShardId(8), ..model.meta().clone() }).contains("another shard"));
    let early = Meta { timestamp: Timestamp(model.meta().timestamp.0 - 1), ..model.meta().clone() };
    assert!(finish(all, &early).contains("versions later than its meta"));
    assert_eq!(other.paths(), [PATH, "shards/7.redb.new"]);

    let mut incoming = import(&other);
    chunks.iter().for_each(|chunk| incoming.push(chunk).unwrap());
    incoming.finish(model.meta()).unwrap();
    assert_is_model(&open(&other).unwrap(), &model);
    assert_eq!(other.paths(), [PATH]);
}

#[test]
fn an_empty_store_travels_too() {
    let disk = FakeDisk::new(1);
    let peer = Store::create(disk.handle(), PATH, &TIGHT, SHARD).unwrap();
    let chunks = export(&peer, &peer.meta(), 1).unwrap();
    assert_eq!(chunks.len(), 1);
    let other = FakeDisk::new(2);
    let mut incoming = import(&other);
    incoming.push(&chunks[0]).unwrap();
    incoming.finish(&Meta { applied: LogIndex(3), ..peer.meta() }).unwrap();
    assert_eq!(open(&other).unwrap().meta().applied, LogIndex(3));
}

#[test]
fn a_meta_after_which_nothing_fits_is_refused() {
    let sound = Meta { applied: LogIndex(COUNTER_MAX), timestamp: Timestamp(3 << 62), ..Meta::new(ShardId(1)) };
    assert_eq!(Meta::decode(&sound.encode()), Ok(sound.clone()));
    for unsound in [
        Meta { applied: LogIndex(u64::MAX), ..sound.clone() },
        Meta { applied_term: Term(u64::MAX), ..sound.clone() },
        Meta { timestamp: Timestamp::MAX, ..sound.clone() },
        Meta { catalog: CatalogVersion(u64::MAX), ..sound },
    ] {
        assert!(Meta::decode(&unsound.encode()).is_err(), "{unsound:?}");
    }
}
