// A peer of the engine's worker: another worker with the same bundle and weights. It answers parts of the work (answers.ts).

import { expose, transfer } from 'comlink';
import { Answers } from './answers';
import { buffersOf } from './buffers';
import type { Copy } from './peer';
import { SCRIPTS } from './scripts';
import type { Work } from './types';

let answers: Answers | null = null;

const api = {
  async load({ bundle, wasm, config, weights, autoencoder }: Copy): Promise<void> {
    const script = await SCRIPTS[bundle]();
    await script.default({ module_or_path: wasm });
    answers = new Answers(await script.Engine.load(config, weights, 'cpu', autoencoder));
  },

  async answer(work: Work): Promise<Work | 'stopped'> {
    if (!answers) throw new Error('This worker has no model yet.');
    const answer = await answers.answer(work);
    return answer === 'stopped' ? answer : transfer(answer, buffersOf(answer));
  },

  stop(): void {
    answers?.stop();
  },
};
export type PeerApi = typeof api;
expose(api);
