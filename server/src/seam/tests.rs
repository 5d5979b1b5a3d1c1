use std::collections::BTreeSet;
use std::io::{self, ErrorKind};
use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tenet_seam::{Address, Disk, Open, Seam};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;

/// The seam and the folder that it lives in, gone when the test ends.
fn fresh() -> (Seam, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    (open(folder.path()).unwrap(), folder)
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

fn run<F: Future>(future: F) -> F::Output {
    runtime().block_on(future)
}

#[test]
fn files_keep_what_was_written_at_its_offset() {
    let folder = tempfile::tempdir().unwrap();
    let disk = DataFolder::open(folder.path()).unwrap();
    disk.create_dir("wal/old").unwrap();
    let file = disk.open("wal/1", Open::New).unwrap();
    assert!(file.is_empty().unwrap());
    file.write_at(3, b"abc").unwrap();
    file.write_at(0, b"xyz").unwrap();
    file.sync().unwrap();
    disk.sync_dir("wal").unwrap();
    disk.sync_dir("").unwrap();
    assert_eq!(file.len().unwrap(), 6);
    let mut read = [0; 4];
    file.read_at(1, &mut read).unwrap();
    assert_eq!(&read, b"yzab");
    assert_eq!(file.read_at(3, &mut read).unwrap_err().kind(), ErrorKind::UnexpectedEof);
    file.set_len(8).unwrap();
    file.read_at(4, &mut read).unwrap();
    assert_eq!(&read, b"bc\0\0");
    assert_eq!(std::fs::read(folder.path().join("wal/1")).unwrap(), b"xyzabc\0\0");
}

#[test]
fn names_are_made_listed_moved_and_removed() {
    let folder = tempfile::tempdir().unwrap();
    let disk = DataFolder::open(folder.path()).unwrap();
    assert_eq!(disk.list("").unwrap(), Vec::<String>::new(), "the lock is not core's business");
    for name in ["b", "a", "c"] {
        disk.open(name, Open::New).unwrap().write_at(0, name.as_bytes()).unwrap();
    }
    disk.create_dir("d").unwrap();
    disk.create_dir("d").unwrap();
    assert_eq!(disk.list("").unwrap(), ["a", "b", "c", "d"]);
    assert_eq!(disk.open("a", Open::New).err().unwrap().kind(), ErrorKind::AlreadyExists);
    assert_eq!(disk.open("e", Open::Existing).err().unwrap().kind(), ErrorKind::NotFound);
    let removed = disk.open("b", Open::Existing).unwrap();
    disk.rename("a", "b").unwrap();
    disk.remove("c").unwrap();
    assert_eq!(disk.list("").unwrap(), ["b", "d"]);
    let mut read = [0; 1];
    removed.read_at(0, &mut read).unwrap();
    assert_eq!(&read, b"b", "an open handle outlives its name");
    assert!(disk.exists("b").unwrap() && !disk.exists("a").unwrap());
}

#[test]
fn paths_cannot_leave_the_folder() {
    let folder = tempfile::tempdir().unwrap();
    let disk = DataFolder::open(folder.path()).unwrap();
    for path in ["../x", "/etc/passwd", "a/../../x", LOCK] {
        assert_eq!(disk.open(path, Open::New).err().unwrap().kind(), ErrorKind::InvalidInput, "{path}");
    }
}

const LOCK: &str = "LOCK";

#[test]
fn a_second_process_on_the_folder_is_refused_and_told_why() {
    let folder = tempfile::tempdir().unwrap();
    let first = DataFolder::open(folder.path()).unwrap();
    let refused = DataFolder::open(folder.path()).err().unwrap().to_string();
    let holder = format!("in use by another process (process {})", std::process::id());
    assert!(refused.contains(&holder), "{refused}");
    drop(first);
    DataFolder::open(folder.path()).unwrap();
}

#[test]
fn a_folder_is_made_with_those_above_it() {
    let above = tempfile::tempdir().unwrap();
    let path = above.path().join("x/y/z");
    DataFolder::open(&path).unwrap();
    assert!(path.is_dir());
    std::fs::write(above.path().join("file"), "").unwrap();
    let refused = DataFolder::open(&above.path().join("file")).err().unwrap().to_string();
    assert!(refused.starts_with("cannot use the data folder") && refused.contains("file"), "{refused}");
}

/// `/dev/full` is a device on which every write meets a full disk.
#[test]
fn a_full_disk_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let disk = DataFolder::open(folder.path()).unwrap();
    std::os::unix::fs::symlink("/dev/full", folder.path().join("full")).unwrap();
    let file = disk.open("full", Open::Existing).unwrap();
    assert_eq!(file.write_at(0, b"x").unwrap_err().kind(), ErrorKind::StorageFull);
}

#[test]
fn streams_of_luck_differ() {
    run(async {
        let (seam, _folder) = fresh();
        let drawn: BTreeSet<u128> = (0..100).map(|_| seam.random("same name").next_u128()).collect();
        assert_eq!(drawn.len(), 100);
        let (other, _folder) = fresh();
        assert!(!drawn.contains(&other.random("same name").next_u128()), "each process has a secret of its own");
    });
}

#[test]
fn clocks_go_forward_and_sleeps_are_not_short() {
    run(async {
        let (seam, _folder) = fresh();
        let before = seam.clock.now();
        seam.sleep(Duration::from_millis(5)).await;
        assert!(seam.clock.now().since(before) >= Duration::from_millis(5));
        assert!(seam.clock.wall_us() > 1_700_000_000_000_000, "after 2023");
        let never = std::future::pending::<()>();
        assert!(seam.timeout(Duration::from_millis(1), never).await.is_err());
    });
}

