//! The fake disk keeps what it promised (F1 to F4) and loses enough of the rest.

use std::io;

use tenet_seam::fake::FakeDisk;
use tenet_seam::{Open, SECTOR_BYTES};

fn with_file(seed: u64, sectors: usize) -> FakeDisk {
    let fake = FakeDisk::new(seed);
    let disk = fake.handle();
    disk.create_dir("d").unwrap();
    let file = disk.open("d/f", Open::New).unwrap();
    file.write_at(0, &vec![1; sectors * SECTOR_BYTES]).unwrap();
    file.sync().unwrap();
    disk.sync_dir("d").unwrap();
    disk.sync_dir("").unwrap();
    fake
}

#[test]
fn synced_bytes_and_names_survive_every_crash() {
    for seed in 0..200 {
        let fake = with_file(seed, 4);
        fake.handle().open("d/f", Open::Existing).unwrap();
        fake.crash();
        assert_eq!(fake.contents("d/f"), vec![1; 4 * SECTOR_BYTES]);
    }
}

#[test]
fn unsynced_writes_are_kept_dropped_and_torn_between_whole_sectors() {
    let (mut kept, mut dropped, mut torn, mut longer) = (0, 0, 0, 0);
    for seed in 0..400 {
        let fake = with_file(seed, 4);
        let file = fake.handle().open("d/f", Open::Existing).unwrap();
        file.write_at(700, &vec![2; 5 * SECTOR_BYTES]).unwrap();
        assert_eq!(fake.unsynced_bytes(), 5 * SECTOR_BYTES as u64);
        let report = fake.crash();
        kept += report.writes_kept;
        dropped += report.writes_dropped;
        torn += report.writes_torn;
        let bytes = fake.contents("d/f");
        longer += u64::from(report.writes_torn > 0 && bytes.len() > 4 * SECTOR_BYTES);
        assert!(bytes[..700].iter().all(|b| *b == 1), "bytes outside the write are never touched");
        for (at, sector) in bytes.chunks(SECTOR_BYTES).enumerate().skip(2) {
            let first = sector[0];
            let end = (700 + 5 * SECTOR_BYTES).saturating_sub(at * SECTOR_BYTES).min(sector.len());
            assert!(sector[..end].iter().all(|b| *b == first), "sector {at} is a mixture");
        }
    }
    assert!(kept > 50 && dropped > 50 && torn > 50 && longer > 10, "{kept} {dropped} {torn} {longer}");
}

#[test]
fn names_without_a_synced_folder_may_vanish_and_a_rename_is_atomic() {
    let (mut new, mut old) = (0, 0);
    for seed in 0..200 {
        let fake = with_file(seed, 1);
        let disk = fake.handle();
        let file = disk.open("d/t", Open::New).unwrap();
        file.write_at(0, &[7]).unwrap();
        file.sync().unwrap();
        disk.rename("d/t", "d/f").unwrap();
        fake.crash();
        match fake.contents("d/f")[0] {
            7 => new += 1,
            _ => old += 1,
        }
    }
    assert!(new > 20 && old > 20, "{new} {old}");
}

#[test]
fn handles_of_an_earlier_boot_have_no_effect() {
    let fake = with_file(1, 1);
    let disk = fake.handle();
    let file = disk.open("d/f", Open::Existing).unwrap();
    fake.restart();
    let before = fake.operations();
    assert!(file.write_at(0, &[9]).is_err() && file.sync().is_err() && file.len().is_err());
    assert!(disk.remove("d/f").is_err() && disk.open("d/g", Open::New).is_err());
    assert_eq!(fake.contents("d/f"), vec![1; SECTOR_BYTES]);
    assert_eq!(fake.operations(), before);
}

#[test]
fn a_burnt_fuse_ends_the_boot_with_or_without_the_last_effect() {
    let (mut with, mut without) = (0, 0);
    for seed in 0..100 {
        let fake = with_file(seed, 1);
        let file = fake.handle().open("d/f", Open::Existing).unwrap();
        fake.set_fuse(Some(1));
        file.len().unwrap();
        assert!(!fake.is_dead());
        assert!(file.write_at(0, &[5]).is_err());
        assert!(fake.is_dead() && file.len().is_err());
        if fake.unsynced_bytes() > 0 {
            with += 1
        } else {
            without += 1
        }
        fake.crash();
        fake.handle().open("d/f", Open::Existing).unwrap().len().unwrap();
    }
    assert!(with > 10 && without > 10, "{with} {without}");
}

