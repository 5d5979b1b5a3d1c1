//! Crashes at any disk call: what is acknowledged stays, what is there is a prefix of the log, the rest replays.

use std::collections::BTreeMap;
use std::panic::catch_unwind;
use std::sync::Arc;

use tenet_seam::Disk;
use tenet_seam::fake::FakeDisk;
use tenet_types::LogIndex;

use super::support::*;
use crate::{Meta, Store, StoreError};

/// One replica on a disk that crashes, beside a peer that never does.
struct Replica {
    disk: FakeDisk,
    luck: Luck,
    model: Model,
    peer: Store,
    /// `None` while it is down.
    up: Option<Store>,
    /// The last entry that the store has said to be durable.
    acknowledged: LogIndex,
    deaths: BTreeMap<&'static str, u64>,
    torn: u64,
    replayed: u64,
}

impl Replica {
    fn new(seed: u64, lying: bool) -> Replica {
        let disk = FakeDisk::new(seed);
        let up = Some(Store::create(disk.handle(), PATH, &TIGHT, SHARD).unwrap());
        disk.set_lying(lying);
        let peer = Store::create(FakeDisk::new(seed).handle(), PATH, &TIGHT, SHARD).unwrap();
        let (model, luck) = (Model::new(), Luck(seed));
        let (deaths, acknowledged) = (BTreeMap::new(), LogIndex::ZERO);
        Replica { disk, luck, model, peer, up, acknowledged, deaths, torn: 0, replayed: 0 }
    }

    fn store(&self) -> &Store {
        self.up.as_ref().unwrap()
    }

    /// Runs until the node dies somewhere, then brings it back.
    fn live_and_die(&mut self) {
        let fuse = 1 << self.luck.below(11);
        self.disk.set_fuse(Some(self.luck.below(fuse)));
        let what = loop {
            let what = ["apply", "apply", "apply", "apply", "checkpoint", "checkpoint", "reopen", "import"]
                [self.luck.below(8) as usize];
            if let Err(error) = self.act(what) {
                assert!(self.disk.is_dead(), "{what} failed without a crash: {error}");
                break what;
            }
        };
        *self.deaths.entry(what).or_default() += 1;
        self.come_back();
    }

    fn act(&mut self, what: &'static str) -> Result<(), StoreError> {
        match what {
            "apply" => {
                for _ in 0..self.luck.range(1, 10) {
                    self.model.draw(&mut self.luck, 60);
                }
                self.peer.apply(self.model.entries(self.peer.meta().applied)).unwrap();
                // Some are left for an import to bring.
                let entries = self.model.entries(self.store().meta().applied);
                let count = self.luck.below(entries.len() as u64 + 1) as usize;
                self.store().apply(&entries[..count])?;
            }
            "checkpoint" => {
                self.acknowledged = self.store().checkpoint()?.applied;
            }
            "reopen" => {
                let store = self.up.take().unwrap();
                if self.luck.one_in(2) {
                    let meta = store.meta();
                    store.close()?;
                    self.reopen()?;
                    assert!(self.disk.is_dead() || self.store().meta() == meta, "a clean close lost something");
                } else {
                    store.kill();
                    drop(store);
                    self.reopen()?;
                }
            }
            "import" => {
                let at = self.peer.meta();
                install(self.disk.handle(), &self.peer, &at)?;
                self.acknowledged = at.applied;
                self.reopen()?;
            }
            other => panic!("{other}"),
        }
        Ok(())
    }

    fn reopen(&mut self) -> Result<(), StoreError> {
        if let Some(store) = self.up.take() {
            store.kill();
        }
        let store = open(&self.disk)?;
        self.acknowledged = self.acknowledged.max(store.durable().applied);
        self.up = Some(store);
        Ok(())
    }

    fn come_back(&mut self) {
        loop {
            let report = self.disk.crash();
            self.torn += report.writes_torn;
            if self.luck.one_in(3) {
                self.disk.set_fuse(Some(self.luck.below(60)));
            }
            match self.reopen() {
                Ok(()) => break,
                Err(error) => {
                    assert!(self.disk.is_dead(), "after a crash: {error}");
                    *self.deaths.entry("recovery").or_default() += 1;
                }
            }
        }
        self.disk.set_fuse(None);
        let meta = self.store().meta();
        assert!(meta.applied >= self.acknowledged, "{:?} was durable, {:?} is there", self.acknowledged, meta.applied);
        assert_eq!(self.store().durable(), meta);
        assert_is_model(self.store(), &self.model);
        if self.luck.one_in(2) {
            let rest = self.model.entries(meta.applied);
            self.replayed += rest.len() as u64;
            self.store().apply(rest).unwrap();
            assert_eq!(self.store().meta(), *self.model.meta());
            assert_is_model(self.store(), &self.model);
        }
    }
}

/// A snapshot of the peer, at `at`, onto a disk.
fn install(disk: Arc<dyn Disk>, peer: &Store, at: &Meta) -> Result<(), StoreError> {
    let mut import = Store::begin_import(disk, PATH, &TIGHT, SHARD)?;
    for chunk in export(peer, at, 3_000).unwrap() {
        import.push(&chunk)?;
    }
    import.finish(at)
}

fn survive(seed: u64, lives: usize, lying: bool) -> Replica {
    let mut replica = Replica::new(seed, lying);
    for _ in 0..lives {
        replica.live_and_die();
    }
    replica
}

