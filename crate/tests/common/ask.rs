//! Calls a network synchronously; shared by the tests of all engines.

use marscope_core::diffusion::{ReverseProcess, Trajectory};
use marscope_core::head::{HeadInput, HeadOutput};
use marscope_core::network::{BackboneInput, BackboneOutput, Continue, Network, NetworkError};
use marscope_core::tokens::TokensRef;
use pollster::block_on;

/// `values` as tokens of `dim` numbers.
pub fn continuous(dim: usize, values: &[f32]) -> TokensRef<'_> {
    TokensRef::Continuous { dim, values }
}

pub fn z(network: &dyn Network, input: &BackboneInput<'_>, picks: &[(usize, usize)]) -> Vec<f32> {
    block_on(network.z(&mut *network.session(input.labels.len()), input, picks)).unwrap()
}

pub fn backbone(network: &dyn Network, input: &BackboneInput<'_>) -> BackboneOutput {
    block_on(network.backbone(input)).unwrap()
}

pub fn draw(network: &dyn Network, z: &[f32], process: &ReverseProcess<'_>) -> Trajectory {
    draw_while(network, z, process, &mut async || true).unwrap()
}

pub fn draw_while(
    network: &dyn Network,
    z: &[f32],
    process: &ReverseProcess<'_>,
    proceed: &mut dyn Continue,
) -> Result<Trajectory, NetworkError> {
    let HeadOutput::Diffusion(trajectory) = block_on(network.draw(z, &HeadInput::Diffusion(*process), proceed))?;
    Ok(trajectory)
}

pub fn iterate(
    network: &dyn Network,
    input: &BackboneInput<'_>,
    picks: &[(usize, usize)],
    process: &ReverseProcess<'_>,
    want_z: bool,
) -> (Trajectory, Option<Vec<f32>>) {
    let (mut session, head) = (network.session(input.labels.len()), HeadInput::Diffusion(*process));
    let mut proceed = async || true;
    let output = block_on(network.iterate(&mut *session, input, picks, &head, want_z, &mut proceed)).unwrap();
    let HeadOutput::Diffusion(trajectory) = output.drawn;
    (trajectory, output.z)
}