#[test]
fn bytes_cross_and_addresses_are_told() {
    run(async {
        let (seam, _folder) = fresh();
        let listener = seam.net.listen(&Address("127.0.0.1:0".into())).await.unwrap();
        let address = listener.address();
        assert_ne!(address.0, "127.0.0.1:0");
        let in_use = seam.net.listen(&address).await.err().unwrap();
        assert_eq!(in_use.kind(), ErrorKind::AddrInUse);
        assert!(in_use.to_string().contains(&address.0), "{in_use}");

        let (near, far) = tokio::join!(seam.net.connect(&address), listener.accept());
        let (mut near, (mut far, _from)) = (near.unwrap(), far.unwrap());
        near.write_all(b"ping").await.unwrap();
        let mut read = [0; 4];
        far.read_exact(&mut read).await.unwrap();
        assert_eq!(&read, b"ping");
        drop(near);
        assert_eq!(far.read(&mut read).await.unwrap(), 0);

        drop(listener);
        let refused = seam.net.connect(&address).await.err().unwrap();
        assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
        assert!(refused.to_string().contains(&address.0), "{refused}");
    });
}

#[test]
fn work_runs_and_its_panics_come_back() {
    run(async {
        let (seam, _folder) = fresh();
        assert_eq!(seam.blocking(|| 1 + 1).await, 2);
        assert_eq!(seam.brief(|| 2 + 2).await, 4);
        let inner = seam.clone();
        let waiting = tokio::spawn(async move { inner.blocking(|| panic!("on purpose")).await });
        let panic = waiting.await.unwrap_err().into_panic();
        assert_eq!(panic.downcast_ref::<&str>(), Some(&"on purpose"));
    });
}

#[test]
fn blocking_work_outlives_the_future_that_asked() {
    run(async {
        let (seam, _folder) = fresh();
        let (release, released) = std::sync::mpsc::channel::<()>();
        let (done, finished) = tokio::sync::oneshot::channel();
        let mut work = Box::pin(seam.blocking(move || {
            released.recv().unwrap();
            done.send(()).unwrap();
        }));
        assert!(futures::poll!(&mut work).is_pending());
        drop(work);
        release.send(()).unwrap();
        finished.await.unwrap();
    });
}

#[test]
fn an_aborted_task_is_dropped() {
    run(async {
        struct Fallen(Arc<AtomicBool>, Option<tokio::sync::oneshot::Sender<()>>);
        impl Drop for Fallen {
            fn drop(&mut self) {
                self.0.store(true, Ordering::SeqCst);
                self.1.take().unwrap().send(()).unwrap();
            }
        }
        let (seam, _folder) = fresh();
        let fell = Arc::new(AtomicBool::new(false));
        let (tell, told) = tokio::sync::oneshot::channel();
        let fallen = Fallen(fell.clone(), Some(tell));
        let task = seam.spawn("waits for ever", async move {
            let _fallen = fallen;
            std::future::pending().await
        });
        task.abort();
        told.await.unwrap();
        assert!(fell.load(Ordering::SeqCst));
    });
}

/// Runs one of the tests below in a process of its own, where it does what ends a process.
fn in_child(test: &str) -> Output {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", &format!("seam::tests::{test}"), "--nocapture"])
        .env(CHILD, "1")
        .output()
        .unwrap()
}

const CHILD: &str = "TENET_SEAM_TEST_CHILD";

#[test]
fn a_halt_ends_the_process_with_its_own_code() {
    if std::env::var_os(CHILD).is_some() {
        tracing_subscriber::fmt().with_writer(io::stderr).init();
        run(async {
            let (seam, _folder) = fresh();
            match seam.halt("the disk lied".into()).await {}
        });
    }
    let output = in_child("a_halt_ends_the_process_with_its_own_code");
    assert_eq!(output.status.code(), Some(EXIT_HALT));
    assert!(String::from_utf8_lossy(&output.stderr).contains("the disk lied"), "{output:?}");
}

#[test]
fn a_panic_in_a_task_ends_the_process() {
    if std::env::var_os(CHILD).is_some() {
        run(async {
            let (seam, _folder) = fresh();
            seam.spawn("breaks", async { panic!("on purpose") });
            let never = std::future::pending::<()>();
            seam.timeout(Duration::from_secs(10), never).await.unwrap_err();
        });
        return;
    }
    let output = in_child("a_panic_in_a_task_ends_the_process");
    assert_eq!(output.status.code(), Some(EXIT_PANIC));
    assert!(String::from_utf8_lossy(&output.stderr).contains("on purpose"), "{output:?}");
}

/// A lock that outlives a killed process would keep a node from coming back.
#[test]
fn a_killed_process_leaves_no_lock() {
    if let Some(folder) = std::env::var_os(CHILD_FOLDER) {
        std::mem::forget(DataFolder::open(Path::new(&folder)).unwrap());
        std::process::abort();
    }
    let folder = tempfile::tempdir().unwrap();
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "seam::tests::a_killed_process_leaves_no_lock"])
        .env(CHILD_FOLDER, folder.path())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), None, "it was to die of a signal: {output:?}");
    DataFolder::open(folder.path()).unwrap();
}

const CHILD_FOLDER: &str = "TENET_SEAM_TEST_FOLDER";
