//! Bytes that were acknowledged and are no longer what was written: refused, or without effect; never silently wrong.

use tenet_seam::SECTOR_BYTES;
use tenet_seam::fake::FakeDisk;
use tenet_types::{LogIndex, ShardId, Term};
use tenet_wal::{Batch, Change, Frame, Wal, WalError, WalOptions};

use crate::crashes::options;
use crate::model::{Luck, Mix, Model};

/// A log after a random history, what it holds, and what it held before the last batch.
struct Written {
    fake: FakeDisk,
    options: WalOptions,
    model: Model,
    before_last: Model,
}

fn write(seed: u64, sealed: bool) -> Written {
    let mut luck = Luck(seed);
    let (options, mix) = (options(&mut luck), Mix::draw(&mut luck));
    let fake = FakeDisk::new(seed);
    let wal = Wal::open(fake.handle(), "wal", options).unwrap();
    let (mut model, mut before_last) = (Model::default(), Model::default());
    for _ in 0..8 + luck.below(20) {
        let batch = mix.batch(&model, &mut luck);
        if batch.groups.is_empty() {
            continue;
        }
        before_last = model.clone();
        model.apply(&batch);
        wal.append(batch).unwrap();
    }
    if sealed {
        wal.seal().unwrap();
        before_last = model.clone();
    }
    fake.restart();
    Written { fake, options, model, before_last }
}

impl Written {
    /// Opens a copy to which `damage` was done. True if it was refused, as damage; a state is handed to `judge`.
    fn reopen(&self, damage: impl Fn(&FakeDisk), judge: impl Fn(&Wal)) -> bool {
        let fake = self.fake.fork(1);
        damage(&fake);
        let before: Vec<Vec<u8>> = fake.paths().iter().map(|path| fake.contents(path)).collect();
        match Wal::open(fake.handle(), "wal", self.options) {
            Ok(wal) => {
                judge(&wal);
                false
            }
            Err(WalError::Damaged { what, path, remedy, .. }) => {
                assert!(!what.is_empty() && path.starts_with("wal/") && !remedy.is_empty());
                let after: Vec<Vec<u8>> = fake.paths().iter().map(|path| fake.contents(path)).collect();
                assert!(before == after, "a refused log was changed");
                true
            }
            Err(other) => panic!("refused, but as {other}"),
        }
    }

    fn segments(&self) -> Vec<String> {
        self.fake.paths()
    }

    /// Where the written bytes of a segment end, in sectors.
    fn written_sectors(&self, path: &str) -> usize {
        let bytes = self.fake.contents(path);
        let sectors: Vec<bool> = bytes.chunks(SECTOR_BYTES).map(|sector| sector.iter().any(|b| *b != 0)).collect();
        sectors.iter().rposition(|written| *written).map_or(0, |at| at + 1)
    }

    /// Batches of the last segment, as ranges of sectors, the header first.
    fn last_batch(&self) -> (String, usize, usize) {
        let path = self.segments().pop().unwrap();
        let bytes = self.fake.contents(&path);
        let end = self.written_sectors(&path);
        let is_batch = |at: &usize| &bytes[at * SECTOR_BYTES..at * SECTOR_BYTES + 8] == b"TENETBAT";
        let start = (0..end).rfind(is_batch).unwrap_or(0);
        (path, start, end)
    }
}

#[test]
fn a_flipped_bit_anywhere_is_refused_or_harmless() {
    let (mut refused, mut harmless) = (0, 0);
    for seed in 0..120 {
        let written = write(seed, seed % 2 == 0);
        let mut luck = Luck(seed);
        for path in written.segments() {
            let sectors = written.written_sectors(&path) as u64;
            let len = written.fake.contents(&path).len() as u64;
            for _ in 0..25 {
                let within = if luck.chance(90) { (sectors * SECTOR_BYTES as u64).min(len) } else { len };
                let (offset, bit) = (luck.below(within), luck.below(8) as u8);
                let was_refused = written.reopen(
                    |fake| fake.flip_bit(&path, offset, bit),
                    |wal| {
                        let checked = written.model.check(wal, &mut Luck(1));
                        checked
                            .unwrap_or_else(|why| panic!("seed {seed}, {path}, byte {offset}: silently wrong: {why}"));
                    },
                );
                *(if was_refused { &mut refused } else { &mut harmless }) += 1;
            }
        }
    }
    println!("refused {refused}, harmless {harmless}");
    assert!(refused > 3000 && harmless > 20, "{refused} {harmless}");
}

