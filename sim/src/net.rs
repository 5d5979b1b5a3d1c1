//! The network between machines: byte streams with what TCP really does when wires and machines fail.
//!
//! Every piece of a stream carries the moment at which it arrives, or [`HELD`] while the wire it is on is cut. Cutting a wire
//! holds what is in flight; healing it gives everything held a new moment, in order. Nothing else moves: readers look at the
//! clock.
//! ```text
//! writer ──▶ [in flight, at t3][in flight, at t2] ──▶ [arrived, t1 ≤ now] ──▶ reader
//!            └──────────── at most WINDOW_BYTES unread: then the writer waits ────┘
//! ```
//!
//! Invariants
//!  N1  A stream delivers its bytes in order, each once, or ends with an error.
//!  N2  Nothing crosses a cut wire: no bytes, no end of stream, no reset, no acknowledgement. A one-way cut lets the other way
//!      through, but its acknowledgements do not return, so the writer's window fills.
//!  N3  Unread bytes are bounded; a writer waits for room, and room comes back over the reverse wire.
//!  N4  A machine that loses power either resets its connections (where it can reach the peer) or goes silent; a silent one
//!      answers nothing until its next boot, and then resets what it does not know.
//!  N5  Refused means: the machine answers and nobody listens. Into a cut wire or a silent machine a connect hangs, until
//!      [`CONNECT_SECONDS_MAX`].
//!
//! Not here: loss, duplication and reordering of packets (TCP hides them: they are delay), bandwidth, corrupt bytes (a later
//! fault), keepalives and the give-up time of an idle connection (no fault lasts that long).

mod connection;
mod wire;

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use futures::future::BoxFuture;
use madsim::time::TimeHandle;
use tenet_seam::{Address, Listener, Net, Random, Stream};
use tokio::sync::Notify;

pub use wire::Wire;

use crate::boot::{Boot, down};
use crate::clock::sleep_until;
use crate::digest::{Kind, Who};
use crate::entropy::luck;
use connection::{Connection, Side, SimStream};

/// The arrival of what waits behind a cut wire.
pub(crate) const HELD: u64 = u64::MAX;

/// Unread bytes of one direction: what socket buffers of both kernels hold together.
const WINDOW_BYTES: usize = 64 * 1024;

/// Connections that wait to be accepted at one listener; more are refused.
const BACKLOG_MAX: usize = 128;

/// A connect gives up after this long, as Linux does.
pub const CONNECT_SECONDS_MAX: u64 = 127;

/// Within one machine everything arrives after this long, in nanoseconds.
const LOOPBACK_NANOS: u64 = 15_000;

/// After a wire is healed, what was held is sent again within this time.
const RESEND_NANOS_MAX: u64 = 200_000_000;

/// First port given to those who ask for any.
const PORT_FREE_FIRST: u16 = 32_768;

/// All wires, listeners and connections of a simulation.
pub struct Network {
    time: TimeHandle,
    state: Mutex<State>,
    /// A wire healed, a machine booted or died: those who wait to connect look again.
    changed: Notify,
}

struct State {
    seed: u64,
    hosts: BTreeMap<String, Host>,
    /// By source and target.
    wires: BTreeMap<(u16, u16), Wire>,
    connections: BTreeMap<u64, Connection>,
    next_connection: u64,
    latency_us: (u64, u64),
    silent_percent: u64,
    luck: Random,
}

struct Host {
    number: u16,
    power: Power,
    listeners: BTreeMap<u16, Queue>,
    next_port: u16,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Power {
    Up {
        boot: u16,
    },
    /// Its kernel, or a switch before it, still answers: refused.
    Down,
    /// Nobody answers.
    Silent,
}

/// Connections that wait to be accepted.
#[derive(Default)]
struct Queue {
    waiting: Vec<u64>,
    waker: Option<Waker>,
}

/// A connection that faults can choose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Between {
    pub connection: u64,
    pub from: String,
    pub to: String,
}

impl Network {
    pub(crate) fn new(seed: u64, time: TimeHandle) -> Network {
        let state = State {
            seed,
            hosts: BTreeMap::new(),
            wires: BTreeMap::new(),
            connections: BTreeMap::new(),
            next_connection: 1,
            latency_us: (100, 1_000),
            silent_percent: 50,
            luck: luck(seed, Who::WORLD, "sim/net"),
        };
        Network { time, state: Mutex::new(state), changed: Notify::new() }
    }

