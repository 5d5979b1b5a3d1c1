//! Operations from a file, form by form.

use std::io::BufRead;

use super::FromOps;
use crate::input::{Input, Notation};
use crate::{Event, HistoryError, edn, json};

pub(crate) struct OpReader<R> {
    input: Input<R>,
    notation: Notation,
    ops: FromOps,
}

impl<R: BufRead> OpReader<R> {
    pub fn new(input: Input<R>, notation: Notation) -> OpReader<R> {
        OpReader { input, notation, ops: FromOps::default() }
    }

    pub fn line(&self) -> usize {
        self.input.line_number()
    }

    pub fn next_event(&mut self) -> Result<Option<Event>, HistoryError> {
        while self.input.next_form(self.notation)? {
            loop {
                let fields = match self.notation {
                    Notation::Edn => edn::parse_fields(self.input.chunk()),
                    Notation::Json => json::parse_fields(self.input.chunk()),
                };
                match fields {
                    // Comments, and forms that were discarded.
                    Ok(None) => break,
                    Ok(Some((start, fields))) => {
                        let event = self.ops.event(fields, start);
                        return event.map(Some).map_err(|trouble| self.input.error(trouble));
                    }
                    Err(trouble) => {
                        if !trouble.ended || !self.input.more_of_form(self.notation)? {
                            return Err(self.input.error(trouble));
                        }
                    }
                }
            }
        }
        Ok(None)
    }
}
