//! Whatever is read: an error or a history, never a panic, never without bound.

use std::fs;
use std::io::{self, BufReader, Cursor, Read};
use std::path::PathBuf;
use std::sync::LazyLock;

use proptest::prelude::*;

use super::conversions::fixtures;
use crate::*;

/// The bytes of all fixtures, and of each of their histories in our own forms.
static SEEDS: LazyLock<Vec<(Format, Vec<u8>)>> = LazyLock::new(|| {
    let mut seeds = Vec::new();
    for (format, path) in fixtures() {
        let files: Vec<PathBuf> = match fs::read_dir(&path) {
            Ok(folder) => folder.map(|entry| entry.unwrap().path().join("operations.json")).collect(),
            Err(_) => vec![path.clone()],
        };
        seeds.extend(files.iter().map(|file| (format, fs::read(file).unwrap())));
        let history = read_file(&path).unwrap().history;
        for ours in [Format::JsonLines, Format::Binary] {
            let mut bytes = Vec::new();
            write_as(&history, ours, &mut bytes, "h", &WriteOptions::default()).unwrap();
            seeds.push((ours, bytes));
        }
    }
    seeds
});

/// An error says where it is and what was expected; of all others there is nothing to be said.
fn told(error: &HistoryError, format: Format) {
    let text = error.to_string();
    let place = text.strip_prefix("f:").unwrap_or_else(|| panic!("{format}: {text}"));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let has_place = match error {
        HistoryError::Syntax { line, column, .. } => place.starts_with(&format!("{line}:{column}: ")),
        HistoryError::Damaged { byte, .. } => place.starts_with(&format!(" byte {byte}: ")),
        HistoryError::Version { .. } => true,
        _ => panic!("{format}: {text}"),
    };
    assert!(has_place && text.contains("expected"), "{format}: {text}");
    assert!(!place.split_once(':').is_some_and(|(line, _)| digits(line) && line.starts_with('0')), "{format}: {text}");
    assert!(text.len() < 1000, "{format}: {} bytes: {}..", text.len(), &text[..text.floor_char_boundary(200)]);
}

/// Reads as the format it is in, as any other, and as what it seems to be; what is read is written in all formats.
fn digest(bytes: &[u8], format: Format) {
    let whole = source(Cursor::new(bytes), "f").and_then(|mut source| collect(source.as_mut()));
    assert!(whole.is_ok() || !whole.unwrap_err().to_string().is_empty());
    let read = format.source(Cursor::new(bytes), "f").and_then(|mut source| collect(source.as_mut()));
    let Reading { history, truncated } = match read {
        Ok(reading) => reading,
        Err(error) => return told(&error, format),
    };
    truncated.iter().for_each(|error| told(error, format));
    let options = WriteOptions { losses: Loss::ALL.to_vec(), concurrency: None };
    for target in Format::ALL {
        let mut written = Vec::new();
        let lossy = write_as(&history, target, &mut written, "h", &options);
        let strict = write_as(&history, target, &mut Vec::new(), "h", &WriteOptions::default());
        assert!(lossy.is_ok() || strict.is_err(), "{target} refuses more where more may be lost");
        if strict.is_ok() {
            let again = target.source(Cursor::new(written), "f").and_then(|mut source| collect(source.as_mut()));
            let again = again.unwrap_or_else(|error| panic!("{target} does not read what it wrote: {error}"));
            assert_eq!(again.history.events.len(), history.events.len(), "{target}");
        }
    }
}

#[derive(Clone, Debug)]
enum Edit {
    Replace(usize, u8),
    Insert(usize, u8),
    Remove(usize, usize),
    Repeat(usize, usize),
    Cut(usize),
}

fn any_edit() -> impl Strategy<Value = Edit> {
    let byte =
        prop_oneof![any::<u8>(), prop::sample::select(b"[](){}\"\\#:;,_ \n\t0123456789-.eN/nulltruefalse".to_vec())];
    prop_oneof![
        (any::<usize>(), byte.clone()).prop_map(|(at, byte)| Edit::Replace(at, byte)),
        (any::<usize>(), byte).prop_map(|(at, byte)| Edit::Insert(at, byte)),
        (any::<usize>(), 1usize..40).prop_map(|(at, count)| Edit::Remove(at, count)),
        (any::<usize>(), 1usize..40).prop_map(|(at, count)| Edit::Repeat(at, count)),
        any::<usize>().prop_map(Edit::Cut),
    ]
}

