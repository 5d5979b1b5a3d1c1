//! Reading and writing bytes: little-endian fixed numbers, LEB128 varints, length-prefixed strings.
//!
//! A [`Reader`] checks every length against what is left; it says what it was reading and at which offset it failed.

/// Bytes that are not what their format says.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("bad {what} at byte {offset}")]
pub struct CodecError {
    /// What was being read.
    pub what: &'static str,
    /// Where, from the start of the buffer.
    pub offset: usize,
}

/// Appends to a buffer.
#[derive(Default)]
pub struct Writer {
    buf: Vec<u8>,
}

impl Writer {
    pub fn new() -> Writer {
        Writer::default()
    }

    pub fn with_capacity(bytes: usize) -> Writer {
        Writer { buf: Vec::with_capacity(bytes) }
    }

    /// Appends to what `buf` holds, so that one buffer serves many times.
    pub fn from_vec(buf: Vec<u8>) -> Writer {
        Writer { buf }
    }

    pub fn len(&self) -> usize {
        self.buf.len()
    }

    pub fn is_empty(&self) -> bool {
        self.buf.is_empty()
    }

    pub fn as_slice(&self) -> &[u8] {
        &self.buf
    }

    pub fn into_vec(self) -> Vec<u8> {
        self.buf
    }

    pub fn u8(&mut self, v: u8) {
        self.buf.push(v);
    }

    pub fn u32(&mut self, v: u32) {
        self.buf.extend_from_slice(&v.to_le_bytes());
    }

    pub fn u64(&mut self, v: u64) {
        self.buf.extend_from_slice(&v.to_le_bytes());
    }

    pub fn u128(&mut self, v: u128) {
        self.buf.extend_from_slice(&v.to_le_bytes());
    }

    /// LEB128.
    pub fn varint(&mut self, mut v: u64) {
        while v >= 0x80 {
            self.buf.push(v as u8 | 0x80);
            v >>= 7;
        }
        self.buf.push(v as u8);
    }

    /// Without a length: the reader must know it.
    pub fn raw(&mut self, bytes: &[u8]) {
        self.buf.extend_from_slice(bytes);
    }

    /// A varint length, then the bytes.
    pub fn bytes(&mut self, bytes: &[u8]) {
        self.varint(bytes.len() as u64);
        self.raw(bytes);
    }

    pub fn str(&mut self, s: &str) {
        self.bytes(s.as_bytes());
    }
}

/// No counter gets so far (at a billion a second in a century and more), and the next number is always one: bytes of others that
/// claim more are refused, so that nothing overflows by them.
pub const COUNTER_MAX: u64 = 1 << 62;

/// Consumes a buffer from its start.
#[derive(Clone)]
pub struct Reader<'a> {
    buf: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    pub fn new(buf: &'a [u8]) -> Reader<'a> {
        Reader { buf, at: 0 }
    }

    pub fn offset(&self) -> usize {
        self.at
    }

    pub fn remaining(&self) -> usize {
        self.buf.len() - self.at
    }

    pub fn is_empty(&self) -> bool {
        self.remaining() == 0
    }

    pub fn error(&self, what: &'static str) -> CodecError {
        CodecError { what, offset: self.at }
    }

    pub fn raw(&mut self, len: usize, what: &'static str) -> Result<&'a [u8], CodecError> {
        if len > self.remaining() {
            return Err(self.error(what));
        }
        let bytes = &self.buf[self.at..self.at + len];
        self.at += len;
        Ok(bytes)
    }

    fn array<const N: usize>(&mut self, what: &'static str) -> Result<[u8; N], CodecError> {
        let bytes = self.raw(N, what)?;
        Ok(bytes.try_into().expect("raw returns the length it was asked for"))
    }

    pub fn u8(&mut self, what: &'static str) -> Result<u8, CodecError> {
        Ok(self.array::<1>(what)?[0])
    }

    pub fn u32(&mut self, what: &'static str) -> Result<u32, CodecError> {
        Ok(u32::from_le_bytes(self.array(what)?))
    }

    pub fn u64(&mut self, what: &'static str) -> Result<u64, CodecError> {
        Ok(u64::from_le_bytes(self.array(what)?))
    }

    pub fn u128(&mut self, what: &'static str) -> Result<u128, CodecError> {
        Ok(u128::from_le_bytes(self.array(what)?))
    }

    pub fn varint(&mut self, what: &'static str) -> Result<u64, CodecError> {
        let start = self.error(what);
        let mut v = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.u8(what)?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                return Err(start);
            }
            v |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(v);
            }
        }
        Err(start)
    }

    /// A varint that was counted up one by one: an index, a term, a round. Refused beyond [`COUNTER_MAX`].
    pub fn counter(&mut self, what: &'static str) -> Result<u64, CodecError> {
        let start = self.error(what);
        self.varint(what).and_then(|n| if n <= COUNTER_MAX { Ok(n) } else { Err(start) })
    }

    /// A varint that counts things of at least `item_bytes_min` bytes each, so that a wrong count cannot make us allocate.
    pub fn count(&mut self, item_bytes_min: usize, what: &'static str) -> Result<usize, CodecError> {
        let start = self.error(what);
        let n = self.varint(what)?;
        match usize::try_from(n) {
            Ok(n) if n.saturating_mul(item_bytes_min.max(1)) <= self.remaining() => Ok(n),
            _ => Err(start),
        }
    }

    pub fn bytes(&mut self, what: &'static str) -> Result<&'a [u8], CodecError> {
        let len = self.count(1, what)?;
        self.raw(len, what)
    }

    pub fn str(&mut self, what: &'static str) -> Result<&'a str, CodecError> {
        let start = self.error(what);
        std::str::from_utf8(self.bytes(what)?).map_err(|_| start)
    }

    /// Everything must have been read.
    pub fn finish(self, what: &'static str) -> Result<(), CodecError> {
        if self.is_empty() { Ok(()) } else { Err(self.error(what)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn numbers_and_strings_return(v: u64, b: Vec<u8>, s: String) {
            let mut w = Writer::new();
            w.varint(v);
            w.bytes(&b);
            w.u64(v);
            w.str(&s);
            let buf = w.into_vec();
            let mut r = Reader::new(&buf);
            prop_assert_eq!(r.varint("v").unwrap(), v);
            prop_assert_eq!(r.bytes("b").unwrap(), &b[..]);
            prop_assert_eq!(r.u64("u").unwrap(), v);
            prop_assert_eq!(r.str("s").unwrap(), s);
            r.finish("end").unwrap();
        }

        #[test]
        fn garbage_is_an_error_and_no_panic(b: Vec<u8>) {
            let mut r = Reader::new(&b);
            while r.varint("v").is_ok() && r.bytes("b").is_ok() {}
        }
    }

    #[test]
    fn a_varint_of_more_than_64_bits_is_refused() {
        let eleven = [0xff; 11];
        assert_eq!(Reader::new(&eleven).varint("n"), Err(CodecError { what: "n", offset: 0 }));
    }
}
