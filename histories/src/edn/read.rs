//! Bytes to values. Works on a slice that is wholly there; who reads a file cuts it into forms first.

use std::collections::{BTreeMap, BTreeSet};

use crate::Value;

/// Deeper than any history nests; far from the stack's end.
pub(crate) const DEPTH_MAX: usize = 128;

/// Where a form breaks, and what was found and expected there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Trouble {
    /// In bytes, from 0.
    pub at: usize,
    pub problem: String,
    /// The bytes ended inside a form: more of them could mend it.
    pub ended: bool,
}

pub(crate) struct Parser<'a> {
    bytes: &'a [u8],
    at: usize,
    depth: usize,
}

impl<'a> Parser<'a> {
    pub fn new(bytes: &'a [u8]) -> Parser<'a> {
        Parser { bytes, at: 0, depth: 0 }
    }

    /// The next form; None when only blanks, comments and discarded forms are left.
    pub fn next_form(&mut self) -> Result<Option<Value>, Trouble> {
        self.skip()?;
        if self.at == self.bytes.len() { Ok(None) } else { self.form().map(Some) }
    }

    /// Exactly one form.
    pub fn only_form(mut self) -> Result<Value, Trouble> {
        let Some(value) = self.next_form()? else {
            return Err(self.ended("a value"));
        };
        self.skip()?;
        match self.peek() {
            None => Ok(value),
            Some(_) => Err(self.trouble(self.at, format!("{}, expected the end", self.found(self.at)))),
        }
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn second(&self) -> Option<u8> {
        self.bytes.get(self.at + 1).copied()
    }

    fn trouble(&self, at: usize, problem: impl Into<String>) -> Trouble {
        Trouble { at, problem: problem.into(), ended: false }
    }

    fn ended(&self, expected: &str) -> Trouble {
        Trouble { at: self.bytes.len(), problem: format!("the end, expected {expected}"), ended: true }
    }

    /// What stands there, for an error.
    fn found(&self, at: usize) -> String {
        let rest = &self.bytes[at..self.bytes.len().min(at + 16)];
        let text = rest.utf8_chunks().next().map_or("", |chunk| chunk.valid());
        match text.chars().next() {
            Some(first) => format!("{first:?}"),
            None => format!("byte {:#04x}", self.bytes[at]),
        }
    }

    /// Over blanks, comments and discarded forms.
    fn skip(&mut self) -> Result<(), Trouble> {
        loop {
            match self.peek() {
                Some(b' ' | b',' | b'\n' | b'\t' | b'\r' | 0x0c) => self.at += 1,
                Some(b';') => self.skip_line(),
                Some(b'#') if self.second() == Some(b'_') => {
                    self.at += 2;
                    self.nested(|parser| {
                        parser.expect_form("the form that `#_` discards")?;
                        Ok(())
                    })?;
                }
                // A script's first line.
                Some(b'#') if self.second() == Some(b'!') => self.skip_line(),
                _ => return Ok(()),
            }
        }
    }

    fn skip_line(&mut self) {
        let rest = &self.bytes[self.at..];
        self.at += rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len());
    }

    fn nested<T>(&mut self, work: impl FnOnce(&mut Parser<'a>) -> Result<T, Trouble>) -> Result<T, Trouble> {
        if self.depth == DEPTH_MAX {
            return Err(self.trouble(self.at, format!("nested deeper than {DEPTH_MAX}, expected a history")));
        }
        self.depth += 1;
        let result = work(self);
        self.depth -= 1;
        result
    }

    fn expect_form(&mut self, expected: &str) -> Result<Value, Trouble> {
        self.skip()?;
        if self.at == self.bytes.len() { Err(self.ended(expected)) } else { self.form() }
    }

    /// Stands on the first byte of a form.
    fn form(&mut self) -> Result<Value, Trouble> {
        match self.bytes[self.at] {
            b'[' => self.list(b']'),
            b'(' => self.list(b')'),
            b'{' => self.map(None),
            b'"' => self.text(),
            b':' => self.keyword(),
            b'\\' => self.character(),
            b'#' => self.dispatch(),
            b'0'..=b'9' => self.number(),
            b'+' | b'-' if self.second().is_some_and(|byte| byte.is_ascii_digit()) => self.number(),
            byte if is_symbol_byte(byte) && byte != b'\'' => {
                let text = self.token()?;
                Ok(match text {
                    "nil" => Value::Nil,
                    "true" => Value::Bool(true),
                    "false" => Value::Bool(false),
                    symbol => Value::Symbol(symbol.to_string()),
                })
            }
            _ => Err(self.trouble(self.at, format!("{}, expected a value", self.found(self.at)))),
        }
    }

    /// Items up to the closing byte; stands on the opening one.
    fn items(
        &mut self,
        close: u8,
        mut item: impl FnMut(&mut Parser<'a>) -> Result<(), Trouble>,
    ) -> Result<(), Trouble> {
        self.at += 1;
        self.nested(|parser| {
            loop {
                parser.skip()?;
                match parser.peek() {
                    None => return Err(parser.ended(&format!("`{}`", close as char))),
                    Some(byte) if byte == close => {
                        parser.at += 1;
                        return Ok(());
                    }
                    Some(b')' | b']' | b'}') => {
                        let problem = format!("{}, expected `{}`", parser.found(parser.at), close as char);
                        return Err(parser.trouble(parser.at, problem));
                    }
                    Some(_) => item(parser)?,
                }
            }
        })
    }

    fn list(&mut self, close: u8) -> Result<Value, Trouble> {
        let mut list = Vec::new();
        self.items(close, |parser| {
            list.push(parser.form()?);
            Ok(())
        })?;
        Ok(Value::List(list))
    }

    fn set(&mut self) -> Result<Value, Trouble> {
        let mut set = BTreeSet::new();
        self.items(b'}', |parser| {
            let at = parser.at;
            let value = parser.form()?;
            if set.contains(&value) {
                return Err(parser.trouble(at, format!("{value} twice in a set, expected it once")));
            }
            set.insert(value);
            Ok(())
        })?;
        Ok(Value::Set(set))
    }

    fn map(&mut self, namespace: Option<&str>) -> Result<Value, Trouble> {
        let mut map = BTreeMap::new();
        self.items(b'}', |parser| {
            let at = parser.at;
            let key = qualified(parser.form()?, namespace);
            parser.skip()?;
            if parser.peek() == Some(b'}') {
                return Err(parser.trouble(parser.at, format!("'}}', expected the value of {key}")));
            }
            let value = parser.expect_form("the value of a key")?;
            if map.contains_key(&key) {
                return Err(parser.trouble(at, format!("key {key} twice in a map, expected it once")));
            }
            map.insert(key, value);
            Ok(())
        })?;
        Ok(Value::Map(map))
    }

    fn text(&mut self) -> Result<Value, Trouble> {
        let start = self.at + 1;
        let mut text = String::new();
        // Stretches without escapes are taken whole.
        let mut piece = start;
        self.at = start;
        loop {
            match self.peek() {
                None => return Err(self.ended("the closing `\"` of a string")),
                Some(b'"') => {
                    self.push_piece(&mut text, piece)?;
                    self.at += 1;
                    return Ok(Value::Text(text));
                }
                Some(b'\\') => {
                    self.push_piece(&mut text, piece)?;
                    text.push(self.escape()?);
                    piece = self.at;
                }
                Some(_) => self.at += 1,
            }
        }
    }

    fn push_piece(&self, text: &mut String, start: usize) -> Result<(), Trouble> {
        text.push_str(self.utf8(start, self.at)?);
        Ok(())
    }

    fn utf8(&self, start: usize, end: usize) -> Result<&'a str, Trouble> {
        str::from_utf8(&self.bytes[start..end]).map_err(|error| {
            let at = start + error.valid_up_to();
            self.trouble(at, format!("byte {:#04x}, expected UTF-8", self.bytes[at]))
        })
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
                char::from_u32(code)
                    .filter(|_| high == low.is_some())
                    .ok_or_else(|| self.trouble(at, "half of a surrogate pair, expected a character"))?
            }
            _ => {
                return Err(
                    self.trouble(at, format!("escape {}, expected \\n, \\u0041 or the like", self.found(at + 1)))
                );
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
                return Err(self.trouble(self.at, "no hexadecimal digit, expected four after `\\u`"));
            };
            code = code * 16 + digit;
        }
        self.at += 4;
        Ok(code)
    }

