// Ranks as colours and drawings: dark comes first, light comes last.

import { interpolateViridis } from 'd3-scale-chromatic';

/** The colour of a place in an order of `count`. */
export function rankColour(rank: number, count: number): string {
  return interpolateViridis(count > 1 ? rank / (count - 1) : 0);
}

/** A grey that can be read on that colour. */
export function rankInk(rank: number, count: number): string {
  return rank / count > 0.55 ? '#000000' : '#ffffff';
}

/** The grid of an order, tiny: each token in its rank's colour. Positions that have no rank stay empty. */
export function drawOrder(
  context: CanvasRenderingContext2D,
  width: number,
  height: number,
  order: readonly number[],
  [rows, columns]: readonly [number, number],
): void {
  const [across, down] = [width / columns, height / rows];
  order.forEach((position, rank) => {
    context.fillStyle = rankColour(rank, rows * columns);
    const [x, y] = [(position % columns) * across, Math.floor(position / columns) * down];
    context.fillRect(Math.round(x), Math.round(y), Math.ceil(across), Math.ceil(down));
  });
}
