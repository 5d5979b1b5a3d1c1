//! Jobs on threads of their own, and one thread that watches: time, memory, progress.
//!
//! Invariants
//!  V1  When time or memory is over, jobs are asked to stop; those that do not within a moment are left behind, so that a
//!      limit holds even where nobody asks. Whatever has no answer then gets `unknown`.
//!  V2  A job that panics is a job without an answer, not the end of the others.

use std::collections::VecDeque;
use std::io::{IsTerminal, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, mpsc};
use std::time::{Duration, Instant};

use crate::Judging;
use crate::limits::{bytes_text, free, held};

/// How often the watcher looks.
const GLANCE: Duration = Duration::from_millis(20);

/// How long jobs may take to stop once they are asked, unless they say otherwise.
const GRACE: Duration = Duration::from_secs(1);

/// Nobody wants to be told about what is done at once.
const SILENCE: Duration = Duration::from_millis(700);

/// What a job and the watcher tell each other.
#[derive(Default)]
pub struct Signals {
    stop: AtomicBool,
    /// What is done of what, and of which stage; 0 of 0 where nobody knows.
    done: AtomicU64,
    total: AtomicU64,
    checking: AtomicBool,
    /// Which limit was reached.
    reason: OnceLock<String>,
}

impl Signals {
    pub fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Why it was told to stop, if it was.
    pub fn reason(&self) -> Option<&str> {
        self.reason.get().map(String::as_str)
    }

    fn stop(&self, reason: &str) {
        self.reason.get_or_init(|| reason.to_string());
        self.stop.store(true, Ordering::Relaxed);
    }

    pub fn reading(&self, done: u64, total: u64) {
        self.done.store(done, Ordering::Relaxed);
        self.total.store(total, Ordering::Relaxed);
    }

    /// A search may go back; what is told does not.
    pub fn checking(&self, done: u64, total: u64) {
        if self.checking.swap(true, Ordering::Relaxed) {
            self.done.fetch_max(done, Ordering::Relaxed);
            self.total.store(total, Ordering::Relaxed);
        } else {
            self.reading(done, total);
        }
    }
}

/// Why there is no answer.
#[derive(Clone, Debug)]
pub enum NoAnswer {
    Limit(String),
    Panic(String),
}

pub struct Watch {
    began: Instant,
    timeout: Option<Duration>,
    memory: Option<usize>,
    /// How long jobs may take to stop once they are asked.
    pub grace: Duration,
    pub signals: Arc<Signals>,
}

impl Watch {
    pub fn new(judging: &Judging) -> Watch {
        let memory = judging.memory.or_else(|| free().map(|free| free / 5 * 4));
        Watch { began: Instant::now(), timeout: judging.timeout, memory, grace: GRACE, signals: Arc::default() }
    }

    pub fn memory(&self) -> Option<usize> {
        self.memory
    }

    /// Which limit has been reached.
    pub fn over(&self) -> Option<String> {
        if let Some(timeout) = self.timeout.filter(|timeout| self.began.elapsed() >= *timeout) {
            return Some(format!("the time of {timeout:?} is over"));
        }
        let memory = self.memory.filter(|memory| held().is_some_and(|held| held > *memory))?;
        Some(format!("it takes more than {} of memory", bytes_text(memory)))
    }

