//! The arguments that say how images are decoded, the same for every command that decodes.
//! What is not given is the weights' own.

use crate::sampler::Settings;

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
            temperature: self.temperature.unwrap_or(settings.temperature),
            ..settings
        }
    }
}
