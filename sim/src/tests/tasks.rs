use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::Poll;

use crate::boot::Death;
use crate::{Broken, SimOptions, simulate};
use tenet_seam::Open;

use super::{Shared, ms, play, seam_of};

#[test]
fn work_goes_on_when_its_caller_goes_away() {
    play(1, |sim| async move {
        let seam = seam_of(&sim, "n1").await;
        let ran = Arc::new(AtomicU64::new(0));
        let count = ran.clone();
        let work = seam.blocking(move || count.fetch_add(1, Ordering::Relaxed));
        assert!(seam.timeout(std::time::Duration::from_nanos(1), work).await.is_err(), "it takes longer than that");
        seam.sleep(ms(5)).await;
        assert_eq!(ran.load(Ordering::Relaxed), 1);
    });
}

#[test]
fn work_in_which_the_machine_dies_is_never_answered_and_its_panic_is_not_heard() {
    play(2, |sim| async move {
        let machine = sim.machine("n1");
        let said: Shared<Vec<&str>> = Shared::default();
        let says = said.clone();
        machine.start(move |seam| async move {
            let disk = seam.disk.clone();
            let speaks = says.clone();
            seam.blocking(move || {
                let file = disk.open("a", Open::New).unwrap();
                file.write_at(0, b"before").unwrap();
                speaks.lock().unwrap().push("working");
                file.write_at(0, b"in which it dies").expect("a panic of the dead");
            })
            .await;
            says.lock().unwrap().push("answered");
        });
        machine.arm_crash_point(3);
        machine.down().await;
        sim.sleep(ms(10)).await;
        assert_eq!(*said.lock().unwrap(), ["working"]);
        let obituary = sim.obituaries().pop().unwrap();
        assert!(matches!(obituary.death, Death::CrashPoint { ref path, .. } if path == "a"), "{obituary:?}");
        assert_eq!(obituary.crash.pending_writes, 2, "the write in which it dies may survive, too");
    });
}

#[test]
fn destructors_of_a_dead_boot_reach_nothing() {
    struct Writes(Arc<dyn tenet_seam::File>, Arc<AtomicU64>);
    impl Drop for Writes {
        fn drop(&mut self) {
            self.1.fetch_add(1, Ordering::Relaxed);
            self.0.write_at(0, b"from the dead").expect("a destructor may even panic");
        }
    }
    play(3, |sim| async move {
        let machine = sim.machine("n1");
        let dropped = Arc::new(AtomicU64::new(0));
        let count = dropped.clone();
        machine.start(move |seam| async move {
            let task = seam.clone();
            seam.spawn("holder", async move {
                let disk = task.disk.clone();
                let file = task
                    .blocking(move || {
                        let file = disk.open("a", Open::New).unwrap();
                        file.write_at(0, b"alive").unwrap();
                        file.sync().unwrap();
                        disk.sync_dir("").unwrap();
                        file
                    })
                    .await;
                let _held = Writes(file, count);
                std::future::pending::<()>().await;
            });
        });
        sim.sleep(ms(20)).await;
        machine.kill();
        // The next boot is up before the scheduler drops the futures of the last one.
        let read: Shared<Vec<u8>> = Shared::default();
        let put = read.clone();
        machine.start(move |seam| async move {
            let disk = seam.disk.clone();
            let bytes = seam.blocking(move || {
                let file = disk.open("a", Open::Existing).unwrap();
                let mut bytes = vec![0; file.len().unwrap() as usize];
                file.read_at(0, &mut bytes).unwrap();
                bytes
            });
            let bytes = bytes.await;
            put.lock().unwrap().extend(bytes);
        });
        sim.sleep(ms(20)).await;
        assert_eq!(dropped.load(Ordering::Relaxed), 1, "the destructor did run");
        assert_eq!(*read.lock().unwrap(), b"alive");
    });
}

