//! A file, taken line by line or form by form, so that no more of it stands in memory than one event.
//!
//! ```text
//! [{:type :invoke ..}      the bracket around all is taken off,
//!  {:type :ok ..} ]        each chunk is a form with the blanks and comments before it
//! ```
//! A form is found by counting brackets; what is in it is for the parser of its notation. A chunk knows where it began, so
//! that an error within it has a line and a column.
//!
//! Invariants
//!  T1  A chunk is never longer than [`CHUNK_BYTES_MAX`], whatever is read.

use std::io::{self, BufRead, Read};

use crate::HistoryError;
use crate::text::Trouble;

/// No line or form is longer: a whole-table read of some 500,000 rows. Guards the memory of a reader that was given another file.
pub(crate) const CHUNK_BYTES_MAX: usize = 16 << 20;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Notation {
    Edn,
    Json,
}

/// Lines and columns are counted from 1, columns in bytes.
#[derive(Clone, Copy, Debug)]
struct Place {
    line: usize,
    column: usize,
}

impl Place {
    fn after(self, bytes: &[u8]) -> Place {
        // Counting is fast, looking for the last one is not: mostly there is one, at the beginning or at the end.
        let lines = bytes.iter().filter(|byte| **byte == b'\n').count();
        let last = match lines {
            0 => None,
            1 if bytes[0] == b'\n' => Some(0),
            _ => bytes.iter().rposition(|byte| *byte == b'\n'),
        };
        match last {
            None => Place { line: self.line, column: self.column + bytes.len() },
            Some(last) => Place { line: self.line + lines, column: bytes.len() - last },
        }
    }
}

/// The bracket around all forms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Around {
    Unknown,
    None,
    Open(u8),
    Closed,
}

pub(crate) struct Input<R> {
    reader: R,
    name: String,
    chunk: Vec<u8>,
    /// Of the chunk's first byte.
    start: Place,
    /// The chunk ends where the input ends.
    at_end: bool,
    around: Around,
}

impl<R: BufRead> Input<R> {
    pub fn new(reader: R, name: &str) -> Input<R> {
        Input {
            reader,
            name: name.to_string(),
            chunk: Vec::new(),
            start: Place { line: 1, column: 1 },
            at_end: false,
            around: Around::Unknown,
        }
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// The line, from 1, on which what was taken last begins; before a form there may be blanks and comments.
    pub fn line_number(&self) -> usize {
        let (mut line, mut is_comment) = (self.start.line, false);
        for byte in &self.chunk {
            match byte {
                b'\n' => (line, is_comment) = (line + 1, false),
                b';' => is_comment = true,
                byte if is_comment || byte.is_ascii_whitespace() || *byte == b',' => {}
                _ => break,
            }
        }
        line
    }

    /// The line or form that was taken last.
    pub fn chunk(&self) -> &[u8] {
        &self.chunk
    }

    /// The line that was taken last, without its end.
    pub fn line(&self) -> &[u8] {
        let line = self.chunk.strip_suffix(b"\n").unwrap_or(&self.chunk);
        line.strip_suffix(b"\r").unwrap_or(line)
    }

    /// The line that was taken last has no line break.
    pub fn is_cut_short(&self) -> bool {
        self.at_end
    }

    /// Whether there is another line.
    pub fn next_line(&mut self) -> Result<bool, HistoryError> {
        self.begin_chunk();
        let limit = CHUNK_BYTES_MAX as u64 + 1;
        let read = (&mut self.reader).take(limit).read_until(b'\n', &mut self.chunk);
        read.map_err(|source| self.unreadable(source))?;
        self.check_length("line")?;
        self.at_end = !self.chunk.ends_with(b"\n");
        Ok(!self.chunk.is_empty())
    }

    /// Takes the next form; false at the end. The last chunk of all may hold nothing but blanks and comments.
    pub fn next_form(&mut self, notation: Notation) -> Result<bool, HistoryError> {
        self.begin_chunk();
        self.take_form(notation)?;
        Ok(!self.chunk.is_empty())
    }

    /// The chunk ended within a form (`#_ #_ {..} {..}` looks like two): takes one more; false if there is none.
    pub fn more_of_form(&mut self, notation: Notation) -> Result<bool, HistoryError> {
        let before = self.chunk.len();
        self.take_form(notation)?;
        Ok(self.chunk.len() > before)
    }

    fn begin_chunk(&mut self) {
        self.start = self.start.after(&self.chunk);
        self.chunk.clear();
    }

    fn take_form(&mut self, notation: Notation) -> Result<(), HistoryError> {
        let mut scan = Scan::new(notation, self.around);
        loop {
            let bytes = match self.reader.fill_buf() {
                Ok(bytes) => bytes,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(source) => return Err(self.unreadable(source)),
            };
            if bytes.is_empty() {
                self.at_end = true;
                break;
            }
            let before = self.chunk.len();
            let used = scan.over(bytes);
            self.chunk.extend_from_slice(&bytes[..used]);
            for at in scan.brackets_around.drain(..) {
                self.chunk[before + at] = b' ';
            }
            self.reader.consume(used);
            if let Some(at) = scan.surplus {
                return Err(self.error(Trouble::at(before + at, "more after the closing bracket, expected the end")));
            }
            if scan.ended {
                break;
            }
            self.check_length("operation")?;
        }
        self.around = scan.around;
        if self.at_end
            && !scan.begun
            && let Around::Open(close) = self.around
        {
            let problem = format!("the end, expected `{}`", close as char);
            return Err(self.error(Trouble { at: self.chunk.len(), problem, ended: true }));
        }
        Ok(())
    }

    fn check_length(&mut self, kind: &str) -> Result<(), HistoryError> {
        if self.chunk.len() <= CHUNK_BYTES_MAX {
            return Ok(());
        }
        self.chunk.clear();
        self.at_end = false;
        let problem = format!("{kind} longer than {CHUNK_BYTES_MAX} bytes, expected a history");
        Err(self.error(Trouble::at(0, problem)))
    }

    pub fn unreadable(&self, source: io::Error) -> HistoryError {
        HistoryError::Io { file: self.name.clone(), action: "read the history", source }
    }

    /// An error within the chunk.
    pub fn error(&self, trouble: Trouble) -> HistoryError {
        let place = self.start.after(&self.chunk[..trouble.at]);
        HistoryError::Syntax {
            file: self.name.clone(),
            line: place.line,
            column: place.column,
            problem: in_short(trouble.problem),
            cut_short: self.at_end && trouble.ended,
        }
    }

    /// An error in a line, which may have been cut short if no line break ends it.
    pub fn line_error(&self, at: usize, problem: impl Into<String>) -> HistoryError {
        self.error(Trouble { at, problem: problem.into(), ended: true })
    }
}

/// Of a problem with something long its beginning and its end, where it says what was expected.
fn in_short(problem: String) -> String {
    const SIDE_BYTES: usize = 250;
    if problem.len() <= 2 * SIDE_BYTES {
        return problem;
    }
    let (first, last) =
        (problem.floor_char_boundary(SIDE_BYTES), problem.ceil_char_boundary(problem.len() - SIDE_BYTES));
    format!("{} .. {}", &problem[..first], &problem[last..])
}

/// The bytes that open or close something within a form, or begin what may hold such bytes.
const MATTERS: [bool; 256] = {
    let mut matters = [false; 256];
    let bytes = b"[](){}\"\\;";
    let mut at = 0;
    while at < bytes.len() {
        matters[bytes[at] as usize] = true;
        at += 1;
    }
    matters
};

/// Finds the end of a form by counting brackets, outside of strings, characters and comments.
struct Scan {
    notation: Notation,
    around: Around,
    within: Within,
    depth: usize,
    begun: bool,
    /// Begun with `#`: not ended by a blank.
    tagged: bool,
    ended: bool,
    /// Where in these bytes a bracket around all forms was seen.
    brackets_around: Vec<usize>,
    /// Where something begins after that bracket was closed.
    surplus: Option<usize>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Within {
    Form,
    Text,
    Escape,
    Character,
    Comment,
}

impl Scan {
    fn new(notation: Notation, around: Around) -> Scan {
        Scan {
            notation,
            around,
            within: Within::Form,
            depth: 0,
            begun: false,
            tagged: false,
            ended: false,
            brackets_around: Vec::new(),
            surplus: None,
        }
    }

