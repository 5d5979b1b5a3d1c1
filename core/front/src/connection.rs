//! One connection's task: startup, then messages one after the other until it ends.

use std::collections::BTreeMap;
use std::future::Future;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use tenet_seam::{Address, Seam, Stream};
use tenet_sql::{CancelHandle, NoticeSeverity, Session, SqlError, SqlState, TransactionStatus};
use tenet_types::mark;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::encode::{self, Formats, Report};
use crate::extended::{Portal, Statement};
use crate::inbox::{Frame, Inbox};
use crate::message::{self, Message, WireError};
use crate::outcome::RowSource;
use crate::registry::{Interrupt, Interruption, Socket};
use crate::startup;
use crate::{EngineSlot, FrontOptions};

/// Output is written to the stream when there is this much of it, in bytes; so much is encoded ahead of a slow reader.
pub(crate) const FLUSH_BYTES: usize = 16 * 1024;
/// An output buffer grown beyond this is given back when it has been written, in bytes.
const KEEP_BYTES: usize = 1024;
/// How long a client that was sent a last word may take to close, in milliseconds. Closing on unread input would destroy the
/// word on its way.
const LINGER_MS: u64 = 1000;

/// What all connections of a server share.
pub(crate) struct Shared {
    pub seam: Seam,
    pub engine: EngineSlot,
    pub options: FrontOptions,
}

/// Why a message was not carried out.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// The client is told; if the error is fatal, the connection ends.
    Sql(SqlError),
    /// There is no client to tell.
    Lost(io::Error),
}

impl From<SqlError> for Trouble {
    fn from(error: SqlError) -> Trouble {
        Trouble::Sql(error)
    }
}

impl From<WireError> for Trouble {
    fn from(error: WireError) -> Trouble {
        Trouble::Sql(error.into())
    }
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Trouble {
        Trouble::Lost(error)
    }
}

impl From<WireError> for SqlError {
    fn from(error: WireError) -> SqlError {
        SqlError::new(SqlState(error.state), error.message)
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Next {
    Continue,
    End,
}

/// How far rows went out.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Sent {
    All,
    /// The limit was reached, as the client was told; there may be more.
    Suspended,
}

pub(crate) struct Connection {
    pub(crate) session: Session,
    pub(crate) out: BytesMut,
    pub(crate) inbox: Inbox,
    pub(crate) statements: BTreeMap<String, Arc<Statement>>,
    pub(crate) portals: BTreeMap<String, Portal>,
    /// Statements run in one implicit transaction that ends with the Sync, or with the query string.
    pub(crate) implicit: bool,
    /// After an error in the extended protocol: everything is passed over up to Sync (F3).
    skipping: bool,
    /// The client waits for what is in `out`.
    due: bool,
    stream: Stream,
    socket: Socket,
    cancel: CancelHandle,
    shared: Arc<Shared>,
}

/// Serves one client until it leaves, breaks off, or is sent away.
pub(crate) async fn run(mut stream: Stream, peer: Address, socket: Socket, shared: Arc<Shared>) {
    let mut inbox = Inbox::default();
    let timeout = shared.options.startup_timeout;
    let hello = tokio::select! {
        biased;
        () = socket.interrupt.stopped() => Ok(Err(Trouble::Sql(shutdown()))),
        hello = shared.seam.timeout(timeout, startup::hear(&mut stream, &mut inbox, &socket)) => hello,
    };
    let Ok(hello) = hello else {
        tracing::debug!(%peer, "no startup packet in time");
        return;
    };
    let mut out = BytesMut::new();
    let opened = match hello {
        Ok(None) => return,
        Ok(Some(hello)) => {
            tokio::select! {
                biased;
                () = socket.interrupt.stopped() => Err(Trouble::Sql(shutdown())),
                opened = startup::open(hello, &mut out, &socket, &shared) => opened,
            }
        }
        Err(trouble) => Err(trouble),
    };
    let opened = match opened {
        Ok(opened) => opened,
        Err(Trouble::Lost(error)) => return tracing::debug!(%peer, %error, "connection lost during startup"),
        Err(Trouble::Sql(error)) => {
            tracing::info!(%peer, %error, "connection refused");
            match startup::refuse(&mut stream, &mut out, &error).await {
                Ok(()) => linger(&mut stream, &shared.seam).await,
                Err(error) => tracing::debug!(%peer, %error, "connection lost during startup"),
            }
            return;
        }
    };
    let (admission, user) = (opened.admission, opened.user);
    tracing::debug!(%peer, %user, "session begins");
    let mut connection = Connection {
        cancel: opened.session.cancel_handle(),
        session: opened.session,
        out,
        inbox,
        statements: BTreeMap::new(),
        portals: BTreeMap::new(),
        implicit: false,
        skipping: false,
        due: true,
        stream,
        socket,
        shared,
    };
    match connection.serve().await {
        Ok(()) => tracing::debug!(%peer, "session ends"),
        Err(error) => tracing::debug!(%peer, %error, "connection lost"),
    }
    drop(admission);
}

impl Connection {
    async fn serve(&mut self) -> io::Result<()> {
        loop {
            if self.inbox.is_empty() {
                self.socket.interrupt.end();
            }
            // Also with more to do: what was done must not wait for it, nor be lost to a Terminate behind it.
            if self.due {
                self.flush().await?;
            } else if self.out.len() >= FLUSH_BYTES {
                self.write_out().await?;
            }
            let frame = tokio::select! {
                biased;
                () = self.socket.interrupt.stopped() => None,
                frame = self.inbox.next(&mut self.stream, self.shared.options.message_bytes_max) => Some(frame?),
            };
            let Some(frame) = frame else {
                return self.send_away(&shutdown()).await;
            };
            self.socket.interrupt.begin();
            // Boxed, so that a connection that waits does not keep room for the largest statement's state.
            if Box::pin(self.on_frame(frame)).await? == Next::End {
                return Ok(());
            }
        }
    }

