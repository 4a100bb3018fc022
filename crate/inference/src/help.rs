//! Help with a draw: modulations of later steps that are computed elsewhere, while the first steps are taken here.
//! Section 3.2 of the paper. Modulations are most of the head's work, and depend on timestep and z alone, not on x.

use std::ops::Range;

use marscope_core::diffusion::{ReverseProcess, Trajectory};
use marscope_core::network::{Answer, Continue, Network};

/// Modulations of some steps, which are computed elsewhere.
pub struct Help<'a> {
    /// The steps of the process.
    pub steps: Range<usize>,
    /// As [`Helper::modulations`] computes them. If it fails, they are computed where they are needed.
    pub modulations: Answer<'a, Vec<f32>>,
}

/// A network that helps others of its kind.
pub trait Helper: Network {
    /// The modulations of all rows at `steps` of a process with `timesteps`, `[steps, rows, modulation columns]`. `z` is as
    /// for [`Network::draw`], `guided` whether it has unconditional rows. The order of the rows is the network's own.
    ///
    /// # Errors
    /// [`NetworkError::Device`](marscope_core::network::NetworkError::Device).
    fn modulations<'a>(
        &'a self,
        z: &'a [f32],
        guided: bool,
        timesteps: &'a [usize],
        steps: Range<usize>,
    ) -> Answer<'a, Vec<f32>>;
}

/// A network that takes help.
pub trait Helped: Network {
    /// As [`Network::draw`], with the modulations of `help`, whose steps follow on each other and end with the last.
    ///
    /// # Errors
    /// As [`Network::draw`].
    fn draw_helped<'a>(
        &'a self,
        z: &'a [f32],
        process: &'a ReverseProcess<'a>,
        help: Vec<Help<'a>>,
        proceed: &'a mut dyn Continue,
    ) -> Answer<'a, Trajectory>;
}