#[test]
fn a_lost_sector_is_refused_unless_it_may_be_torn_from_the_last_batch() {
    let (mut refused, mut cut, mut harmless) = (0, 0, 0);
    for seed in 0..120 {
        let written = write(seed, seed % 2 == 0);
        let (last_path, start, end) = written.last_batch();
        for path in written.segments() {
            for sector in 0..written.written_sectors(&path) {
                let in_last = path == last_path && (start..end).contains(&sector) && start > 0;
                let lost = |fake: &FakeDisk| {
                    let mut bytes = fake.contents(&path);
                    bytes[sector * SECTOR_BYTES..][..SECTOR_BYTES].fill(0);
                    fake.overwrite(&path, bytes);
                };
                let judge = |wal: &Wal| {
                    let whole = written.model.check(wal, &mut Luck(1));
                    let without_last = written.before_last.check(wal, &mut Luck(1));
                    let good = whole.is_ok() || (in_last && without_last.is_ok());
                    assert!(good, "seed {seed}, {path}, sector {sector} of {start}..{end}: silently wrong: {whole:?}");
                };
                match (written.reopen(lost, judge), in_last) {
                    (true, _) => refused += 1,
                    (false, true) => cut += 1,
                    // The sector had held nothing but zeros.
                    (false, false) => harmless += 1,
                }
            }
        }
    }
    println!("refused {refused}, cut {cut}, harmless {harmless}");
    assert!(refused > 1000 && cut > 50, "{refused} {cut} {harmless}");
}

/// The seal with which `open` ends proves what came before: a lost sector there is not taken for a torn one any more.
#[test]
fn what_open_returned_is_never_cut_later() {
    let mut refused = 0;
    for seed in 0..60 {
        let mut written = write(seed, false);
        drop(Wal::open(written.fake.handle(), "wal", written.options).unwrap());
        written.fake.restart();
        written.before_last = written.model.clone();
        let path = written.segments().pop().unwrap();
        for sector in 0..written.written_sectors(&path) {
            let lost = |fake: &FakeDisk| {
                let mut bytes = fake.contents(&path);
                bytes[sector * SECTOR_BYTES..][..SECTOR_BYTES].fill(0);
                fake.overwrite(&path, bytes);
            };
            refused += u64::from(written.reopen(lost, |wal| written.model.check(wal, &mut Luck(1)).unwrap()));
        }
    }
    assert!(refused > 100, "{refused}");
}

#[test]
fn lost_exchanged_and_shortened_segments_are_refused() {
    let mut checked = 0;
    for seed in 0..120 {
        let written = write(seed, true);
        let segments = written.segments();
        let model_only = |wal: &Wal| {
            written.model.check(wal, &mut Luck(1)).unwrap_or_else(|why| panic!("seed {seed}: silently wrong: {why}"));
        };
        for pair in segments.windows(2) {
            checked += 1;
            let needed = !written.reopen(|_| {}, model_only);
            assert!(needed);
            let kept_after_open = {
                let fake = written.fake.fork(2);
                Wal::open(fake.handle(), "wal", written.options).unwrap();
                fake.paths().contains(&pair[0])
            };
            let refused = written.reopen(|fake| fake.lose_file(&pair[0]), model_only);
            assert!(refused || !kept_after_open, "seed {seed}: {} was lost, and it opened", pair[0]);
            let exchanged = written.reopen(
                |fake| {
                    let (a, b) = (fake.contents(&pair[0]), fake.contents(&pair[1]));
                    fake.overwrite(&pair[0], b);
                    fake.overwrite(&pair[1], a);
                },
                model_only,
            );
            assert!(exchanged, "seed {seed}: exchanged segments opened");
            let length = written.written_sectors(&pair[0]) * SECTOR_BYTES;
            for shortened in [0, 100, length - SECTOR_BYTES, length - 1] {
                let refused = written
                    .reopen(|fake| fake.overwrite(&pair[0], fake.contents(&pair[0])[..shortened].to_vec()), model_only);
                assert!(refused || !kept_after_open, "seed {seed}: a shortened segment opened");
            }
        }
    }
    assert!(checked > 100, "{checked}");
}

#[test]
fn sectors_written_to_the_wrong_place_are_refused_or_harmless() {
    for seed in 0..150 {
        let written = write(seed, true);
        let mut luck = Luck(seed);
        for path in written.segments() {
            let sectors = written.fake.contents(&path).len() as u64 / SECTOR_BYTES as u64;
            let full = written.written_sectors(&path) as u64;
            for _ in 0..8 {
                let (source, target) = (luck.below(full) as usize, luck.below((full + 3).min(sectors)) as usize);
                let misdirect = |fake: &FakeDisk| {
                    let mut bytes = fake.contents(&path);
                    bytes.copy_within(source * SECTOR_BYTES..(source + 1) * SECTOR_BYTES, target * SECTOR_BYTES);
                    fake.overwrite(&path, bytes);
                };
                written.reopen(misdirect, |wal| {
                    let checked = written.model.check(wal, &mut Luck(1));
                    checked.unwrap_or_else(|why| panic!("seed {seed}, {path}, {source} to {target}: {why}"));
                });
            }
        }
    }
}