    async fn on_frame(&mut self, frame: Frame) -> io::Result<Next> {
        let (kind, body) = match frame {
            Frame::End => return Ok(Next::End),
            Frame::Broken(message) => {
                mark!("front: broken framing");
                let error = SqlError::new(SqlState::PROTOCOL_VIOLATION, message).fatal();
                self.send_away(&error).await?;
                return Ok(Next::End);
            }
            Frame::TooLong { kind, bytes } => {
                mark!("front: message too long, passed over");
                if self.skipping || kind == b'd' {
                    return Ok(Next::Continue);
                }
                let bytes_max = self.shared.options.message_bytes_max;
                let error = SqlError::new(
                    SqlState::PROGRAM_LIMIT_EXCEEDED,
                    format!("message of {bytes} bytes exceeds the limit of {bytes_max} bytes"),
                );
                return self.on_error(kind, error).await;
            }
            Frame::Message { kind, body } => (kind, body),
        };
        if self.skipping && !matches!(kind, b'S' | b'X') {
            return Ok(Next::Continue);
        }
        let done = match Message::decode(kind, body) {
            Ok(message) => self.on_message(message).await,
            Err(error) => {
                mark!("front: malformed message body");
                Err(error.into())
            }
        };
        match done {
            Ok(next) => Ok(next),
            Err(Trouble::Sql(error)) => self.on_error(kind, error).await,
            Err(Trouble::Lost(error)) => Err(error),
        }
    }

    async fn on_message(&mut self, message: Message) -> Result<Next, Trouble> {
        match message {
            Message::Query { sql } => self.on_query(&sql).await?,
            Message::Parse { name, sql, oids } => self.on_parse(name, &sql, &oids).await?,
            Message::Bind(bind) => self.on_bind(bind)?,
            Message::Describe { target, name } => self.on_describe(target, &name)?,
            Message::Execute { portal, rows_max } => self.on_execute(portal, rows_max).await?,
            Message::Close { target, name } => self.on_close(target, &name),
            // Send what there is; nothing else changes.
            Message::Flush => self.due = true,
            Message::Sync => {
                let failed = std::mem::take(&mut self.skipping);
                self.end_implicit(failed).await?;
                self.ready();
            }
            Message::Terminate => return Ok(Next::End),
            Message::FunctionCall => return Err(SqlError::unsupported("the function call message").into()),
            // A COPY was refused with an error; what the client sent before it read that is passed over.
            Message::Copy => {}
        }
        Ok(Next::Continue)
    }

