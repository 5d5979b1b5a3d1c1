//! `tenet-check convert FILE --to FORMAT`: between all formats, without loss, or with those losses that were allowed.

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use tenet_histories::{Converted, Format, HistoryError, Loss, WriteOptions};

use crate::input::only;
use crate::{Stopped, complain, write_whole};

#[derive(Args, Clone)]
pub struct ConvertOptions {
    /// The history; `-` is standard input
    file: PathBuf,
    /// The format to write
    #[arg(long, value_parser = crate::format)]
    to: Format,
    /// The format to read [default: recognised]
    #[arg(long, value_parser = crate::format)]
    from: Option<Format>,
    /// Where to write it [default: standard output]
    #[arg(long, short)]
    output: Option<PathBuf>,
    /// What may be lost, as the refusal names it: header, time, order, processes, faults, ..
    #[arg(long, value_delimiter = ',', value_parser = loss)]
    lose: Vec<Loss>,
    /// How many clients there were at a time, for formats in which a client ends with an operation of unknown outcome
    #[arg(long)]
    concurrency: Option<u32>,
}

fn loss(name: &str) -> Result<Loss, String> {
    let known = Loss::ALL.into_iter().find(|loss| loss.name() == name);
    known.ok_or_else(|| format!("expected one of {}", Loss::ALL.map(Loss::name).join(", ")))
}

pub fn convert(options: &ConvertOptions) -> Result<u8, Stopped> {
    let input = only(&options.file)?;
    let mut source = input.open(options.from, &Arc::default())?;
    let losses = WriteOptions { losses: options.lose.clone(), concurrency: options.concurrency };
    let hint = |error: HistoryError| -> Stopped {
        match &error {
            HistoryError::Inexpressible { loss, .. } => {
                format!("{error}: allow it with --lose {loss}, or take another format").into()
            }
            _ => error.into(),
        }
    };
    let mut copy = |output: &mut dyn std::io::Write, name: &str| -> Result<Converted, Stopped> {
        tenet_histories::convert(source.as_mut(), options.to, output, name, &losses).map_err(hint)
    };
    let mut converted = None;
    match &options.output {
        Some(path) => write_whole(path, |file| {
            converted = Some(copy(file, &path.display().to_string())?);
            Ok(())
        })?,
        None => {
            let mut output = std::io::BufWriter::new(std::io::stdout().lock());
            converted = Some(copy(&mut output, "standard output")?);
        }
    }
    let converted = converted.expect("it was copied, or there was an error");
    if let Some(truncated) = converted.truncated {
        complain(&format!("{truncated}; the {} events before were converted", converted.events));
    }
    Ok(0)
}
