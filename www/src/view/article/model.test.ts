import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { MODEL } from './model';

const weights = new URL('../../../../weights/fashion/', import.meta.url);
const readme = readFileSync(new URL('README.md', weights), 'utf8');
const words = (n: number): string => n.toLocaleString('en-GB');

describe('what the article says of the model', () => {
  it('stands in its README', () => {
    expect(readme).toContain(`${words(MODEL.images)} training images`);
    expect(readme).toContain(`${MODEL.blocks} blocks of width ${MODEL.width} each`);
    expect(readme).toContain(`head ${MODEL.headBlocks} x ${MODEL.headWidth}, batch ${MODEL.batch},`);
    expect(readme).toContain(`${words(MODEL.trainingSteps)} steps are`);
    expect(readme).toContain(`${MODEL.judged} images`);
    expect(readme).toMatch(
      new RegExp(`classified as the class asked for +${MODEL.recognised.toFixed(1)} % +${MODEL.real.toFixed(1)} %`),
    );
  });

  it('names the class that does worst', () => {
    const classes = [...readme.matchAll(/^ {2}(\S.*?) {2,}(\d+\.\d) % +\d+\.\d %$/gm)].map(([, name, share]) => ({
      name,
      share: Number(share),
    }));
    expect(classes).toHaveLength(10);
    const worst = classes.reduce((a, b) => (b.share < a.share ? b : a));
    expect([worst.name, Math.round(worst.share)]).toEqual([MODEL.worst.name, MODEL.worst.recognised]);
  });

  it('is the shape in its config', () => {
    const { model } = JSON.parse(readFileSync(new URL('config.json', weights), 'utf8')) as {
      model: Record<string, number>;
    };
    expect(model).toMatchObject({
      encoder_depth: MODEL.blocks,
      decoder_depth: MODEL.blocks,
      encoder_embed_dim: MODEL.width,
      diffloss_d: MODEL.headBlocks,
      diffloss_w: MODEL.headWidth,
    });
  });
});