    /// A query string: its statements in turn, all or nothing if there are several.
    async fn on_query(&mut self, sql: &str) -> Result<(), Trouble> {
        self.statements.remove("");
        self.portals.remove("");
        let parsed = self.session.parse(sql)?;
        if parsed.is_empty() {
            encode::empty_query_response(&mut self.out);
        }
        if parsed.len() > 1 {
            self.begin_implicit().await;
        }
        for statement in parsed {
            let Connection { session, socket, cancel, .. } = self;
            let prepared = abandonable(&socket.interrupt, session.prepare(statement, &[])).await?;
            if !prepared.params.is_empty() {
                return Err(SqlError::new(SqlState::UNDEFINED_PARAMETER, "there is no parameter $1").into());
            }
            let outcome = interruptible(&socket.interrupt, cancel, session.execute(&prepared, Vec::new())).await?;
            if let Some(mut rows) = self.begin_outcome(outcome)? {
                encode::row_description(&mut self.out, rows.columns(), &Formats::Text);
                self.send_rows(&mut rows, &Formats::Text, 0).await?;
            }
            self.forget_portals_of_ended();
        }
        self.end_implicit(false).await?;
        self.ready();
        Ok(())
    }

    /// Sends rows, `rows_max` at most (0: all), and what ends them. Waits for the client to read when `FLUSH_BYTES` are ready (F1).
    pub(crate) async fn send_rows(
        &mut self,
        rows: &mut RowSource,
        formats: &Formats,
        rows_max: u64,
    ) -> Result<Sent, Trouble> {
        let mut sent: u64 = 0;
        loop {
            if rows_max > 0 && sent == rows_max {
                encode::portal_suspended(&mut self.out);
                return Ok(Sent::Suspended);
            }
            let Some(row) = rows.next(&self.socket.interrupt).await? else { break };
            rows.encode(&mut self.out, &row, formats)?;
            sent += 1;
            if self.out.len() >= FLUSH_BYTES {
                self.write_out().await?;
            }
        }
        encode::command_complete(&mut self.out, &rows.tag(sent));
        Ok(Sent::All)
    }

    pub(crate) async fn begin_implicit(&mut self) {
        // Not only the first time: a COMMIT of the client's own may have ended what was begun before.
        self.session.begin_implicit().await;
        self.implicit = true;
    }

    async fn end_implicit(&mut self, failed: bool) -> Result<(), Trouble> {
        if std::mem::take(&mut self.implicit) {
            let Connection { session, socket, cancel, .. } = self;
            interruptible(&socket.interrupt, cancel, session.end_implicit(failed)).await?;
        }
        self.forget_portals_of_ended();
        Ok(())
    }

    /// Portals live as long as their transaction.
    pub(crate) fn forget_portals_of_ended(&mut self) {
        if !self.implicit && self.session.status() == TransactionStatus::Idle {
            self.portals.clear();
        }
    }

    /// Tells the client, and goes to where it will look next: past the next Sync, or to its next query.
    async fn on_error(&mut self, kind: u8, error: SqlError) -> io::Result<Next> {
        if error.severity == tenet_sql::Severity::Fatal {
            self.send_away(&error).await?;
            return Ok(Next::End);
        }
        write_error(&mut self.out, &error);
        self.session.fail();
        self.portals.clear();
        if message::is_extended(kind) {
            self.skipping = true;
            return Ok(Next::Continue);
        }
        self.skipping = false;
        match self.end_implicit(true).await {
            Ok(()) => {}
            Err(Trouble::Lost(error)) => return Err(error),
            Err(Trouble::Sql(error)) => tracing::warn!(%error, "the end of a failed transaction failed"),
        }
        self.ready();
        Ok(Next::Continue)
    }

    /// The cycle is complete: settings that changed, then the transaction's state.
    fn ready(&mut self) {
        for (name, value) in self.session.parameter_changes() {
            encode::parameter_status(&mut self.out, &name, &value);
        }
        encode::ready_for_query(&mut self.out, self.session.status());
        self.due = true;
    }

