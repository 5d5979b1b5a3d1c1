//! `tenet-check generate --anomaly NAME`: a history whose verdict is known.

use std::path::PathBuf;

use clap::Args;
use tenet_checker::generate::{Generator, Model, Plan, names};
use tenet_histories::{Format, Header, Value, WriteOptions, workloads};

use crate::{Stopped, say, write_whole};

#[derive(Args, Clone)]
pub struct GenerateOptions {
    /// What happens somewhere in the middle; see --list [default: nothing that must not happen]
    #[arg(long)]
    anomaly: Option<String>,
    /// list-append or rw-register
    #[arg(long, default_value = workloads::LIST_APPEND)]
    model: String,
    #[arg(long, default_value_t = 1000)]
    txns: usize,
    /// The same seed gives the same history
    #[arg(long, default_value_t = 1)]
    seed: u64,
    #[arg(long, default_value_t = 20)]
    processes: u32,
    /// With the timestamps at which the database read and committed
    #[arg(long)]
    timestamps: bool,
    /// The format to write
    #[arg(long, default_value = "json-lines", value_parser = crate::format)]
    to: Format,
    /// Where to write it [default: standard output]
    #[arg(long, short)]
    output: Option<PathBuf>,
    /// Name the anomalies of this model
    #[arg(long)]
    list: bool,
}

pub fn generate(options: &GenerateOptions) -> Result<u8, Stopped> {
    let model = match options.model.as_str() {
        workloads::LIST_APPEND => Model::Lists,
        workloads::RW_REGISTER => Model::Registers,
        other => return Err(format!("no histories of model `{other}`, expected list-append or rw-register").into()),
    };
    if options.list {
        say(&names(model).iter().map(|name| format!("{name}\n")).collect::<String>())?;
        return Ok(0);
    }
    let known = |name: &String| names(model).into_iter().find(|known| known.eq_ignore_ascii_case(name));
    let anomaly = options.anomaly.as_ref().map(|name| known(name).map_or(name.clone(), str::to_string));
    let mut facts = vec![("seed".to_string(), Value::from(options.seed.to_string()))];
    facts.extend(anomaly.iter().map(|name| ("anomaly".to_string(), Value::from(name.as_str()))));
    let header = Header { workload: options.model.clone(), facts: facts.into_iter().collect() };
    let plan = Plan {
        processes: options.processes,
        timestamps: options.timestamps,
        anomaly,
        ..Plan::new(model, options.seed, options.txns)
    };
    let events = Generator::new(plan)?;
    // A format without a place for the header says less of where the history comes from, and nothing else is lost.
    let losses = WriteOptions { losses: vec![tenet_histories::Loss::Header], concurrency: Some(options.processes + 8) };
    let write = |output: &mut dyn std::io::Write, name: &str| -> Result<(), Stopped> {
        let mut sink = options.to.sink(output, name, &header, &losses)?;
        for event in events {
            sink.write_event(&event)?;
        }
        Ok(sink.finish()?)
    };
    match &options.output {
        Some(path) => write_whole(path, |file| write(file, &path.display().to_string()))?,
        None => write(&mut std::io::BufWriter::new(std::io::stdout().lock()), "standard output")?,
    }
    Ok(0)
}
