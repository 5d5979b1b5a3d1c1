//! `tenet-sim`: worlds from seeds, one at a time or many.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::{Args, Parser, Subcommand, ValueEnum};
use tenet_sim::plan::{Control, Plan, Wishes};
use tenet_sim::replay::{Comparison, write_report};
use tenet_sim::report::judge;
use tenet_sim::swarm::{self, SwarmOptions, swarm};
use tenet_sim::{SimOptions, node, simulate, world};

/// Runs the database in worlds that follow from a seed, under faults, and judges what its clients saw.
#[derive(Parser)]
#[command(name = "tenet-sim", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Runs one world
    Run(RunArguments),
    /// Runs many worlds, each in its own process
    Swarm(SwarmArguments),
}

/// What may be wished for instead of what the seed draws.
#[derive(Args, Clone)]
struct WishArguments {
    /// Only these kinds of faults (an empty list: none)
    #[arg(long, value_name = "KIND,…", value_delimiter = ',')]
    faults: Option<Vec<String>>,
    /// Every kind that the seed draws but these
    #[arg(long, value_name = "KIND,…", value_delimiter = ',')]
    without: Vec<String>,
    /// register, bank, list-append, write-skew or predicate-skew
    #[arg(long, value_name = "NAME")]
    workload: Option<String>,
    /// 1, 3 or 5
    #[arg(long, value_name = "COUNT")]
    nodes: Option<usize>,
    #[arg(long, value_name = "COUNT")]
    clients: Option<usize>,
    /// Operations per simulated second of each client; 0 is no pause
    #[arg(long, value_name = "COUNT")]
    rate: Option<f64>,
    /// How long faults strike, in simulated seconds
    #[arg(long, value_name = "SECONDS")]
    storm: Option<u64>,
    /// A world that must fail: clients or disks that lie
    #[arg(long, value_enum)]
    control: Option<ControlName>,
}

#[derive(Clone, Copy, ValueEnum)]
enum ControlName {
    StaleReads,
    LostWrites,
    LyingDisks,
}

#[derive(Args)]
struct RunArguments {
    #[arg(long, value_name = "NUMBER")]
    seed: u64,
    #[command(flatten)]
    wishes: WishArguments,
    /// Write what clients saw to this file, as JSON lines
    #[arg(long, value_name = "FILE")]
    history: Option<PathBuf>,
    /// Print the seam's events of this range
    #[arg(long, value_name = "FIRST..END", value_parser = parse_range)]
    trace: Option<Range<u64>>,
    /// Run the seed in two differing processes, too, and compare
    #[arg(long)]
    twice: bool,
    /// Print how often each marked place of the code was reached
    #[arg(long)]
    marks: bool,
    /// Print what nodes log, at this level: "info", or "warn,tenet_shard=debug"
    #[arg(long, value_name = "LEVEL")]
    log: Option<String>,
    /// A world that takes longer than this many seconds of real time has failed
    #[arg(long, value_name = "SECONDS", default_value_t = 300)]
    patience: u64,
    /// Print the report as one line of JSON
    #[arg(long, hide = true)]
    json: bool,
    /// Where a run that is compared leaves its fingerprint
    #[arg(long, hide = true)]
    sighting: Option<PathBuf>,
}

#[derive(Args)]
struct SwarmArguments {
    /// From and to, both included
    #[arg(long, value_name = "FIRST..LAST", default_value = "1..200", value_parser = parse_range)]
    seeds: Range<u64>,
    /// Worlds at a time
    #[arg(long, default_value_t = 2)]
    jobs: usize,
    #[command(flatten)]
    wishes: WishArguments,
    /// Run each seed in two more processes that differ from each other, and compare
    #[arg(long)]
    twice: bool,
    /// A world that takes longer than this many seconds of real time has failed
    #[arg(long, value_name = "SECONDS", default_value_t = 300)]
    patience: u64,
}

fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Run(arguments) => run(&arguments),
        Command::Swarm(arguments) => run_swarm(&arguments),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("tenet-sim: {error}");
            ExitCode::from(2)
        }
    }
}

