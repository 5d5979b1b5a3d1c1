//! Our binary form, for long runs. Every byte is drawn in docs/formats-history.md.
//!
//! ```text
//! magic [8] · version u32 · block … · end
//! block   length u32 (of the payload, > 0) · crc32c u32 (of the payload) · payload
//! end     0 u32 · 0 u32                      a file without it was cut short
//! ```
//! The first block is the header, each further one holds whole events. A name that came before is a number, times and
//! timestamps are differences.
//!
//! Invariants
//!  B1  What is written is read back equal; it can say everything that the model can.
//!  B2  A block is used only after its checksum; a file that was cut short loses at most its last block, and says so.
//!  B3  A reader holds one block and at most [`NAMES_MAX`] names, whatever it is given.

mod read;
mod write;

use crate::format::Head;

pub(crate) use read::Reader;
pub(crate) use write::Writer;

/// Not text, so that no text is taken for it, and changed by transfers that change text.
const MAGIC: [u8; 8] = *b"\x89TNTH\r\n\x1a";

/// Grows when a reader of the older version could misread the newer one.
const VERSION: u32 = 1;

/// A block is written when it holds so much; a single event may make it longer.
const BLOCK_BYTES: usize = 64 << 10;

/// No block is longer. Guards the memory of a reader that was given damage.
const BLOCK_BYTES_MAX: usize = 17 << 20;

/// So many names have a number; further ones stand as they are.
const NAMES_MAX: usize = 1 << 16;

/// Longer texts hardly come twice.
const NAME_BYTES_MAX: usize = 64;

/// How a text stands: as it is; as it is, and with the next number from now on; else number + 2.
const TEXT_PLAIN: u64 = 0;
const TEXT_NEW_NAME: u64 = 1;
const TEXT_NAMES: u64 = 2;

/// Kinds of values. From [`VALUE_SMALL`] on: the integers from 0.
const VALUE_NIL: u8 = 0;
const VALUE_FALSE: u8 = 1;
const VALUE_TRUE: u8 = 2;
const VALUE_INT: u8 = 3;
const VALUE_NUMBER: u8 = 4;
const VALUE_TEXT: u8 = 5;
const VALUE_KEYWORD: u8 = 6;
const VALUE_SYMBOL: u8 = 7;
const VALUE_LIST: u8 = 8;
const VALUE_SET: u8 = 9;
const VALUE_MAP: u8 = 10;
const VALUE_TAGGED: u8 = 11;
const VALUE_SMALL: u8 = 16;

/// Kinds of events; the top bit says that extra keys follow.
const EVENT_INVOKE: u8 = 0;
const EVENT_OK: u8 = 1;
const EVENT_FAIL: u8 = 2;
const EVENT_UNKNOWN: u8 = 3;
const EVENT_FAULT: u8 = 4;
const EVENT_PHASE: u8 = 5;
const EVENT_ALARM: u8 = 6;
const EVENT_HAS_EXTRA: u8 = 0x80;

/// What a completion has; an alarm uses the last three.
const HAS_READ_TIMESTAMP: u8 = 1;
const HAS_COMMIT_TIMESTAMP: u8 = 2;
const HAS_SHARD: u8 = 4;
const HAS_SQLSTATE: u8 = 8;
const HAS_ERROR: u8 = 16;
const HAS_PROCESS: u8 = 32;

pub(crate) fn fits(head: &Head<'_>) -> bool {
    head.bytes.starts_with(&MAGIC)
}
