// The page's words, each in a sentence or two: what Term shows, and the glossary at the end of the article.
// Names follow Li et al., arXiv 2406.11838.

import type { ModelInfo } from '../engine/types';

export interface Entry {
  /** The spelling inside a sentence. */
  name: string;
  meaning: string;
}

/** What the words depend on. */
export type GlossaryFacts = Pick<
  ModelInfo,
  'tokenizer' | 'channels' | 'grid' | 'tokens' | 'tokenSide' | 'tokenDim' | 'buffer' | 'defaults'
>;

type Meaning = string | ((facts: GlossaryFacts) => string);

const WORDS = {
  patch: {
    name: 'patch',
    meaning: ({ grid: [rows, columns], tokenSide: side }) =>
      `A small square of the picture, here ${side} by ${side} pixels. The picture is a grid of ${rows} by ${columns} of them.`,
  },
  token: {
    name: 'token',
    meaning: (facts) =>
      facts.tokenizer === 'pixel'
        ? `One piece of the picture as numbers: the ${facts.tokenDim} ${facts.channels === 1 ? 'grey' : 'colour'} values of a patch, from −1 (black) to 1 (white). ${facts.tokens} tokens make a picture.`
        : `One piece of the picture as numbers: ${facts.tokenDim} of them, a latent. The decoder of an autoencoder makes ${facts.tokenSide} by ${facts.tokenSide} pixels of it, and it influences a bit more. ${facts.tokens} tokens make a picture.`,
  },
  latent: {
    name: 'latent',
    meaning: ({ tokenizer, tokenDim, tokenSide: side }) =>
      tokenizer === 'pixel'
        ? 'What an autoencoder makes of a picture: fewer numbers. The tokens here are the pixels themselves.'
        : `What an autoencoder makes of a picture: fewer numbers. Here ${tokenDim} stand for ${side} by ${side} pixels.`,
  },
  autoencoder: {
    name: 'autoencoder',
    meaning:
      'Two networks trained together: the encoder turns a picture into latents, the decoder turns latents into a picture. It rounds nothing to a list of entries.',
  },
  codebook: {
    name: 'codebook',
    meaning:
      'A fixed list of possible tokens. Most generators that work token by token pick entries from one, which rounds every piece to the nearest entry. There is none here.',
  },
  mask: {
    name: 'mask',
    meaning: 'Which tokens are not known yet. Drawn as hatching. At first every token is masked, at the end none.',
  },
  order: {
    name: 'order',
    meaning: 'In which sequence the tokens become known. In training it is random, so any order works.',
  },
  iteration: {
    name: 'iteration',
    meaning: ({ defaults }) =>
      `One round: the transformer reads what is known, then the head makes a few more tokens known. ${defaults.iterations} rounds make a picture here, unless set otherwise.`,
  },
  autoregressive: {
    name: 'autoregressive',
    meaning: 'Made piece by piece; each piece depends on all the pieces before it.',
  },
  encoder: {
    name: 'encoder',
    meaning:
      'The first half of the transformer. It reads the known tokens and the buffer; masked tokens are left out of its sequence altogether.',
  },
  decoder: {
    name: 'decoder',
    meaning:
      'The second half of the transformer. It gets what the encoder made, puts a learned mask token in every other place, and writes a z for each place.',
  },
  buffer: {
    name: 'buffer',
    meaning: ({ buffer }) =>
      `Extra positions in front of the tokens that hold the class, so that the encoder has something to read when nothing is known. ${buffer} of them here.`,
  },
  attention: {
    name: 'attention',
    meaning:
      'How a transformer lets positions look at one another: each position takes a weighted mean of what all hold, and the weights add up to 1.',
  },
  z: {
    name: 'z',
    meaning:
      'The vector the transformer writes for a place. It describes what belongs there: a whole distribution of tokens, not one token.',
  },
  head: {
    name: 'head',
    meaning:
      'The small network that turns noise into a token, told only the token’s z and the timestep. It runs in every diffusion step; the transformer only once an iteration.',
  },
  'diffusion-loss': {
    name: 'Diffusion Loss',
    meaning:
      'How head and transformer are trained together: add noise to a real token, let the head guess the noise from the noisy token, the timestep and z, and measure by how much it is off.',
  },
  noise: {
    name: 'noise',
    meaning:
      'Random numbers from the normal distribution. Each is fixed by seed, iteration, step and token, so the same settings always give the same picture.',
  },
  'diffusion-step': {
    name: 'diffusion step',
    meaning: ({ defaults }) =>
      `One small move from noise towards a token. ${defaults.steps} of them make a token here, unless set otherwise.`,
  },
  solver: {
    name: 'solver',
    meaning:
      'The rule that says how far a diffusion step goes. DDPM, which was trained, adds fresh noise each time; DDIM and DPM-Solver++ add none and need fewer steps.',
  },
  timestep: {
    name: 'timestep',
    meaning:
      'How noisy a token is, on the scale of training: 999 is pure noise, 0 almost clean. A diffusion step jumps over several.',
  },
  'alpha-bar': {
    name: 'alpha-bar',
    meaning:
      'The share of the token’s own variance left at a timestep: close to 0 in pure noise, close to 1 when clean.',
  },
  guidance: {
    name: 'guidance',
    meaning:
      'The head is asked twice, with the class and without; the difference is multiplied by cfg. 1 is no guidance, more pulls harder towards the class.',
  },
  temperature: {
    name: 'temperature',
    meaning:
      'What the noise added in each diffusion step is multiplied by. Lower plays safe, higher varies more. Only the DDPM solver adds noise.',
  },
  seed: {
    name: 'seed',
    meaning: 'The number all random numbers of a picture follow from. Another seed, another picture.',
  },
  ema: {
    name: 'EMA',
    meaning:
      'Exponential moving average: the weights used here are a running mean over the last stretch of training, which draws better than the last weights alone.',
  },
} satisfies Record<string, { name: string; meaning: Meaning }>;

export type TermId = keyof typeof WORDS;

/** A term, as the page's model has it. */
export function entryOf(id: TermId, facts: GlossaryFacts): Entry {
  const { name, meaning }: { name: string; meaning: Meaning } = WORDS[id];
  return { name, meaning: typeof meaning === 'string' ? meaning : meaning(facts) };
}

/** All entries in the order of their names. */
export function entries(facts: GlossaryFacts): readonly (Entry & { id: TermId })[] {
  return (Object.keys(WORDS) as TermId[])
    .map((id) => ({ id, ...entryOf(id, facts) }))
    .sort((a, b) => a.name.localeCompare(b.name, 'en', { sensitivity: 'base' }));
}

/** A stretch of text, or a term of the glossary in it. */
export type Segment = string | { id: TermId; text: string };

/** Splits text in which `[token]` or `[token:tokens]` marks a term. Throws where there is no such term. */
export function segments(text: string): Segment[] {
  return text
    .split(/(\[[^\]]+\])/)
    .filter((part) => part !== '')
    .map((part) => {
      const [, id, shown] = /^\[([^:\]]+)(?::([^\]]+))?\]$/.exec(part) ?? [];
      if (id === undefined) return part;
      if (!(id in WORDS)) throw new Error(`The glossary has no term "${id}"; add it, or mark another one.`);
      const known = id as TermId;
      return { id: known, text: shown ?? WORDS[known].name };
    });
}