    /// The bytes of a symbol, keyword or number from here on.
    fn token(&mut self) -> Result<&'a str, Trouble> {
        let start = self.at;
        while self.peek().is_some_and(is_symbol_byte) {
            self.at += 1;
        }
        self.utf8(start, self.at)
    }

    fn keyword(&mut self) -> Result<Value, Trouble> {
        let at = self.at;
        self.at += 1;
        let name = self.token()?;
        if name.is_empty() {
            return Err(if self.at == self.bytes.len() {
                self.ended("the name of a keyword")
            } else {
                self.trouble(at, "`:` alone, expected a keyword")
            });
        }
        if name.starts_with(':') {
            return Err(self.trouble(at, "`::`, expected a keyword with one colon"));
        }
        Ok(Value::Keyword(name.to_string()))
    }

    /// `\a`, `\newline`, `\u0041`: kept as it is written.
    fn character(&mut self) -> Result<Value, Trouble> {
        let start = self.at;
        self.at += 1;
        let Some(first) = self.peek() else {
            return Err(self.ended("a character"));
        };
        if first.is_ascii_whitespace() {
            return Err(self.trouble(start, "`\\` before a blank, expected a character"));
        }
        // Any one character, be it a bracket; then the rest of its name.
        self.at += 1;
        while self.peek().is_some_and(|byte| byte & 0xc0 == 0x80) {
            self.at += 1;
        }
        self.token()?;
        Ok(Value::Symbol(self.utf8(start, self.at)?.to_string()))
    }

    /// Stands on `#`.
    fn dispatch(&mut self) -> Result<Value, Trouble> {
        let start = self.at;
        match self.second() {
            None => Err(self.ended("a set, a tag or `#_`")),
            Some(b'{') => {
                self.at += 1;
                self.set()
            }
            Some(b'#') => {
                self.at += 2;
                self.token()?;
                match self.utf8(start, self.at)? {
                    number @ ("##NaN" | "##Inf" | "##-Inf") => Ok(Value::Number(number.to_string())),
                    other => Err(self.trouble(start, format!("`{other}`, expected ##NaN, ##Inf or ##-Inf"))),
                }
            }
            Some(b':') => {
                self.at += 2;
                let namespace = self.token()?;
                self.skip()?;
                match self.peek() {
                    None => Err(self.ended("a map")),
                    Some(b'{') => self.map(Some(namespace)),
                    Some(_) => Err(self.trouble(self.at, format!("{}, expected a map", self.found(self.at)))),
                }
            }
            Some(byte) if byte.is_ascii_alphabetic() || byte >= 0x80 => {
                self.at += 1;
                let tag = self.token()?;
                let value = self.nested(|parser| parser.expect_form("the value of a tag"))?;
                Ok(Value::Tagged(tag.to_string(), Box::new(value)))
            }
            Some(_) => {
                Err(self.trouble(start, format!("# before {}, expected a set, a tag or `#_`", self.found(start + 1))))
            }
        }
    }

    fn number(&mut self) -> Result<Value, Trouble> {
        let start = self.at;
        let text = self.token()?;
        number(text).ok_or_else(|| self.trouble(start, format!("`{text}`, expected a number")))
    }
}

