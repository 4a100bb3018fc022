// The article's facts about the Fashion model's training. They come from the weights' README; a test compares them.

export const FASHION_CARD = {
  images: 60_000,
  trainingSteps: 8_200,
  batch: 64,
  /** Shares of generated and of real images that a classifier calls by their class, in percent. */
  recognised: 91.7,
  real: 91.5,
  judged: 1_000,
  /** The class with the lowest share. */
  worst: { name: 'Pullover', recognised: 74 },
} as const;
