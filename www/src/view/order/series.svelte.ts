// The experiment "fewer iterations": the same picture in fewer and fewer iterations, one branch each.
// The session decodes waiting branches one after another, so that forking them all is the queue.

import type { Branch } from '../../state/branch.svelte';
import type { Session } from '../../state/session.svelte';
import { showFromStart, variantOf } from '../compare/presets';

/** The numbers of iterations to try, at most one iteration per token. */
export function countsFor(tokens: number): number[] {
  return [tokens, 32, 16, 8, 4].filter((count, i) => i === 0 || count < tokens);
}

export class Series {
  readonly #session: Session;
  #made: readonly Branch[] = $state.raw([]);

  constructor(session: Session) {
    this.#session = session;
  }

  /** The experiment's branches that still exist, the most iterations first. */
  get branches(): readonly Branch[] {
    return this.#made.filter((branch) => this.#session.branches.includes(branch));
  }

  get running(): boolean {
    return this.branches.some(({ status }) => status === 'waiting' || status === 'running');
  }

  /** Throws an Error with a readable message if there is no room for the branches. */
  run(): void {
    const session = this.#session;
    for (const branch of this.branches) if (branch !== session.trunk) session.remove(branch);
    this.#made = countsFor(session.facts.tokens).map((iterations) => variantOf(session, { changes: { iterations } }));
    const [first] = this.branches;
    if (first) showFromStart(session, first);
    session.beside = null;
  }
}

const all = new WeakMap<Session, Series>();

/** The page's one experiment. */
export function seriesOf(session: Session): Series {
  let series = all.get(session);
  if (!series) all.set(session, (series = new Series(session)));
  return series;
}
