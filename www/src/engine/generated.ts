// Written by `cargo xtask types` from the Rust definitions in crate/core: change those, not this file.
// Shapes that cross between the page and the engine, and the range of every setting.

/** The engine a bundle computes with. */
export type Device = 'cpu' | 'webgpu';

/** How pixels become tokens. */
export type TokenizerKind = "pixel" | "kl";

/** How the reverse process is solved. */
export type Solver = "ddpm" | "ddim" | "dpm";

/** How the guidance scale changes over the iterations. */
export type CfgSchedule = "linear" | "constant";

/** How an order is made. */
export type OrderKind = "random" | "raster" | "spiral" | "center";

/** Default settings of the page and the command line for these weights. */
export type Defaults = {
/** Guidance scale. */
cfg: number,
/** How the guidance scale changes over the iterations; weights from before this field was there are linear. */
cfg_schedule: CfgSchedule,
/** Decoding iterations K. */
iterations: number,
/** Diffusion steps an iteration. */
steps: number,
/** How the reverse process is solved; weights from before this field was there use DDPM. */
solver: Solver,
/** Scale of the noise added at each reverse step. */
temperature: number, };

/** What weights are, for whoever shows them. */
export type ModelInfo = {
/** Name of the weights. */
name: string,
/** Class names. */
classes: Array<string>,
/** What makes pictures of its tokens. */
tokenizer: TokenizerKind,
/** Height and width of a picture, in pixels. */
image: [number, number],
/** Channels of a picture: 1 for grey, 3 for colour. */
channels: number,
/** Channels of a latent; of the picture itself for pixel patches. */
latentChannels: number,
/** Pixels per side that a latent covers; 1 for pixel patches. */
stride: number,
/** Latents per side that a token covers; pixels for pixel patches. */
patch: number,
/** Pixels per side that a token covers: patch * stride. */
tokenSide: number,
/** Rows and columns of tokens. */
grid: [number, number],
/** L, the number of tokens. */
tokens: number,
/** Numbers of a token, C: latentChannels * patch * patch, the channel slowest. */
tokenDim: number,
/** Buffer positions in front of the tokens, which hold the class. */
buffer: number,
/** Numbers in the network. */
parameters: number,
/** Numbers in the autoencoder; 0 for pixel patches. */
autoencoderParameters: number,
/** The device that the engine runs on. */
device: Device,
/** Settings to start from. */
defaults: Defaults, };

/** [`Settings`], and which picture. */
export type PictureSettings = {
/** Class; null is unconditional. */
label: number | null,
/** Seed of the noise and of a random order, within [`SEED`]. */
seed: number,
/** Guidance scale; 1 turns guidance off */
cfg: number,
/** How the guidance scale changes over the iterations */
cfgSchedule: CfgSchedule,
/** Decoding iterations, from 1 to the number of tokens */
iterations: number,
/** Diffusion steps: a number, or a respacing such as ddim25 */
steps: number,
/** Diffusion steps of the last iteration; the number falls linearly from --steps to it [default: --steps] */
lateSteps?: number | null,
/** How the reverse process is solved */
solver?: Solver,
/** Run the unconditional branch in every N-th iteration only; the others reuse its difference to the conditional z */
cfgEvery?: number,
/** Scale of the noise added at each reverse step */
temperature: number, };

/** What the page asks for: one picture, in an order. */
export type DecodeSettings = {
/** A way to make an order, or the order itself: `order[rank]` is a position, each position once. */
order: OrderKind | readonly number[],
/** Keep every stride-th diffusion step of the trajectory; 1 keeps all, 0 the tokens alone. */
stride: number,
/** Class; null is unconditional. */
label: number | null,
/** Seed of the noise and of a random order, within [`SEED`]. */
seed: number,
/** Guidance scale; 1 turns guidance off */
cfg: number,
/** How the guidance scale changes over the iterations */
cfgSchedule: CfgSchedule,
/** Decoding iterations, from 1 to the number of tokens */
iterations: number,
/** Diffusion steps: a number, or a respacing such as ddim25 */
steps: number,
/** Diffusion steps of the last iteration; the number falls linearly from --steps to it [default: --steps] */
lateSteps?: number | null,
/** How the reverse process is solved */
solver?: Solver,
/** Run the unconditional branch in every N-th iteration only; the others reuse its difference to the conditional z */
cfgEvery?: number,
/** Scale of the noise added at each reverse step */
temperature: number, };

