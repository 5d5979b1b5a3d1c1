use std::io;
use std::time::Duration;

use crate::Sim;
use crate::net::CONNECT_SECONDS_MAX;
use tenet_seam::{Address, Listener, Seam, Stream};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{ms, play, seam_of};

fn address(text: &str) -> Address {
    Address(text.to_string())
}

async fn listen(seam: &Seam, at: &str) -> Box<dyn Listener> {
    seam.net.listen(&address(at)).await.unwrap()
}

async fn connect(seam: &Seam, to: &str) -> io::Result<Stream> {
    seam.net.connect(&address(to)).await
}

/// n1 and n2, and a connection from n1 to n2: the seams, the end of n1, the end of n2.
async fn pair(sim: &Sim) -> ([Seam; 2], Stream, Stream) {
    let seams = [seam_of(sim, "n1").await, seam_of(sim, "n2").await];
    let listener = listen(&seams[1], "n2:1").await;
    let (near, far) = futures::join!(connect(&seams[0], "n2:1"), listener.accept());
    let (far, from) = far.unwrap();
    assert!(from.0.starts_with("n1:"), "{from}");
    (seams, near.unwrap(), far)
}

/// What arrives within a while: bytes, end of stream (nothing), an error, or `None`.
async fn within(sim: &Sim, wait: Duration, stream: &mut Stream) -> Option<io::Result<Vec<u8>>> {
    let mut buffer = vec![0; 1024];
    tokio::select! {
        biased;
        read = stream.read(&mut buffer) => Some(read.map(|count| buffer[..count].to_vec())),
        () = sim.sleep(wait) => None,
    }
}

fn is_reset(seen: Option<io::Result<Vec<u8>>>) -> bool {
    matches!(seen, Some(Err(error)) if error.kind() == io::ErrorKind::ConnectionReset)
}

#[test]
fn bytes_travel_both_ways_and_a_half_closed_stream_still_answers() {
    play(1, |sim| async move {
        let (_seams, mut near, mut far) = pair(&sim).await;
        near.write_all(b"question").await.unwrap();
        near.shutdown().await.unwrap();
        let mut asked = Vec::new();
        far.read_to_end(&mut asked).await.unwrap();
        assert_eq!(asked, b"question");
        far.write_all(b"answer").await.unwrap();
        drop(far);
        let mut answered = Vec::new();
        near.read_to_end(&mut answered).await.unwrap();
        assert_eq!(answered, b"answer");
        assert_eq!(near.write(b"more").await.unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    });
}

#[test]
fn a_writer_waits_for_its_reader() {
    play(2, |sim| async move {
        let (seams, mut near, mut far) = pair(&sim).await;
        let block = vec![7; 1 << 20];
        let (wrote, read) = futures::join!(
            async {
                near.write_all(&block).await.unwrap();
                sim.now()
            },
            async {
                seams[1].sleep(ms(5_000)).await;
                let mut block = vec![0; 1 << 20];
                far.read_exact(&mut block).await.unwrap();
                block
            }
        );
        assert!(wrote > 5_000_000_000, "a megabyte does not fit into a window");
        assert_eq!(read, block);
    });
}

#[test]
fn nobody_listening_is_refused_and_taken_addresses_are_taken() {
    play(3, |sim| async move {
        let (one, _two) = (seam_of(&sim, "n1").await, seam_of(&sim, "n2").await);
        let kind = |result: io::Result<Stream>| result.map(drop).unwrap_err().kind();
        assert_eq!(kind(connect(&one, "n2:1").await), io::ErrorKind::ConnectionRefused);
        assert!(sim.now() < 100_000_000, "at once");
        assert_eq!(kind(connect(&one, "n9:1").await), io::ErrorKind::NotFound);
        assert_eq!(kind(connect(&one, "n9").await), io::ErrorKind::InvalidInput);
        let free = listen(&one, "n1:0").await;
        let again = one.net.listen(&free.address()).await.map(drop).unwrap_err();
        assert_eq!(again.kind(), io::ErrorKind::AddrInUse);
        let foreign = one.net.listen(&address("n2:5")).await.map(drop).unwrap_err();
        assert_eq!(foreign.kind(), io::ErrorKind::AddrNotAvailable);
        let at = free.address();
        drop(free);
        listen(&one, &at.0).await;
    });
}

#[test]
fn a_connect_into_a_cut_wire_hangs_and_succeeds_when_it_is_healed() {
    for (source, target) in [("n1", "n2"), ("n2", "n1")] {
        play(4, move |sim| async move {
            let (one, two) = (seam_of(&sim, "n1").await, seam_of(&sim, "n2").await);
            let _listener = listen(&two, "n2:1").await;
            sim.net().cut(source, target);
            assert!(one.timeout(ms(60_000), connect(&one, "n2:1")).await.is_err());
            sim.net().heal(source, target);
            connect(&one, "n2:1").await.unwrap();
            sim.net().cut(source, target);
            let before = sim.now();
            let error = connect(&one, "n2:1").await.map(drop).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::TimedOut);
            assert!(sim.now() - before >= CONNECT_SECONDS_MAX * 1_000_000_000);
        });
    }
}

