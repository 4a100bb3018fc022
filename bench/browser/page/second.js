// A second worker of marscope's engine, as the page has it (www/src/engine/peerworker.ts): it answers parts of the work.

/** @type {any} */
let engine = null;
const always = () => Promise.resolve(true);

onmessage = async ({ data }) => {
  if (engine === null) {
    const module = await import(`${data.bundle}/marscope.js`);
    await module.default({ module_or_path: data.wasm });
    engine = await module.Engine.load(data.config, data.data, 'cpu');
    postMessage('ready');
    return;
  }
  const answer = await engine.answer(data, always);
  const buffers = Object.values(answer).flatMap((value) => (ArrayBuffer.isView(value) ? [value.buffer] : []));
  postMessage(answer, { transfer: buffers });
};