fn entry(index: u64, payload: &[u8]) -> Change {
    let frame = Frame { index: LogIndex(index), term: Term(1), payload: payload.into() };
    Change { entries: vec![frame], ..Change::default() }
}

fn batch(shard: u64, change: Change) -> Batch {
    Batch { groups: vec![(ShardId(shard), change)] }
}

fn create() -> Change {
    Change { create: Some(tenet_types::ReplicaId(1)), ..Change::default() }
}

#[test]
fn damage_says_what_where_and_the_remedy() {
    let fake = FakeDisk::new(1);
    let options = WalOptions { cache_bytes: 0, ..WalOptions::default() };
    let wal = Wal::open(fake.handle(), "wal", options).unwrap();
    wal.append(batch(7, create())).unwrap();
    wal.append(batch(7, entry(1, &[0xaa; 600]))).unwrap();
    wal.append(batch(7, entry(2, &[0xbb; 600]))).unwrap();
    let path = fake.paths().pop().unwrap();
    let bytes = fake.contents(&path);
    let at = bytes.windows(8).position(|window| window == [0xaa; 8]).unwrap() as u64;

    fake.flip_bit(&path, at + 3, 0);
    let error = wal.read(ShardId(7), LogIndex(1), LogIndex(1), 10).unwrap_err();
    let place = format!("in wal/00000000000000000001.seg at byte {}", at - 4);
    assert!(error.to_string().contains(&place), "{error}");
    assert!(error.to_string().contains("the payload of entry #1 (term 1) of s7"), "{error}");
    assert_eq!(&wal.read(ShardId(7), LogIndex(2), LogIndex(2), 10).unwrap()[0].payload[..], [0xbb; 600]);

    let reopen = |damage: &dyn Fn(&FakeDisk)| {
        let fake = fake.fork(2);
        damage(&fake);
        Wal::open(fake.handle(), "wal", options).map(|_| ()).unwrap_err().to_string()
    };
    let payload = reopen(&|_| {});
    assert!(
        payload.contains("batch 3: the payload of entry #1 (term 1) of s7") && payload.contains(&place),
        "{payload}"
    );
    assert!(payload.contains("restore the file from a copy"), "{payload}");
    let directory_at =
        bytes.windows(8).enumerate().filter(|(_, window)| window == b"TENETBAT").map(|(at, _)| at as u64);
    let second = directory_at.filter(|at| at % 512 == 0).nth(1).unwrap();
    let directory = reopen(&|fake: &FakeDisk| {
        fake.flip_bit(&path, at + 3, 0);
        fake.flip_bit(&path, second + 20, 3);
    });
    assert!(directory.contains("by the copy of its directory it concerns s7"), "{directory}");
    assert!(directory.contains(&format!("at byte {second}")), "{directory}");
}

#[test]
fn another_format_version_is_named() {
    let fake = FakeDisk::new(1);
    Wal::open(fake.handle(), "wal", WalOptions::default()).unwrap();
    let path = fake.paths().pop().unwrap();
    let mut bytes = fake.contents(&path);
    bytes[8] = 2;
    let crc = crc32c::crc32c_append(crc32c::crc32c(&bytes[..16]), &bytes[20..104]);
    bytes[16..20].copy_from_slice(&crc.to_le_bytes());
    fake.overwrite(&path, bytes);
    let error = Wal::open(fake.fork(1).handle(), "wal", WalOptions::default()).map(|_| ()).unwrap_err();
    assert!(matches!(error, WalError::Version { found: 2, known: 1, .. }), "{error}");
}

/// A client's payload that is itself a piece of a log, each byte at the offset where that log has it, in a batch that is torn.
/// Returns whether the log opens.
fn opens_with_forged_payload(salt_of_forger: u64) -> bool {
    let options = WalOptions { salt: 99, ..WalOptions::default() };
    let forger = FakeDisk::new(2);
    let wal = Wal::open(forger.handle(), "wal", WalOptions { salt: salt_of_forger, ..options }).unwrap();
    wal.append(batch(1, create())).unwrap();
    for index in 1..20 {
        wal.append(batch(1, entry(index, &[1; 600]))).unwrap();
    }
    let forged = forger.contents(&forger.paths().pop().unwrap());

    let fake = FakeDisk::new(3);
    let wal = Wal::open(fake.handle(), "wal", options).unwrap();
    wal.append(batch(1, create())).unwrap();
    let path = fake.paths().pop().unwrap();
    let start = fake.contents(&path).chunks(SECTOR_BYTES).position(|sector| sector.iter().all(|b| *b == 0)).unwrap();
    let append = |payload: &[u8]| {
        let fake = fake.fork(4);
        let wal = Wal::open(fake.handle(), "wal", options).unwrap();
        wal.append(batch(1, entry(1, payload))).unwrap();
        fake
    };
    let plain = append(&[7; 6000]).contents(&path);
    let payload_at = plain.windows(8).position(|window| window == [7; 8]).unwrap();
    let fake = append(&forged[payload_at..payload_at + 6000]);
    let mut torn = fake.contents(&path);
    // `open` has sealed the log, so the batch begins one sector later; that sector is lost.
    let lost = (start + 1) * SECTOR_BYTES;
    assert_eq!(torn[lost..lost + 8], *b"TENETBAT");
    torn[lost..lost + SECTOR_BYTES].fill(0);
    assert!(torn.chunks(SECTOR_BYTES).skip(start + 1).any(|sector| sector.starts_with(b"TENETBAT")));
    fake.overwrite(&path, torn);
    match Wal::open(fake.handle(), "wal", options) {
        Ok(wal) => {
            assert_eq!(wal.group(ShardId(1)).unwrap().last, LogIndex(0));
            true
        }
        Err(WalError::Damaged { .. }) => false,
        Err(other) => panic!("{other}"),
    }
}

