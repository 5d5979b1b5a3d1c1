//! Who is connected: cancel keys, the limit, and how a stop reaches everyone.
//!
//! A cancel request comes on a connection of its own and names another by process id and secret. It interrupts what that
//! connection is doing; one that does nothing is not disturbed (R2), as in Postgres.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use tenet_seam::{Random, Task};
use tenet_sql::{SqlError, SqlState};
use tenet_types::mark;
use tokio::sync::Notify;

/// Length of a cancel key in protocol 3.0, and from 3.2 on, in bytes.
const SECRET_BYTES_3_0: usize = 4;
const SECRET_BYTES_3_2: usize = 32;

/// Why a statement ends early.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Interruption {
    /// The client asked: 57014.
    Cancel,
    /// The server stops: 57P01, and the connection ends.
    Stop,
}

impl Interruption {
    pub fn error(self) -> SqlError {
        match self {
            Interruption::Cancel => SqlError::canceled(),
            Interruption::Stop => {
                SqlError::new(SqlState::ADMIN_SHUTDOWN, "terminating connection due to administrator command").fatal()
            }
        }
    }
}

#[derive(Default)]
struct InterruptState {
    busy: bool,
    cancelled: bool,
    stopped: bool,
}

/// One connection's bell.
#[derive(Default)]
pub(crate) struct Interrupt {
    state: Mutex<InterruptState>,
    rung: Notify,
}

impl Interrupt {
    /// From now on a cancel request counts.
    pub fn begin(&self) {
        let mut state = self.lock();
        if !state.busy {
            *state = InterruptState { busy: true, cancelled: false, stopped: state.stopped };
        }
    }

    /// From now on a cancel request comes too late.
    pub fn end(&self) {
        self.lock().busy = false;
    }

    /// A cancel request that what was running could no longer heed must not strike what runs next.
    pub fn forget_cancel(&self) {
        self.lock().cancelled = false;
    }

    pub fn is_stopped(&self) -> bool {
        self.lock().stopped
    }

    /// Ready when there is a reason to end what is running.
    pub async fn interrupted(&self) -> Interruption {
        loop {
            let rung = self.rung.notified();
            {
                let state = self.lock();
                if state.stopped {
                    return Interruption::Stop;
                }
                if state.cancelled {
                    return Interruption::Cancel;
                }
            }
            rung.await;
        }
    }

    /// Ready when the server stops.
    pub async fn stopped(&self) {
        loop {
            let rung = self.rung.notified();
            if self.is_stopped() {
                return;
            }
            rung.await;
        }
    }

    fn cancel(&self) {
        {
            let mut state = self.lock();
            if !state.busy {
                mark!("front: cancel request for an idle connection");
                return;
            }
            state.cancelled = true;
        }
        self.rung.notify_waiters();
    }

    fn stop(&self) {
        self.lock().stopped = true;
        self.rung.notify_waiters();
    }

    fn lock(&self) -> MutexGuard<'_, InterruptState> {
        self.state.lock().expect("no holder panics")
    }
}

struct Entry {
    secret: Vec<u8>,
    interrupt: Arc<Interrupt>,
}

#[derive(Default)]
struct State {
    /// Everything accepted, by order of arrival; the task once it is known.
    sockets: BTreeMap<u64, (Arc<Interrupt>, Option<Task>)>,
    next_socket: u64,
    /// Those past their startup, by process id.
    sessions: BTreeMap<i32, Entry>,
    stopped: bool,
}

pub(crate) struct Registry {
    connections_max: usize,
    state: Mutex<State>,
    random: Mutex<Random>,
    /// Rung when the last socket is gone.
    empty: Notify,
}

impl Registry {
    pub fn new(connections_max: usize, random: Random) -> Registry {
        Registry { connections_max, state: Mutex::default(), random: Mutex::new(random), empty: Notify::new() }
    }