#[test]
fn what_was_acknowledged_survives_any_crash() {
    let mut deaths = BTreeMap::new();
    let (mut torn, mut replayed) = (0, 0);
    for seed in 0..60 {
        let replica = survive(seed, 15, false);
        torn += replica.torn;
        replayed += replica.replayed;
        for (what, count) in replica.deaths {
            *deaths.entry(what).or_insert(0) += count;
        }
    }
    for what in ["apply", "checkpoint", "reopen", "import", "recovery"] {
        assert!(deaths.get(what).is_some_and(|count| *count >= 20), "too few crashes in {what}: {deaths:?}");
    }
    assert!(torn >= 200 && replayed >= 1_000, "{torn} writes torn, {replayed} entries replayed");
}

#[test]
fn the_same_seed_is_the_same_story() {
    let digest = |seed| {
        let replica = survive(seed, 8, false);
        (replica.disk.operations(), blake3::hash(&replica.disk.contents(PATH)), replica.deaths)
    };
    assert_eq!(digest(3), digest(3));
    assert_ne!(digest(3), digest(4));
}

/// The control: a disk whose syncs do nothing loses what was acknowledged, and the same checks say so.
#[test]
fn a_lying_disk_is_found_out() {
    let found = (0..10).filter(|&seed| catch_unwind(|| survive(seed, 15, true)).is_err()).count();
    assert!(found >= 8, "{found} of 10");
}

/// One script, with the node dying in each of its disk calls in turn.
fn die_at_every_call(
    base: &FakeDisk,
    model: &Model,
    acknowledged: u64,
    script: impl Fn(Arc<dyn Disk>) -> Result<u64, StoreError>,
) {
    let mut calls = 0;
    for fuse in 0.. {
        let mut finished = false;
        for seed in 0..3 {
            let disk = base.fork(1_000 * seed + fuse);
            disk.set_fuse(Some(fuse));
            let result = script(disk.handle());
            let mut acknowledged = acknowledged;
            match result {
                Ok(now) => acknowledged = now,
                Err(error) => assert!(disk.is_dead(), "{error}"),
            }
            finished |= !disk.is_dead();
            if seed == 0 {
                // First only the process ends: what its successor calls durable was perhaps never synced by the dead one.
                disk.restart();
                let store = open(&disk).unwrap();
                acknowledged = acknowledged.max(store.durable().applied.0);
                store.kill();
            }
            disk.crash();
            let store = open(&disk).unwrap();
            assert!(store.meta().applied.0 >= acknowledged, "fuse {fuse}");
            assert_is_model(&store, model);
            store.apply(model.entries(store.meta().applied)).unwrap();
            assert_eq!(store.meta(), *model.meta());
        }
        if finished {
            break;
        }
        calls = fuse;
    }
    assert!(calls >= 10, "only {calls} disk calls: the script does too little");
}

/// A disk with the model's first `durable` entries, checkpointed.
fn prepared(model: &Model, durable: usize) -> FakeDisk {
    let disk = FakeDisk::new(1);
    let store = Store::create(disk.handle(), PATH, &TIGHT, SHARD).unwrap();
    store.apply(&model.log[..durable]).unwrap();
    store.checkpoint().unwrap();
    disk
}

fn model_of(entry_count: usize) -> Model {
    let luck = &mut Luck(11);
    let mut model = Model::new();
    while model.log.len() < entry_count {
        model.draw(luck, 60);
    }
    model
}

#[test]
fn a_crash_at_every_call_of_open_apply_and_checkpoint() {
    let model = model_of(90);
    die_at_every_call(&prepared(&model, 30), &model, 30, |disk| {
        let store = Store::open(disk, PATH, &TIGHT, SHARD)?;
        store.apply(model.entries(LogIndex(30)))?;
        store.checkpoint()?;
        // Dead before it could close, as after SIGKILL.
        store.kill();
        Ok(90)
    });
}

#[test]
fn a_crash_at_every_call_of_a_clean_close() {
    let model = model_of(40);
    die_at_every_call(&prepared(&model, 20), &model, 20, |disk| {
        let store = Store::open(disk.clone(), PATH, &TIGHT, SHARD)?;
        store.apply(model.entries(LogIndex(20)))?;
        store.close()?;
        Ok(Store::open(disk, PATH, &TIGHT, SHARD)?.durable().applied.0)
    });
}

#[test]
fn a_crash_at_every_call_of_an_import() {
    let model = model_of(80);
    let peer_disk = FakeDisk::new(2);
    let peer = filled(&peer_disk, &model, &TIGHT);
    die_at_every_call(&prepared(&model, 20), &model, 20, |disk| {
        install(disk, &peer, &model.metas[60])?;
        Ok(60)
    });
}

#[test]
fn a_crash_at_every_call_of_create_leaves_a_store_or_none() {
    let (mut with, mut without) = (0, 0);
    for fuse in 0.. {
        let disk = FakeDisk::new(fuse);
        disk.set_fuse(Some(fuse));
        let created = Store::create(disk.handle(), PATH, &TIGHT, SHARD).is_ok();
        let finished = !disk.is_dead();
        disk.crash();
        match open(&disk) {
            Ok(store) => {
                with += 1;
                assert_eq!(store.meta(), Meta::new(SHARD));
            }
            Err(StoreError::Missing { .. }) => {
                without += 1;
                assert!(!created, "it was there");
                Store::create(disk.handle(), PATH, &TIGHT, SHARD).unwrap();
            }
            Err(error) => panic!("{error}"),
        }
        if finished {
            break;
        }
    }
    assert!(with > 3 && without > 10, "{with} with, {without} without");
}
