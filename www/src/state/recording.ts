// The decoding that was recorded when the page was built (build/recording.ts): shown until the engine is there.
// It has the default settings.

import type { Choices } from './branch.svelte';
import { CHOICES, FASHION, defaultSettings } from './settings';
import { readTrace, type Trace } from './trace';

/** The model it was made by. */
export const RECORDED = 'fashion';

/** Whether this picture is the recorded one. */
export function isRecorded(model: string, choices: Choices): boolean {
  const usual = defaultSettings(FASHION);
  return model === RECORDED && CHOICES.every((key) => choices[key] === usual[key]);
}

/** The recording; null where there is none, and the page waits for its engine. */
export async function fetchRecording(): Promise<Trace | null> {
  try {
    const response = await fetch(`recordings/${RECORDED}.json`);
    return response.ok ? readTrace(await response.text(), FASHION) : null;
  } catch {
    return null;
  }
}
