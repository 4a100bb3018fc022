// What the visitor looks at: the mode of the page, the chosen token, the open stages, the overlay on the picture.
// Nothing here changes what is computed.

export const MODES = ['watch', 'token', 'edit', 'order', 'compare'] as const;
export type Mode = (typeof MODES)[number];

/** The stages of an iteration, in the data's order. */
export const STAGES = ['known', 'encoder', 'z', 'diffusion', 'picture'] as const;
export type StageName = (typeof STAGES)[number];

/** Heat over the picture's grid. */
export interface Overlay {
  /** [L] from 0 to 1; NaN where there is nothing to say. */
  values: Float32Array;
  tone: 'attention' | 'similarity' | 'spread';
  caption: string;
}

export class View {
  mode: Mode = $state('watch');
  /** The token that the visitor chose; null follows the tokens being drawn. */
  token: number | null = $state(null);
  open: StageName[] = $state([]);
  overlay: Overlay | null = $state.raw(null);
  /** Chapter of the tour, from 0; null when there is none. */
  chapter: number | null = $state(null);
  /** Just the player, for a frame in another page. */
  readonly embed: boolean;

  constructor(embed: boolean) {
    this.embed = embed;
  }
}
