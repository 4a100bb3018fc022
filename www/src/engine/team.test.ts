import { beforeEach, describe, expect, it } from 'vitest';
import type { Copy, Peer } from './peer';
import { Team } from './team';
import type { Ask, Work } from './types';

const COPY = { bundle: 'cpu' } as Copy;

/** A peer that is loaded when a test says so, and answers with its number. */
class FakePeer {
  stops = 0;
  terminated = false;
  loaded: () => void = () => undefined;
  fail: (reason: Error) => void = () => undefined;

  constructor(
    readonly number: number,
    readonly die: () => void,
  ) {}

  load(copy: Copy): Promise<void> {
    expect(copy).toBe(COPY);
    return new Promise((resolve, reject) => {
      this.loaded = resolve;
      this.fail = reject;
    });
  }

  ask(): Promise<Work> {
    return Promise.resolve({ number: this.number });
  }

  stop(): void {
    this.stops++;
  }

  terminate(): void {
    this.terminated = true;
  }
}

let peers: FakePeer[];
let shared: readonly Ask[];
let sizes: number[];
let team: Team;

beforeEach(() => {
  peers = [];
  shared = [];
  sizes = [];
  team = new Team({
    start: (onDeath) => {
      const peer = new FakePeer(peers.length, onDeath);
      peers.push(peer);
      return peer as unknown as Peer;
    },
    copy: COPY,
    share: (asks) => (shared = asks),
    onSize: (size) => sizes.push(size),
  });
});

const settled = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 0));
/** The numbers of the peers that the engine shares its work with. */
const sharers = async (): Promise<unknown[]> =>
  (await Promise.all(shared.map((ask) => ask({})))).map((answer) => (answer as Work)['number']);

/** A team of a size whose peers are all loaded. */
async function grown(size: number): Promise<void> {
  const done = team.resize(size);
  for (let i = 0; i < size - 1; i++) {
    await settled();
    peers[i]!.loaded();
  }
  await done;
}

describe('a team', () => {
  it('takes each peer in once it is loaded', async () => {
    const done = team.resize(3);
    await settled();
    expect([peers.length, team.size, shared.length]).toEqual([1, 1, 0]);
    peers[0]!.loaded();
    await settled();
    expect([peers.length, team.size, shared.length]).toEqual([2, 2, 1]);
    peers[1]!.loaded();
    await done;
    expect(await sharers()).toEqual([0, 1]);
    expect(sizes).toEqual([2, 3]);
  });

  it('ends those that are too many, after the change that is under way', async () => {
    const grow = team.resize(2);
    const shrink = team.resize(1);
    await settled();
    peers[0]!.loaded();
    await Promise.all([grow, shrink]);
    expect([team.size, shared.length, peers[0]!.terminated]).toEqual([1, 0, true]);
    expect(sizes).toEqual([2, 1]);
  });

  it('goes on without a peer that dies', async () => {
    await grown(3);
    peers[0]!.die();
    expect(await sharers()).toEqual([1]);
    expect([team.size, sizes.at(-1), peers[0]!.terminated]).toEqual([2, 2, true]);
    const again = team.resize(3);
    await settled();
    peers[2]!.loaded();
    await again;
    expect(await sharers()).toEqual([1, 2]);
  });

  it('says why a peer did not start, and keeps those before it', async () => {
    const done = team.resize(3);
    await settled();
    peers[0]!.loaded();
    await settled();
    peers[1]!.fail(new Error('out of memory'));
    await expect(done).rejects.toThrow('out of memory');
    expect([team.size, shared.length, peers[1]!.terminated]).toEqual([2, 1, true]);
    await team.resize(1);
    expect(team.size).toBe(1);
  });

  it('lets some rest for a while, and passes a stop on to all', async () => {
    await grown(3);
    team.use(2);
    expect(await sharers()).toEqual([0]);
    team.stop();
    expect(peers.map(({ stops }) => stops)).toEqual([1, 1]);
    team.use(team.size);
    expect(await sharers()).toEqual([0, 1]);
  });
});
