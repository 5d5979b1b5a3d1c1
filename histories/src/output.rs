//! Where a writer writes to, and what it may leave out.

use std::io::{self, Write};

use crate::{Completion, Event, Format, Header, HistoryError, Loss, Value, WriteOptions, facts};

pub(crate) struct Output<W> {
    format: Format,
    name: String,
    writer: W,
    losses: Vec<Loss>,
    pub concurrency: Option<u32>,
    /// The position of the event that is being written, among those of the source.
    pub position: usize,
    pub text: String,
}

impl<W: Write> Output<W> {
    pub fn new(format: Format, writer: W, name: &str, options: &WriteOptions) -> Output<W> {
        Output {
            format,
            name: name.to_string(),
            writer,
            losses: options.losses.clone(),
            concurrency: options.concurrency,
            position: 0,
            text: String::new(),
        }
    }

    /// Leaves something out of the event that is being written, if that is allowed.
    pub fn lose(&self, loss: Loss, what: impl FnOnce() -> String) -> Result<(), HistoryError> {
        if self.losses.contains(&loss) { Ok(()) } else { Err(self.inexpressible(Some(self.position), loss, what())) }
    }

    pub fn lose_header(&self, header: &Header) -> Result<(), HistoryError> {
        if *header == Header::default() || self.losses.contains(&Loss::Header) {
            return Ok(());
        }
        Err(self.inexpressible(None, Loss::Header, format!("workload `{}` and its facts", header.workload)))
    }

    /// The order of events of different processes, unless the header says that it means nothing.
    pub fn lose_order(&self, header: &Header) -> Result<(), HistoryError> {
        let none = header.facts.get(facts::REAL_TIME) == Some(&Value::Bool(false));
        if none || self.losses.contains(&Loss::Order) {
            return Ok(());
        }
        Err(self.inexpressible(None, Loss::Order, "the order of operations of different processes".to_string()))
    }

    /// Everything that a completion has beside its outcome and its value.
    pub fn lose_facts_of(&self, completion: &Completion) -> Result<(), HistoryError> {
        if completion.read_timestamp.or(completion.commit_timestamp).or(completion.shard).is_some() {
            self.lose(Loss::Timestamps, || "a timestamp or shard".to_string())?;
        }
        if completion.sqlstate.is_some() || completion.error.is_some() {
            self.lose(Loss::Errors, || "the text of an error".to_string())?;
        }
        Ok(())
    }

    /// Nothing that may be lost: without it the rest would mean something else.
    pub fn refuse(&self, loss: Loss, what: String) -> HistoryError {
        self.inexpressible(Some(self.position), loss, what)
    }

    /// A time that is only the order is no loss.
    pub fn lose_time(&self, event: &Event) -> Result<(), HistoryError> {
        if event.time_ns == self.position as u64 {
            return Ok(());
        }
        self.lose(Loss::Time, || format!("time {} ns", event.time_ns))
    }

    pub fn lose_extra(&self, event: &Event) -> Result<(), HistoryError> {
        match event.extra.iter().next() {
            None => Ok(()),
            Some((name, _)) => self.lose(Loss::Extra, || format!("extra key `{name}`")),
        }
    }

    pub fn inexpressible(&self, event: Option<usize>, loss: Loss, what: String) -> HistoryError {
        HistoryError::Inexpressible { format: self.format, event, what, loss }
    }

    /// Writes the text of the event.
    pub fn event_done(&mut self) -> Result<(), HistoryError> {
        self.position += 1;
        self.flush_text()
    }

    fn flush_text(&mut self) -> Result<(), HistoryError> {
        let result = self.writer.write_all(self.text.as_bytes());
        self.text.clear();
        result.map_err(|source| self.unwritable(source))
    }

    pub fn write_bytes(&mut self, bytes: &[u8]) -> Result<(), HistoryError> {
        self.writer.write_all(bytes).map_err(|source| self.unwritable(source))
    }

    pub fn finish(&mut self) -> Result<(), HistoryError> {
        self.flush_text()?;
        self.writer.flush().map_err(|source| self.unwritable(source))
    }

    fn unwritable(&self, source: io::Error) -> HistoryError {
        HistoryError::Io { file: self.name.clone(), action: "write the history", source }
    }
}