fn edited(mut bytes: Vec<u8>, edits: &[Edit]) -> Vec<u8> {
    for edit in edits {
        let length = bytes.len().max(1);
        match *edit {
            Edit::Replace(at, byte) => {
                if let Some(place) = bytes.get_mut(at % length) {
                    *place = byte;
                }
            }
            Edit::Insert(at, byte) => bytes.insert(at % length % (bytes.len() + 1), byte),
            Edit::Remove(at, count) => {
                let at = at % length;
                bytes.drain(at.min(bytes.len())..(at + count).min(bytes.len()));
            }
            Edit::Repeat(at, count) => {
                let at = (at % length).min(bytes.len());
                let piece = bytes[at..(at + count).min(bytes.len())].to_vec();
                bytes.splice(at..at, piece);
            }
            Edit::Cut(at) => bytes.truncate(at % length),
        }
    }
    bytes
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn edited_histories(seed in any::<prop::sample::Index>(), edits in prop::collection::vec(any_edit(), 1..6)) {
        let (format, bytes) = &SEEDS[seed.index(SEEDS.len())];
        digest(&edited(bytes.clone(), &edits), *format);
    }

    #[test]
    fn arbitrary_bytes(bytes in prop::collection::vec(any::<u8>(), 0..200), format in prop::sample::select(Format::ALL.to_vec())) {
        digest(&bytes, format);
    }

    /// Text with its checksums set right reaches the decoder of blocks.
    #[test]
    fn arbitrary_blocks(blocks in prop::collection::vec(prop::collection::vec(0u8..40, 1..60), 1..4)) {
        let mut bytes = b"\x89TNTH\r\n\x1a\x01\0\0\0\x03\0\0\0".to_vec();
        bytes.extend(crc32c::crc32c(&[0, 0, 0]).to_le_bytes());
        bytes.extend([0, 0, 0]);
        for block in blocks {
            bytes.extend((block.len() as u32).to_le_bytes());
            bytes.extend(crc32c::crc32c(&block).to_le_bytes());
            bytes.extend(block);
        }
        bytes.extend([0; 8]);
        digest(&bytes, Format::Binary);
    }

    #[test]
    fn a_fixture_read_as_another_format(seed in any::<prop::sample::Index>(), format in prop::sample::select(Format::ALL.to_vec())) {
        digest(&SEEDS[seed.index(SEEDS.len())].1, format);
    }
}

#[test]
fn every_format_has_seeds() {
    for format in Format::ALL {
        assert!(SEEDS.iter().any(|(of, bytes)| *of == format && bytes.len() > 40), "{format}");
    }
}

/// Whatever is left of a file is a beginning of its history, and a word about the rest if anything is missing.
#[test]
fn cut_at_every_byte() {
    let read = |format: Format, bytes: &[u8]| {
        format.source(Cursor::new(bytes), "f").and_then(|mut source| collect(source.as_mut()))
    };
    for (format, bytes) in SEEDS.iter() {
        let whole = read(*format, bytes).unwrap().history;
        for end in 0..bytes.len() {
            match read(*format, &bytes[..end]) {
                Ok(Reading { history, truncated }) => {
                    truncated.iter().for_each(|error| told(error, *format));
                    let (found, all) = (&history.events, &whole.events);
                    // Transactions and records that stand on several lines, or are sorted, may be others.
                    let one_by_one = !matches!(format, Format::EtcdJson | Format::PolysiText | Format::DbcopText);
                    let is_beginning = match one_by_one {
                        true => all.starts_with(found),
                        false => found.len() <= all.len(),
                    };
                    assert!(is_beginning, "{format} cut at {end} of {}: {found:?}", bytes.len());
                }
                // Without a header there is no history.
                Err(error) => {
                    told(&error, *format);
                    assert!(
                        matches!(format, Format::JsonLines | Format::Binary | Format::JepsenEdn),
                        "{format}: {error}"
                    );
                    let first = bytes.iter().position(|byte| *byte == b'\n').unwrap_or(bytes.len());
                    assert!(end <= first || *format == Format::Binary, "{format} cut at {end}: {error}");
                }
            }
        }
    }
}