#[test]
fn a_failed_sync_may_forget_what_reads_still_show() {
    let mut forgotten = 0;
    for seed in 0..100 {
        let fake = with_file(seed, 1);
        let file = fake.handle().open("d/f", Open::Existing).unwrap();
        file.write_at(0, &[5]).unwrap();
        fake.fail_next_sync();
        assert!(file.sync().is_err());
        file.sync().unwrap();
        assert_eq!(fake.contents("d/f")[0], 5);
        fake.crash();
        forgotten += u64::from(fake.contents("d/f")[0] == 1);
    }
    assert!(forgotten > 20 && forgotten < 80, "{forgotten}");
}

#[test]
fn a_full_disk_says_so_and_a_lying_one_loses() {
    let fake = with_file(1, 1);
    fake.set_capacity(Some(600));
    let file = fake.handle().open("d/f", Open::Existing).unwrap();
    assert_eq!(file.write_at(512, &[1; 89]).unwrap_err().kind(), io::ErrorKind::StorageFull);
    file.write_at(0, &[3; 512]).unwrap();
    file.write_at(512, &[1; 88]).unwrap();

    let mut lost = 0;
    for seed in 0..50 {
        let fake = with_file(seed, 1);
        fake.set_lying(true);
        let file = fake.handle().open("d/f", Open::Existing).unwrap();
        file.write_at(0, &[5]).unwrap();
        file.sync().unwrap();
        fake.crash();
        lost += u64::from(fake.contents("d/f")[0] == 1);
    }
    assert!(lost > 5, "{lost}");
}

#[test]
fn the_same_seed_and_calls_give_the_same_disk_and_a_fork_is_apart() {
    let run = |seed| {
        let fake = with_file(seed, 8);
        let file = fake.handle().open("d/f", Open::Existing).unwrap();
        file.write_at(100, &[2; 3000]).unwrap();
        let other = fake.fork(3);
        let report = fake.crash();
        (fake.contents("d/f"), report, other.contents("d/f"))
    };
    assert_eq!(run(5), run(5));
    assert_eq!(run(5).2[100], 2);
}

#[test]
fn folders_hold_names_and_refuse_strangers() {
    let fake = FakeDisk::new(0);
    let disk = fake.handle();
    assert!(disk.open("a/b/f", Open::New).is_err());
    disk.create_dir("a/b").unwrap();
    disk.create_dir("a/b").unwrap();
    disk.open("a/b/f", Open::New).unwrap();
    assert!(disk.open("a/b/f", Open::New).is_err());
    assert_eq!(disk.list("").unwrap(), ["a"]);
    assert_eq!(disk.list("a/b").unwrap(), ["f"]);
    disk.remove("a/b/f").unwrap();
    assert!(!disk.exists("a/b/f").unwrap() && disk.exists("a/b").unwrap());
    assert!(disk.list("c").is_err());
    let mut one = [0];
    disk.open("a/g", Open::New).unwrap().read_at(0, &mut one).unwrap_err();
}

#[test]
fn a_removed_file_lives_as_long_as_a_handle_or_an_unsynced_folder() {
    let fake = with_file(1, 1);
    let disk = fake.handle();
    let file = disk.open("d/f", Open::Existing).unwrap();
    disk.remove("d/f").unwrap();
    disk.sync_dir("d").unwrap();
    let mut one = [0];
    file.read_at(0, &mut one).unwrap();
    assert_eq!((one, file.len().unwrap()), ([1], SECTOR_BYTES as u64));
    drop(file);
    let again = disk.open("d/f", Open::New).unwrap();
    assert!(again.is_empty().unwrap());

    let came_back = (0..50).filter(|seed| {
        let fake = with_file(*seed, 1);
        fake.handle().remove("d/f").unwrap();
        fake.crash();
        fake.paths() == ["d/f"]
    });
    assert!(came_back.count() > 5);
}
