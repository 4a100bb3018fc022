//! `marscope tune`: searches the sampling settings of weights by the figures of `eval`, and makes the best ones the defaults.
//! Ctrl-C keeps what was measured; `--resume` goes on.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use clap::ValueEnum;

use super::autoencoder::KlArgs;
use super::device::DeviceKind;
use super::measures::{Data, Measures};
use super::sample::{open, read_config};
use super::{Failure, read, stop_on_ctrl_c};
use marscope_core::config::{Defaults, WeightsConfig};
use marscope_core::pipeline::Pipeline;
use marscope_core::sampler::Settings;
use marscope_training::eval::tune::{
    Figures, Next, Plan, ROUNDS, Stopwatch, Trial, Tuning, milliseconds_by_clock, plot,
};
use marscope_training::eval::{Baseline, EvalOptions, Real, generate_until};
use marscope_training::replace::replace;

#[derive(clap::Args)]
pub struct Args {
    /// Weights folder: config.json, model.safetensors, and the networks that measure, which are trained if they are missing
    #[arg(long, default_value = "weights/fashion")]
    model: PathBuf,
    #[command(flatten)]
    kl: KlArgs,
    /// Folder of the real images, training and test set
    #[arg(long)]
    data: PathBuf,
    /// The most milliseconds that an image, decoded by itself, may take: on a CPU, on one core [default: what it takes with
    /// the present defaults]
    #[arg(long, value_name = "MS", conflicts_with = "resume")]
    budget: Option<f64>,
    /// Settings to try on a fifth of the images; the best third of them then has half of the images, the best sixth all
    #[arg(long, default_value_t = 60, conflicts_with = "resume")]
    candidates: usize,
    /// Images of the last round
    #[arg(long, default_value_t = 1000, conflicts_with = "resume")]
    count: usize,
    /// Seed of the search and of the first image; all settings are measured on the same seeds
    #[arg(long, default_value_t = 1, conflicts_with = "resume")]
    seed: u64,
    /// JSON file of the search; a plot lies beside it as .svg [default: frontier.json in the weights folder]
    #[arg(long, value_name = "PATH.json")]
    out: Option<PathBuf>,
    /// Continue the search in --out
    #[arg(long)]
    resume: bool,
    /// Leave config.json as it is
    #[arg(long)]
    dry_run: bool,
    /// Device to compute on
    #[arg(long, value_enum, default_value_t)]
    device: DeviceKind,
}

pub fn run(args: Args) -> Result<(), Failure> {
    let out = args.out.clone().unwrap_or_else(|| args.model.join("frontier.json"));
    let config = read_config(&args.model)?;
    let kept = kept(&args, &out, &config)?;
    if !args.dry_run {
        writable(&args.model.join("config.json"))?;
    }
    let pipeline = pictures(&args.model, &args.kl, args.device)?;
    let timer = Timer::open(&args)?;
    let stop = stop_on_ctrl_c()?;
    let mut tuning = match kept {
        Some(tuning) => tuning,
        None => begin(&args, &pipeline, &timer)?,
    };
    save(&tuning, &out)?;

    if !tuning.finished {
        let data = Data::read(&args.data, &config)?;
        let measures = Measures::open(&args.model, &config, Some(&data), None, None, args.device)?;
        let real = Real { data: Some(data.images), reference: None };
        let judge = Judge { pipeline: &pipeline, timer: &timer, measures: &measures, real };
        judge.search(&mut tuning, &stop, &mut |tuning| save(tuning, &out))?;
    }
    let svg = out.with_extension("svg");
    replace(&svg, plot(&tuning).as_bytes()).map_err(|error| format!("{}: {error}", svg.display()))?;
    println!("{tuning}\n\n{} and {} hold the search", out.display(), svg.display());
    if !tuning.finished {
        println!("stopped: continue with --resume");
        return Ok(());
    }
    match tuning.defaults() {
        None => println!("no settings that were measured take at most {:.1} ms: the defaults stay", tuning.plan.budget),
        Some(_) if args.dry_run => println!("config.json stays as it is (--dry-run)"),
        Some(defaults) => {
            write_defaults(&args.model, defaults)?;
            println!("the chosen settings are the defaults in {}", args.model.join("config.json").display());
        }
    }
    Ok(())
}

/// The search to continue, if one is.
fn kept(args: &Args, out: &Path, config: &WeightsConfig) -> Result<Option<Tuning>, Failure> {
    let named = |what: &dyn std::fmt::Display| -> Failure { format!("{}: {what}", out.display()).into() };
    if !args.resume {
        let there = out.exists();
        return if there {
            Err(named(&"there is a search already: continue it with --resume, or give another --out"))
        } else {
            Ok(None)
        };
    }
    let tuning = Tuning::parse(&String::from_utf8_lossy(&read(out)?)).map_err(|error| named(&error))?;
    let (tokens, classes) = (config.model.tokens(), config.model.class_num);
    if (&tuning.weights, tuning.plan.tokens, tuning.plan.classes) != (&config.name, tokens, classes) {
        return Err(named(&format!("it is a search for the weights '{}', not '{}'", tuning.weights, config.name)));
    }
    if tuning.device != name(args.device) {
        return Err(named(&format!("its times are of {}, not of {}", tuning.device, name(args.device))));
    }
    Ok(Some(tuning))
}

