//! One connection: two sides, and what is under way to each.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tenet_seam::Address;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use madsim::time::TimeHandle;

use super::{HELD, RESEND_NANOS_MAX, State, WINDOW_BYTES};
use crate::boot::Boot;
use crate::clock::Timer;
use crate::digest::{Kind, Who};

/// One write in so many is accepted only in part, as kernels do.
const SHORT_WRITE_ONE_IN: u64 = 16;

pub(super) struct Connection {
    /// 0 asked for the connection, 1 accepted it.
    pub(super) sides: [Side; 2],
    /// A fault made it mute for ever.
    pub(super) hung: bool,
}

pub(super) struct Side {
    pub(super) name: String,
    who: Who,
    pub(super) address: Address,
    /// A program holds this end, or may yet accept it.
    open: bool,
    /// It said that it sends no more.
    finished: bool,
    /// Under way to this side, or arrived there, in order.
    incoming: VecDeque<Piece>,
    /// Bytes of `incoming`, and those whose acknowledgement is held: N3 bounds this.
    unread: usize,
    /// Of `unread`: read, but the acknowledgement has not got through.
    unacknowledged: usize,
    /// From then on this side sees a reset.
    reset_at: Option<u64>,
    reader: Timer,
    reader_waits: bool,
    writer: Timer,
    writer_waits: bool,
}

struct Piece {
    at: u64,
    bytes: Vec<u8>,
    /// Of `bytes`: read already.
    read: usize,
    last: bool,
}

impl Connection {
    pub(super) fn new(sides: [Side; 2]) -> Connection {
        Connection { sides, hung: false }
    }

    /// Both programs hold it, and it works as far as they know.
    pub(super) fn is_whole(&self) -> bool {
        !self.hung && self.sides.iter().all(|side| side.open && side.reset_at.is_none())
    }

    fn ends_from(&self, end: usize) -> (u16, u16) {
        (self.sides[end].who.machine, self.sides[1 - end].who.machine)
    }
}

impl Side {
    pub(super) fn new(name: &str, who: Who, address: Address) -> Side {
        Side {
            name: name.to_string(),
            who,
            address,
            open: true,
            finished: false,
            incoming: VecDeque::new(),
            unread: 0,
            unacknowledged: 0,
            reset_at: None,
            reader: Timer::default(),
            reader_waits: false,
            writer: Timer::default(),
            writer_waits: false,
        }
    }

    /// What has not arrived yet will not, until further notice.
    pub(super) fn hold(&mut self, now: u64) {
        self.incoming.iter_mut().filter(|piece| piece.at > now).for_each(|piece| piece.at = HELD);
    }

    fn push(&mut self, at: u64, bytes: Vec<u8>, last: bool, time: &TimeHandle) {
        // In order (N1): never before what was sent earlier.
        let at = self.incoming.back().map_or(at, |before| at.max(before.at));
        self.unread += bytes.len();
        self.incoming.push_back(Piece { at, bytes, read: 0, last });
        self.alert_reader(time);
    }

    /// Sees to it that a waiting reader is woken when there is something for it.
    fn alert_reader(&mut self, time: &TimeHandle) {
        let next = self.incoming.front().map_or(HELD, |piece| piece.at).min(self.reset_at.unwrap_or(HELD));
        if self.reader_waits && next != HELD {
            self.reader.alert(time, next);
        }
    }

    fn alert_writer(&mut self, time: &TimeHandle, at: u64) {
        if self.writer_waits {
            self.writer.alert(time, at);
        }
    }

    fn acknowledge(&mut self, bytes: usize) {
        self.unread -= bytes;
    }
}

impl State {
    /// The wire was cut: what is on it waits.
    pub(super) fn hold(&mut self, ends: (u16, u16), now: u64) {
        for connection in self.connections.values_mut() {
            for end in [0, 1] {
                if connection.ends_from(end) == ends {
                    connection.sides[1 - end].hold(now);
                }
            }
        }
    }

    /// The wire was healed: what waited is sent again, acknowledgements too.
    pub(super) fn release(&mut self, ends: (u16, u16), now: u64, time: &TimeHandle) {
        let numbers: Vec<u64> = self.connections.keys().copied().collect();
        for number in numbers {
            for end in [0, 1] {
                let connection = &self.connections[&number];
                if connection.hung || connection.ends_from(end) != ends {
                    continue;
                }
                let wire = self.wires.get_mut(&ends).expect("it was just healed");
                let resend = now + wire.luck.below(RESEND_NANOS_MAX);
                let connection = self.connections.get_mut(&number).expect("nothing was removed");
                let side = &mut connection.sides[1 - end];
                let mut at = resend;
                for piece in side.incoming.iter_mut().filter(|piece| piece.at == HELD) {
                    at = at.max(wire.transit(resend));
                    piece.at = at;
                }
                side.alert_reader(time);
                // Acknowledgements of what `end` has read travel on this wire, too: the peer may go on.
                let owed = std::mem::take(&mut connection.sides[end].unacknowledged);
                connection.sides[end].acknowledge(owed);
                if owed > 0 {
                    connection.sides[1 - end].alert_writer(time, resend);
                }
                if !connection.sides[1 - end].open && connection.sides[1 - end].unread > 0 {
                    self.answer_stray(number, end, resend, time);
                }
            }
        }
    }

