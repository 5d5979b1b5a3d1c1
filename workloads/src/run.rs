//! Clients that work until told to stop: pace, reconnection, the end.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::future::{BoxFuture, Either, select};
use tenet_histories::{Outcome, Process, Recorder};

use crate::session::{SessionOptions, SessionState};
use crate::{Class, Client, ClientError, Luck, Session, Stage, Workload, classify};

const RECONNECT_FIRST: Duration = Duration::from_millis(20);

/// Short beside the ten seconds within which every client must succeed again.
const RECONNECT_MAX: Duration = Duration::from_secs(1);

/// Time, from outside (W5).
pub trait Surroundings: Send + Sync {
    /// Nanoseconds since some moment before the run.
    fn now_ns(&self) -> u64;

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()>;
}

/// Tells all clients of a run to stop after their present operation.
#[derive(Clone, Default)]
pub struct Stop(Arc<AtomicBool>);

impl Stop {
    pub fn stop(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    pub fn is_stopped(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Of a hundred operations, how many begin at a *meeting*: a moment that all clients of one pace share, every two
/// intervals. Those who meet also go for the same key, so that slow runs have contention too; with three clients some
/// meeting of three comes every ten or so. Larger crowds meet less often ([`Pace::among`]).
const MEETINGS_PERCENT: u64 = 30;

/// How many come to a meeting of many clients, on average. Of those who write only one wins, so that more at a time would be
/// more failures and no more contention; three still meet at every third meeting.
const CROWD: u64 = 2;

/// How fast one client asks, and how long. It ends at whichever comes first, or at [`Stop`].
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// Mean time from one start to the next. Zero: no pause.
    pub interval: Duration,
    /// On the clock of [`Surroundings`].
    pub until_ns: Option<u64>,
    pub operations_max: Option<u64>,
    /// Of a hundred operations, how many begin at a moment that others choose too.
    pub meetings_percent: u64,
}

impl Pace {
    /// So many operations a second per client, for ever. Zero: no pause.
    pub fn per_second(operations: f64) -> Pace {
        let interval = if operations > 0.0 { Duration::from_secs_f64(1.0 / operations) } else { Duration::ZERO };
        Pace { interval, until_ns: None, operations_max: None, meetings_percent: MEETINGS_PERCENT }
    }

    /// The same, shared by so many clients.
    pub fn among(self, clients: usize) -> Pace {
        // Each begins two operations from one meeting to the next.
        let crowded_percent = 100 * CROWD / (2 * clients.max(1) as u64);
        Pace { meetings_percent: crowded_percent.min(MEETINGS_PERCENT), ..self }
    }

    /// When the next operation begins, and the number of the meeting it begins at.
    fn next(&self, start_ns: u64, luck: &mut Luck) -> (u64, Option<u64>) {
        let interval_ns = u64::try_from(self.interval.as_nanos()).unwrap_or(u64::MAX / 16);
        if interval_ns == 0 {
            return (start_ns, None);
        }
        // Waiting for a meeting takes one interval on average; the rest of the mean is drawn.
        let drawn_ns = luck.below(interval_ns * 2 * (100 - self.meetings_percent) / 100 + 1);
        let next_ns = start_ns.saturating_add(drawn_ns);
        if !luck.chance(self.meetings_percent) {
            return (next_ns, None);
        }
        let meeting = next_ns / (2 * interval_ns) + 1;
        (meeting.saturating_mul(2 * interval_ns), Some(meeting))
    }
}

#[derive(Clone, Copy, Debug)]
pub struct RunOptions {
    /// A client that waits longer for an answer takes its connection for lost.
    pub patience: Duration,
    /// Ask the server for its timestamps too. Costs one or two statements an operation.
    pub timestamps: bool,
}

impl Default for RunOptions {
    fn default() -> RunOptions {
        RunOptions { patience: Duration::from_secs(10), timestamps: false }
    }
}

/// What all clients of a run share.
#[derive(Clone)]
pub struct Run {
    pub workload: Arc<dyn Workload>,
    pub surroundings: Arc<dyn Surroundings>,
    pub recorder: Recorder,
    pub stop: Stop,
    pub options: RunOptions,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProcessReport {
    pub operations: u64,
    /// The first connection included.
    pub connections: u64,
    /// The client met what must not happen, and ended. The history has the alarm.
    pub alarmed: bool,
}

#[derive(Debug, thiserror::Error)]
pub enum RunError {
    #[error("could not set up workload {workload} in time: {reason}")]
    SetUp { workload: &'static str, reason: String },
    #[error(
        "could not read the end state of workload {workload} in time: {read_count} of {reads_total} reads were answered"
    )]
    Finish { workload: &'static str, read_count: usize, reads_total: usize },
}

impl Run {
    pub fn new(workload: Arc<dyn Workload>, surroundings: Arc<dyn Surroundings>, options: RunOptions) -> Run {
        let clock = surroundings.clone();
        let recorder = Recorder::new(workload.header(), move || clock.now_ns());
        Run { workload, surroundings, recorder, stop: Stop::default(), options }
    }

    /// Makes the workload's tables, patiently: the database may still be starting. The client need not be connected.
    pub async fn set_up(&self, client: &mut dyn Client, luck: &mut Luck, within: Duration) -> Result<(), RunError> {
        let deadline_ns = self.after(within);
        let mut backoff = RECONNECT_FIRST;
        let mut connected = false;
        loop {
            let attempt = match connected {
                true => self.workload.setup(client),
                false => client.reconnect(),
            };
            let result = match select(attempt, self.surroundings.sleep(self.options.patience)).await {
                Either::Left((result, _)) => result,
                Either::Right(((), _)) => Err(ClientError::lost("no answer in time", true)),
            };
            match result {
                Ok(()) if connected => return Ok(()),
                Ok(()) => connected = true,
                Err(error) => {
                    connected &= !error.lost;
                    let hopeless = classify(&error, Stage::Commit) == Class::Alarm;
                    if hopeless || self.surroundings.now_ns() >= deadline_ns {
                        return Err(RunError::SetUp { workload: self.workload.name(), reason: error.to_string() });
                    }
                    self.back_off(&mut backoff, luck).await;
                }
            }
        }
    }

    /// One client at work. It need not be connected; it ends by `pace`, by [`Stop`], or at an alarm.
    pub async fn process(
        &self,
        process: Process,
        client: &mut dyn Client,
        luck: &mut Luck,
        pace: Pace,
    ) -> ProcessReport {
        let mut report = ProcessReport::default();
        let mut lost = true;
        let mut start_ns = self.surroundings.now_ns();
        let mut meeting = None;
        while !self.is_over(&pace, &report) {
            if lost {
                let mut session = self.session(process, client, luck);
                let state = self.connect(&mut session, |run| run.is_over(&pace, &report)).await;
                report.alarmed |= state.alarmed;
                report.connections += u64::from(!state.lost);
                lost = state.lost;
                // Statements that waited for a connection do not come all at once after it.
                start_ns = self.surroundings.now_ns();
                continue;
            }
            let mut session = self.session(process, client, luck);
            session.meet(meeting);
            self.workload.step(&mut session).await;
            let state = session.state();
            lost = state.lost;
            report.alarmed |= state.alarmed;
            report.operations += 1;

            (start_ns, meeting) = pace.next(start_ns, luck);
            let now_ns = self.surroundings.now_ns();
            if start_ns > now_ns {
                self.surroundings.sleep(Duration::from_nanos(start_ns - now_ns)).await;
            } else {
                (start_ns, meeting) = (now_ns, None);
            }
        }
        report
    }

    /// Reads everything that there is, once all other clients have ended: what was lost shows now at the latest.
    pub async fn finish(
        &self,
        process: Process,
        client: &mut dyn Client,
        luck: &mut Luck,
        within: Duration,
    ) -> Result<(), RunError> {
        let deadline_ns = self.after(within);
        let reads_total = self.workload.final_reads();
        let mut lost = true;
        let mut read_count = 0;
        while read_count < reads_total {
            if self.surroundings.now_ns() >= deadline_ns {
                return Err(RunError::Finish { workload: self.workload.name(), read_count, reads_total });
            }
            let mut session = self.session(process, client, luck);
            if lost {
                let state = self.connect(&mut session, |run| run.surroundings.now_ns() >= deadline_ns).await;
                lost = state.lost;
            } else {
                self.workload.final_read(read_count, &mut session).await;
                let state = session.state();
                lost = state.lost;
                // An alarm is in the history; asking again would repeat it.
                if state.last == Some(Outcome::Ok) || state.alarmed {
                    read_count += 1;
                } else {
                    self.surroundings.sleep(RECONNECT_FIRST).await;
                }
            }
        }
        Ok(())
    }

    fn session<'a>(&'a self, process: Process, client: &'a mut dyn Client, luck: &'a mut Luck) -> Session<'a> {
        let options = SessionOptions { patience: self.options.patience, timestamps: self.options.timestamps };
        Session::new(client, &*self.surroundings, &self.recorder, luck, process, options)
    }

    /// Tries until there is a connection, or an alarm, or it is `over`.
    async fn connect(&self, session: &mut Session<'_>, over: impl Fn(&Run) -> bool) -> SessionState {
        let mut backoff = RECONNECT_FIRST;
        loop {
            let error = match session.reconnect().await {
                Ok(()) => return SessionState { lost: false, ..session.state() },
                Err(error) => error,
            };
            if classify(&error, Stage::BeforeCommit) == Class::Alarm {
                session.alarm(error.sqlstate, format!("cannot connect: {}", error.message));
            }
            if over(self) || session.state().alarmed {
                return SessionState { lost: true, ..session.state() };
            }
            self.back_off(&mut backoff, session.luck).await;
        }
    }

    async fn back_off(&self, backoff: &mut Duration, luck: &mut Luck) {
        let percent = 50 + luck.below(51) as u32;
        self.surroundings.sleep(*backoff * percent / 100).await;
        *backoff = (*backoff * 2).min(RECONNECT_MAX);
    }

    fn is_over(&self, pace: &Pace, report: &ProcessReport) -> bool {
        self.stop.is_stopped()
            || report.alarmed
            || pace.until_ns.is_some_and(|until_ns| self.surroundings.now_ns() >= until_ns)
            || pace.operations_max.is_some_and(|max| report.operations >= max)
    }

    fn after(&self, within: Duration) -> u64 {
        self.surroundings.now_ns().saturating_add(u64::try_from(within.as_nanos()).unwrap_or(u64::MAX))
    }
}
