use tenet_seam::Moment;

use super::{ms, play, seam_of};

#[test]
fn a_fast_clock_sleeps_short_and_a_slow_one_long() {
    play(1, |sim| async move {
        for (ppm, least, most) in [(0, 1_000, 1_001), (100_000, 909, 910), (-100_000, 1_111, 1_112)] {
            let name = format!("n{ppm}");
            let seam = seam_of(&sim, &name).await;
            sim.machines().last().unwrap().clock.set_drift(ppm);
            let (before, local) = (sim.now(), seam.clock.now());
            seam.sleep(ms(1_000)).await;
            let passed = (sim.now() - before) / 1_000_000;
            assert!((least..=most).contains(&passed), "{ppm} ppm: {passed} ms");
            assert!(seam.clock.now().since(local) >= ms(1_000), "never short by its own clock (C2)");
        }
    });
}

#[test]
fn monotonic_time_never_goes_back_whatever_is_done_to_the_clock() {
    play(2, |sim| async move {
        let seam = seam_of(&sim, "n1").await;
        let machine = sim.machines()[0].clone();
        let mut luck = sim.luck("clock");
        let mut before = Moment(0);
        for _ in 0..1_000 {
            machine.clock.set_drift(luck.between(0, 1_000_000) as i64 - 400_000);
            machine.clock.jump_wall(luck.between(0, 2_000_000) as i64 - 1_000_000);
            sim.sleep(std::time::Duration::from_nanos(luck.below(2_000_000))).await;
            let now = seam.clock.now();
            assert!(now >= before, "C1: {now:?} after {before:?}");
            before = now;
        }
    });
}

#[test]
fn wall_clocks_jump_and_drift_apart() {
    play(3, |sim| async move {
        let (one, two) = (seam_of(&sim, "n1").await, seam_of(&sim, "n2").await);
        let [first, second] = [sim.machines()[0].clone(), sim.machines()[1].clone()];
        let apart = || one.clock.wall_us() as i64 - two.clock.wall_us() as i64;
        assert!(apart().abs() <= 1, "the same at first: {}", apart());
        first.clock.jump_wall(-3_600_000_000);
        assert!((apart() + 3_600_000_000).abs() <= 1);
        first.clock.jump_wall(3_600_000_000);
        second.clock.set_drift(1_000);
        sim.sleep(ms(10_000)).await;
        assert!((apart() + 10_000).abs() <= 2, "10 s at 1,000 ppm are 10 ms: {}", apart());
    });
}

#[test]
fn latencies_below_a_millisecond_exist() {
    play(4, |sim| async move {
        let seam = seam_of(&sim, "n1").await;
        let before = sim.now();
        for _ in 0..10 {
            seam.sleep(std::time::Duration::from_micros(10)).await;
        }
        let passed = sim.now() - before;
        assert!((100_000..120_000).contains(&passed), "{passed} ns");
    });
}
