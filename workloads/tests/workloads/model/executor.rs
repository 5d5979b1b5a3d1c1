//! Runs futures on one thread, in an order drawn from a seed, in a time that passes with each poll.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use futures::future::BoxFuture;
use tenet_workloads::{Luck, Surroundings};

/// More polls than any honest run of these tests needs.
const POLLS_MAX: u64 = 20_000_000;

#[derive(Clone, Default)]
pub struct Time(Arc<AtomicU64>);

impl Surroundings for Time {
    fn now_ns(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        let time = self.clone();
        let end_ns = self.now_ns() + duration.as_nanos() as u64;
        Box::pin(std::future::poll_fn(move |_| if time.now_ns() >= end_ns { Poll::Ready(()) } else { Poll::Pending }))
    }
}

/// Is pending so many times.
pub async fn pause(times: u64) {
    let mut left = times;
    std::future::poll_fn(move |_| {
        if left == 0 {
            return Poll::Ready(());
        }
        left -= 1;
        Poll::Pending
    })
    .await;
}

/// Polls any of them at any time until all are done. Wakers are of no use here: everything is polled.
pub fn run<'a, T>(time: &Time, luck: &mut Luck, futures: Vec<Pin<Box<dyn Future<Output = T> + 'a>>>) -> Vec<T> {
    let mut running: Vec<_> = futures.into_iter().enumerate().collect();
    let mut results: Vec<Option<T>> = running.iter().map(|_| None).collect();
    let mut context = Context::from_waker(Waker::noop());
    let mut polls = 0;
    while !running.is_empty() {
        polls += 1;
        assert!(polls < POLLS_MAX, "{} futures never end", running.len());
        time.0.fetch_add(1 + luck.below(100_000), Ordering::Relaxed);
        let next = luck.below(running.len() as u64) as usize;
        if let Poll::Ready(result) = running[next].1.as_mut().poll(&mut context) {
            results[running[next].0] = Some(result);
            drop(running.swap_remove(next));
        }
    }
    results.into_iter().map(|result| result.expect("it has ended")).collect()
}