#[test]
fn a_node_can_end_itself() {
    play(4, |sim| async move {
        let machine = sim.machine("n1");
        let after = Arc::new(AtomicU64::new(0));
        let count = after.clone();
        machine.start(move |seam| async move {
            let ticking = seam.clone();
            seam.spawn("ticks", async move {
                loop {
                    ticking.sleep(ms(1)).await;
                    count.fetch_add(1, Ordering::Relaxed);
                }
            });
            seam.sleep(ms(10)).await;
            seam.halt("a sync failed".to_string()).await;
        });
        machine.down().await;
        let ticks = after.load(Ordering::Relaxed);
        sim.sleep(ms(50)).await;
        assert_eq!(after.load(Ordering::Relaxed), ticks, "nothing runs on");
        assert_eq!(sim.obituaries()[0].death, Death::Halted { reason: "a sync failed".to_string() });
    });
}

#[test]
fn a_panic_of_the_living_ends_the_simulation_and_says_where() {
    let finished = simulate(SimOptions::new(5), |sim| async move {
        let machine = sim.machine("n1");
        machine.start(|seam| async move {
            let working = seam.clone();
            seam.spawn("breaks", async move { working.blocking(|| panic!("commit past last")).await });
        });
        sim.sleep(ms(100)).await;
    });
    let Err(Broken::Panicked { message, place }) = finished.result else { panic!("it went on") };
    assert_eq!(message, "commit past last");
    assert!(place.contains("tasks.rs"), "{place}");
}

#[test]
fn the_disk_is_refused_outside_of_work() {
    let finished = simulate(SimOptions::new(6), |sim| async move {
        let seam = seam_of(&sim, "n1").await;
        drop(seam.disk.list(""));
    });
    assert!(finished.result.unwrap_err().to_string().contains("S2"));
}

#[test]
fn tasks_that_wake_each_other_for_nothing_are_a_livelock() {
    let finished = simulate(SimOptions::new(9), |sim| async move {
        let seam = seam_of(&sim, "n1").await;
        seam.spawn("spins", async {
            loop {
                let mut yielded = false;
                std::future::poll_fn(|cx| {
                    cx.waker().wake_by_ref();
                    if std::mem::replace(&mut yielded, true) { Poll::Ready(()) } else { Poll::Pending }
                })
                .await;
            }
        });
        sim.sleep(ms(60_000)).await;
    });
    let broken = finished.result.unwrap_err().to_string();
    assert!(broken.contains("livelock") && broken.contains("\"spins\" on machine 1"), "{broken}");
}

#[test]
fn a_poll_that_does_not_return_ends_with_a_verdict() {
    let held = Arc::new(AtomicU64::new(1));
    let release = held.clone();
    let options = SimOptions { patience: ms(300), ..SimOptions::new(10) };
    let finished = simulate(options, |sim| async move {
        let seam = seam_of(&sim, "n1").await;
        seam.sleep(ms(70)).await;
        while held.load(Ordering::Relaxed) > 0 {
            std::hint::spin_loop();
        }
    });
    release.store(0, Ordering::Relaxed);
    let Err(Broken::Stuck { now_ms, last, .. }) = finished.result else { panic!("it went on") };
    assert!((70..80).contains(&now_ms), "{now_ms} ms");
    assert!(last.contains("Sleep") && last.contains("machine 1"), "{last}");
}

#[test]
fn an_aborted_task_is_dropped_and_others_go_on() {
    play(7, |sim| async move {
        let seam = seam_of(&sim, "n1").await;
        let order: Arc<Mutex<Vec<u32>>> = Arc::default();
        let tasks = [1, 2].map(|number| {
            let (order, sleeping) = (order.clone(), seam.clone());
            seam.spawn("one of two", async move {
                sleeping.sleep(ms(10)).await;
                order.lock().unwrap().push(number);
            })
        });
        tasks[0].abort();
        sim.sleep(ms(20)).await;
        assert_eq!(*order.lock().unwrap(), [2]);
    });
}

#[test]
fn a_stalled_disk_holds_work_back_and_is_counted() {
    play(8, |sim| async move {
        let seam = seam_of(&sim, "n1").await;
        let machine = sim.machines()[0].clone();
        machine.disk.stall_until(sim.now() + 500_000_000);
        let disk = seam.disk.clone();
        seam.blocking(move || disk.exists("a").unwrap()).await;
        assert!(sim.now() >= 500_000_000);
        assert!(machine.disk.stats().stalled_works > 0);
    });
}
