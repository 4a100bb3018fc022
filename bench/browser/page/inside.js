// marscope's engine (ours.js) in a worker, as the page has it: its methods are called by messages.
// The file runs on both sides: in the page it sends, in the worker it answers.

const inPage = typeof document === 'object';

/**
 * As in ours.js, in a worker.
 * @param {import('./ours.js').Options} options
 */
export async function open(options) {
  const worker = new Worker('/page/inside.js', { type: 'module' });
  const call = (/** @type {string} */ method, /** @type {unknown} */ argument) =>
    new Promise((resolve, reject) => {
      worker.onmessage = ({ data }) => ('error' in data ? reject(new Error(data.error)) : resolve(data.result));
      worker.onerror = ({ message }) => reject(new Error(message));
      worker.postMessage({ method, argument });
    });
  await call('open', options);
  return {
    iteration: (/** @type {number[]} */ image) => call('iteration', image),
    image: () => call('image', null),
  };
}

if (!inPage) {
  /** @type {any} */
  let engine = null;
  onmessage = async ({ data: { method, argument } }) => {
    try {
      if (method === 'open') engine = await (await import('./ours.js')).open(argument);
      postMessage({ result: method === 'open' ? null : await engine[method](argument) });
    } catch (error) {
      postMessage({ error: String(error) });
    }
  };
}