    pub(crate) fn add_host(&self, name: &str, number: u16) {
        let host = Host { number, power: Power::Down, listeners: BTreeMap::new(), next_port: PORT_FREE_FIRST };
        self.with(|state, _| state.hosts.insert(name.to_string(), host));
    }

    /// One-way latency of every wire, as (least, most).
    pub fn set_latency_us(&self, latency_us: (u64, u64)) {
        self.with(|state, _| {
            state.latency_us = latency_us;
            state.wires.values_mut().for_each(|wire| wire.latency_us = latency_us);
        });
    }

    /// How often, in percent, a machine that dies does so without resetting its connections.
    pub fn set_silent_percent(&self, percent: u64) {
        self.with(|state, _| state.silent_percent = percent);
    }

    /// Cuts the wire in one direction (N2).
    pub fn cut(&self, source: &str, target: &str) {
        self.with(|state, now| {
            let ends = state.ends(source, target);
            state.wire(ends).cuts += 1;
            state.hold(ends, now);
        });
    }

    /// Takes one cut of the wire back. When the last one is gone, what was held arrives.
    pub fn heal(&self, source: &str, target: &str) {
        self.heal_to(source, target, |cuts| cuts.saturating_sub(1));
    }

    fn heal_to(&self, source: &str, target: &str, left: impl FnOnce(u32) -> u32) {
        self.with(|state, now| {
            let ends = state.ends(source, target);
            let wire = state.wire(ends);
            let before = wire.cuts;
            wire.cuts = left(before);
            if before > 0 && wire.cuts == 0 {
                state.release(ends, now, &self.time);
            }
        });
        self.changed.notify_waiters();
    }

    /// Heals every wire and takes every delay away. Hung connections stay hung: nothing mends those but closing them.
    pub fn heal_all(&self) {
        let names: Vec<String> = self.with(|state, _| {
            state.wires.values_mut().for_each(|wire| wire.delay_us = (0, 0));
            state.hosts.keys().cloned().collect()
        });
        for source in &names {
            for target in names.iter().filter(|target| *target != source) {
                self.heal_to(source, target, |_| 0);
            }
        }
    }

    /// From now on pieces on this wire take this much longer.
    pub fn delay(&self, source: &str, target: &str, delay_us: (u64, u64)) {
        self.with(|state, _| {
            let ends = state.ends(source, target);
            state.wire(ends).delay_us = delay_us;
        });
    }

    /// Connections between different machines that both ends still hold and that no fault has touched.
    pub fn connections(&self) -> Vec<Between> {
        self.with(|state, _| {
            let whole = state.connections.iter().filter(|(_, connection)| connection.is_whole());
            let between = whole.map(|(number, connection)| Between {
                connection: *number,
                from: connection.sides[0].name.clone(),
                to: connection.sides[1].name.clone(),
            });
            between.filter(|between| between.from != between.to).collect()
        })
    }

    /// Both ends see a reset, as when something between them ended the connection.
    pub fn reset(&self, connection: u64) {
        self.with(|state, now| {
            for end in [0, 1] {
                state.reset_end(connection, end, now, &self.time);
            }
        });
    }

    /// Nothing passes any more, either way, and nobody is told: something between them forgot the connection.
    pub fn hang(&self, connection: u64) {
        self.with(|state, now| {
            if let Some(connection) = state.connections.get_mut(&connection) {
                connection.hung = true;
                connection.sides.iter_mut().for_each(|side| side.hold(now));
            }
        });
    }

    pub(crate) fn boot(&self, name: &str, who: Who) {
        self.with(|state, now| {
            let host = state.host(name);
            host.power = Power::Up { boot: who.boot };
            state.reset_strangers(who.machine, now, &self.time);
        });
        self.changed.notify_waiters();
    }

    pub(crate) fn die(&self, name: &str) {
        self.with(|state, now| {
            let silent = state.luck.chance(state.silent_percent);
            let host = state.host(name);
            host.power = if silent { Power::Silent } else { Power::Down };
            host.listeners.clear();
            let number = host.number;
            state.abandon(number, !silent, now, &self.time);
        });
        self.changed.notify_waiters();
    }

    fn with<T>(&self, work: impl FnOnce(&mut State, u64) -> T) -> T {
        let now = self.time.elapsed().as_nanos() as u64;
        work(&mut self.state.lock().expect("no holder panics"), now)
    }
}

impl State {
    fn host(&mut self, name: &str) -> &mut Host {
        self.hosts.get_mut(name).unwrap_or_else(|| panic!("no machine is called {name}"))
    }