/// An integer, a decimal with or without exponent, or a ratio.
pub(super) fn number(text: &str) -> Option<Value> {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let whole = |text: &str| digits(text) && (text == "0" || !text.starts_with('0'));
    let integer = unsigned.strip_suffix('N').unwrap_or(unsigned);
    if whole(integer) {
        let text = text.strip_suffix('N').unwrap_or(text);
        let text = text.strip_prefix('+').unwrap_or(text);
        return Some(text.parse().map_or_else(|_| Value::Number(text.to_string()), Value::Int));
    }
    if let Some((numerator, denominator)) = unsigned.split_once('/') {
        return (whole(numerator) && whole(denominator)).then(|| Value::Number(text.to_string()));
    }
    let decimal = unsigned.strip_suffix('M').unwrap_or(unsigned);
    let (mantissa, exponent) = match decimal.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (decimal, None),
    };
    let (before, after) = match mantissa.split_once('.') {
        Some((before, after)) => (before, Some(after)),
        None => (mantissa, None),
    };
    let fits = whole(before)
        && after.is_none_or(|after| after.is_empty() || digits(after))
        && exponent.is_none_or(|exponent| digits(exponent.strip_prefix(['+', '-']).unwrap_or(exponent)));
    fits.then(|| Value::Number(text.to_string()))
}

/// `#:jepsen{:a 1 :_/b 2 "c" 3}` is `{:jepsen/a 1 :b 2 "c" 3}`.
fn qualified(key: Value, namespace: Option<&str>) -> Value {
    let Some(namespace) = namespace else { return key };
    let with = |name: String| match name.strip_prefix("_/") {
        Some(bare) => bare.to_string(),
        None if name.contains('/') => name,
        None => format!("{namespace}/{name}"),
    };
    match key {
        Value::Keyword(name) => Value::Keyword(with(name)),
        Value::Symbol(name) if !name.starts_with('\\') => Value::Symbol(with(name)),
        other => other,
    }
}

pub(super) fn is_symbol_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte >= 0x80 || b".*+!-_?$%&=<>/:#'|".contains(&byte)
}
