//! Random histories, with the power failing at every single call to the disk, in recovery too.

use tenet_seam::fake::FakeDisk;
use tenet_types::marks;
use tenet_wal::{Wal, WalError, WalOptions};

use crate::model::{Luck, Mix, Model};

pub fn options(luck: &mut Luck) -> WalOptions {
    WalOptions {
        segment_bytes: [512, 2048, 6000, 20_000, 200_000][luck.below(5) as usize],
        cache_bytes: [0, 1000, 1 << 20][luck.below(3) as usize],
        salt: luck.next(),
    }
}

/// What may be there after a crash: everything acknowledged, and perhaps the one batch that was under way.
#[derive(Clone)]
struct Known {
    acknowledged: Model,
    pending: Option<Model>,
}

impl Known {
    /// The log holds one of the two, whole. From now on it is known which.
    fn settle(&mut self, wal: &Wal, luck: &mut Luck) -> Result<(), String> {
        let acknowledged = self.acknowledged.check(wal, luck);
        match (acknowledged, self.pending.take()) {
            (Ok(()), _) => Ok(()),
            (Err(why), None) => Err(why),
            (Err(why), Some(pending)) => {
                pending
                    .check(wal, luck)
                    .map_err(|other| format!("neither: {why}; nor with the last batch: {other}"))?;
                self.acknowledged = pending;
                Ok(())
            }
        }
    }

    /// Appends `count` random batches, or until the disk fails.
    fn feed(&mut self, wal: &Wal, mix: Mix, count: u64, luck: &mut Luck) -> Result<(), WalError> {
        assert!(self.pending.is_none());
        for _ in 0..count {
            let batch = mix.batch(&self.acknowledged, luck);
            let mut next = self.acknowledged.clone();
            next.apply(&batch);
            match wal.append(batch) {
                Ok(()) => self.acknowledged = next,
                Err(error) => {
                    self.pending = Some(next);
                    return Err(error);
                }
            }
        }
        Ok(())
    }
}

#[derive(Default, Debug)]
struct Tally {
    boots: u64,
    crashes: u64,
    crashes_in_recovery: u64,
    torn_writes: u64,
    segments_freed: u64,
    pending_kept: u64,
}

fn require_disk_error(error: &WalError, context: &str) {
    assert!(matches!(error, WalError::Io { .. } | WalError::Full { .. } | WalError::Poisoned), "{context}: {error}");
}

/// One history whose first boot dies at call `fuse`, and what several power failures at that moment make of it.
fn one_crash(seed: u64, fuse: u64, tally: &mut Tally) -> bool {
    let mut luck = Luck(seed);
    let (options, mix) = (options(&mut luck), Mix::draw(&mut luck));
    let fake = FakeDisk::new(seed ^ fuse << 32);
    let mut known = Known { acknowledged: Model::default(), pending: None };
    fake.set_fuse(Some(fuse));
    let count = 4 + luck.below(20);
    if let Ok(wal) = Wal::open(fake.handle(), "wal", options) {
        let result = known.feed(&wal, mix, count, &mut luck);
        tally.segments_freed += wal.stats().segments_freed;
        if let Err(error) = result {
            require_disk_error(&error, &format!("seed {seed}, fuse {fuse}"));
        }
    }
    for variant in 0..4 {
        let context = format!("seed {seed}, fuse {fuse}, variant {variant}");
        let luck = Luck(seed ^ fuse.wrapping_mul(77) ^ variant << 48);
        recoveries(&fake.fork(luck.0), known.clone(), (options, mix), luck, tally, &context);
    }
    fake.is_dead()
}

/// The power fails; recovery may die a few times too; then it must all be there, more than once.
fn recoveries(
    fake: &FakeDisk,
    mut known: Known,
    (options, mix): (WalOptions, Mix),
    mut luck: Luck,
    tally: &mut Tally,
    context: &str,
) {
    tally.torn_writes += fake.crash().writes_torn;
    tally.crashes += 1;
    for _ in 0..luck.below(4) {
        fake.set_fuse(Some(luck.below(40)));
        match Wal::open(fake.handle(), "wal", options) {
            // It died while removing a segment that nobody needs.
            Ok(_) if fake.is_dead() => {}
            Ok(wal) => {
                fake.set_fuse(None);
                known.settle(&wal, &mut luck).unwrap_or_else(|why| panic!("{context}: {why}"));
            }
            Err(error) => require_disk_error(&error, context),
        }
        tally.crashes_in_recovery += 1;
        tally.torn_writes += fake.crash().writes_torn;
    }
    for _ in 0..2 {
        tally.boots += 1;
        let had_pending = known.pending.is_some();
        let before = known.acknowledged.clone();
        let wal = Wal::open(fake.handle(), "wal", options).unwrap_or_else(|error| panic!("{context}: {error}"));
        known.settle(&wal, &mut luck).unwrap_or_else(|why| panic!("{context}: {why}"));
        tally.pending_kept += u64::from(had_pending && known.acknowledged != before);
        fake.crash();
        // What open returned survives the next crash (W6), without a single append.
        let wal = Wal::open(fake.handle(), "wal", options).unwrap_or_else(|error| panic!("{context}: {error}"));
        known.settle(&wal, &mut luck).unwrap_or_else(|why| panic!("{context}: {why}"));
        let count = luck.below(6);
        known.feed(&wal, mix, count, &mut luck).unwrap_or_else(|error| panic!("{context}: {error}"));
        known.settle(&wal, &mut luck).unwrap_or_else(|why| panic!("{context}: {why}"));
        fake.crash();
    }
}