    fn ends(&mut self, source: &str, target: &str) -> (u16, u16) {
        (self.host(source).number, self.host(target).number)
    }

    fn wire(&mut self, ends: (u16, u16)) -> &mut Wire {
        let (seed, latency_us) = (self.seed, self.latency_us);
        self.wires.entry(ends).or_insert_with(|| Wire::new(seed, ends, latency_us))
    }

    /// When something sent now arrives; [`HELD`] if the wire is cut.
    fn transit(&mut self, ends: (u16, u16), now: u64) -> u64 {
        if ends.0 == ends.1 {
            return now + LOOPBACK_NANOS;
        }
        self.wire(ends).transit(now)
    }

    fn is_cut(&self, ends: (u16, u16)) -> bool {
        self.wires.get(&ends).is_some_and(|wire| wire.cuts > 0)
    }

    fn answers(&self, number: u16) -> bool {
        self.hosts.values().any(|host| host.number == number && host.power != Power::Silent)
    }
}

/// [`Net`] for one boot of a machine.
pub(crate) struct SimNet {
    pub(crate) boot: Arc<Boot>,
}

impl SimNet {
    /// The names under which a machine knows itself.
    fn is_me(&self, host: &str) -> bool {
        host == self.boot.machine.name || ["localhost", "127.0.0.1", "0.0.0.0", ""].contains(&host)
    }
}

impl Net for SimNet {
    fn listen(&self, address: &Address) -> BoxFuture<'static, io::Result<Box<dyn Listener>>> {
        let boot = self.boot.clone();
        let parsed = split(address).and_then(|(host, port)| match self.is_me(&host) {
            true => Ok(port),
            false => Err(io::Error::new(
                io::ErrorKind::AddrNotAvailable,
                format!("{address} is not an address of this machine"),
            )),
        });
        Box::pin(async move {
            if boot.is_dead() {
                return std::future::pending().await;
            }
            let result = parsed.and_then(|port| boot.world.net.take_port(&boot, port));
            boot.event(
                Kind::Listen,
                0,
                result.as_ref().map_or(0, |port| u64::from(*port)),
                crate::digest::outcome(&result),
                &[],
            );
            let port = result?;
            Ok(Box::new(SimListener { boot, port }) as Box<dyn Listener>)
        })
    }

    fn connect(&self, address: &Address) -> BoxFuture<'static, io::Result<Stream>> {
        let boot = self.boot.clone();
        let target = split(address).map(|(host, port)| match self.is_me(&host) {
            true => (boot.machine.name.clone(), port),
            false => (host, port),
        });
        let text = address.0.clone();
        Box::pin(async move {
            let number = boot.event(Kind::Connect, 0, 0, 0, text.as_bytes());
            let result = match target {
                Ok((host, port)) => connect(&boot, &host, port).await,
                Err(error) => Err(error),
            };
            boot.event(Kind::Connect, number, 1, crate::digest::outcome(&result), &[]);
            result.map(|stream| Box::new(stream) as Stream)
        })
    }
}

fn split(address: &Address) -> io::Result<(String, u16)> {
    let parts = address.0.rsplit_once(':').and_then(|(host, port)| Some((host.to_string(), port.parse().ok()?)));
    parts.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, format!("{address} is not of the form host:port")))
}

/// The opening of a connection, as the one who asks for it lives through it: a packet there, a packet back.
async fn connect(boot: &Arc<Boot>, host: &str, port: u16) -> io::Result<SimStream> {
    let net = &boot.world.net;
    let give_up = boot.world.now() + CONNECT_SECONDS_MAX * 1_000_000_000;
    let me = boot.who.machine;
    let Some(target) = net.with(|state, _| state.hosts.get(host).map(|host| host.number)) else {
        return Err(io::Error::new(io::ErrorKind::NotFound, format!("no machine is called {host}")));
    };
    net.cross(boot, (me, target), true, give_up).await?;
    let asked = net.with(|state, _| state.ask(boot, host, port));
    let stream = asked.map(|connection| SimStream::new(boot.clone(), connection, 0));
    net.cross(boot, (target, me), false, give_up).await?;
    stream
}

