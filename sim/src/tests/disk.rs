use std::io;
use std::sync::Arc;

use tenet_seam::{Disk, File, Open, Seam};

use super::{ms, play, seam_of};

async fn on<T: Send + 'static>(
    seam: &Seam,
    work: impl FnOnce(Arc<dyn Disk>) -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    let disk = seam.disk.clone();
    seam.blocking(move || work(disk)).await
}

fn contents(file: &dyn File) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; file.len()? as usize];
    file.read_at(0, &mut bytes)?;
    Ok(bytes)
}

fn read(disk: Arc<dyn Disk>, path: &str) -> io::Result<Vec<u8>> {
    contents(&*disk.open(path, Open::Existing)?)
}

fn write_synced(disk: &Arc<dyn Disk>, path: &str, bytes: &[u8]) -> io::Result<()> {
    let file = disk.open(path, Open::New)?;
    file.write_at(0, bytes)?;
    file.sync()?;
    disk.sync_dir("")
}

#[test]
fn what_was_synced_survives_and_the_rest_may_be_kept_lost_or_torn() {
    let (mut kept, mut lost, mut torn) = (0, 0, 0);
    for seed in 0..60 {
        let after = play(seed, |sim| async move {
            let seam = seam_of(&sim, "n1").await;
            let written = on(&seam, |disk| {
                write_synced(&disk, "a", &[1; 4096])?;
                disk.open("a", Open::Existing)?.write_at(0, &[2; 4096])
            });
            written.await.unwrap();
            sim.machines()[0].kill();
            let seam = seam_of(&sim, "n1").await;
            on(&seam, |disk| read(disk, "a")).await.unwrap()
        });
        assert_eq!(after.len(), 4096);
        for sector in after.chunks(512) {
            assert!(sector == [1; 512] || sector == [2; 512], "a sector is old or new, never mixed");
        }
        let new = after.iter().filter(|byte| **byte == 2).count();
        match new {
            0 => lost += 1,
            4096 => kept += 1,
            _ => torn += 1,
        }
    }
    assert!(kept > 5 && lost > 5 && torn > 5, "kept {kept} lost {lost} torn {torn}");
}

#[test]
fn names_are_durable_only_by_their_folder() {
    let (mut there, mut gone) = (0, 0);
    for seed in 0..40 {
        let (covered, uncovered, nested) = play(seed, |sim| async move {
            let seam = seam_of(&sim, "n1").await;
            let written = on(&seam, |disk| {
                write_synced(&disk, "covered", b"x")?;
                disk.create_dir("sub/deep")?;
                disk.sync_dir("")?;
                disk.sync_dir("sub")?;
                let file = disk.open("sub/deep/uncovered", Open::New)?;
                file.write_at(0, b"y")?;
                file.sync()?; // the bytes, not the name
                disk.rename("covered", "renamed")
            });
            written.await.unwrap();
            sim.machines()[0].kill();
            let seam = seam_of(&sim, "n1").await;
            let looked = on(&seam, |disk| {
                let names = disk.list("")?;
                let either = names.contains(&"covered".to_string()) != names.contains(&"renamed".to_string());
                Ok((either, disk.exists("sub/deep/uncovered")?, disk.exists("sub/deep")?))
            });
            looked.await.unwrap()
        });
        assert!(covered, "a rename happened or not; the file is there under exactly one name");
        assert!(nested, "synced folders stay");
        if uncovered { there += 1 } else { gone += 1 }
    }
    assert!(there > 5 && gone > 5, "there {there} gone {gone}");
}

#[test]
fn a_failed_sync_loses_bytes_that_later_syncs_do_not_save() {
    let mut lost = 0;
    for seed in 0..40 {
        let after = play(seed, |sim| async move {
            let seam = seam_of(&sim, "n1").await;
            on(&seam, |disk| write_synced(&disk, "a", &[1; 1024])).await.unwrap();
            sim.machines()[0].disk.fail_syncs(1);
            let synced = on(&seam, |disk| {
                let file = disk.open("a", Open::Existing)?;
                file.write_at(0, &[2; 1024])?;
                assert!(file.sync().is_err());
                assert_eq!(contents(&*file)?, [2; 1024], "reads still show it (K5)");
                file.sync()
            });
            synced.await.unwrap();
            assert_eq!(sim.machines()[0].disk.stats().failed_syncs, 1);
            sim.machines()[0].kill();
            let seam = seam_of(&sim, "n1").await;
            on(&seam, |disk| read(disk, "a")).await.unwrap()
        });
        lost += u64::from(after != [2; 1024]);
    }
    assert!(lost > 5, "lost {lost} of 40");
}