    /// Takes in a connection. `None` when there are far too many to even ask what it wants: twice the limit, so that cancel
    /// requests still come through when the limit is reached.
    pub fn enter(self: &Arc<Self>) -> Option<Socket> {
        let mut state = self.lock();
        if state.stopped || state.sockets.len() >= self.connections_max.saturating_mul(2).saturating_add(16) {
            return None;
        }
        let id = state.next_socket;
        state.next_socket += 1;
        let interrupt = Arc::new(Interrupt::default());
        state.sockets.insert(id, (interrupt.clone(), None));
        Some(Socket { registry: self.clone(), id, interrupt })
    }

    /// Remembers the task of a socket, unless it has already ended.
    pub fn attach(&self, id: u64, task: Task) {
        if let Some((_, slot)) = self.lock().sockets.get_mut(&id) {
            *slot = Some(task);
        }
    }

    pub fn cancel(&self, process: i32, secret: &[u8]) {
        let found = self.lock().sessions.get(&process).filter(|e| same(&e.secret, secret)).map(|e| e.interrupt.clone());
        match found {
            Some(interrupt) => interrupt.cancel(),
            None => tracing::debug!(process, "cancel request that fits no connection"),
        }
    }

    /// Rings everyone's bell; nobody enters any more.
    pub fn stop(&self) {
        let interrupts: Vec<_> = {
            let mut state = self.lock();
            state.stopped = true;
            state.sockets.values().map(|(interrupt, _)| interrupt.clone()).collect()
        };
        interrupts.iter().for_each(|interrupt| interrupt.stop());
    }

    /// Ends the tasks of all that are left.
    pub fn abort(&self) {
        let sockets = {
            let mut state = self.lock();
            state.stopped = true;
            std::mem::take(&mut state.sockets)
        };
        // Outside of the lock: a task that is dropped leaves the registry itself.
        for (_, task) in sockets.into_values() {
            if let Some(task) = task {
                task.abort();
            }
        }
    }

    /// Ready when nobody is connected.
    pub async fn emptied(&self) {
        loop {
            let empty = self.empty.notified();
            if self.lock().sockets.is_empty() {
                return;
            }
            empty.await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no holder panics")
    }
}

/// Equal, in a time that does not tell how far.
fn same(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |difference, (a, b)| difference | (a ^ b)) == 0
}

/// A connection's place in the registry, given up when dropped.
pub(crate) struct Socket {
    registry: Arc<Registry>,
    pub id: u64,
    pub interrupt: Arc<Interrupt>,
}

impl Socket {
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// Makes it a session that can be cancelled. `None` when the limit is reached.
    pub fn admit(&self, minor_version: u16) -> Option<Admission> {
        let mut state = self.registry.lock();
        if state.sessions.len() >= self.registry.connections_max {
            return None;
        }
        let mut random = self.registry.random.lock().expect("no holder panics");
        let process = loop {
            let drawn = random.between(1, i32::MAX as u64) as i32;
            if !state.sessions.contains_key(&drawn) {
                break drawn;
            }
        };
        let length = if minor_version >= 2 { SECRET_BYTES_3_2 } else { SECRET_BYTES_3_0 };
        let secret: Vec<u8> = (0..length).map(|_| random.next_u64() as u8).collect();
        state.sessions.insert(process, Entry { secret: secret.clone(), interrupt: self.interrupt.clone() });
        Some(Admission { registry: self.registry.clone(), process, secret })
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        // The entry, and in it the task's own handle, are dropped after the lock is.
        let entry = {
            let mut state = self.registry.lock();
            let entry = state.sockets.remove(&self.id);
            if state.sockets.is_empty() {
                self.registry.empty.notify_waiters();
            }
            entry
        };
        drop(entry);
    }
}

/// A session's place among those that count, given up when dropped.
pub(crate) struct Admission {
    registry: Arc<Registry>,
    pub process: i32,
    pub secret: Vec<u8>,
}

impl Drop for Admission {
    fn drop(&mut self) {
        self.registry.lock().sessions.remove(&self.process);
    }
}
