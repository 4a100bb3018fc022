import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { FASHION_CARD as CARD } from './model';
import { factsOf } from '../../../build/facts';
import { fileURLToPath } from 'node:url';

const weights = new URL('../../../../weights/fashion/', import.meta.url);
const readme = readFileSync(new URL('README.md', weights), 'utf8');
const words = (n: number): string => n.toLocaleString('en-GB');

describe('what the article says of the model', () => {
  it('stands in its README', () => {
    expect(readme).toContain(`${words(CARD.images)} training images`);
    const { network } = factsOf(fileURLToPath(weights));
    expect(readme).toContain(`${network.blocks[0]} blocks of width ${network.width[0]} each`);
    expect(readme).toContain(`head ${network.headBlocks} x ${network.headWidth}, batch ${CARD.batch},`);
    expect(readme).toContain(`${words(CARD.trainingSteps)} steps are`);
    expect(readme).toContain(`${CARD.judged} images`);
    expect(readme).toMatch(
      new RegExp(`classified as the class asked for +${CARD.recognised.toFixed(1)} % +${CARD.real.toFixed(1)} %`),
    );
  });

  it('names the class that does worst', () => {
    const classes = [...readme.matchAll(/^ {2}(\S.*?) {2,}(\d+\.\d) % +\d+\.\d %$/gm)].map(([, name, share]) => ({
      name,
      share: Number(share),
    }));
    expect(classes).toHaveLength(10);
    const worst = classes.reduce((a, b) => (b.share < a.share ? b : a));
    expect([worst.name, Math.round(worst.share)]).toEqual([CARD.worst.name, CARD.worst.recognised]);
  });
});