/** How the head draws tokens of a picture under way. */
export type HeadSettings = {
/** The noise's seed. */
seed: number,
/** Effective guidance scale; 1 is no guidance. */
cfg: number,
/** Diffusion steps. */
steps: number,
/** How the reverse process is solved. */
solver: Solver,
/** Scale of the noise that each reverse step adds. */
temperature: number, };

/** The known tokens of some images before an iteration. */
export type DecodeState = {
/** The iteration that comes next; noise is addressed by it. */
iteration: number,
/** `[images, L]` tokens; read where not masked. */
tokens: Float32Array,
/** `[images, L]`: true where a token is not known; 1 in the page. */
masked: Uint8Array, };

/** Which weights a trace is of. */
export type TraceModel = {
/** Name of the weights. */
name: string,
/** Numbers in the network. */
parameters: number, };

/** Milliseconds an iteration took. */
export type TraceMs = {
/** In the transformer; 0 where the device did both in one go. */
backbone: number,
/** In the denoising head, or in both. */
head: number, };

/** What one iteration did. */
export type TraceIteration = {
/** Which one. */
iteration: number,
/** Positions sampled in it. */
tokens: Uint32Array,
/** `[L]`, 1 = masked before it. */
maskBefore: Uint8Array,
/** Guidance scale in effect. */
cfg: number,
/** `[frames]`: the timestep each frame is at. */
timesteps: Uint32Array,
/** `[frames]` */
alphaBar: Float32Array,
/** `[frames, tokens, C]`: frame 0 is the noise, the last one the tokens. */
trajectory: Float32Array,
/** `[L, C]`: the tokens before it, 0 where masked. */
before: Float32Array,
/** Milliseconds spent. */
ms: TraceMs, };

/** Attention weights of one transformer, on the host. */
export type AttentionWeights = {
/** Blocks. */
blocks: number,
/** Heads of a block. */
heads: number,
/** Queries, and keys: the buffer positions, then the tokens. */
seq: number,
/** `[blocks, heads, seq, seq]`, query before key. */
weights: Float32Array, };

/** The transformer's output at one state. */
export type BackboneProbe = {
/** Width of z. */
width: number,
/** `[L, width]`: the condition of every position. */
z: Float32Array,
/** Over the buffer and the known tokens, by position. */
encoder: AttentionWeights,
/** Over the buffer and all L positions. */
decoder: AttentionWeights, };

/** One token's reverse process with the head's prediction at every step, the noisiest step first. */
export type Explanation = {
/** `[steps]`: the timestep of each step. */
timesteps: Uint32Array,
/** `[steps]`: the share of the signal's variance at each. */
alphaBar: Float32Array,
/** `[steps + 1, C]`: before each step, and the token. */
x: Float32Array,
/** `[steps, C]`: the predicted noise, guidance included. */
noise: Float32Array,
/** `[steps, C]`: the clean token that follows from it, clipped where the weights clip. */
clean: Float32Array,
/** `[steps, C]`: standard deviation of what the step adds, before temperature; 0 in the last one. */
deviation: Float32Array, };

export const SOLVERS: readonly Solver[] = ["ddpm","ddim","dpm"];

export const CFG_SCHEDULES: readonly CfgSchedule[] = ["linear","constant"];

export const ORDERS: readonly OrderKind[] = ["random","raster","spiral","center"];

/** What each setting may be; iterations are 1 to the number of tokens. */
export const RANGES = {
  seed: { min: 0, max: 9007199254740991 },
  cfg: { min: 0, max: 20 },
  steps: { min: 2, max: 1000 },
  temperature: { min: 0, max: 2 },
} as const;

/** Timesteps of training. */
export const TIMESTEPS = 1000;

export const TRACE_FORMAT = "marscope-trace";
export const TRACE_VERSION = 1;

/** The weights that come with the page, which it assumes until it has some. */
export const FASHION: ModelInfo = {
  "name": "fashion",
  "classes": [
    "T-shirt",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot"
  ],
  "tokenizer": "pixel",
  "image": [
    28,
    28
  ],
  "channels": 1,
  "latentChannels": 1,
  "stride": 1,
  "patch": 4,
  "tokenSide": 4,
  "grid": [
    7,
    7
  ],
  "tokens": 49,
  "tokenDim": 16,
  "buffer": 8,
  "parameters": 2379744,
  "autoencoderParameters": 0,
  "device": "cpu",
  "defaults": {
    "cfg": 3.0,
    "cfg_schedule": "linear",
    "iterations": 16,
    "steps": 50,
    "solver": "ddpm",
    "temperature": 1.0
  }
};
