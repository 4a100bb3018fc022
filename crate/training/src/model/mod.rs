//! MAR: an encoder over the known tokens, a decoder that computes a condition z for every token, and a denoising head.
//! Section 3 of the paper; parameters have their official names.

mod block;
mod decoder;
mod encoder;
pub mod head;
pub mod ops;
mod params;

use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::{Device, Int, Tensor, TensorData};

pub use self::block::BlockOptions;
pub use self::params::{Init, Names, ParamName, Params, from_official, to_official};
use marscope_core::checkpoint::{Checkpoint, CheckpointError, HostTensor};
use marscope_core::config::{Label, MarConfig};
use marscope_core::network::BackboneInput;

/// The whole network.
#[derive(Module, Debug)]
pub struct Mar {
    class_emb: Param<Tensor<2>>,
    fake_latent: Param<Tensor<2>>,
    encoder: encoder::Encoder,
    decoder: decoder::Decoder,
    /// The denoising head.
    pub head: head::Head,
    #[module(skip)]
    config: MarConfig,
    #[module(skip)]
    names: Names,
}

/// What the backbone computed.
pub struct Backbone {
    /// `[batch, buffer + known, encoder width]`.
    pub features: Tensor<3>,
    /// The condition of every token, `[batch, L, decoder width]`.
    pub z: Tensor<3>,
}

/// Attention weights of every block, each `[batch, heads, seq, seq]`; each row sums to 1.
#[derive(Default)]
pub struct Attention {
    /// Over the buffer and the known tokens, by position.
    pub encoder: Vec<Tensor<4>>,
    /// Over the buffer and all L positions.
    pub decoder: Vec<Tensor<4>>,
}

impl Mar {
    /// The network with the parameters of `checkpoint`.
    ///
    /// # Errors
    /// Names the tensor that is missing, misshapen, not finite or left over.
    pub fn load(config: &MarConfig, checkpoint: &Checkpoint, device: &Device) -> Result<Self, CheckpointError> {
        Self::new(config, Params::load(checkpoint, device))
    }

    /// A freshly initialised network, determined by `seed`.
    pub fn init(config: &MarConfig, seed: u64, device: &Device) -> Self {
        Self::new(config, Params::init(seed, device)).expect("initialisation reads no checkpoint")
    }

    fn new(config: &MarConfig, mut params: Params) -> Result<Self, CheckpointError> {
        let width = config.encoder_embed_dim;
        let embedding = Init::Normal(0.02);
        Ok(Self {
            class_emb: params.tensor("class_emb.weight", [config.class_num, width], embedding)?,
            fake_latent: params.tensor("fake_latent", [1, width], embedding)?,
            encoder: encoder::Encoder::new(&mut params, config)?,
            decoder: decoder::Decoder::new(&mut params, config)?,
            head: head::Head::new(&mut params, config)?,
            config: config.clone(),
            names: params.finish()?,
        })
    }

    /// The network with `options` for all its blocks.
    #[must_use]
    pub fn with_options(mut self, options: BlockOptions) -> Self {
        self.encoder.blocks.iter_mut().chain(&mut self.decoder.blocks).for_each(|block| block.options = options);
        self
    }

    /// The network's shape.
    pub fn config(&self) -> &MarConfig {
        &self.config
    }

    /// Official names of the parameters.
    pub fn names(&self) -> &Names {
        &self.names
    }

    /// The network's device.
    pub fn device(&self) -> Device {
        self.class_emb.val().device()
    }

    /// The condition z of every token, from the tokens that are known.
    ///
    /// `tokens` `[batch, L, C]` on the host; `masked` `[batch, L]` is true where a token is not known (its numbers are
    /// not read); every image of the batch must have the same number of known tokens.
    pub fn forward(&self, tokens: &[f32], masked: &[bool], labels: &[Label]) -> Backbone {
        self.run(tokens, masked, labels, None)
    }

