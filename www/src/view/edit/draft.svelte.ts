// The visitor's drawing and its tools. It outlives the panel, so that changing the mode loses nothing.
// Until something is drawn it is the picture shown, moment by moment.

import type { Branch } from '../../state/branch.svelte';
import { pinsOf, redo, sketchFromPins, sketchOf, step, undo, type History, type Sketch } from '../../state/pins';
import { cellsAt } from '../../state/scene';
import type { Session } from '../../state/session.svelte';
import type { Geometry } from '../../state/settings';
import { sketchFromFile } from './upload';

export type Tool = 'paint' | 'erase' | 'pin';

export class Draft {
  readonly #session: Session;
  /** Null until something is drawn. */
  #history: History | null = $state.raw(null);
  /** The drawing with the current stroke. */
  #stroke: Sketch | null = $state.raw(null);

  tool: Tool = $state('paint');
  /** The byte that is painted. */
  tone = $state(255);
  /** Diameter of the brush in pixels. */
  size = $state(2);
  /** The class for the rest; undefined: the class of the first picture. */
  label: number | null | undefined = $state.raw(undefined);
  seed: number | undefined = $state(undefined);
  /** The branch that was last decoded around the drawing. */
  result: Branch | null = $state.raw(null);
  /** The last error message. */
  problem: string | null = $state(null);

  constructor(session: Session) {
    this.#session = session;
  }

  get sketch(): Sketch {
    return this.#stroke ?? this.#kept?.now ?? this.shown;
  }

  /** The picture shown with its known patches pinned; if it was made from a drawing, that drawing. */
  get shown(): Sketch {
    const { active, facts, pictures, player } = this.#session;
    if (active.pins.size > 0 && !this.#kept) return sketchFromPins(active.pins, facts);
    const known = cellsAt(active.events, player.place, facts).map((state) => state === 'known' || state === 'newest');
    return sketchOf(pictures.at(active, player.place), known, facts);
  }

  get canUndo(): boolean {
    return (this.#kept?.past.length ?? 0) > 0;
  }

  get canRedo(): boolean {
    return (this.#kept?.future.length ?? 0) > 0;
  }

  /** Whether the visitor has changed the drawing; it then no longer follows the timeline. */
  get begun(): boolean {
    return this.#kept !== null;
  }

  /** Shows the current stroke; `settle` makes it one step that can be undone. */
  draw(next: Sketch): void {
    this.#stroke = next;
  }

  settle(): void {
    const stroke = this.#stroke;
    this.#stroke = null;
    if (stroke) this.apply(stroke);
  }

  apply(next: Sketch): void {
    this.problem = null;
    this.#history = step(this.#kept ?? { past: [], now: this.shown, future: [] }, next);
  }

  undo(): void {
    if (this.#kept) this.#history = undo(this.#kept);
  }

  redo(): void {
    if (this.#kept) this.#history = redo(this.#kept);
  }

  /** Takes a picture from a file; all of it is given then. */
  async take(file: File): Promise<void> {
    try {
      this.apply(await sketchFromFile(file, this.#session.facts));
    } catch (error) {
      this.problem = error instanceof Error ? error.message : String(error);
    }
  }

  /** Decodes what is not given around what is. */
  decode(): void {
    const { trunk, facts } = this.#session;
    const { sketch } = this;
    // From here on the picture shown is the result; the drawing stays what it is.
    this.#history = this.#kept ?? { past: [], now: sketch, future: [] };
    const { label, seed } = this;
    this.result = this.#session.fork({
      parent: trunk,
      at: 0,
      pins: pinsOf(sketch, facts),
      changes: {
        ...(label !== undefined && label !== trunk.choices.label && { label }),
        ...(seed !== undefined && seed !== trunk.choices.seed && { seed }),
      },
    });
  }

  /** The history, unless it belongs to a model with another picture size. */
  get #kept(): History | null {
    return this.#history && fits(this.#history.now, this.#session.facts) ? this.#history : null;
  }
}

function fits({ pixels, pinned }: Sketch, { image, channels, tokens }: Geometry): boolean {
  return pixels.length === channels * image[0] * image[1] && pinned.length === tokens;
}

const drafts = new WeakMap<Session, Draft>();

/** The page's one drawing. */
export function draftOf(session: Session): Draft {
  let draft = drafts.get(session);
  if (!draft) drafts.set(session, (draft = new Draft(session)));
  return draft;
}
