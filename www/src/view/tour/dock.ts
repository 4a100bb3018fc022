// Where the tour's card goes: the corner in which it hides least of what it points at.

/** In pixels of the window. */
export interface Box {
  left: number;
  top: number;
  width: number;
  height: number;
}

/** Pixels between the card and the edges of the room it has. */
export const MARGIN = 12;

/** Shared area of two boxes. */
export function overlap(a: Box, b: Box): number {
  const width = Math.min(a.left + a.width, b.left + b.width) - Math.max(a.left, b.left);
  const height = Math.min(a.top + a.height, b.top + b.height) - Math.max(a.top, b.top);
  return Math.max(0, width) * Math.max(0, height);
}

/**
 * The card's place in `room`: the lower right corner, else lower left, upper right, upper left, whichever covers least of
 * `keep`, and then the least of `less`. It stays where it is (`now`) unless another corner is better.
 */
export function dock(
  card: { width: number; height: number },
  room: Box,
  keep: readonly Box[],
  less: readonly Box[],
  now: { left: number; top: number } | null,
): { left: number; top: number } {
  const left = room.left + MARGIN;
  const top = room.top + MARGIN;
  const right = Math.max(left, room.left + room.width - card.width - MARGIN);
  const bottom = Math.max(top, room.top + room.height - card.height - MARGIN);
  const corners = [
    { left: right, top: bottom },
    { left, top: bottom },
    { left: right, top },
    { left, top },
  ];
  const area = (boxes: readonly Box[], corner: { left: number; top: number }): number =>
    boxes.reduce((sum, box) => sum + overlap({ ...card, ...corner }, box), 0);
  // What is to be kept free counts a thousand times as much as the rest.
  const cost = (corner: { left: number; top: number }): number =>
    1000 * area(keep, corner) +
    area(less, corner) -
    (now && Math.abs(now.left - corner.left) < 1 && Math.abs(now.top - corner.top) < 1 ? 1 : 0);
  return corners.reduce((best, corner) => (cost(corner) < cost(best) ? corner : best));
}
