// How similar two positions are to the transformer: the cosine between their z (section 3.2 of the paper: z is
// all that the head knows of a token).

/** Cosine of a position's z with every position's: [L], in [-1, 1]. A zero z is similar to itself only. */
export function cosines(z: Float32Array, width: number, position: number): Float32Array {
  const dot = (a: number, b: number): number => {
    let sum = 0;
    for (let i = 0; i < width; i++) sum += (z[a * width + i] ?? 0) * (z[b * width + i] ?? 0);
    return sum;
  };
  const own = Math.sqrt(dot(position, position));
  return Float32Array.from({ length: z.length / width }, (_, other) => {
    if (other === position) return 1;
    const norms = own * Math.sqrt(dot(other, other));
    return norms > 0 ? dot(position, other) / norms : 0;
  });
}

/**
 * Similarities as heat in [0, 1]: 1 is the position itself, 0.5 the mean of the other positions. All z of a picture are
 * rather similar, so differences from that mean matter.
 */
export function likenessHeat(similarities: Float32Array, position: number): Float32Array {
  const others = similarities.filter((_, other) => other !== position);
  const mean = others.reduce((sum, value) => sum + value, 0) / Math.max(1, others.length);
  if (mean >= 1) return similarities.map(() => 1);
  return similarities.map((value) => Math.max(0, 0.5 + (0.5 * (value - mean)) / (1 - mean)));
}

/** The positions most like this one, the closest first; of equals the earlier one comes first. */
export function closest(similarities: Float32Array, position: number, count: number): number[] {
  return Array.from(similarities.keys())
    .filter((other) => other !== position)
    .sort((a, b) => (similarities[b] ?? 0) - (similarities[a] ?? 0))
    .slice(0, count);
}
