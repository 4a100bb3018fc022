// What the article says of the shipped model. Its weights' README is where these come from; a test holds them to it.

export const MODEL = {
  images: 60_000,
  blocks: 4,
  width: 128,
  headBlocks: 3,
  headWidth: 192,
  trainingSteps: 4_200,
  batch: 64,
  /** Shares of generated and of real images that a classifier calls by their class, in percent. */
  recognised: 87.3,
  real: 91.5,
  judged: 1_000,
  /** The class that does worst. */
  worst: { name: 'Pullover', recognised: 54 },
} as const;
