//! The digest, and the two processes that must agree on it.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use crate::digest::Fingerprint;
use crate::replay::{Comparison, Errand, run_twice, write_report};
use crate::{Finished, Sim, SimOptions, simulate};
use tenet_seam::{Address, Open, Seam};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::ms;

/// One small thing that is different in a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Twist {
    Nothing,
    SentByte,
    DiskOffset,
    DrawnNumber,
    Timer,
    /// Two tasks are started in the other order.
    Order,
    /// A task that touches nothing is polled once more.
    Poll,
    /// Something reads the real time, past the seam, and acts on it.
    WallClock,
    /// Something counts the bytes of its environment.
    Environment,
}

const DIFFERENCES: [Twist; 6] =
    [Twist::SentByte, Twist::DiskOffset, Twist::DrawnNumber, Twist::Timer, Twist::Order, Twist::Poll];

/// A world with a bit of everything: two servers that echo and write down what they hear, a client, kills and a cut wire.
async fn world(sim: Sim, twist: Twist) {
    for name in ["n1", "n2"] {
        let machine = sim.machine(name);
        machine.start(move |seam| serve(seam, name, twist));
        machine.arm_crash_point(120);
        let again = machine.clone();
        let time = sim.clone();
        sim.spawn(async move {
            again.down().await;
            time.sleep(ms(200)).await;
            again.start(move |seam| serve(seam, name, twist));
        });
    }
    sim.machine("c1").start(move |seam| ask(seam, twist));
    sim.sleep(ms(300)).await;
    sim.net().cut("c1", "n1");
    sim.sleep(ms(700)).await;
    sim.net().heal_all();
    sim.sleep(ms(2_000)).await;
}

async fn serve(seam: Seam, name: &'static str, twist: Twist) {
    for step in [3, 5] {
        let step = if twist == Twist::Order { 8 - step } else { step };
        let idle = seam.clone();
        seam.spawn("idle", async move {
            idle.sleep(ms(step)).await;
        });
    }
    let once = if twist == Twist::Poll && name == "n2" { 6 } else { 5 };
    seam.spawn("yields", async move {
        for _ in 0..once {
            let mut yielded = false;
            std::future::poll_fn(|cx| {
                cx.waker().wake_by_ref();
                if std::mem::replace(&mut yielded, true) {
                    std::task::Poll::Ready(())
                } else {
                    std::task::Poll::Pending
                }
            })
            .await;
        }
    });
    let listener = seam.net.listen(&Address(format!("{name}:1"))).await.unwrap();
    let disk = seam.disk.clone();
    let file =
        seam.blocking(move || disk.open("log", Open::New).or_else(|_| disk.open("log", Open::Existing)).unwrap());
    let file = file.await;
    while let Ok((mut stream, _)) = listener.accept().await {
        let (serving, file) = (seam.clone(), file.clone());
        seam.spawn("session", async move {
            let mut buffer = [0; 64];
            while let Ok(count @ 1..) = stream.read(&mut buffer).await {
                let (file, bytes) = (file.clone(), buffer[..count].to_vec());
                let offset = u64::from(bytes[0]) * 512 + u64::from(twist == Twist::DiskOffset && bytes[0] == 20);
                serving
                    .blocking(move || {
                        file.write_at(offset, &bytes).unwrap();
                        file.sync().unwrap();
                    })
                    .await;
                if stream.write_all(&buffer[..count]).await.is_err() {
                    return;
                }
            }
        });
    }
}

async fn ask(seam: Seam, twist: Twist) {
    let mut luck = seam.random("questions");
    let mut other = seam.random("others");
    for round in 0..60u8 {
        let host = if luck.chance(50) { "n1:1" } else { "n2:1" };
        let Ok(Ok(mut stream)) = seam.timeout(ms(50), seam.net.connect(&Address(host.to_string()))).await else {
            continue;
        };
        let drawn = if twist == Twist::DrawnNumber && round == 20 { other.next_u64() } else { luck.next_u64() };
        let mut message = [round; 40];
        message[1..9].copy_from_slice(&drawn.to_le_bytes());
        message[30] ^= u8::from(twist == Twist::SentByte && round == 20);
        let answer = async {
            stream.write_all(&message).await?;
            stream.read_exact(&mut message).await
        };
        if seam.timeout(ms(100), answer).await.is_err() {
            continue;
        }
        let wait = Duration::from_micros(500) + Duration::from_nanos(u64::from(twist == Twist::Timer && round == 20));
        seam.sleep(wait).await;
        if twist == Twist::WallClock && round == 20 {
            seam.sleep(Duration::from_micros(real_ms() % 99_991)).await;
        }
        if twist == Twist::Environment && round == 20 {
            let bytes: usize = std::env::vars().map(|(name, value)| name.len() + value.len()).sum();
            seam.sleep(Duration::from_nanos(bytes as u64)).await;
        }
    }
}

