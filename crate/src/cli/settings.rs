//! The decoding settings as arguments, shared by every command that decodes: the sampler's own [`Settings`].
//! A setting that is not given comes from the weights folder.

use super::Failure;
use clap::error::Error;
use clap::{ArgMatches, Args, Command, FromArgMatches};
use marscope_core::config::{Label, WeightsConfig};
use marscope_core::pipeline::Pipeline;
use marscope_core::sampler::{OrderKind, Settings};

/// The [`Settings`] that were given.
pub struct SettingsArgs(ArgMatches);

impl SettingsArgs {
    /// The settings that weights of `config` start from, with the given ones in their place.
    pub fn over(&self, config: &WeightsConfig) -> Result<Settings, Error> {
        let mut settings = config.defaults.settings();
        settings.update_from_arg_matches(&self.0)?;
        Ok(settings)
    }
}

impl Args for SettingsArgs {
    fn augment_args(command: Command) -> Command {
        let command = command.next_help_heading("Settings (defaults: from config.json)");
        Settings::augment_args_for_update(command).next_help_heading(None)
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for SettingsArgs {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, Error> {
        Ok(Self(matches.clone()))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        self.0 = matches.clone();
        Ok(())
    }
}

/// Which picture is decoded, as arguments.
#[derive(clap::Args)]
pub struct PictureArgs {
    /// Class of the images: its number or its name, or `none` for unconditional images
    #[arg(long, default_value = "0", value_name = "CLASS")]
    label: String,
    /// Seed of the first image; image i uses this seed plus i
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    #[command(flatten)]
    settings: SettingsArgs,
    /// Order in which tokens are generated
    #[arg(long, value_enum, default_value_t)]
    pub order: OrderKind,
}

impl PictureArgs {
    /// The class, one of `classes`.
    ///
    /// # Errors
    /// When there is none of that name; it lists them.
    pub fn label(&self, classes: &[String]) -> Result<Label, Failure> {
        if self.label == "none" {
            return Ok(None);
        }
        let named = classes.iter().position(|class| *class == self.label);
        named.or_else(|| self.label.parse().ok()).map(Some).ok_or_else(|| {
            format!("there is no class '{}': give none, a number or one of {}", self.label, classes.join(", ")).into()
        })
    }

    /// The settings, where not given those of `pipeline`.
    pub fn settings(&self, pipeline: &Pipeline) -> Result<Settings, Error> {
        self.settings.over(&pipeline.config)
    }
}