    /// z of `picks` (image and token) of some pictures, `[picks, decoder width]`.
    pub fn conditions(&self, input: &BackboneInput<'_>, picks: &[(usize, usize)]) -> Tensor<2> {
        let z = self.forward(input.tokens.expect_continuous(), input.masked, input.labels).z;
        let [images, length, width] = z.dims();
        let rows = picks.iter().map(|&(image, token)| (image * length + token) as i32).collect();
        let device = z.device();
        z.reshape([images * length, width]).select(0, indices(rows, &device))
    }

    /// As [`Self::forward`], and returns the attention weights, which [`Self::forward`] does not compute.
    pub fn forward_with_attention(&self, tokens: &[f32], masked: &[bool], labels: &[Label]) -> (Backbone, Attention) {
        let mut attention = Attention::default();
        let backbone = self.run(tokens, masked, labels, Some(&mut attention));
        (backbone, attention)
    }

    fn run(&self, tokens: &[f32], masked: &[bool], labels: &[Label], watch: Option<&mut Attention>) -> Backbone {
        let (length, dim) = (self.config.tokens(), self.config.token_dim());
        let (buffer, batch) = (self.config.buffer_size, labels.len());
        assert_eq!(masked.len(), batch * length);
        assert_eq!(tokens.len(), batch * length * dim);
        let known = masked[..length].iter().filter(|&&m| !m).count();
        let seen = buffer + known;
        let device = self.device();

        let mut rows = Vec::with_capacity(batch * known * dim);
        let mut places = Vec::with_capacity(batch * known);
        let mut sources = Vec::with_capacity(batch * (buffer + length));
        for image in 0..batch {
            sources.extend((0..buffer).map(|i| (image * seen + i) as i32));
            let mut next = image * seen + buffer;
            for place in 0..length {
                if masked[image * length + place] {
                    sources.push((batch * seen) as i32);
                } else {
                    let at = (image * length + place) * dim;
                    rows.extend_from_slice(&tokens[at..at + dim]);
                    places.push(place as i32);
                    sources.push(next as i32);
                    next += 1;
                }
            }
            assert_eq!(next, (image + 1) * seen, "every image of a batch has the same number of known tokens");
        }
        let known_tokens = (known > 0).then(|| {
            let tokens = Tensor::from_data(TensorData::new(rows, [batch, known, dim]), &device);
            (tokens, indices(places, &device))
        });
        let (in_encoder, in_decoder) = watch.map(|seen| (&mut seen.encoder, &mut seen.decoder)).unzip();
        let features = self.encoder.forward(known_tokens, self.embed_labels(labels, &device), in_encoder);
        let z = self.decoder.forward(features.clone(), indices(sources, &device), in_decoder);
        Backbone { features, z }
    }

    /// `[batch, encoder width]`.
    fn embed_labels(&self, labels: &[Label], device: &Device) -> Tensor<2> {
        let table = Tensor::cat(vec![self.class_emb.val(), self.fake_latent.val()], 0);
        let rows = labels.iter().map(|label| label.unwrap_or(self.config.class_num) as i32).collect();
        table.select(0, indices(rows, device))
    }

    /// Copies every parameter to the host, under its official name and in its official layout.
    pub fn to_checkpoint(&self) -> Checkpoint {
        to_checkpoint(self, &self.names)
    }
}

/// Copies every parameter of `module` to the host, under its official name and in its official layout.
pub fn to_checkpoint(module: &impl Module, names: &Names) -> Checkpoint {
    struct Export<'a> {
        names: &'a Names,
        checkpoint: Checkpoint,
    }
    impl ModuleVisitor for Export<'_> {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            let name = &self.names[&param.id];
            let value = param.val();
            let shape = value.dims().to_vec();
            let data = value.into_data().convert::<f32>().try_into_vec().expect("converted to f32");
            let host = to_official(name, HostTensor { shape, data });
            self.checkpoint.tensors.insert(name.official.clone(), host);
        }
    }
    let mut export = Export { names, checkpoint: Checkpoint::default() };
    module.visit(&mut export);
    export.checkpoint
}

/// Row indices as a tensor.
pub(crate) fn indices(rows: Vec<i32>, device: &Device) -> Tensor<1, Int> {
    let count = rows.len();
    Tensor::from_data(TensorData::new(rows, [count]), device)
}