/// The real time, in milliseconds, by a way that no interception sees: a file's time of change.
fn real_ms() -> u64 {
    let file = tempfile::NamedTempFile::new().unwrap();
    let changed = file.as_file().metadata().unwrap().modified().unwrap();
    changed.duration_since(std::time::UNIX_EPOCH).unwrap().as_millis() as u64
}

fn run(options: SimOptions, twist: Twist) -> Finished<()> {
    let finished = simulate(options, move |sim| world(sim, twist));
    finished.result.clone().unwrap();
    finished
}

fn fingerprint(seed: u64, twist: Twist) -> Fingerprint {
    run(SimOptions::new(seed), twist).fingerprint
}

#[test]
fn the_same_seed_gives_the_same_digest() {
    let first = fingerprint(7, Twist::Nothing);
    assert!(first.events > 1_000, "{} events are too few to test anything", first.events);
    assert_eq!(first, fingerprint(7, Twist::Nothing));
}

#[test]
fn two_seeds_differ() {
    assert_ne!(fingerprint(7, Twist::Nothing).digest, fingerprint(8, Twist::Nothing).digest);
}

#[test]
fn a_byte_an_offset_a_number_a_timer_or_a_poll_changes_the_digest() {
    let plain = fingerprint(7, Twist::Nothing);
    for twist in DIFFERENCES {
        assert_ne!(plain.digest, fingerprint(7, twist).digest, "{twist:?}");
    }
}

#[test]
fn a_trace_does_not_change_the_digest_and_shows_its_window() {
    let options = SimOptions { window: 100..110, ..SimOptions::new(7) };
    let traced = run(options, Twist::Nothing);
    assert_eq!(traced.fingerprint, fingerprint(7, Twist::Nothing));
    assert_eq!(traced.trace.len(), 10);
    assert!(traced.trace[0].starts_with("event 100 at 0."), "{}", traced.trace[0]);
}

/// What the variables below ask for, in a process of its own; nothing when they are not set.
#[test]
fn errand() {
    let Ok(text) = std::env::var("TENET_SEAM_ERRAND") else { return };
    let (twist, window, report): (String, std::ops::Range<u64>, PathBuf) = serde_json::from_str(&text).unwrap();
    let twist = [Twist::Nothing, Twist::WallClock, Twist::Environment].into_iter().find(|t| format!("{t:?}") == twist);
    let finished = run(SimOptions { window, ..SimOptions::new(7) }, twist.unwrap());
    write_report(&report, &finished).unwrap();
}

fn compare(twist: Twist) -> Comparison {
    let folder = tempfile::tempdir().unwrap();
    let command = |errand: &Errand| {
        let mut command = Command::new(std::env::current_exe().unwrap());
        let text = serde_json::to_string(&(format!("{twist:?}"), &errand.window, &errand.report)).unwrap();
        command.args(["--exact", "tests::replay::errand"]).env("TENET_SEAM_ERRAND", text);
        command
    };
    run_twice(folder.path(), command).unwrap()
}

#[test]
fn two_processes_agree() {
    match compare(Twist::Nothing) {
        Comparison::Same(theirs) => assert_eq!(theirs, fingerprint(7, Twist::Nothing)),
        Comparison::Different(difference) => panic!("{difference}"),
    }
}

#[test]
fn a_planted_wall_clock_is_caught_with_its_first_differing_event() {
    let Comparison::Different(difference) = compare(Twist::WallClock) else { panic!("it was not noticed") };
    let (first, second) = (difference.first.unwrap(), difference.second.unwrap());
    assert!(first.contains("machine 3 boot 1 Sleep") && second.contains("machine 3 boot 1 Sleep"), "{first}\n{second}");
    assert_ne!(first, second);
    assert!(!difference.before.is_empty());
}

#[test]
fn a_planted_look_at_the_environment_is_caught_too() {
    let Comparison::Different(difference) = compare(Twist::Environment) else { panic!("it was not noticed") };
    assert!(difference.first.unwrap().contains("machine 3 boot 1 Sleep"));
}
