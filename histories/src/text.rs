//! A place in bytes that are wholly there, and what EDN and JSON have in common: strings, bounds, and errors with a place.

use std::borrow::Cow;

use crate::{DEPTH_MAX, Value};

/// Where bytes break a notation, and what was found and expected there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Trouble {
    /// In bytes, from 0.
    pub at: usize,
    pub problem: String,
    /// The bytes ended inside a form: more of them could mend it.
    pub ended: bool,
}

impl Trouble {
    pub fn at(at: usize, problem: impl Into<String>) -> Trouble {
        Trouble { at, problem: problem.into(), ended: false }
    }
}

/// A key of a map whose keys are names, and where its value stands.
pub(crate) struct Field<'a> {
    pub name: Cow<'a, str>,
    pub at: usize,
    pub value: Value,
}

pub(crate) struct Cursor<'a> {
    pub bytes: &'a [u8],
    pub at: usize,
    depth: usize,
}

impl<'a> Cursor<'a> {
    pub fn new(bytes: &'a [u8]) -> Cursor<'a> {
        Cursor { bytes, at: 0, depth: 0 }
    }

    pub fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    pub fn second(&self) -> Option<u8> {
        self.bytes.get(self.at + 1).copied()
    }

    pub fn is_at_end(&self) -> bool {
        self.at == self.bytes.len()
    }

    /// The trouble that something else stands here than was expected.
    pub fn unexpected(&self, expected: &str) -> Trouble {
        if self.is_at_end() {
            return self.ended(expected);
        }
        Trouble::at(self.at, format!("{}, expected {expected}", self.found(self.at)))
    }

    pub fn ended(&self, expected: &str) -> Trouble {
        Trouble { at: self.bytes.len(), problem: format!("the end, expected {expected}"), ended: true }
    }

    /// The trouble of what began there and comes up to here; `could_go_on`: more bytes could mend it, if they end here.
    pub fn broken(&self, at: usize, problem: String, could_go_on: bool) -> Trouble {
        Trouble { at, problem, ended: could_go_on && self.is_at_end() }
    }

    /// What stands there, for an error.
    pub fn found(&self, at: usize) -> String {
        let rest = &self.bytes[at..self.bytes.len().min(at + 16)];
        let text = rest.utf8_chunks().next().map_or("", |chunk| chunk.valid());
        match text.chars().next() {
            Some(first) => format!("{first:?}"),
            None => format!("byte {:#04x}", self.bytes[at]),
        }
    }

    /// One level deeper, if that is allowed.
    pub fn nested<T>(&mut self, work: impl FnOnce(&mut Cursor<'a>) -> Result<T, Trouble>) -> Result<T, Trouble> {
        if self.depth == DEPTH_MAX {
            return Err(Trouble::at(self.at, format!("nested deeper than {DEPTH_MAX}, expected a history")));
        }
        self.depth += 1;
        let result = work(self);
        self.depth -= 1;
        result
    }

    pub fn utf8(&self, start: usize, end: usize) -> Result<&'a str, Trouble> {
        str::from_utf8(&self.bytes[start..end]).map_err(|error| {
            let at = start + error.valid_up_to();
            Trouble::at(at, format!("byte {:#04x}, expected UTF-8", self.bytes[at]))
        })
    }

    /// A number as nearly all are: a few digits, and then nothing that could belong to it.
    pub fn plain_integer(&mut self, belongs: impl Fn(u8) -> bool) -> Option<i64> {
        let digits = self.bytes[self.at..].iter().take(19).take_while(|byte| byte.is_ascii_digit()).count();
        let ends = self.bytes.get(self.at + digits).is_some_and(|byte| !belongs(*byte));
        let zero_first = digits > 1 && self.bytes[self.at] == b'0';
        if !ends || zero_first || !(1..19).contains(&digits) {
            return None;
        }
        let digits = &self.bytes[self.at..self.at + digits];
        self.at += digits.len();
        Some(digits.iter().fold(0, |int, digit| int * 10 + i64::from(digit - b'0')))
    }

    /// A string in quotes, with the escapes that JSON and EDN share; stands on the opening quote.
    pub fn string(&mut self) -> Result<Cow<'a, str>, Trouble> {
        self.at += 1;
        let start = self.at;
        // Most have no escapes, and are taken as they are.
        let length = self.bytes[start..].iter().position(|byte| matches!(byte, b'"' | b'\\'));
        self.at = start + length.unwrap_or(self.bytes.len() - start);
        if self.peek() == Some(b'"') {
            let text = self.utf8(start, self.at)?;
            self.at += 1;
            return Ok(Cow::Borrowed(text));
        }
        self.escaped_string(start).map(Cow::Owned)
    }

    /// From the first escape on, which may be the end.
    fn escaped_string(&mut self, mut start: usize) -> Result<String, Trouble> {
        let mut text = String::new();
        loop {
            match self.peek() {
                None => return Err(self.ended("the closing `\"` of a string")),
                Some(b'"') => {
                    text.push_str(self.utf8(start, self.at)?);
                    self.at += 1;
                    return Ok(text);
                }
                Some(b'\\') => {
                    text.push_str(self.utf8(start, self.at)?);
                    text.push(self.escape()?);
                    start = self.at;
                }
                Some(_) => self.at += 1,
            }
        }
    }

    /// Stands on the backslash.
    fn escape(&mut self) -> Result<char, Trouble> {
        let at = self.at;
        let Some(letter) = self.second() else {
            return Err(self.ended("an escape"));
        };
        self.at += 2;
        Ok(match letter {
            b'"' => '"',
            b'\\' => '\\',
            b'/' => '/',
            b'n' => '\n',
            b't' => '\t',
            b'r' => '\r',
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'u' => {
                let unit = self.hex()?;
                let high = (0xd800..0xdc00).contains(&unit);
                let low = if high && self.bytes[self.at..].starts_with(b"\\u") {
                    self.at += 2;
                    Some(self.hex()?)
                } else {
                    None
                };
                let code = match low {
                    Some(low) if (0xdc00..0xe000).contains(&low) => 0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00),
                    _ => unit,
                };
                // Half of a pair is no character.
                char::from_u32(code).ok_or_else(|| Trouble::at(at, "half of a surrogate pair, expected a character"))?
            }
            _ => {
                return Err(Trouble::at(
                    at,
                    format!("escape {}, expected \\n, \\u0041 or the like", self.found(at + 1)),
                ));
            }
        })
    }

    fn hex(&mut self) -> Result<u32, Trouble> {
        let Some(digits) = self.bytes.get(self.at..self.at + 4) else {
            return Err(self.ended("four hexadecimal digits"));
        };
        let mut code = 0;
        for digit in digits {
            let Some(digit) = (*digit as char).to_digit(16) else {
                return Err(Trouble::at(self.at, "no hexadecimal digit, expected four after `\\u`"));
            };
            code = code * 16 + digit;
        }
        self.at += 4;
        Ok(code)
    }
}