    /// How many of these bytes belong to the chunk.
    fn over(&mut self, bytes: &[u8]) -> usize {
        let mut at = 0;
        while at < bytes.len() && !self.ended {
            // Most bytes of a form say nothing of where it ends.
            let plain = match self.within {
                Within::Form if self.depth > 0 => bytes[at..].iter().position(|byte| MATTERS[*byte as usize]),
                Within::Text => bytes[at..].iter().position(|byte| matches!(byte, b'"' | b'\\')),
                Within::Form | Within::Escape | Within::Character | Within::Comment => Some(0),
            };
            let Some(plain) = plain else { return bytes.len() };
            at += plain;
            self.step(bytes[at], at);
            at += 1;
        }
        at
    }

    fn step(&mut self, byte: u8, at: usize) {
        match (self.within, byte) {
            (Within::Text, b'\\') => self.within = Within::Escape,
            (Within::Text, b'"') => {
                self.within = Within::Form;
                self.ended = self.depth == 0 && !self.tagged;
            }
            (Within::Escape, _) => self.within = Within::Text,
            (Within::Character, _) => self.within = Within::Form,
            (Within::Comment, b'\n') => self.within = Within::Form,
            (Within::Text | Within::Comment, _) => {}
            (Within::Form, byte) => self.step_in_form(byte, at),
        }
    }

    fn step_in_form(&mut self, byte: u8, at: usize) {
        let edn = self.notation == Notation::Edn;
        match byte {
            b' ' | b'\n' | b'\t' | b'\r' | 0x0c | b',' => {
                self.ended = self.begun && self.depth == 0 && !self.tagged;
            }
            b';' if edn => self.within = Within::Comment,
            b'[' | b'(' if self.depth == 0 && !self.begun && self.around == Around::Unknown => {
                self.around = Around::Open(if byte == b'[' { b']' } else { b')' });
                self.brackets_around.push(at);
            }
            b'[' | b'(' | b'{' => {
                self.begin(at);
                self.depth += 1;
            }
            b']' | b')' if self.depth == 0 && !self.begun && self.around == Around::Open(byte) => {
                self.around = Around::Closed;
                self.brackets_around.push(at);
            }
            b']' | b')' | b'}' => {
                self.begin(at);
                self.depth = self.depth.saturating_sub(1);
                self.ended = self.depth == 0;
            }
            b'"' => {
                self.begin(at);
                self.within = Within::Text;
            }
            b'\\' if edn => {
                self.begin(at);
                self.within = Within::Character;
            }
            _ => {
                self.tagged |= edn && byte == b'#' && !self.begun;
                self.begin(at);
            }
        }
    }

    fn begin(&mut self, at: usize) {
        self.begun = true;
        match self.around {
            Around::Unknown => self.around = Around::None,
            Around::Closed => {
                self.surplus = Some(at);
                self.ended = true;
            }
            Around::None | Around::Open(_) => {}
        }
    }
}
