// The visitor's drawing and its tools. It outlives the panel, so that changing the mode loses nothing.
// Until something is drawn it is the picture shown, moment by moment.

import type { Branch, Pins } from '../../state/branch.svelte';
import {
  latentPins,
  needsEncoder,
  pictureOf,
  pinsOf,
  redo,
  sketchFromPins,
  sketchOf,
  step,
  undo,
  type History,
  type Sketch,
} from '../../state/pins';
import { pinned } from '../../state/decodestate';
import { blankPixels, cellsAt, tokensAt } from '../../state/scene';
import type { Session } from '../../state/session.svelte';
import type { Geometry } from '../../state/settings';
import { sketchFromFile } from './upload';

export type Tool = 'paint' | 'erase' | 'pin';

export class Draft {
  readonly #session: Session;
  /** Null until something is drawn. */
  #history: History | null = $state.raw(null);
  /** The pins of the picture shown as tokens: the same arrays each time. */
  #given: { of: Branch; tokens: Float32Array; masked: Uint8Array } | null = null;
  /** The drawing with the current stroke. */
  #stroke: Sketch | null = $state.raw(null);

  tool: Tool = $state('paint');
  /** What is painted: a byte for a grey picture, `#rrggbb` for one in colour. */
  tone = $state(255);
  colour = $state('#1d1d1f');
  /** Which of the brushes. */
  brush = $state(1);
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
    if (facts.tokenizer !== 'pixel') return this.#shownLatents;
    if (active.pins.size > 0 && !this.#kept) return sketchFromPins(active.pins, facts);
    const known = cellsAt(active.events, player.place, facts).map((state) => state === 'known' || state === 'newest');
    return sketchOf(pictures.at(active, player.place), known, facts);
  }

  /** Diameters of the brushes in pixels, as large in every picture. */
  get sizes(): number[] {
    const { image } = this.#session.facts;
    return [1, 2, 3, 5].map((size) => Math.max(1, Math.round((size * image[1]) / 28)));
  }

  get size(): number {
    return this.sizes[this.brush] ?? 1;
  }

  /** The bytes that are painted, for each channel. */
  get paints(): number[] {
    if (this.#session.facts.channels === 1) return [this.tone];
    return [1, 3, 5].map((at) => Number.parseInt(this.colour.slice(at, at + 2), 16));
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

  /** Decodes what is not given around what is. Rejects with an Error with a readable message. */
  async decode(): Promise<void> {
    const { trunk, facts } = this.#session;
    const { sketch } = this;
    // From here on the picture shown is the result; the drawing stays what it is.
    this.#history = this.#kept ?? { past: [], now: sketch, future: [] };
    const { label, seed } = this;
    const pins = await this.#pinsOf(sketch);
    if (facts !== this.#session.facts) return;
    this.result = this.#session.fork({
      parent: trunk,
      at: 0,
      pins,
      changes: {
        ...(label !== undefined && label !== trunk.choices.label && { label }),
        ...(seed !== undefined && seed !== trunk.choices.seed && { seed }),
      },
    });
  }

  /** The same for latents: known tokens are kept as they are, and their pixels are decoded. */
  get #shownLatents(): Sketch {
    const { active, facts, pictures, player } = this.#session;
    if (active.pins.size > 0 && !this.#kept) {
      this.#given = this.#given?.of === active ? this.#given : { of: active, ...pinned(active.pins, facts) };
      const { tokens, masked } = this.#given;
      const known = Array.from(masked, (hidden) => hidden === 0);
      return sketchOf(pictures.of(active, tokens) ?? blankPixels(facts), known, facts, tokens);
    }
    const known = cellsAt(active.events, player.place, facts).map((state) => state === 'known' || state === 'newest');
    const tokens = tokensAt(active.events, player.place, facts);
    return sketchOf(pictures.at(active, player.place), known, facts, tokens);
  }

  /** What is given, as tokens. */
  async #pinsOf(sketch: Sketch): Promise<Pins> {
    const { facts } = this.#session;
    if (facts.tokenizer === 'pixel') return pinsOf(sketch, facts);
    const encoded = needsEncoder(sketch) ? await this.#session.encode(pictureOf(sketch)) : new Float32Array();
    return latentPins(sketch, encoded, facts);
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
