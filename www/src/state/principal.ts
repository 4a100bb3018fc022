// Principal axes of a handful of vectors, by power iteration: enough to draw many-dimensional z in a few numbers.
// There are fewer vectors than dimensions, so the work is done on their products with each other.

export interface Principal {
  /** [rows, axes]: every row along each axis, widest axis first. */
  scores: Float32Array;
  /** Variance along each axis, over the rows. */
  variance: number[];
}

/** Rounds of power iteration; two axes of nearly the same variance may stay mixed, which is good enough for a drawing. */
const ROUNDS = 60;

/** `values` is [rows, width]. An axis's sign is free: the row farthest out along it is on its positive side. */
export function principal(values: Float32Array, width: number, axes: number): Principal {
  const rows = values.length / width;
  const products = centredProducts(values, rows, width);
  const scores = new Float32Array(rows * axes);
  const variance: number[] = [];
  for (let k = 0; k < axes; k++) {
    const { vector, value } = strongest(products, rows);
    const farthest = vector.reduce((best, x) => (Math.abs(x) > Math.abs(best) ? x : best), 0);
    const reach = Math.sign(farthest) * Math.sqrt(value);
    for (let i = 0; i < rows; i++) {
      scores[i * axes + k] = reach * vector[i]!;
      // What this axis explains is taken out before the next one is looked for.
      for (let j = 0; j < rows; j++) products[i * rows + j]! -= value * vector[i]! * vector[j]!;
    }
    variance.push(value / rows);
  }
  return { scores, variance };
}

/** Products of the centred rows with each other, [rows, rows]. */
function centredProducts(values: Float32Array, rows: number, width: number): Float64Array {
  const centred = Float64Array.from(values);
  for (let j = 0; j < width; j++) {
    let mean = 0;
    for (let i = 0; i < rows; i++) mean += values[i * width + j]! / rows;
    for (let i = 0; i < rows; i++) centred[i * width + j]! -= mean;
  }
  const products = new Float64Array(rows * rows);
  for (let a = 0; a < rows; a++) {
    for (let b = a; b < rows; b++) {
      let sum = 0;
      for (let j = 0; j < width; j++) sum += centred[a * width + j]! * centred[b * width + j]!;
      products[a * rows + b] = sum;
      products[b * rows + a] = sum;
    }
  }
  return products;
}

/** The eigenvector of the largest eigenvalue, and that value; 0 and no direction where nothing is left. */
function strongest(products: Float64Array, rows: number): { vector: Float64Array; value: number } {
  // Any start works that is not orthogonal to the answer; uneven numbers make that very unlikely.
  let vector = Float64Array.from({ length: rows }, (_, i) => Math.sin(1 + 7 * i));
  let value = 0;
  for (let round = 0; round <= ROUNDS; round++) {
    const next = new Float64Array(rows);
    let squares = 0;
    for (let i = 0; i < rows; i++) {
      let sum = 0;
      for (let j = 0; j < rows; j++) sum += products[i * rows + j]! * vector[j]!;
      next[i] = sum;
      squares += sum * sum;
    }
    const length = Math.sqrt(squares);
    if (length === 0) return { vector: next, value: 0 };
    vector = next.map((x) => x / length);
    // The first round's length is not that of a unit vector's image.
    if (round > 0) value = length;
  }
  return { vector, value };
}
