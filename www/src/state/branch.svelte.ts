// One decoding with its recording. The trunk has the page's settings. The others fork from a parent, whose recording they
// share up to the iteration at which something was chosen differently.

import type { DecodeSettings, DecodeState, Device, IterationEvent } from '../engine/types';
import { stepsIn } from './budget';
import { NO_PINS } from './decodestate';
import type { Player } from './player.svelte';
import { SOLVER_NAMES } from './settings';
import { framesIn, momentAt, momentOf, placeOf, sameExtent, timeOf, type Extent, type Place } from './timeline';

/** The settings of a picture. */
export type Choices = Omit<DecodeSettings, 'stride'>;

/** Tokens given by the visitor, [tokenDim] by position. Known from the start. */
export type Pins = ReadonlyMap<number, Float32Array>;

/** The definition of a branch. */
export interface ForkSpec {
  parent: Branch;
  /** First iteration of its own; what happens before is the parent's. */
  at: number;
  /** Choices that differ from the parent's from then on. If `at` is above 0, iterations and order cannot differ. */
  changes: Partial<Choices>;
  /** Only where `at` is 0. */
  pins: Pins;
  /** Null: the page's device. */
  device: Device | null;
}

export type Status = 'waiting' | 'running' | 'complete' | 'stopped' | 'failed';

let next = 0;

export class Branch {
  readonly id = next++;
  readonly parent: Branch | null;
  readonly at: number;
  readonly pins: Pins;
  readonly device: Device | null;
  /** The state it was computed from, where that is neither the parent's nor its pins': a trace that was opened. */
  start: DecodeState | null = null;
  /** Its own choices; for the trunk, all of them. */
  changes: Partial<Choices> = $state.raw({});
  /** Iterations of its own; the parent's come before. */
  own: readonly IterationEvent[] = $state.raw([]);
  ownRanks: Uint32Array | null = $state.raw(null);
  status: Status = $state('waiting');
  /** The error message if it failed. */
  error: string | null = $state(null);

  /** A trunk from its choices, or a fork. */
  constructor(from: Choices | ForkSpec) {
    if ('parent' in from) {
      ({ parent: this.parent, at: this.at, changes: this.changes, pins: this.pins, device: this.device } = from);
    } else {
      this.parent = null;
      this.at = 0;
      this.pins = NO_PINS;
      this.device = null;
      this.changes = from;
    }
  }

  /** The parent's choices, with the changes. */
  readonly choices: Choices = $derived.by(() => ({ ...this.parent?.choices, ...this.changes }) as Choices);

  /** Every recorded iteration from the first one on. */
  readonly events: readonly IterationEvent[] = $derived.by(() =>
    this.parent && this.at > 0 ? [...this.parent.events.slice(0, this.at), ...this.own] : this.own,
  );

  /** ranks[position]; null before the first iteration. */
  readonly ranks: Uint32Array | null = $derived.by(() => this.ownRanks ?? (this.at > 0 ? this.parent!.ranks : null));

  readonly extent: Extent = $derived.by(() => {
    const { choices, events } = this;
    const iterations = this.own.at(-1)?.iterations ?? choices.iterations;
    const frames = Array.from({ length: iterations }, (_, i) => events[i]?.timesteps.length ?? stepsIn(choices, i) + 1);
    return { iterations, frames };
  });

  /** Engine time of its own iterations. */
  readonly ms: number = $derived(this.own.reduce((sum, { ms }) => sum + ms.backbone + ms.head, 0));

  /** Its name in lists. */
  readonly name: string = $derived.by(() => {
    if (!this.parent) return 'The picture';
    const parts: string[] = [];
    const { seed, label, cfg, cfgSchedule, cfgEvery, iterations, steps, lateSteps, solver, temperature, order } =
      this.changes;
    if (this.pins.size > 0) parts.push(this.pins.size === 1 ? '1 token given' : `${this.pins.size} tokens given`);
    if (label !== undefined) parts.push(label === null ? 'no class' : `class ${label}`);
    if (seed !== undefined) parts.push(`seed ${seed}`);
    if (cfg !== undefined) parts.push(`guidance ${cfg}`);
    if (cfgSchedule !== undefined) parts.push(`${cfgSchedule} guidance`);
    if (cfgEvery !== undefined) parts.push(`guidance anew 1 in ${cfgEvery}`);
    if (temperature !== undefined) parts.push(`temperature ${temperature}`);
    if (solver !== undefined) parts.push(SOLVER_NAMES[solver]);
    if (steps !== undefined) parts.push(`${steps} steps`);
    if (lateSteps !== undefined) parts.push(lateSteps === null ? 'as many steps in all' : `${lateSteps} at the end`);
    if (iterations !== undefined) parts.push(iterations === 1 ? '1 iteration' : `${iterations} iterations`);
    if (order !== undefined) parts.push(typeof order === 'string' ? `${order} order` : 'an order by hand');
    if (this.device) parts.push(this.device === 'cpu' ? 'on the CPU' : 'on WebGPU');
    const what = parts.length > 0 ? parts.join(', ') : 'the same again';
    return this.at > 0 ? `${what} from iteration ${this.at + 1}` : what;
  });

  /** The choices in force in an iteration: the parent's before its own begin. */
  choicesAt(iteration: number): Choices {
    return this.parent && iteration < this.at ? this.parent.choicesAt(iteration) : this.choices;
  }

  /** Its moment while the player shows another branch: the same place, or the same share of the timeline. */
  placeAt(player: Player): Place {
    const { extent } = this;
    const shown = player.extent;
    if (sameExtent(extent, shown)) return player.place;
    if (player.moment === player.end) {
      const iteration = extent.iterations - 1;
      return { iteration, frame: framesIn(extent, iteration) - 1 };
    }
    const share = timeOf(player.moment, shown) / shown.iterations;
    return placeOf(momentAt(share * extent.iterations, extent), extent);
  }

  /** Its moment that is nearest to a place of another branch. */
  momentNear(place: Place): number {
    const { extent } = this;
    const iteration = Math.min(place.iteration, extent.iterations - 1);
    return momentOf({ iteration, frame: Math.min(place.frame, framesIn(extent, iteration) - 1) }, extent);
  }
}
