//! Results on their way out: a stream of chunks of rows, one row at a time, and the tag that ends them.

use std::vec;

use bytes::BytesMut;
use futures::StreamExt;
use futures::stream::BoxStream;
use tenet_sql::text::Formats as TextFormats;
use tenet_sql::{Column, Outcome, RowsTag, SqlError, SqlState};
use tenet_types::{Value, mark};

use crate::connection::{Connection, write_notice};
use crate::encode::{self, Formats};
use crate::registry::Interrupt;

/// Most columns of a result, as in Postgres.
const COLUMNS_MAX: usize = 1664;
/// Greatest row, in bytes, as in Postgres: a row is one message.
const ROW_BYTES_MAX: usize = 0x3fff_ffff;

/// Rows not yet sent.
pub(crate) struct RowSource {
    columns: Vec<Column>,
    rows: BoxStream<'static, Result<Vec<Vec<Value>>, SqlError>>,
    chunk: vec::IntoIter<Vec<Value>>,
    tag: RowsTag,
    text: TextFormats,
    /// Sent so far.
    total: u64,
}

impl RowSource {
    pub fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// The next row. A SELECT can be interrupted here; the rows of a statement that wrote are there already, and its effect
    /// with them, so that they are sent whatever comes (F4).
    pub async fn next(&mut self, interrupt: &Interrupt) -> Result<Option<Vec<Value>>, SqlError> {
        loop {
            if let Some(row) = self.chunk.next() {
                self.total += 1;
                return Ok(Some(row));
            }
            let chunk = if self.tag == RowsTag::Select {
                tokio::select! {
                    biased;
                    why = interrupt.interrupted() => {
                        interrupt.forget_cancel();
                        mark!("front: rows interrupted");
                        return Err(why.error());
                    }
                    chunk = self.rows.next() => chunk,
                }
            } else {
                self.rows.next().await
            };
            match chunk {
                None => return Ok(None),
                Some(chunk) => self.chunk = chunk?.into_iter(),
            }
        }
    }

    pub fn encode(&self, out: &mut BytesMut, row: &[Value], formats: &Formats) -> Result<(), SqlError> {
        let text_bytes: usize = row.iter().map(|v| if let Value::Text(text) = v { text.len() } else { 0 }).sum();
        if text_bytes > ROW_BYTES_MAX {
            return Err(SqlError::new(
                SqlState::PROGRAM_LIMIT_EXCEEDED,
                format!("row of {text_bytes} bytes exceeds the limit of {ROW_BYTES_MAX} bytes"),
            ));
        }
        encode::data_row(out, row, formats, &self.text);
        Ok(())
    }

    /// What CommandComplete says, when `sent` rows went out since the last Execute. Of a SELECT it counts those, of a write all.
    pub fn tag(&self, sent: u64) -> String {
        match self.tag {
            RowsTag::Select => self.tag.text(sent),
            _ => self.tag.text(self.total),
        }
    }
}

impl Connection {
    /// Rows to send, or `None` when the statement is complete and the client told so.
    pub(crate) fn begin_outcome(&mut self, outcome: Outcome) -> Result<Option<RowSource>, SqlError> {
        match outcome {
            Outcome::Done { tag, notices } => {
                notices.iter().for_each(|notice| write_notice(&mut self.out, notice));
                if tag.is_empty() {
                    encode::empty_query_response(&mut self.out);
                } else {
                    encode::command_complete(&mut self.out, &tag);
                }
                Ok(None)
            }
            Outcome::Rows { columns, rows, tag } => {
                check_columns(&columns)?;
                let text = self.session.formats().clone();
                Ok(Some(RowSource { columns, rows, chunk: Vec::new().into_iter(), tag, text, total: 0 }))
            }
        }
    }
}

pub(crate) fn check_columns(columns: &[Column]) -> Result<(), SqlError> {
    if columns.len() <= COLUMNS_MAX {
        return Ok(());
    }
    Err(SqlError::new(SqlState::TOO_MANY_COLUMNS, format!("target lists can have at most {COLUMNS_MAX} entries")))
}
