// What the model does at a moment, in one or two plain sentences.

import type { Scene } from './scene';
import type { StageName } from './view.svelte';

/** Where in the process a moment is. */
export type Stage = 'waiting' | 'transformer' | 'diffusion' | 'finished';

export function stageOf(scene: Scene): Stage {
  if (scene.tokens.length === 0) return 'waiting';
  if (scene.frame < 0) return 'transformer';
  return scene.frame === scene.frames - 1 ? 'finished' : 'diffusion';
}

/** The stages of the page at work at a moment: the transformer's two halves are one pass. */
export function working(scene: Scene): StageName[] {
  switch (stageOf(scene)) {
    case 'waiting':
      return [];
    case 'transformer':
      return ['encoder', 'z'];
    case 'diffusion':
      return ['diffusion'];
    case 'finished':
      return ['picture'];
  }
}

/** `1 token`, `3 tokens`. */
export function count(n: number, noun: string): string {
  return `${n} ${noun}${n === 1 ? '' : 's'}`;
}

/** Where in its iteration a moment is. */
export function stepInWords({ frame, frames }: Pick<Scene, 'frame' | 'frames'>): string {
  return frame < 0 ? 'the transformer reads' : `diffusion step ${frame} of ${frames - 1}`;
}

/** What is happening, in a heading and a sentence or two. */
export function narrate(scene: Scene, iterations: number, label: string | null): { heading: string; text: string } {
  const heading = `Iteration ${scene.iteration + 1} of ${iterations}`;
  const total = scene.cells.length;
  const now = scene.tokens.length;
  const picture = label === null ? 'a picture of no class in particular' : `the class “${label}”`;
  switch (stageOf(scene)) {
    case 'waiting':
      return { heading: 'Before the first iteration', text: `Nothing is known yet: all ${total} tokens are masked.` };
    case 'transformer': {
      const reads =
        scene.known === 0
          ? `No token is known yet, so the transformer has only ${picture} to go by.`
          : `The transformer reads the ${count(scene.known, 'token')} known so far, and ${picture}.`;
      return {
        heading,
        text: `${reads} It writes a vector z for ${now === 1 ? 'the next token' : `each of the next ${now} tokens`} in the order.`,
      };
    }
    case 'diffusion': {
      const start =
        scene.frame === 0
          ? `${count(now, 'token')} start${now === 1 ? 's' : ''} as pure noise: nothing but random numbers.`
          : now === 1
            ? 'Guided by its z, the diffusion head turns noise into 1 token.'
            : `The diffusion head turns noise into ${now} tokens at once, each guided by its own z.`;
      return { heading, text: `${start} Diffusion step ${scene.frame} of ${scene.frames - 1}.` };
    }
    case 'finished': {
      const done = scene.known + now;
      if (done === total) {
        return {
          heading,
          text: `All ${total} tokens are known: the picture is finished. Every token came out of the diffusion head, none from a codebook.`,
        };
      }
      return {
        heading,
        text: `${count(now, 'token')} finished. From here on the transformer reads ${now === 1 ? 'it' : 'them'} too: ${done} of ${total} are known.`,
      };
    }
  }
}