    /// Bytes from `end` reach a side that nobody holds: it answers with a reset, if it can.
    fn answer_stray(&mut self, number: u64, end: usize, at: u64, time: &TimeHandle) {
        let connection = &self.connections[&number];
        let back = connection.ends_from(1 - end);
        if connection.hung || !self.answers(back.0) {
            return;
        }
        let at = self.transit(back, at);
        if at != HELD {
            self.reset_end(number, end, at, time);
        }
    }

    /// One end sees a reset from `at` on.
    pub(super) fn reset_end(&mut self, number: u64, end: usize, at: u64, time: &TimeHandle) {
        let Some(connection) = self.connections.get_mut(&number) else { return };
        let side = &mut connection.sides[end];
        side.reset_at = Some(side.reset_at.map_or(at, |before| before.min(at)));
        side.alert_reader(time);
        side.alert_writer(time, at);
    }

    /// A machine died: its ends are nobody's (N4).
    pub(super) fn abandon(&mut self, machine: u16, resets: bool, now: u64, time: &TimeHandle) {
        for (number, end) in self.ends_of(machine, |side| side.open) {
            let connection = self.connections.get_mut(&number).expect("just listed");
            connection.sides[end].open = false;
            let hung = connection.hung;
            let ends = connection.ends_from(end);
            // What it had not got out is gone with it.
            let peer = &mut connection.sides[1 - end];
            let lost: usize =
                peer.incoming.iter().filter(|piece| piece.at == HELD).map(|piece| piece.bytes.len()).sum();
            peer.incoming.retain(|piece| piece.at != HELD);
            peer.unread -= lost;
            let at = if resets && !hung { self.transit(ends, now) } else { HELD };
            if at != HELD {
                self.reset_end(number, 1 - end, at, time);
            }
            self.forget_if_over(number);
        }
    }

    /// A machine is up again: it resets those who still send to its earlier boots.
    pub(super) fn reset_strangers(&mut self, machine: u16, now: u64, time: &TimeHandle) {
        for (number, end) in
            self.ends_of(machine, |side| !side.open && side.incoming.iter().any(|piece| piece.at != HELD))
        {
            self.answer_stray(number, 1 - end, now, time);
        }
    }

    fn ends_of(&self, machine: u16, wanted: impl Fn(&Side) -> bool) -> Vec<(u64, usize)> {
        let all = self
            .connections
            .iter()
            .flat_map(|(number, connection)| [0, 1].into_iter().map(move |end| (*number, end, &connection.sides[end])));
        let wanted = all.filter(|(_, _, side)| side.who.machine == machine && wanted(side));
        wanted.map(|(number, end, _)| (number, end)).collect()
    }

    fn forget_if_over(&mut self, number: u64) {
        if self.connections.get(&number).is_some_and(|connection| connection.sides.iter().all(|side| !side.open)) {
            self.connections.remove(&number);
        }
    }

