//! Jepsen's log: a line for each operation, as in the test data of Porcupine and Knossos.
//!
//! ```text
//! INFO  jepsen.util - 2  :invoke  :cas  [3 0]
//! INFO  jepsen.util - 2  :info  :cas  :timed-out          an error where the value would stand
//! INFO  jepsen.util - 7  :info  :write  2  :timeout     or after it
//! INFO  jepsen.util - :nemesis  :info  :start  nil
//! ```
//! Between the fields stand tabs or any run of blanks; values are EDN. Lines without `jepsen.util`, and lines of it that
//! begin with neither a number nor a keyword, belong to a log, not to the history: they are skipped. A last line without its
//! line break was cut short: it is left out.
//!
//! A compare-and-set that found another value is `:fail` with its `[from to]`. Porcupine's tests take every such line for an
//! answer; for Jepsen, and for this reader, it never happened. An ok says that it found the value, and so answers `true`.
//!
//! Cannot say: that a compare-and-set was refused and did not only fail; times, the header, keys, timestamps, extra keys, SQLSTATE, and errors that no operation of unknown or failed
//! outcome has.

use std::borrow::Cow;
use std::io::{BufRead, Write};

use crate::format::Head;
use crate::input::Input;
use crate::jepsen::{FromOps, NEMESIS, ToOps, with_keywords};
use crate::output::Output;
use crate::text::{Cursor, Field, Trouble};
use crate::{Event, Header, HistoryError, Loss, Sink, Source, Value, edn};

const MARK: &str = "jepsen.util";

pub(crate) fn fits(head: &Head<'_>) -> bool {
    head.lines().any(|line| operation_at(line.as_bytes()).is_some())
}

/// Where the operation begins in a line that has one.
fn operation_at(line: &[u8]) -> Option<usize> {
    let mark = line.windows(MARK.len()).position(|window| window == MARK.as_bytes())?;
    let mut at = mark + MARK.len();
    while matches!(line.get(at), Some(b' ' | b'\t' | b'-' | b':' | b',')) {
        // `jepsen.util: 2` and `jepsen.util - :nemesis`.
        if line[at] == b':' && line.get(at + 1).is_some_and(|byte| !byte.is_ascii_whitespace()) {
            break;
        }
        at += 1;
    }
    let rest = line.get(at..)?;
    let process = rest.first().is_some_and(u8::is_ascii_digit) || rest.starts_with(b":");
    let kinds: [&[u8]; 4] = [b":invoke", b":ok", b":fail", b":info"];
    let blank = rest.iter().position(u8::is_ascii_whitespace)?;
    let kind = rest[blank..].trim_ascii_start();
    (process && kinds.iter().any(|known| known.starts_with(kind) || kind.starts_with(known))).then_some(at)
}

pub(crate) struct Reader<R> {
    input: Input<R>,
    header: Header,
    ops: FromOps,
}

impl<R: BufRead> Reader<R> {
    pub fn new(input: R, name: &str) -> Reader<R> {
        Reader { input: Input::new(input, name), header: Header::default(), ops: FromOps::default() }
    }
}

impl<R: BufRead> Source for Reader<R> {
    fn header(&self) -> &Header {
        &self.header
    }

    fn next_event(&mut self) -> Result<Option<Event>, HistoryError> {
        while self.input.next_line()? {
            let line = self.input.line();
            if let Some(start) = operation_at(line) {
                let event = fields(line, start).and_then(|fields| self.ops.event(fields, start));
                if event.is_ok() && self.input.is_cut_short() {
                    // A 14 may have been to become 1442.
                    return Err(self.input.line_error(line.len(), "the end, expected a line break after an operation"));
                }
                return event.map(Some).map_err(|trouble| self.input.line_error(trouble.at, trouble.problem));
            }
        }
        Ok(None)
    }

    fn line(&self) -> Option<usize> {
        Some(self.input.line_number())
    }
}

