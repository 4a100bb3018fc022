// Whom the pictures of a model's training are owed to (credits.json of the weights folder).

import { fetchExtra } from './extras';

/** A name, and where it leads; no address where there is none. */
export interface Link {
  name: string;
  url: string | null;
}

/** One design. */
export interface Credit {
  /** The class that is drawn from it. */
  style: string;
  title: Link;
  creator: Link;
  licence: Link;
}

export interface Credits {
  /** Who drew the pictures from the designs. */
  source: Link;
  designs: readonly Credit[];
}

function link(value: unknown): Link | null {
  const { name, url } = (value ?? {}) as Record<string, unknown>;
  if (typeof name !== 'string' || name === '') return null;
  // Nothing but a page elsewhere may stand behind a name.
  return { name, url: typeof url === 'string' && /^https?:\/\//.test(url) ? url : null };
}

/** Checks what was read; null where it is no such list. */
export function readCredits(value: unknown): Credits | null {
  const { source, designs } = (value ?? {}) as Record<string, unknown>;
  const from = link(source);
  if (!from || !Array.isArray(designs)) return null;
  const read = designs.map((design: unknown): Credit | null => {
    const given = (design ?? {}) as Record<string, unknown>;
    const [title, creator, licence] = [link(given.title), link(given.creator), link(given.licence)];
    return typeof given.style === 'string' && title && creator && licence
      ? { style: given.style, title, creator, licence }
      : null;
  });
  const sound = read.filter((credit) => credit !== null);
  return sound.length === read.length && sound.length > 0 ? { source: from, designs: sound } : null;
}

/** The list of a model's folder; null where there is none. */
export async function fetchCredits(model: string): Promise<Credits | null> {
  return readCredits(await fetchExtra(model, 'credits.json'));
}
