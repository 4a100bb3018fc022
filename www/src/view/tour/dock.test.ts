import { describe, expect, it } from 'vitest';
import { dock, overlap } from './dock';

const room = { left: 0, top: 0, width: 1000, height: 800 };
const card = { width: 300, height: 200 };
const box = (left: number, top: number, width: number, height: number) => ({ left, top, width, height });

describe('overlap', () => {
  it('is the shared area, or nothing', () => {
    expect(overlap(box(0, 0, 10, 10), box(5, 6, 10, 10))).toBe(20);
    expect(overlap(box(0, 0, 10, 10), box(10, 0, 10, 10))).toBe(0);
    expect(overlap(box(0, 0, 10, 10), box(30, 30, 10, 10))).toBe(0);
  });
});

describe('dock', () => {
  it('likes the lower right corner', () => {
    expect(dock(card, room, [box(0, 0, 400, 400)], [], null)).toEqual({ left: 688, top: 588 });
  });

  it('gives way to what it points at', () => {
    expect(dock(card, room, [box(0, 700, 1000, 100)], [], null)).toEqual({ left: 688, top: 12 });
    expect(dock(card, room, [box(600, 0, 400, 800)], [], null)).toEqual({ left: 12, top: 588 });
  });

  it('then to the rest, where it can', () => {
    expect(dock(card, room, [box(0, 0, 400, 400)], [box(600, 500, 400, 300)], null)).toEqual({ left: 12, top: 588 });
    expect(dock(card, room, [box(0, 0, 400, 800)], [box(600, 0, 400, 801)], null)).toEqual({ left: 688, top: 588 });
  });

  it('stays where it is as long as that is as good', () => {
    expect(dock(card, room, [box(400, 300, 10, 10)], [], { left: 12, top: 12 })).toEqual({ left: 12, top: 12 });
    expect(dock(card, room, [box(0, 0, 100, 100)], [], { left: 12, top: 12 })).toEqual({ left: 688, top: 588 });
  });

  it('starts at the edge of a room that is too small', () => {
    expect(dock(card, box(0, 0, 200, 100), [], [], null)).toEqual({ left: 12, top: 12 });
  });
});
