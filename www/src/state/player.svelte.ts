// The playback clock: walks over the recorded moments, independent of how fast they are computed.
// It waits where nothing more is recorded, and stops at the end.

import {
  endOf,
  framesIn,
  lastMoment,
  momentAt,
  momentCount,
  placeOf,
  sameExtent,
  secondsPerIteration,
  timeOf,
  type Extent,
  type Place,
} from './timeline';

export const SPEEDS = [0.5, 1, 2, 4] as const;

export class Player {
  extent: Extent = $state.raw({ iterations: 1, frames: [2] });
  /** Iterations recorded so far. */
  recorded = $state(0);
  moment = $state(0);
  playing = $state(false);
  /** Whether the end has been shown since the decoding began. */
  reachedEnd = $state(false);
  speed: number = $state(1);
  /** Shows the end of the recording as it grows, without playing; for settings without animation. */
  #follow = false;
  #time = 0;
  #tick = 0;

  readonly place: Place = $derived(placeOf(this.moment, this.extent));
  readonly last: number = $derived(lastMoment(this.recorded, this.extent));
  readonly end: number = $derived(momentCount(this.extent) - 1);

  /** Begins an empty recording; it plays from its start, or shows each iteration's end as it arrives. */
  reset(extent: Extent, plays: boolean): void {
    this.pause();
    this.extent = extent;
    this.recorded = 0;
    this.reachedEnd = false;
    this.#show(0);
    this.#follow = !plays;
    if (plays) this.play();
  }

  /** Records that an iteration has arrived, and how many there will be. */
  record(recorded: number, extent: Extent): void {
    if (!sameExtent(extent, this.extent)) this.extent = extent;
    this.recorded = recorded;
    if (this.#follow) this.#show(this.last);
  }

  /** Changes to another recording, at one of its moments. Continues playing if it was playing. */
  switchTo(extent: Extent, recorded: number, moment: number): void {
    this.#follow = false;
    this.extent = extent;
    this.recorded = recorded;
    this.reachedEnd = false;
    this.#show(Math.min(moment, this.last));
  }

  /** From here on shows the end of what is recorded, as it grows. */
  follow(): void {
    this.pause();
    this.#follow = true;
    this.#show(this.last);
  }

  /** Plays from here, or from the start when at the end. */
  play(): void {
    if (this.playing) return;
    if (this.moment === this.end) this.#show(0);
    this.#follow = false;
    this.playing = true;
    let before = performance.now();
    const tick = (now: number): void => {
      this.#advance(Math.min(0.1, (now - before) / 1000));
      before = now;
      if (this.playing) this.#tick = requestAnimationFrame(tick);
    };
    this.#tick = requestAnimationFrame(tick);
  }

  pause(): void {
    cancelAnimationFrame(this.#tick);
    this.playing = false;
    this.#follow = false;
  }

  toggle(): void {
    if (this.playing) this.pause();
    else this.play();
  }

  /** Shows a moment, as far as it is recorded. Playback goes on from there. */
  seek(moment: number): void {
    this.#follow = false;
    this.#show(Math.min(this.last, Math.max(0, Math.round(moment))));
  }

  /** Pauses and goes by moments. */
  stepMoments(by: number): void {
    this.pause();
    this.seek(this.moment + by);
  }

  /** Pauses and goes to the finished tokens of the next or the previous iteration. */
  stepIterations(by: 1 | -1): void {
    this.pause();
    const { iteration, frame } = this.place;
    const here = by > 0 && frame < framesIn(this.extent, iteration) - 1;
    this.seek(endOf(here ? iteration : iteration + by, this.extent));
  }

  #advance(seconds: number): void {
    const time = this.#time + (seconds * this.speed) / secondsPerIteration(this.extent);
    if (time < this.recorded) {
      this.#time = time;
      this.#moveTo(momentAt(time, this.extent));
    } else {
      this.#moveTo(this.last);
      if (this.moment === this.end && this.recorded > 0) this.pause();
    }
  }

  #show(moment: number): void {
    this.#moveTo(moment);
    this.#time = timeOf(moment, this.extent);
  }

  #moveTo(moment: number): void {
    this.moment = moment;
    if (this.recorded === this.extent.iterations && moment === this.end) this.reachedEnd = true;
  }
}