/// Process, type, function, value, and perhaps an error.
fn fields(line: &[u8], start: usize) -> Result<Vec<Field<'_>>, Trouble> {
    let mut cursor = Cursor::new(line);
    cursor.at = start;
    let mut fields: Vec<Field<'_>> = Vec::with_capacity(5);
    for name in ["process", "type", "f", "value", "error"] {
        let value = edn::next_form(&mut cursor)?;
        match value {
            Some((at, value)) => fields.push(Field { name: Cow::Borrowed(name), at, value }),
            None if name == "error" => {}
            None => return Err(cursor.ended(&format!("the {}", if name == "f" { "function" } else { name }))),
        }
    }
    if let Some((at, _)) = edn::next_form(&mut cursor)? {
        return Err(Trouble::at(at, "a sixth field, expected the end of the line"));
    }
    let failed = matches!(fields[1].value.as_name(), Some("fail" | "info"));
    let nemesis = fields[0].value.as_name() == Some(NEMESIS);
    if failed && !nemesis && fields.len() == 4 && is_error(&fields[3].value) {
        fields[3].name = Cow::Borrowed("error");
    }
    Ok(fields)
}

/// What stands for an error in the place of the value.
fn is_error(value: &Value) -> bool {
    matches!(value, Value::Keyword(_))
}

pub(crate) struct Writer<W> {
    output: Output<W>,
    ops: ToOps,
}

impl<W: Write> Writer<W> {
    pub fn new(output: Output<W>, header: &Header) -> Result<Writer<W>, HistoryError> {
        output.lose_header(header)?;
        let ops = ToOps::new(header, output.concurrency);
        Ok(Writer { output, ops })
    }
}

impl<W: Write> Sink for Writer<W> {
    fn write_event(&mut self, event: &Event) -> Result<(), HistoryError> {
        self.output.lose_time(event)?;
        let op = self.ops.op(event, &self.output)?;
        if !edn::is_name(&op.function) {
            let what = format!("function `{}`, no name of a keyword", op.function);
            return Err(self.output.refuse(Loss::Values, what));
        }
        if !op.key.is_nil() {
            self.output.lose(Loss::Values, || format!("key {}", op.key))?;
        }
        if let Some((false, _)) = op.answer {
            self.output
                .lose(Loss::Refusals, || format!("that {} found another value, and did not only fail", op.function))?;
        }
        let nemesis = op.process.as_name() == Some(NEMESIS);
        if !matches!(op.process, Value::Int(0..) | Value::Keyword(_)) {
            let what = format!("process {}, neither a number nor a keyword", op.process);
            return Err(self.output.refuse(Loss::Values, what));
        }
        let mut error = None;
        for (name, value) in &op.fields {
            match name.as_ref() {
                "error" => error = Some(value.as_ref()),
                "read-timestamp" | "commit-timestamp" | "shard" => {
                    self.output.lose(Loss::Timestamps, || format!("`{name}`"))?;
                }
                "sqlstate" => self.output.lose(Loss::Errors, || format!("sqlstate {value}"))?,
                _ => self.output.lose(Loss::Extra, || format!("extra key `{name}`"))?,
            }
        }
        let mut tokens = vec![
            Cow::Borrowed(&op.process),
            Cow::Owned(Value::keyword(op.kind)),
            Cow::Owned(Value::keyword(&op.function)),
        ];
        let failed = matches!(op.kind, "fail" | "info") && !nemesis;
        match error {
            // As Jepsen wrote it, and as Porcupine reads it.
            Some(error) if failed && op.repeats_asked && is_error(error) => tokens.push(Cow::Borrowed(error)),
            Some(error) => tokens.extend([with_keywords(&op.value, &op.function), Cow::Borrowed(error)]),
            None => {
                if failed && is_error(&op.value) {
                    self.output.lose(Loss::Values, || format!("value {} where an error would stand", op.value))?;
                }
                tokens.push(with_keywords(&op.value, &op.function));
            }
        }
        self.output.text.push_str("INFO  jepsen.util - ");
        for (position, token) in tokens.iter().enumerate() {
            self.output.text.push_str(if position == 0 { "" } else { "\t" });
            if let Err(unsayable) = edn::write(token, &mut self.output.text) {
                let what = unsayable.to_string();
                return Err(self.output.refuse(Loss::Values, what));
            }
        }
        self.output.text.push('\n');
        self.output.event_done()
    }

    fn finish(&mut self) -> Result<(), HistoryError> {
        self.output.finish()
    }
}
