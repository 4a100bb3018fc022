// Orders as the page draws them: the engine's fixed ones for their pictures, and one made by hand, a token at a time.
// Section 3.4 of the paper: any order works, since training used random ones.

/** Rows and columns of the grid. */
type Grid = readonly [rows: number, columns: number];

/** A fixed order's positions, as the engine makes them. */
export function fixedOrder(kind: 'raster' | 'spiral' | 'center', grid: Grid): number[] {
  const [rows, columns] = grid;
  const positions = Array.from({ length: rows * columns }, (_, position) => position);
  if (kind === 'raster') return positions;
  if (kind === 'center') return positions.sort((a, b) => fromMiddle(a, grid) - fromMiddle(b, grid));
  return spiral(grid);
}

/** Squared distance from the middle of the grid, in half tokens. */
function fromMiddle(position: number, [rows, columns]: Grid): number {
  const down = 2 * Math.floor(position / columns) + 1 - rows;
  const right = 2 * (position % columns) + 1 - columns;
  return down * down + right * right;
}

/** Right, down, left, up with growing legs from the middle, keeping what lies on the grid. */
function spiral([rows, columns]: Grid): number[] {
  const turns = [
    [0, 1],
    [1, 0],
    [0, -1],
    [-1, 0],
  ] as const;
  const order: number[] = [];
  let row = Math.floor((rows - 1) / 2);
  let column = Math.floor((columns - 1) / 2);
  for (let leg = 0; ; leg++) {
    const [down, right] = turns[leg % 4]!;
    // Each length is walked twice before it grows.
    for (let walked = 0; walked <= leg >> 1; walked++) {
      if (order.length === rows * columns) return order;
      if (row >= 0 && row < rows && column >= 0 && column < columns) order.push(row * columns + column);
      row += down;
      column += right;
    }
  }
}

/** A token taken next; one that is taken already changes nothing. */
export function take(taken: readonly number[], position: number): readonly number[] {
  return taken.includes(position) ? taken : [...taken, position];
}

/** The order with the tokens not taken yet behind it, at random: the same ones for the same seed. */
export function restAtRandom(taken: readonly number[], count: number, seed: number): number[] {
  const rest = Array.from({ length: count }, (_, position) => position).filter((position) => !taken.includes(position));
  const next = randomFrom(seed);
  // Fisher and Yates, from the back.
  for (let i = rest.length - 1; i > 0; i--) {
    const j = Math.floor(next() * (i + 1));
    [rest[i], rest[j]] = [rest[j]!, rest[i]!];
  }
  return [...taken, ...rest];
}

/** Random numbers in [0, 1) from a seed of 32 bits (mulberry32): good enough to shuffle a grid, the same everywhere. */
function randomFrom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