/// A new search. The options are checked; without a budget, the present defaults are timed.
fn begin(args: &Args, pipeline: &Pipeline, timer: &Timer) -> Result<Tuning, Failure> {
    let (config, start) = (&pipeline.config, pipeline.settings());
    let mut plan = Plan {
        tokens: config.model.tokens(),
        classes: config.model.class_num,
        budget: args.budget.unwrap_or(1.0),
        candidates: args.candidates,
        count: args.count,
        seed: args.seed,
    };
    plan.check()?;
    if args.budget.is_none() {
        plan.budget = timer.milliseconds(pipeline, &start, f64::INFINITY)?;
    }
    Ok(Tuning::new(config.name.clone(), name(args.device), plan, start))
}

/// What the times of `device` are of.
fn name(device: DeviceKind) -> String {
    let name = device.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned());
    if matches!(device, DeviceKind::Cpu | DeviceKind::Flex) { format!("one core ({name})") } else { name }
}

/// Checks that the file `path` can be written.
fn writable(path: &Path) -> Result<(), Failure> {
    let opened = std::fs::OpenOptions::new().append(true).open(path);
    opened.map(drop).map_err(|error| format!("{}: {error}. Or give --dry-run", path.display()).into())
}

fn save(tuning: &Tuning, path: &Path) -> Result<(), Failure> {
    let json = serde_json::to_string_pretty(tuning)? + "\n";
    replace(path, json.as_bytes()).map_err(|error| format!("{}: {error}", path.display()).into())
}

/// Writes `defaults` into the `config.json` of `folder`; all else in it stays.
fn write_defaults(folder: &Path, defaults: Defaults) -> Result<(), Failure> {
    let config = WeightsConfig { defaults, ..read_config(folder)? };
    let (path, json) = (folder.join("config.json"), serde_json::to_string_pretty(&config)? + "\n");
    replace(&path, json.as_bytes()).map_err(|error| format!("{}: {error}", path.display()).into())
}

/// Measures how long an image takes.
enum Timer {
    /// On one core of the processor.
    OneCore(Stopwatch),
    /// On another device, by the clock on the wall.
    Device,
}

impl Timer {
    /// For the device of `args`.
    fn open(args: &Args) -> Result<Self, Failure> {
        if !matches!(args.device, DeviceKind::Cpu | DeviceKind::Flex) {
            return Ok(Self::Device);
        }
        let (model, kl, device) = (args.model.clone(), args.kl.clone(), args.device);
        let watch = Stopwatch::new(move || pictures(&model, &kl, device).map_err(|error| error.to_string()))?;
        Ok(Self::OneCore(watch))
    }

    /// Milliseconds of one image, decoded by itself. If the first one takes far longer than `enough`, that is the answer.
    fn milliseconds(&self, pipeline: &Pipeline, settings: &Settings, enough: f64) -> Result<f64, Failure> {
        Ok(match self {
            Self::OneCore(watch) => watch.milliseconds(settings, enough)?,
            Self::Device => milliseconds_by_clock(pipeline, settings, enough)?,
        })
    }
}

/// The weights of `folder`, with what makes pictures of their tokens.
fn pictures(folder: &Path, kl: &KlArgs, device: DeviceKind) -> Result<Pipeline, Failure> {
    let (pipeline, device) = open(folder, device)?;
    kl.pictures(pipeline, folder, &device)
}

/// What trials are measured with.
struct Judge<'a> {
    pipeline: &'a Pipeline,
    timer: &'a Timer,
    measures: &'a Measures,
    real: Real,
}

impl Judge<'_> {
    /// Tries settings until nothing is left or `stop` is set, and shows progress on stderr. `keep` has the search after every
    /// trial.
    fn search(
        &self,
        tuning: &mut Tuning,
        stop: &AtomicBool,
        keep: &mut dyn FnMut(&Tuning) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let options: [EvalOptions; ROUNDS] = std::array::from_fn(|round| EvalOptions {
            settings: tuning.start.clone(),
            count: tuning.plan.images(round),
            seed: tuning.plan.seed,
            precision_recall: false,
            neighbours: false,
        });
        let mut baselines: [Option<Baseline>; ROUNDS] = [const { None }; ROUNDS];
        while let Some(Next { settings, round }) = tuning.next() {
            if stop.load(Ordering::Relaxed) {
                return Ok(());
            }
            let baseline = match &mut baselines[round] {
                Some(baseline) => baseline,
                place => place.insert(self.measures.baseline(&self.pipeline.config, &self.real, &options[round])?),
            };
            let started = Instant::now();
            let least = self.timer.milliseconds(self.pipeline, &settings, tuning.plan.budget)?;
            let milliseconds = least.min(tuning.fastest(&settings));
            let figures = if round == 0 && tuning.is_too_slow(&settings, milliseconds) {
                None
            } else {
                let options = EvalOptions { settings: settings.clone(), ..options[round].clone() };
                let Some(generated) = generate_until(self.pipeline, &options, stop)? else { return Ok(()) };
                let report = baseline.compare(&generated)?;
                Some(Figures::of(&report).ok_or("a search needs training images that differ from the test images")?)
            };
            let seconds = started.elapsed().as_secs_f64();
            tuning.push(Trial { settings, round, milliseconds, figures, seconds });
            keep(tuning)?;
            eprintln!("{}", tuning.progress());
        }
        Ok(())
    }
}