    fn poll_read(
        &mut self,
        number: u64,
        end: usize,
        now: u64,
        time: &TimeHandle,
        buf: &mut ReadBuf<'_>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        let back = self.connections[&number].ends_from(end);
        let back_is_cut = self.is_cut(back);
        let connection = self.connections.get_mut(&number).expect("a held end is known");
        let hung = connection.hung;
        let side = &mut connection.sides[end];
        let before = buf.filled().len();
        while let Some(piece) = side.incoming.front_mut().filter(|piece| piece.at <= now && !piece.last) {
            let rest = &piece.bytes[piece.read..];
            let taken = rest.len().min(buf.remaining());
            buf.put_slice(&rest[..taken]);
            piece.read += taken;
            if piece.read < piece.bytes.len() {
                break;
            }
            side.incoming.pop_front();
        }
        let taken = buf.filled().len() - before;
        if taken > 0 {
            side.reader_waits = false;
            if hung || back_is_cut {
                side.unacknowledged += taken;
            } else {
                side.acknowledge(taken);
                connection.sides[1 - end].alert_writer(time, now);
            }
            return Poll::Ready(Ok(taken));
        }
        if buf.remaining() == 0 || side.incoming.front().is_some_and(|piece| piece.at <= now && piece.last) {
            return Poll::Ready(Ok(0));
        }
        if side.reset_at.is_some_and(|at| at <= now) {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        side.reader.watch(cx.waker());
        side.reader_waits = true;
        side.alert_reader(time);
        Poll::Pending
    }

    fn poll_write(
        &mut self,
        number: u64,
        end: usize,
        now: u64,
        time: &TimeHandle,
        bytes: &[u8],
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        let connection = self.connections.get_mut(&number).expect("a held end is known");
        let ends = connection.ends_from(end);
        let hung = connection.hung;
        let room = WINDOW_BYTES.saturating_sub(connection.sides[1 - end].unread);
        let peer_open = connection.sides[1 - end].open;
        let side = &mut connection.sides[end];
        if side.reset_at.is_some_and(|at| at <= now) {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        if side.finished {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        if bytes.is_empty() {
            return Poll::Ready(Ok(0));
        }
        if room == 0 {
            side.writer.watch(cx.waker());
            side.writer_waits = true;
            if let Some(at) = side.reset_at {
                side.alert_writer(time, at);
            }
            return Poll::Pending;
        }
        side.writer_waits = false;
        let mut count = bytes.len().min(room);
        if self.luck.below(SHORT_WRITE_ONE_IN) == 0 {
            count = 1 + self.luck.below(count as u64) as usize;
        }
        let at = if hung { HELD } else { self.transit(ends, now) };
        let connection = self.connections.get_mut(&number).expect("a held end is known");
        connection.sides[1 - end].push(at, bytes[..count].to_vec(), false, time);
        if !peer_open && at != HELD {
            self.answer_stray(number, end, at, time);
        }
        Poll::Ready(Ok(count))
    }

    fn shutdown(&mut self, number: u64, end: usize, now: u64, time: &TimeHandle) {
        let connection = &self.connections[&number];
        if connection.sides[end].finished {
            return;
        }
        let (ends, hung) = (connection.ends_from(end), connection.hung);
        let at = if hung { HELD } else { self.transit(ends, now) };
        let connection = self.connections.get_mut(&number).expect("a held end is known");
        connection.sides[end].finished = true;
        connection.sides[1 - end].push(at, Vec::new(), true, time);
    }

    /// The program let go of its end. Unread bytes make it a reset, as in TCP.
    fn close(&mut self, number: u64, end: usize, now: u64, time: &TimeHandle) {
        let Some(connection) = self.connections.get_mut(&number) else { return };
        let (ends, hung) = (connection.ends_from(end), connection.hung);
        let side = &mut connection.sides[end];
        side.open = false;
        let unread = side.incoming.iter().any(|piece| !piece.last && piece.at <= now);
        if unread {
            let at = if hung { HELD } else { self.transit(ends, now) };
            if at != HELD {
                self.reset_end(number, 1 - end, at, time);
            }
        } else {
            self.shutdown(number, end, now, time);
        }
        self.forget_if_over(number);
    }
}

/// One end, as its program holds it.
pub(super) struct SimStream {
    boot: Arc<Boot>,
    connection: u64,
    end: usize,
}

impl SimStream {
    pub(super) fn new(boot: Arc<Boot>, connection: u64, end: usize) -> SimStream {
        SimStream { boot, connection, end }
    }

    /// The connection and the end, as one number for events.
    fn object(&self) -> u64 {
        self.connection << 1 | self.end as u64
    }
}

impl AsyncRead for SimStream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let SimStream { boot, connection, end } = &*self;
        if boot.is_dead() {
            return Poll::Pending;
        }
        let net = &boot.world.net;
        let result = net.with(|state, now| state.poll_read(*connection, *end, now, &net.time, buf, cx));
        result.map(|result| {
            let count = *result.as_ref().unwrap_or(&0) as u64;
            boot.event(Kind::Receive, self.object(), count, crate::digest::outcome(&result), &[]);
            result.map(|_| ())
        })
    }
}

impl AsyncWrite for SimStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let SimStream { boot, connection, end } = &*self;
        if boot.is_dead() {
            return Poll::Pending;
        }
        let net = &boot.world.net;
        let result = net.with(|state, now| state.poll_write(*connection, *end, now, &net.time, bytes, cx));
        if let Poll::Ready(result) = &result {
            let count = *result.as_ref().unwrap_or(&0);
            boot.event(Kind::Send, self.object(), count as u64, crate::digest::outcome(result), &bytes[..count]);
        }
        result
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.boot.is_dead() { Poll::Pending } else { Poll::Ready(Ok(())) }
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        let SimStream { boot, connection, end } = &*self;
        if boot.is_dead() {
            return Poll::Pending;
        }
        let net = &boot.world.net;
        net.with(|state, now| state.shutdown(*connection, *end, now, &net.time));
        boot.event(Kind::Shutdown, self.object(), 0, 0, &[]);
        Poll::Ready(Ok(()))
    }
}

impl Drop for SimStream {
    fn drop(&mut self) {
        let SimStream { boot, connection, end } = &*self;
        if boot.is_dead() {
            return; // N4 has spoken already
        }
        let net = &boot.world.net;
        net.with(|state, now| state.close(*connection, *end, now, &net.time));
        boot.event(Kind::Close, self.object(), 0, 0, &[]);
    }
}