#[test]
fn whatever_was_acknowledged_survives_a_crash_at_every_call() {
    let mut tally = Tally::default();
    let cut_before = marks().get("wal: torn batch cut").copied().unwrap_or(0);
    for seed in 0..60 {
        let mut fuse = 0;
        while one_crash(seed, fuse, &mut tally) {
            fuse += 1;
        }
        assert!(fuse > 10, "seed {seed} made only {fuse} calls");
    }
    let cut = marks()["wal: torn batch cut"] - cut_before;
    println!("{tally:?}, cut {cut}");
    assert!(tally.crashes > 10_000 && tally.torn_writes > 200 && tally.segments_freed > 2000, "{tally:?}");
    assert!(tally.pending_kept > 400 && tally.crashes_in_recovery > 10_000 && cut > 200, "{tally:?} cut {cut}");
}

/// A long life of one log: crashes, restarts without loss of power, failed calls, failed syncs, full disks.
fn one_life(seed: u64) {
    let mut luck = Luck(seed);
    let mut options = options(&mut luck);
    let mix = Mix::draw(&mut luck);
    let fake = FakeDisk::new(seed);
    let mut known = Known { acknowledged: Model::default(), pending: None };
    for boot in 0..25 {
        let context = format!("seed {seed}, boot {boot}");
        options.salt = luck.next();
        if luck.chance(20) {
            fake.set_fault(Some(luck.below(30)));
        }
        if luck.chance(20) {
            fake.fail_next_sync();
        }
        match Wal::open(fake.handle(), "wal", options) {
            Err(error) => require_disk_error(&error, &context),
            Ok(wal) => {
                fake.set_fault(None);
                known.settle(&wal, &mut luck).unwrap_or_else(|why| panic!("{context}: {why}"));
                match luck.below(4) {
                    0 => fake.fail_next_sync(),
                    1 => fake.set_fault(Some(luck.below(60))),
                    2 => fake.set_capacity(Some(fake.used_bytes() + luck.below(10_000))),
                    _ => fake.set_fuse(Some(luck.below(60))),
                }
                let fed = known.feed(&wal, mix, 25, &mut luck);
                if let Err(error) = fed {
                    require_disk_error(&error, &context);
                    assert!(matches!(wal.append(Default::default()), Err(WalError::Poisoned)), "{context}");
                }
                if luck.chance(30) && wal.seal().is_ok() {
                    known.pending = None;
                }
            }
        }
        fake.set_capacity(None);
        if luck.chance(50) {
            fake.crash();
        } else {
            fake.restart();
        }
    }
    for _ in 0..2 {
        let wal = Wal::open(fake.handle(), "wal", options).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        known.settle(&wal, &mut luck).unwrap_or_else(|why| panic!("seed {seed}: {why}"));
        fake.crash();
    }
}

#[test]
fn a_long_life_of_failures_loses_nothing() {
    for seed in 0..400 {
        one_life(seed);
    }
}

/// The control: on a disk that lies about sync the same checks must find losses.
#[test]
fn a_disk_that_lies_is_found_out() {
    let mut found = 0;
    for seed in 0..40 {
        let mut luck = Luck(seed);
        let (options, mix) = (options(&mut luck), Mix::draw(&mut luck));
        let fake = FakeDisk::new(seed);
        let mut known = Known { acknowledged: Model::default(), pending: None };
        let wal = Wal::open(fake.handle(), "wal", options).unwrap();
        known.feed(&wal, mix, 10, &mut luck).unwrap();
        fake.set_lying(true);
        known.feed(&wal, mix, 10, &mut luck).unwrap();
        fake.crash();
        let outcome = Wal::open(fake.handle(), "wal", options).map(|wal| known.settle(&wal, &mut luck));
        found += u64::from(!matches!(outcome, Ok(Ok(()))));
    }
    assert!(found > 20, "{found}");
}
