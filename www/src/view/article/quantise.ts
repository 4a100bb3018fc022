// What a codebook does to a picture: every token is replaced by the nearest of a few entries. The entries are found by
// k-means over the picture's own tokens, which is more favourable than one codebook for all pictures.

/** Rounds of k-means: far more than a few dozen tokens need to settle. */
const ROUNDS = 30;

function distance(a: Float32Array, b: Float32Array): number {
  return a.reduce((sum, value, i) => sum + (value - (b[i] ?? 0)) ** 2, 0);
}

function nearest(token: Float32Array, entries: readonly Float32Array[]): number {
  let best = 0;
  entries.forEach((entry, i) => {
    if (distance(token, entry) < distance(token, entries[best]!)) best = i;
  });
  return best;
}

/** Entries far apart from one another to begin with: always the same ones for the same tokens. */
function seeds(tokens: readonly Float32Array[], count: number): Float32Array[] {
  const entries = [Float32Array.from(tokens[0]!)];
  while (entries.length < count) {
    const gaps = tokens.map((token) => Math.min(...entries.map((entry) => distance(token, entry))));
    entries.push(Float32Array.from(tokens[gaps.indexOf(Math.max(...gaps))]!));
  }
  return entries;
}

/** Tokens [L, tokenDim] through a codebook of `count` entries made for them. */
export function quantise(values: Float32Array, tokenDim: number, count: number): Float32Array {
  const tokens = Array.from({ length: values.length / tokenDim }, (_, i) =>
    values.subarray(i * tokenDim, (i + 1) * tokenDim),
  );
  let entries = seeds(tokens, count);
  for (let round = 0; round < ROUNDS; round++) {
    const codes = tokens.map((token) => nearest(token, entries));
    entries = entries.map((entry, code) => {
      const own = tokens.filter((_, i) => codes[i] === code);
      return own.length === 0 ? entry : entry.map((_, i) => own.reduce((sum, t) => sum + (t[i] ?? 0), 0) / own.length);
    });
  }
  const rounded = new Float32Array(values.length);
  tokens.forEach((token, i) => {
    rounded.set(entries[nearest(token, entries)]!, i * tokenDim);
  });
  return rounded;
}

/** Root of the mean squared difference of two RGBA pictures over their colours, in levels of 255. */
export function errorOf(a: ArrayLike<number>, b: ArrayLike<number>): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) if (i % 4 < 3) sum += (a[i]! - b[i]!) ** 2;
  return Math.sqrt(sum / (0.75 * a.length));
}