#[test]
fn a_payload_that_looks_like_later_batches_does_not_stop_recovery() {
    assert!(opens_with_forged_payload(1));
    // The control, and why the host draws a salt: who knows it can make the log refuse (never lose or invent anything).
    assert!(!opens_with_forged_payload(99));
}

/// A disk that returns another version of a batch, whole in itself, at its own place: only the chain of digests can tell.
#[test]
fn another_version_of_a_batch_is_refused() {
    let options = WalOptions::default();
    let fake = FakeDisk::new(1);
    let wal = Wal::open(fake.handle(), "wal", options).unwrap();
    wal.append(batch(1, create())).unwrap();
    wal.seal().unwrap();
    let path = fake.paths().pop().unwrap();
    let version = |byte: u8| {
        let fake = fake.fork(2);
        let wal = Wal::open(fake.handle(), "wal", options).unwrap();
        wal.append(batch(1, entry(1, &[byte; 100]))).unwrap();
        wal.append(batch(1, entry(2, &[9; 100]))).unwrap();
        fake
    };
    let (one, other) = (version(1), version(2));
    let (mut bytes, foreign) = (one.contents(&path), other.contents(&path));
    assert_eq!(bytes.len(), foreign.len());
    let differing: Vec<usize> = (0..bytes.len()).filter(|at| bytes[*at] != foreign[*at]).collect();
    let sector = differing[0] / SECTOR_BYTES * SECTOR_BYTES;
    assert!(bytes[sector..].starts_with(b"TENETBAT"));
    bytes[sector..sector + SECTOR_BYTES].copy_from_slice(&foreign[sector..sector + SECTOR_BYTES]);
    one.overwrite(&path, bytes);
    let error = Wal::open(one.fork(3).handle(), "wal", options).map(|_| ()).unwrap_err();
    assert!(matches!(error, WalError::Damaged { .. }), "{error}");
}

/// The story: batch 3 is acknowledged; a sector of it rots away; the power fails while batch 4 is written, and of batch 4
/// everything but its head arrives. Batch 3 then looks torn, but for what lies behind it.
#[test]
fn a_torn_batch_behind_a_damaged_one_gives_it_away() {
    let fake = FakeDisk::new(1);
    let wal = Wal::open(fake.handle(), "wal", WalOptions::default()).unwrap();
    wal.append(batch(1, create())).unwrap();
    let starts = |fake: &FakeDisk, path: &str| -> Vec<usize> {
        let bytes = fake.contents(path);
        (0..bytes.len()).step_by(SECTOR_BYTES).filter(|at| bytes[*at..].starts_with(b"TENETBAT")).collect()
    };
    wal.append(batch(1, entry(1, &[5; 2000]))).unwrap();
    let path = fake.paths().pop().unwrap();
    let without_fourth = fake.fork(2);
    wal.append(batch(1, entry(2, &[6; 2000]))).unwrap();
    let [_, third, fourth] = starts(&fake, &path)[..] else { panic!("three batches") };
    let rot = |fake: &FakeDisk, sectors: &[usize]| {
        let mut bytes = fake.contents(&path);
        for sector in sectors {
            bytes[*sector..sector + SECTOR_BYTES].fill(0);
        }
        fake.overwrite(&path, bytes);
        Wal::open(fake.handle(), "wal", WalOptions::default()).map(|wal| wal.group(ShardId(1)).unwrap().last)
    };
    let error = rot(&fake.fork(3), &[third + SECTOR_BYTES, fourth]).unwrap_err();
    assert!(error.to_string().contains("something was written after it"), "{error}");
    // The control: without the fourth batch this is what a torn write looks like.
    assert_eq!(rot(&without_fourth, &[third + SECTOR_BYTES]).unwrap(), LogIndex(0));
}