impl Network {
    /// Waits as long as a packet of an opening connection is under way; sent again and again while the wire is cut or the target silent.
    async fn cross(&self, boot: &Boot, ends: (u16, u16), ask: bool, give_up: u64) -> io::Result<()> {
        loop {
            let changed = self.changed.notified();
            let at =
                self.with(|state, now| if ask && !state.answers(ends.1) { HELD } else { state.transit(ends, now) });
            if at != HELD {
                sleep_until(&self.time, at).await;
                if boot.is_dead() {
                    return std::future::pending().await;
                }
                if self.with(|state, _| !state.is_cut(ends) && (!ask || state.answers(ends.1))) {
                    return Ok(());
                }
                continue; // cut while it was under way: lost, and sent again
            }
            tokio::select! {
                biased;
                () = changed => {}
                () = sleep_until(&self.time, give_up) => return Err(io::ErrorKind::TimedOut.into()),
            }
            let resend = self.with(|state, now| now + state.luck.below(RESEND_NANOS_MAX));
            sleep_until(&self.time, resend).await;
        }
    }

    fn take_port(&self, boot: &Boot, port: u16) -> io::Result<u16> {
        self.with(|state, _| {
            let host = state.host(&boot.machine.name);
            let port = if port == 0 { host.free_port() } else { port };
            if host.listeners.contains_key(&port) {
                return Err(io::Error::new(io::ErrorKind::AddrInUse, format!("port {port} is in use")));
            }
            host.listeners.insert(port, Queue::default());
            Ok(port)
        })
    }
}

impl Host {
    fn free_port(&mut self) -> u16 {
        loop {
            let port = self.next_port;
            self.next_port = port.checked_add(1).unwrap_or(PORT_FREE_FIRST);
            if !self.listeners.contains_key(&port) {
                return port;
            }
        }
    }
}

impl State {
    /// The first packet has arrived at `host`: is somebody there?
    fn ask(&mut self, boot: &Boot, host: &str, port: u16) -> io::Result<u64> {
        let from = format!("{}:{}", boot.machine.name, self.host(&boot.machine.name).free_port());
        let number = self.next_connection;
        self.next_connection += 1;
        let target = self.host(host);
        let Power::Up { boot: target_boot } = target.power else {
            return Err(io::ErrorKind::ConnectionRefused.into());
        };
        let target_number = target.number;
        let Some(queue) = target.listeners.get_mut(&port).filter(|queue| queue.waiting.len() < BACKLOG_MAX) else {
            return Err(io::ErrorKind::ConnectionRefused.into());
        };
        queue.waiting.push(number);
        if let Some(waker) = queue.waker.take() {
            waker.wake();
        }
        let sides = [
            Side::new(&boot.machine.name, boot.who, Address(from)),
            Side::new(host, Who { machine: target_number, boot: target_boot }, Address(format!("{host}:{port}"))),
        ];
        self.connections.insert(number, Connection::new(sides));
        Ok(number)
    }
}

struct SimListener {
    boot: Arc<Boot>,
    port: u16,
}

impl Listener for SimListener {
    fn accept(&self) -> BoxFuture<'_, io::Result<(Stream, Address)>> {
        Box::pin(std::future::poll_fn(|cx| self.poll_accept(cx)))
    }

    fn address(&self) -> Address {
        Address(format!("{}:{}", self.boot.machine.name, self.port))
    }
}

impl SimListener {
    fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<(Stream, Address)>> {
        if self.boot.is_dead() {
            return Poll::Pending;
        }
        let next = self.boot.world.net.with(|state, _| {
            let Some(queue) = state.host(&self.boot.machine.name).listeners.get_mut(&self.port) else {
                return Some(Err(down()));
            };
            if queue.waiting.is_empty() {
                queue.waker = Some(cx.waker().clone());
                return None;
            }
            let connection = queue.waiting.remove(0);
            let peer = state.connections.get(&connection).map(|connection| connection.sides[0].address.clone());
            Some(Ok((connection, peer.unwrap_or(Address("unknown:0".into())))))
        });
        let Some(next) = next else {
            return Poll::Pending;
        };
        let (connection, peer) = next?;
        self.boot.event(Kind::Accept, connection, u64::from(self.port), 0, peer.0.as_bytes());
        let stream = SimStream::new(self.boot.clone(), connection, 1);
        Poll::Ready(Ok((Box::new(stream), peer)))
    }
}

impl Drop for SimListener {
    fn drop(&mut self) {
        if self.boot.is_dead() {
            return;
        }
        let net = &self.boot.world.net;
        let waiting = net.with(|state, _| state.host(&self.boot.machine.name).listeners.remove(&self.port));
        for connection in waiting.into_iter().flat_map(|queue| queue.waiting) {
            drop(SimStream::new(self.boot.clone(), connection, 1));
        }
    }
}
