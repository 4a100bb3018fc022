//! The arguments that say how images are decoded, the same for every command that decodes.
//! What is not given is the weights' own.

use crate::diffusion::Solver;
use crate::engine::Engine;
use crate::sampler::{CfgSchedule, OrderKind, Settings};

#[derive(clap::Args)]
pub struct SettingsArgs {
    /// Guidance scale; 1 is none [default: the weights' own]
    #[arg(long)]
    cfg: Option<f32>,
    /// Decoding iterations, 1 to the number of tokens [default: the weights' own]
    #[arg(long)]
    iterations: Option<usize>,
    /// Diffusion steps: a number, or a respacing such as ddim25 [default: the weights' own]
    #[arg(long)]
    steps: Option<String>,
    /// Diffusion steps of the last iteration: those of the others go down to it evenly [default: as many in each]
    #[arg(long)]
    late_steps: Option<usize>,
    /// How the reverse process is solved
    #[arg(long, value_enum, default_value_t)]
    solver: Solver,
    /// Run the unconditional branch in every so many-th iteration; between, what guidance adds to z is used again
    #[arg(long, default_value_t = 1)]
    cfg_every: usize,
    /// Scale of the noise added at each reverse step [default: the weights' own]
    #[arg(long)]
    temperature: Option<f32>,
}

impl SettingsArgs {
    /// `settings` with what was given in place.
    pub fn over(&self, settings: Settings) -> Settings {
        Settings {
            cfg: self.cfg.unwrap_or(settings.cfg),
            iterations: self.iterations.unwrap_or(settings.iterations),
            steps: self.steps.clone().unwrap_or(settings.steps),
            late_steps: self.late_steps.or(settings.late_steps),
            solver: self.solver,
            cfg_every: self.cfg_every,
            temperature: self.temperature.unwrap_or(settings.temperature),
            ..settings
        }
    }
}

/// The arguments that say which picture is decoded.
#[derive(clap::Args)]
pub struct PictureArgs {
    /// Class of the images, or `none` for unconditional ones
    #[arg(long, default_value = "0", value_parser = label)]
    label: LabelArg,
    /// Seed of the first image; where there are more, they take the seeds that follow
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    #[command(flatten)]
    settings: SettingsArgs,
    /// How guidance goes over the iterations
    #[arg(long, value_enum, default_value_t)]
    cfg_schedule: CfgSchedule,
    /// Order in which tokens are generated
    #[arg(long, value_enum, default_value_t)]
    pub order: OrderKind,
}

impl PictureArgs {
    /// The class.
    pub fn label(&self) -> Option<usize> {
        self.label.0
    }

    /// The settings, where not given those of `engine`.
    pub fn settings(&self, engine: &Engine) -> Settings {
        Settings { cfg_schedule: self.cfg_schedule, ..self.settings.over(engine.settings()) }
    }
}

#[derive(Clone, Copy)]
struct LabelArg(Option<usize>);

fn label(text: &str) -> Result<LabelArg, String> {
    match text {
        "none" => Ok(LabelArg(None)),
        number => match number.parse() {
            Ok(label) => Ok(LabelArg(Some(label))),
            Err(_) => Err("write a class number, or none".into()),
        },
    }
}