    /// Runs a job for each of the inputs, and gives the answers in their order.
    pub fn run<I, A, J>(&self, inputs: Vec<I>, threads: usize, job: J) -> Vec<Result<A, NoAnswer>>
    where
        I: Send + 'static,
        A: Send + 'static,
        J: Fn(I) -> A + Send + Sync + 'static,
    {
        let count = inputs.len();
        let queue: Arc<Mutex<VecDeque<(usize, I)>>> = Arc::new(Mutex::new(inputs.into_iter().enumerate().collect()));
        let job = Arc::new(job);
        let (sender, receiver) = mpsc::channel();
        for _ in 0..threads.clamp(1, count.max(1)) {
            let (queue, job, sender) = (queue.clone(), job.clone(), sender.clone());
            std::thread::spawn(move || {
                loop {
                    let next = queue.lock().expect("nobody panics with the queue in hand").pop_front();
                    let Some((number, input)) = next else { return };
                    let answer = catch_unwind(AssertUnwindSafe(|| job(input)));
                    let answer = answer.map_err(|panic| NoAnswer::Panic(panic_text(panic.as_ref())));
                    // Nobody listens any more once a limit was reached.
                    if sender.send((number, answer)).is_err() {
                        return;
                    }
                }
            });
        }
        drop(sender);
        let mut answers: Vec<Option<Result<A, NoAnswer>>> = (0..count).map(|_| None).collect();
        let mut over: Option<(String, Instant)> = None;
        let mut shown = Shown::default();
        loop {
            match receiver.recv_timeout(GLANCE) {
                Ok((number, answer)) => answers[number] = Some(answer),
                Err(mpsc::RecvTimeoutError::Disconnected) => break,
                Err(mpsc::RecvTimeoutError::Timeout) => {}
            }
            match &over {
                Some((_, since)) if since.elapsed() > self.grace => break,
                Some(_) => {}
                None => {
                    over = self.over().map(|reason| (reason, Instant::now()));
                    if let Some((reason, _)) = &over {
                        self.signals.stop(reason);
                        queue.lock().expect("nobody panics with the queue in hand").clear();
                    }
                }
            }
            shown.show(self, answers.iter().flatten().count(), count);
        }
        shown.clear();
        let reason = over.map_or("it did not come to an end".to_string(), |(reason, _)| reason);
        answers.into_iter().map(|answer| answer.unwrap_or_else(|| Err(NoAnswer::Limit(reason.clone())))).collect()
    }
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
    text.unwrap_or("no reason given").to_string()
}

/// A line on the terminal that is written again and again.
#[derive(Default)]
struct Shown {
    last: Option<Instant>,
    width: usize,
    /// When checking began: reading says nothing about how long it takes.
    checking_since: Option<Instant>,
}

impl Shown {
    fn show(&mut self, watch: &Watch, done: usize, count: usize) {
        let is_due = self.last.is_none_or(|last| last.elapsed() > Duration::from_millis(200));
        if watch.began.elapsed() < SILENCE || !is_due || !std::io::stderr().is_terminal() {
            return;
        }
        self.last = Some(Instant::now());
        let signals = &watch.signals;
        let checking = signals.checking.load(Ordering::Relaxed);
        if checking && self.checking_since.is_none() {
            self.checking_since = Some(Instant::now());
        }
        let (part, whole) = (signals.done.load(Ordering::Relaxed), signals.total.load(Ordering::Relaxed));
        let (word, since) = match self.checking_since {
            Some(since) => ("checking", since.elapsed()),
            None => ("reading", watch.began.elapsed()),
        };
        let line = if count > 1 {
            format!("{done} of {count} histories, {} s", watch.began.elapsed().as_secs())
        } else if whole == 0 {
            format!("{word}, {} s", since.as_secs())
        } else {
            format!("{word}: {}", estimate(part, whole, since))
        };
        self.write(&line);
    }

    fn write(&mut self, line: &str) {
        let blanks = " ".repeat(self.width.saturating_sub(line.chars().count()));
        self.width = line.chars().count();
        // If the terminal is gone there is nobody to tell.
        write!(std::io::stderr(), "\r{line}{blanks}\r{line}").ok();
    }

    fn clear(&mut self) {
        if self.width > 0 {
            self.write("");
            write!(std::io::stderr(), "\r").ok();
        }
    }
}

/// `45 %, about 3 s left`.
fn estimate(part: u64, whole: u64, since: Duration) -> String {
    let share = part.min(whole) as f64 / whole.max(1) as f64;
    let percent = format!("{:.0} %", share * 100.0);
    if share < 0.01 || since < SILENCE {
        return percent;
    }
    let left = since.as_secs_f64() * (1.0 - share) / share;
    format!("{percent}, about {left:.0} s left")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_does_not_go_back() {
        let signals = Signals::default();
        signals.reading(900, 1000);
        for (done, told) in [(0, 0), (70, 70), (40, 70), (80, 80)] {
            signals.checking(done, 100);
            assert_eq!(signals.done.load(Ordering::Relaxed), told);
        }
    }

    #[test]
    fn estimate_is_in_proportion() {
        assert_eq!(estimate(25, 100, Duration::from_secs(10)), "25 %, about 30 s left");
        assert_eq!(estimate(0, 100, Duration::from_secs(10)), "0 %");
    }
}