    /// A last word.
    async fn send_away(&mut self, error: &SqlError) -> io::Result<()> {
        write_error(&mut self.out, error);
        self.flush().await?;
        linger(&mut self.stream, &self.shared.seam).await;
        Ok(())
    }

    async fn flush(&mut self) -> io::Result<()> {
        self.write_out().await?;
        self.due = false;
        self.stream.flush().await
    }

    async fn write_out(&mut self) -> io::Result<()> {
        self.stream.write_all(&self.out).await?;
        self.out.clear();
        if self.out.capacity() > KEEP_BYTES {
            self.out = BytesMut::new();
        }
        Ok(())
    }

    /// Is the statement at hand the last before Sync? Waits until that is known: whoever sends Execute and then neither Sync nor
    /// Flush has no answer to expect yet.
    pub(crate) async fn sync_follows(&mut self) -> io::Result<bool> {
        tokio::select! {
            biased;
            () = self.socket.interrupt.stopped() => Ok(false),
            follows = self.inbox.sync_follows(&mut self.stream) => follows,
        }
    }

    /// What execution is told, and what can interrupt it, apart from each other.
    pub(crate) fn parts(&mut self) -> (&mut Session, &Interrupt, &CancelHandle) {
        (&mut self.session, &self.socket.interrupt, &self.cancel)
    }
}

/// Runs a piece of work that may be interrupted. It is never dropped: it is asked to end, and ends with 57014 or, if it was past
/// the point of return, with its result (F4).
pub(crate) async fn interruptible<T>(
    interrupt: &Interrupt,
    cancel: &CancelHandle,
    work: impl Future<Output = Result<T, SqlError>>,
) -> Result<T, SqlError> {
    let mut work = pin!(work);
    let why = tokio::select! {
        biased;
        done = &mut work => return done,
        why = interrupt.interrupted() => why,
    };
    cancel.cancel();
    let done = work.await;
    interrupt.forget_cancel();
    match &done {
        Err(error) if error.state == SqlState::QUERY_CANCELED => {
            mark!("front: statement interrupted");
            Err(why.error())
        }
        Ok(_) | Err(_) => {
            mark!("front: interrupted too late");
            done
        }
    }
}

/// Runs a piece of work that has no effect, and drops it when interrupted.
pub(crate) async fn abandonable<T>(
    interrupt: &Interrupt,
    work: impl Future<Output = Result<T, SqlError>>,
) -> Result<T, SqlError> {
    tokio::select! {
        biased;
        done = work => done,
        why = interrupt.interrupted() => {
            interrupt.forget_cancel();
            mark!("front: work without effect abandoned");
            Err(why.error())
        }
    }
}

fn shutdown() -> SqlError {
    Interruption::Stop.error()
}

pub(crate) fn write_error(out: &mut BytesMut, error: &SqlError) {
    let severity = match error.severity {
        tenet_sql::Severity::Error => "ERROR",
        tenet_sql::Severity::Fatal => "FATAL",
    };
    encode::error(
        out,
        &Report {
            severity,
            state: error.state.0,
            message: &error.message,
            detail: error.detail.as_deref(),
            hint: error.hint.as_deref(),
            position: error.position,
            table: error.about.table.as_deref(),
            column: error.about.column.as_deref(),
            constraint: error.about.constraint.as_deref(),
        },
    );
}

pub(crate) fn write_notice(out: &mut BytesMut, notice: &tenet_sql::Notice) {
    let severity = match notice.severity {
        NoticeSeverity::Notice => "NOTICE",
        NoticeSeverity::Warning => "WARNING",
    };
    let report = Report { severity, state: notice.state.0, message: &notice.message, ..Report::default() };
    encode::notice(out, &report);
}

/// Closes our side and waits, briefly, for the client to close its own.
async fn linger(stream: &mut Stream, seam: &Seam) {
    let close = async {
        stream.shutdown().await?;
        let mut rest = [0; 512];
        while stream.read(&mut rest).await? > 0 {}
        io::Result::Ok(())
    };
    match seam.timeout(Duration::from_millis(LINGER_MS), close).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(%error, "connection lost after its last word"),
        Err(_) => mark!("front: client does not close after its last word"),
    }
}
