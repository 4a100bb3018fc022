// What the words of the page depend on, for components far below: the facts of the model that it runs.

import { getContext, setContext } from 'svelte';
import { factsOf, opens } from '../state/models';
import type { ModelInfo } from '../engine/types';

const KEY = Symbol('facts');

/** Call it while the page's root component initialises. */
export function provideFacts(facts: () => ModelInfo): void {
  setContext(KEY, facts);
}

/** Call it while a component initialises. */
export function useFacts(): () => ModelInfo {
  return getContext<(() => ModelInfo) | undefined>(KEY) ?? ((): ModelInfo => factsOf(opens()));
}