/// Every number in turn is one that has no place in 64 bits, or nearly none.
#[test]
fn numbers_without_bounds() {
    let digits = "9".repeat(5000);
    let numbers =
        ["18446744073709551616", "-9223372036854775809", "9223372036854775807", "-1", "1e999999999", "1.5", &digits];
    for (format, bytes) in SEEDS.iter().filter(|(format, _)| *format != Format::Binary) {
        let mut at = 0;
        while at < bytes.len() {
            let run = bytes[at..].iter().take_while(|byte| byte.is_ascii_digit()).count();
            if run > 0 {
                for number in numbers {
                    let edited = [&bytes[..at], number.as_bytes(), &bytes[at + run..]].concat();
                    let read = format.source(Cursor::new(&edited), "f").and_then(|mut source| collect(source.as_mut()));
                    match read {
                        Err(error) => told(&error, *format),
                        Ok(reading) => reading.truncated.iter().for_each(|error| told(error, *format)),
                    }
                }
            }
            at += run.max(1);
        }
    }
}

/// A byte that is no text, everywhere: in names, in strings, between them, in noise.
#[test]
fn bytes_that_are_no_text() {
    for (format, bytes) in SEEDS.iter().filter(|(format, _)| *format != Format::Binary) {
        for at in 0..bytes.len() {
            for strange in [&b"\xff"[..], b"\xc3", b"\0"] {
                let edited = [&bytes[..at], strange, &bytes[at..]].concat();
                let read = format.source(Cursor::new(&edited), "f").and_then(|mut source| collect(source.as_mut()));
                match read {
                    Err(error) => told(&error, *format),
                    Ok(reading) => reading.truncated.iter().for_each(|error| told(error, *format)),
                }
            }
        }
    }
}

#[test]
fn endless_input_is_refused_without_being_held() {
    for format in Format::ALL {
        for start in
            ["", "[", "{:type :invoke, :f :a, :value [", "{\"type\":\"", "INFO jepsen.util - 0 :invoke :f [", "w("]
        {
            for byte in b"x[" {
                let endless = BufReader::new(Cursor::new(start.as_bytes().to_vec()).chain(io::repeat(*byte)));
                let result = format.source(endless, "endless").and_then(|mut source| collect(source.as_mut()));
                let error = result.expect_err("nothing that ends").to_string();
                assert!(error.starts_with("endless:") && error.contains("expected"), "{format}: {error}");
                assert!(error.len() < 1000, "{format}: {} bytes", error.len());
            }
        }
    }
}

#[test]
fn nesting_is_bounded_in_every_format() {
    const DEEP: usize = 100_000;
    let deep = |open: &str, close: &str| format!("{}1{}", open.repeat(DEEP), close.repeat(DEEP));
    let edn = [("[", "]"), ("(", ")"), ("{1 ", "}"), ("#{", "}"), ("#a ", ""), ("#_ ", ""), ("#:a{:b ", "}")];
    let json = [("[", "]"), ("{\"a\":", "}")];
    let mut cases = Vec::new();
    for (open, close) in edn {
        let value = deep(open, close);
        cases.push((Format::JepsenEdn, format!("{{:type :invoke, :f :a, :value {value}}}")));
        cases
            .push((Format::PorcupineKv, format!("{{:process 0, :type :invoke, :f :get, :key \"0\", :value {value}}}")));
        cases.push((Format::JepsenLog, format!("INFO jepsen.util - 0 :invoke :f {value}\n")));
    }
    for (open, close) in json {
        let value = deep(open, close);
        cases.push((Format::ElleJson, format!("{{\"type\":\"invoke\",\"f\":\"a\",\"value\":{value}}}")));
        cases.push((Format::EtcdJson, format!("{{\"ClientId\":1,\"Input\":{value}}}")));
        let head = "{\"tenet-history\":2,\"workload\":\"\"}";
        cases.push((
            Format::JsonLines,
            format!("{head}\n{{\"time_ns\":0,\"type\":\"ok\",\"process\":0,\"value\":{value}}}\n"),
        ));
    }
    for (format, text) in cases {
        let result = format.source(Cursor::new(text), "f").and_then(|mut source| collect(source.as_mut()));
        let error = result.unwrap_err();
        told(&error, format);
        let found = error.to_string();
        assert!(found.contains("nested deeper than 128, expected"), "{format}: {found}");
    }
}

/// Found by `edited_histories`, once in a hundred thousand: two thousand million empty sessions.
#[test]
fn a_session_that_never_began_has_no_number() {
    let text = "{:type :info, :f :txn, :process 2147483648, :value nil}\n";
    digest(text.as_bytes(), Format::JepsenEdn);
    let completed =
        "{\"tenet-history\":2,\"workload\":\"\"}\n{\"time_ns\":0,\"type\":\"unknown\",\"process\":2147483648}\n";
    digest(completed.as_bytes(), Format::JsonLines);
}
