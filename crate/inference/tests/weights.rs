//! Reading parameters from a source: what is asked for, and what is said when it is not there.

use marscope_core::checkpoint::{Checkpoint, CheckpointError, HostTensor};
use marscope_core::config::MarConfig;
use marscope_core::head::HeadKind;
use marscope_inference::tensors::Outputs;
use marscope_inference::weights::{Parameters, Parts, Store};

fn config() -> MarConfig {
    MarConfig {
        img_size: 4,
        vae_stride: 1,
        patch_size: 2,
        vae_embed_dim: 1,
        encoder_embed_dim: 6,
        encoder_depth: 1,
        encoder_num_heads: 2,
        decoder_embed_dim: 4,
        decoder_depth: 1,
        decoder_num_heads: 1,
        mlp_ratio: 2.0,
        class_num: 3,
        head: HeadKind::Diffusion,
        buffer_size: 2,
        diffloss_d: 2,
        diffloss_w: 5,
        num_sampling_steps: "4".into(),
        diffusion_batch_mul: 1,
    }
}

/// Keeps shapes alone.
struct Shapes;

impl Store for Shapes {
    /// Shape, and the outputs of each part.
    type Linear = ([usize; 2], Vec<usize>);
    type Norm = [usize; 2];
    type Table = [usize; 2];

    fn linear(
        &mut self,
        shape: [usize; 2],
        parts: Parts<'_, Outputs<'_>>,
    ) -> Result<([usize; 2], Vec<usize>), CheckpointError> {
        let outputs = parts.map(|part| Ok(part?.bias.info.numbers())).collect::<Result<_, CheckpointError>>()?;
        Ok((shape, outputs))
    }

    fn norm(&mut self, scale: Vec<f32>, shift: Vec<f32>) -> [usize; 2] {
        [scale.len(), shift.len()]
    }

    fn table(&mut self, rows: Vec<f32>, width: usize) -> [usize; 2] {
        [rows.len() / width, width]
    }
}

fn load(checkpoint: &Checkpoint) -> Result<Parameters<Shapes>, CheckpointError> {
    Parameters::load(&config(), checkpoint, &mut Shapes)
}

/// Zeros under every name and of every shape that loading asks for.
fn zeros() -> Checkpoint {
    let mut checkpoint = Checkpoint::default();
    loop {
        let (name, shape) = match load(&checkpoint) {
            Ok(_) => return checkpoint,
            Err(CheckpointError::Missing { name }) => (name, Vec::new()),
            Err(CheckpointError::Shape { name, expected, .. }) => (name, expected),
            Err(other) => panic!("{other}"),
        };
        let data = vec![0.0; shape.iter().product()];
        checkpoint.tensors.insert(name, HostTensor { shape, data });
    }
}

fn error(change: impl FnOnce(&mut Checkpoint)) -> String {
    let mut checkpoint = zeros();
    change(&mut checkpoint);
    load(&checkpoint).err().expect("what was changed is found").to_string()
}

#[test]
fn what_is_asked_for_is_the_network() {
    let (checkpoint, config) = (zeros(), config());
    let loaded = load(&checkpoint).unwrap();
    let numbers: usize = checkpoint.tensors.values().map(|tensor| tensor.data.len()).sum();
    assert_eq!(loaded.parameters, numbers);
    assert_eq!(loaded.backbone.classes, [4, 6], "three classes and the unconditional one");
    assert_eq!(loaded.backbone.z_proj, ([4, 6], vec![6]));
    assert_eq!(loaded.backbone.encoder_positions, [2 + 4, 6]);
    assert_eq!(loaded.backbone.z_positions, [4, 4]);
    let width = config.diffloss_w;
    assert_eq!(loaded.head.modulation, ([width, 8 * width], vec![3 * width, 3 * width, 2 * width]));
    assert_eq!(loaded.head.output, ([width, 8], vec![8]));
}

#[test]
fn a_missing_tensor_is_named() {
    let found = error(|checkpoint| {
        checkpoint.tensors.remove("decoder_blocks.0.attn.qkv.bias");
    });
    assert_eq!(
        found,
        "the weights have no tensor 'decoder_blocks.0.attn.qkv.bias'. They belong to another model, or to another configuration"
    );
}

#[test]
fn a_misshapen_tensor_is_named_with_both_shapes() {
    let found = error(|checkpoint| {
        let tensor = HostTensor { shape: vec![4, 6], data: vec![0.0; 24] };
        checkpoint.tensors.insert("z_proj.weight".into(), tensor);
    });
    assert_eq!(found, "tensor 'z_proj.weight' has shape [4, 6], but the configuration asks for [6, 4]");
}

#[test]
fn a_number_that_is_not_finite_is_named() {
    let found = error(|checkpoint| checkpoint.tensors.get_mut("mask_token").unwrap().data[2] = f32::NAN);
    assert!(found.starts_with("tensor 'mask_token' holds NaN at element 2: "), "{found}");
}

#[test]
fn what_is_left_over_is_counted() {
    let found = error(|checkpoint| {
        for name in ["zz", "extra"] {
            checkpoint.tensors.insert(name.into(), HostTensor { shape: vec![1], data: vec![0.0] });
        }
    });
    assert_eq!(found, "the weights hold 2 tensors that the configuration has no place for, the first is 'extra'");
}
