// The models that the page offers. The first one that the build has is what opens.

import { FASHION } from '../engine/generated';
import type { ModelInfo } from '../engine/types';

/** A model to choose. */
export interface Offer {
  /** Its folder under weights/. */
  name: string;
  title: string;
  /** What its tokens are, in a few words. */
  note: string;
  /** The class that is shown first. */
  label: string;
}

const KNOWN: readonly Offer[] = [
  { name: 'portraits', title: 'Portraits', note: 'colour, by an autoencoder’s latents', label: 'micah' },
  { name: 'fashion', title: 'Fashion', note: 'raw pixels, no autoencoder', label: 'Ankle boot' },
];

/** The names of those that are offered of some models, in their order. */
export function offered(models: readonly string[]): string[] {
  return KNOWN.map(({ name }) => name).filter((name) => models.includes(name));
}

/** Those of this build, in their order. */
export function offers(): readonly Offer[] {
  return KNOWN.filter(({ name }) => name in MODELS);
}

/** The model of an address that names none. */
export function opens(): string {
  return offers()[0]?.name ?? 'fashion';
}

/** What a model is as far as the build knows it; the engine says it again. Of others, those of the one that opens. */
export function factsOf(model: string): ModelInfo {
  return (MODELS[model] ?? MODELS[opens()])?.info ?? FASHION;
}

/** The class that is shown first. */
export function firstLabel({ name, classes }: Pick<ModelInfo, 'name' | 'classes'>): number | null {
  const wished = classes.indexOf(KNOWN.find((offer) => offer.name === name)?.label ?? '');
  return wished >= 0 ? wished : classes.length > 0 ? 0 : null;
}