fn run(arguments: &RunArguments) -> Result<bool, Box<dyn std::error::Error>> {
    if let Some(level) = &arguments.log {
        let filter = tracing_subscriber::EnvFilter::try_new(level)?;
        tracing_subscriber::fmt().with_env_filter(filter).with_ansi(false).with_writer(std::io::stderr).init();
    }
    let plan = Plan::draw(arguments.seed, &arguments.wishes.wishes())?;
    if !arguments.json {
        println!("seed       {}\n{plan}", plan.seed);
    }
    tenet_types::be_strict();
    let window = arguments.trace.clone().unwrap_or(0..0);
    let patience = Duration::from_secs(arguments.patience);
    let options = SimOptions { window, patience, ..SimOptions::new(plan.seed) };
    let begun = Instant::now();
    let playing = plan.clone();
    let mut finished = simulate(options, move |sim| world::play(sim, playing, node::cast()));
    let wall = begun.elapsed();
    if let Some(path) = &arguments.sighting {
        write_report(path, &finished)?;
        return Ok(true);
    }
    for line in std::mem::take(&mut finished.trace) {
        println!("{line}");
    }
    let (report, played) = judge(&plan, finished, tenet_types::marks(), wall);
    if let (Some(path), Some(played)) = (&arguments.history, &played) {
        tenet_histories::write_file(&played.history, path)?;
    }
    if arguments.json {
        println!("{}", serde_json::to_string(&report)?);
        return Ok(report.is_passed());
    }
    if arguments.marks {
        report.marks.iter().for_each(|(name, count)| println!("mark       {count:>8}  {name}"));
    }
    println!("{report}");
    let mut passed = report.is_passed();
    if arguments.twice {
        passed &= twice(arguments)?;
    }
    if !passed {
        println!("repeat with: {}", swarm::repeat(plan.seed, &arguments.wishes.words()));
    }
    Ok(passed)
}

fn twice(arguments: &RunArguments) -> std::io::Result<bool> {
    match swarm::compare(arguments.seed, &arguments.wishes.words())? {
        Comparison::Same(_) => println!("replay     the same in two differing processes"),
        Comparison::Different(difference) => {
            println!("verdict: replay: {difference}");
            return Ok(false);
        }
    }
    Ok(true)
}

fn run_swarm(arguments: &SwarmArguments) -> Result<bool, Box<dyn std::error::Error>> {
    // A wish that cannot be granted is said once, not once per seed.
    Plan::draw(arguments.seeds.start, &arguments.wishes.wishes())?;
    Ok(swarm(&SwarmOptions {
        program: vec![std::env::current_exe()?.into()],
        seeds: arguments.seeds.start..=arguments.seeds.end,
        jobs: arguments.jobs.max(1),
        twice: arguments.twice,
        patience: Duration::from_secs(arguments.patience),
        arguments: arguments.wishes.words(),
    })?)
}

impl WishArguments {
    fn wishes(&self) -> Wishes {
        let names = |names: &Vec<String>| names.iter().filter(|name| !name.is_empty()).cloned().collect();
        Wishes {
            faults: self.faults.as_ref().map(names),
            without: names(&self.without),
            workload: self.workload.clone(),
            nodes: self.nodes,
            clients: self.clients,
            rate: self.rate,
            storm_seconds: self.storm,
            control: self.control.map(ControlName::control),
        }
    }

    /// The same, as words of a command line.
    fn words(&self) -> Vec<String> {
        let mut words: BTreeMap<&str, String> = BTreeMap::new();
        let list = |list: &Vec<String>| list.join(",");
        words.extend(self.faults.as_ref().map(|faults| ("--faults", list(faults))));
        words.extend((!self.without.is_empty()).then(|| ("--without", list(&self.without))));
        words.extend(self.workload.clone().map(|name| ("--workload", name)));
        words.extend(self.nodes.map(|count| ("--nodes", count.to_string())));
        words.extend(self.clients.map(|count| ("--clients", count.to_string())));
        words.extend(self.rate.map(|count| ("--rate", count.to_string())));
        words.extend(self.storm.map(|seconds| ("--storm", seconds.to_string())));
        words.extend(self.control.map(|control| ("--control", control.control().name().to_string())));
        words.into_iter().flat_map(|(option, value)| [option.to_string(), value]).collect()
    }
}

impl ControlName {
    fn control(self) -> Control {
        match self {
            ControlName::StaleReads => Control::StaleReads,
            ControlName::LostWrites => Control::LostWrites,
            ControlName::LyingDisks => Control::LyingDisks,
        }
    }
}

fn parse_range(text: &str) -> Result<Range<u64>, String> {
    let (first, end) = text.split_once("..").ok_or("expected FIRST..LAST")?;
    let number = |text: &str| text.trim_start_matches('=').parse::<u64>().map_err(|error| format!("{text:?}: {error}"));
    let (first, end) = (number(first)?, number(end)?);
    if end < first {
        return Err(format!("{end} comes before {first}"));
    }
    Ok(first..end)
}