#[test]
fn a_cut_wire_holds_bytes_and_the_end_of_the_stream() {
    play(5, |sim| async move {
        let (_seams, mut near, mut far) = pair(&sim).await;
        near.write_all(b"before").await.unwrap();
        sim.sleep(ms(10)).await;
        near.write_all(b"in flight").await.unwrap();
        sim.net().cut("n1", "n2");
        near.write_all(b" and after").await.unwrap();
        drop(near);
        assert_eq!(within(&sim, ms(10_000), &mut far).await.unwrap().unwrap(), b"before", "it had arrived");
        assert!(within(&sim, ms(10_000), &mut far).await.is_none(), "N2");
        sim.net().heal("n1", "n2");
        let mut rest = Vec::new();
        far.read_to_end(&mut rest).await.unwrap();
        assert_eq!(rest, b"in flight and after");
    });
}

#[test]
fn a_one_way_cut_lets_the_other_way_through_until_the_window_is_full() {
    play(6, |sim| async move {
        let (_seams, mut near, mut far) = pair(&sim).await;
        sim.net().cut("n2", "n1");
        near.write_all(b"there").await.unwrap();
        assert_eq!(within(&sim, ms(100), &mut far).await.unwrap().unwrap(), b"there");
        far.write_all(b"not back").await.unwrap();
        assert!(within(&sim, ms(10_000), &mut near).await.is_none());
        // Acknowledgements do not come back, so the writer stalls although its peer reads.
        let mut sent = 0;
        loop {
            tokio::select! {
                biased;
                count = near.write(&[0; 4096]) => sent += count.unwrap(),
                () = sim.sleep(ms(1_000)) => break,
            }
            while let Some(read) = within(&sim, ms(2), &mut far).await {
                read.unwrap();
            }
        }
        assert!((40_000..=66_000).contains(&sent), "{sent}");
        sim.net().heal("n2", "n1");
        assert_eq!(within(&sim, ms(1_000), &mut near).await.unwrap().unwrap(), b"not back");
        near.write_all(&[0; 4096]).await.unwrap();
    });
}