#[test]
fn a_lying_disk_loses_what_it_acknowledged() {
    let mut lost = 0;
    for seed in 0..40 {
        lost += play(seed, |sim| async move {
            let seam = seam_of(&sim, "n1").await;
            sim.machines()[0].disk.set_lying(true);
            on(&seam, |disk| write_synced(&disk, "a", &[1; 1024])).await.unwrap();
            sim.machines()[0].kill();
            let seam = seam_of(&sim, "n1").await;
            let bytes = on(&seam, |disk| read(disk, "a")).await;
            u64::from(bytes.ok() != Some(vec![1; 1024]))
        });
    }
    assert!(lost > 5, "lost {lost} of 40");
}

#[test]
fn a_full_disk_refuses_growth_and_recovers() {
    play(1, |sim| async move {
        let seam = seam_of(&sim, "n1").await;
        sim.machines()[0].disk.set_capacity(Some(1_000));
        let refused = on(&seam, |disk| {
            let file = disk.open("a", Open::New)?;
            file.write_at(0, &[1; 900])?;
            let error = file.write_at(900, &[1; 200]).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::StorageFull);
            assert_eq!(file.set_len(2_000).unwrap_err().kind(), io::ErrorKind::StorageFull);
            file.write_at(0, &[2; 900])?; // in place needs no room
            disk.remove("a")?;
            write_synced(&disk, "b", &[3; 1_000])
        });
        refused.await.unwrap();
        assert_eq!(sim.machines()[0].disk.stats().refused_full, 2);
        assert_eq!(sim.machines()[0].disk.used_bytes(), 1_000);
    });
}

#[test]
fn names_obey_the_trait() {
    play(2, |sim| async move {
        let seam = seam_of(&sim, "n1").await;
        let checked = on(&seam, |disk| {
            let kind = |result: io::Result<()>| result.unwrap_err().kind();
            assert_eq!(kind(disk.open("no/a", Open::New).map(drop)), io::ErrorKind::NotFound);
            assert_eq!(kind(disk.open("a", Open::Existing).map(drop)), io::ErrorKind::NotFound);
            write_synced(&disk, "a", b"one")?;
            assert_eq!(kind(disk.open("a", Open::New).map(drop)), io::ErrorKind::AlreadyExists);
            disk.create_dir("d")?;
            disk.create_dir("d")?;
            assert_eq!(kind(disk.rename("a", "d")), io::ErrorKind::IsADirectory);
            write_synced(&disk, "d/b", b"two")?;
            let open = disk.open("d/b", Open::Existing)?;
            disk.rename("a", "d/b")?;
            assert_eq!(contents(&*open)?, b"two", "an open handle keeps its file");
            assert_eq!(read(disk.clone(), "d/b")?, b"one");
            assert_eq!(disk.list("")?, ["d"]);
            assert_eq!(disk.list("d")?, ["b"]);
            assert_eq!(kind(open.read_at(1, &mut [0; 3])), io::ErrorKind::UnexpectedEof);
            disk.remove("d/b")?;
            assert!(!disk.exists("d/b")?);
            assert_eq!(kind(disk.remove("d/b")), io::ErrorKind::NotFound);
            Ok(())
        });
        checked.await.unwrap();
        sim.sleep(ms(1)).await;
    });
}

#[test]
fn a_wiped_disk_is_empty() {
    play(3, |sim| async move {
        let seam = seam_of(&sim, "n1").await;
        on(&seam, |disk| write_synced(&disk, "a", b"one")).await.unwrap();
        sim.machines()[0].kill();
        sim.machines()[0].disk.wipe();
        let seam = seam_of(&sim, "n1").await;
        assert!(on(&seam, |disk| disk.list("")).await.unwrap().is_empty());
        assert_eq!(sim.machines()[0].disk.used_bytes(), 0);
    });
}