#[test]
fn a_killed_peer_resets_if_it_can() {
    play(7, |sim| async move {
        sim.net().set_silent_percent(0);
        let (_seams, mut near, far) = pair(&sim).await;
        sim.machines()[1].kill();
        assert!(is_reset(within(&sim, ms(10), &mut near).await));
        assert_eq!(near.write(b"x").await.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
        drop(far);
    });
}

#[test]
fn a_peer_killed_behind_a_cut_wire_is_noticed_only_later() {
    play(8, |sim| async move {
        sim.net().set_silent_percent(0);
        let (_seams, mut near, _far) = pair(&sim).await;
        sim.net().cut("n1", "n2");
        sim.net().cut("n2", "n1");
        sim.machines()[1].kill();
        assert!(within(&sim, ms(60_000), &mut near).await.is_none(), "no end of stream crosses (N2)");
        sim.net().heal_all();
        assert!(within(&sim, ms(60_000), &mut near).await.is_none(), "the reset was lost, and nobody sends it again");
        near.write_all(b"anybody there?").await.unwrap();
        assert!(is_reset(within(&sim, ms(1_000), &mut near).await));
    });
}

#[test]
fn a_silent_death_is_noticed_at_the_next_boot() {
    play(9, |sim| async move {
        sim.net().set_silent_percent(100);
        let (seams, mut near, _far) = pair(&sim).await;
        sim.machines()[1].kill();
        near.write_all(b"anybody there?").await.unwrap();
        assert!(within(&sim, ms(60_000), &mut near).await.is_none());
        assert!(seams[0].timeout(ms(10_000), connect(&seams[0], "n2:1")).await.is_err(), "nobody answers");
        let _two = seam_of(&sim, "n2").await;
        assert!(is_reset(within(&sim, ms(1_000), &mut near).await));
        let refused = connect(&seams[0], "n2:1").await.map(drop).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
    });
}

#[test]
fn closing_with_unread_bytes_is_a_reset() {
    play(10, |sim| async move {
        let (_seams, mut near, far) = pair(&sim).await;
        near.write_all(b"never read").await.unwrap();
        sim.sleep(ms(10)).await;
        drop(far);
        assert!(is_reset(within(&sim, ms(10), &mut near).await));
    });
}

#[test]
fn writing_to_a_closed_peer_is_answered_by_a_reset() {
    play(11, |sim| async move {
        let (_seams, mut near, far) = pair(&sim).await;
        drop(far);
        assert_eq!(within(&sim, ms(10), &mut near).await.unwrap().unwrap(), b"", "its end of stream");
        near.write_all(b"too late").await.unwrap();
        sim.sleep(ms(10)).await;
        assert_eq!(near.write(b"x").await.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
    });
}

#[test]
fn faults_reset_and_hang_connections() {
    play(12, |sim| async move {
        let (_seams, mut near, mut far) = pair(&sim).await;
        let found = sim.net().connections();
        assert_eq!((found[0].from.as_str(), found[0].to.as_str()), ("n1", "n2"));
        sim.net().hang(found[0].connection);
        near.write_all(b"into nothing").await.unwrap();
        assert!(within(&sim, ms(100_000), &mut far).await.is_none());
        sim.net().heal_all();
        assert!(within(&sim, ms(100_000), &mut far).await.is_none(), "hung for ever");
        assert!(sim.net().connections().is_empty());
        let (one, two) = (seam_of(&sim, "n3").await, seam_of(&sim, "n4").await);
        let listener = listen(&two, "n4:1").await;
        let (near, far) = futures::join!(connect(&one, "n4:1"), listener.accept());
        let (mut near, mut far) = (near.unwrap(), far.unwrap().0);
        sim.net().reset(sim.net().connections()[0].connection);
        assert!(is_reset(within(&sim, ms(10), &mut near).await));
        assert!(is_reset(within(&sim, ms(10), &mut far).await));
    });
}

#[test]
fn a_delay_delays_and_goes_away() {
    play(13, |sim| async move {
        let (_seams, mut near, mut far) = pair(&sim).await;
        sim.net().delay("n1", "n2", (400_000, 500_000));
        let before = sim.now();
        near.write_all(b"slow").await.unwrap();
        far.read_exact(&mut [0; 4]).await.unwrap();
        assert!(sim.now() - before > 400_000_000);
        sim.net().heal_all();
        let before = sim.now();
        near.write_all(b"fast").await.unwrap();
        far.read_exact(&mut [0; 4]).await.unwrap();
        assert!(sim.now() - before < 10_000_000);
    });
}

#[test]
fn a_listener_that_goes_away_resets_those_who_wait() {
    play(14, |sim| async move {
        let (one, two) = (seam_of(&sim, "n1").await, seam_of(&sim, "n2").await);
        let listener = listen(&two, "n2:1").await;
        let mut waiting = connect(&one, "n2:1").await.unwrap();
        drop(listener);
        assert_eq!(within(&sim, ms(10), &mut waiting).await.unwrap().unwrap(), b"", "closed");
        assert!(connect(&one, "n2:1").await.is_err());
    });
}

#[test]
fn loopback_needs_no_wire() {
    play(15, |sim| async move {
        let one = seam_of(&sim, "n1").await;
        let _two = seam_of(&sim, "n2").await;
        let listener = listen(&one, "127.0.0.1:5").await;
        sim.net().cut("n1", "n2");
        let (near, far) = futures::join!(connect(&one, "localhost:5"), listener.accept());
        near.unwrap().write_all(b"me").await.unwrap();
        let mut heard = Vec::new();
        far.unwrap().0.read_to_end(&mut heard).await.unwrap();
        assert_eq!(heard, b"me");
    });
}

/// N1 under everything that does not end a stream: cuts of both kinds, delays, readers and writers of any stride.
#[test]
fn a_long_stream_arrives_whole_whatever_happens_to_the_wires() {
    for seed in 0..20 {
        play(100 + seed, |sim| async move {
            let (seams, mut near, mut far) = pair(&sim).await;
            let length = 300_000u32;
            let byte = |at: u32| (at.wrapping_mul(2_654_435_761) >> 24) as u8;
            let tormentor = sim.clone();
            sim.spawn(async move {
                let mut luck = tormentor.luck("torment");
                for _ in 0..200 {
                    let (source, target) = if luck.chance(50) { ("n1", "n2") } else { ("n2", "n1") };
                    match luck.below(4) {
                        0 => tormentor.net().cut(source, target),
                        1 | 2 => tormentor.net().heal(source, target),
                        _ => tormentor.net().delay(source, target, (0, luck.below(20_000))),
                    }
                    tormentor.sleep(Duration::from_micros(luck.below(20_000))).await;
                }
                tormentor.net().heal_all();
            });
            let write = async {
                let mut luck = seams[0].random("stride");
                let mut at = 0;
                while at < length {
                    let end = length.min(at + luck.between(1, 5_000) as u32);
                    near.write_all(&(at..end).map(byte).collect::<Vec<u8>>()).await.unwrap();
                    at = end;
                }
                near.shutdown().await.unwrap();
            };
            let read = async {
                let mut luck = seams[1].random("stride");
                let mut at = 0;
                loop {
                    let mut buffer = vec![0; luck.between(1, 9_000) as usize];
                    let count = far.read(&mut buffer).await.unwrap();
                    if count == 0 {
                        break at;
                    }
                    assert!(buffer[..count].iter().zip(at..).all(|(got, at)| *got == byte(at)), "N1 near byte {at}");
                    at += count as u32;
                }
            };
            let ((), read) = futures::join!(write, read);
            assert_eq!(read, length);
        });
    }
}
