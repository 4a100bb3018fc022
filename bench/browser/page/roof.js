// The machine's peak in the same browser: multiply-adds in registers, and bytes copied through memory.
// No layer reaches it; the table shows engines as shares of it.

/** Runs `work(n)` with more and more until it takes a while; its best time a unit, in seconds. */
async function best(/** @type {(n: number) => number | Promise<number>} */ work) {
  let n = 1;
  let ms = 0;
  while ((ms = await work(n)) < 60) n = Math.ceil(n * Math.min(8, Math.max(1.5, 80 / Math.max(ms, 1))));
  let least = ms / n;
  for (let i = 0; i < 4; i++) least = Math.min(least, (await work(n)) / n);
  return least / 1e3;
}

/** Accumulators of the loop: enough to hide the latency of both operations, few enough for the registers. */
const CHAINS = 12;

/** A module whose function `run(n)` multiplies and adds 4 numbers in each of CHAINS chains, n times over. */
function chains() {
  const [I32, V128, F32] = [0x7f, 0x7b, 0x7d];
  const get = (/** @type {number} */ local) => [0x20, local];
  const set = (/** @type {number} */ local) => [0x21, local];
  const constant = (/** @type {number} */ value) => [0x43, ...new Uint8Array(new Float32Array([value]).buffer)];
  const [SPLAT, MUL, ADD] = [
    [0xfd, 0x13],
    [0xfd, 0xe6, 0x01],
    [0xfd, 0xe4, 0x01],
  ];
  // Locals: n; two constants; the chains.
  const [n, a, b, first] = [0, 1, 2, 3];
  const each = Array.from({ length: CHAINS }, (_, i) => first + i);
  const body = [
    ...[1, 2 + CHAINS, V128],
    ...[...constant(0.999), ...SPLAT, ...set(a), ...constant(0.001), ...SPLAT, ...set(b)],
    ...each.flatMap((chain) => [...constant(chain), ...SPLAT, ...set(chain)]),
    ...[0x03, 0x40],
    ...each.flatMap((chain) => [...get(chain), ...get(a), ...MUL, ...get(b), ...ADD, ...set(chain)]),
    ...[...get(n), 0x41, 1, 0x6b, 0x22, n, 0x0d, 0, 0x0b],
    ...get(first),
    ...each.slice(1).flatMap((chain) => [...get(chain), ...ADD]),
    ...[0xfd, 0x1f, 0, 0x0b],
  ];
  const leb = (/** @type {number} */ value) => (value < 128 ? [value] : [(value & 127) | 128, value >> 7]);
  const section = (/** @type {number} */ id, /** @type {number[]} */ content) => [id, ...leb(content.length), ...content];
  return Uint8Array.from([
    ...[0, 0x61, 0x73, 0x6d, 1, 0, 0, 0],
    ...section(1, [1, 0x60, 1, I32, 1, F32]),
    ...section(3, [1, 0]),
    ...section(7, [1, 3, 0x72, 0x75, 0x6e, 0, 0]),
    ...section(10, [1, ...leb(body.length), ...body]),
  ]);
}

/** Billions of products and sums a second, of one thread in WebAssembly's SIMD. */
export async function processor() {
  const { instance } = await WebAssembly.instantiate(chains());
  const run = /** @type {(n: number) => number} */ (instance.exports.run);
  const seconds = await best((n) => {
    const begin = performance.now();
    run(n * 100_000);
    return performance.now() - begin;
  });
  return { gigaflops: (2 * 4 * CHAINS * 100_000) / seconds / 1e9 };
}

/** Sums of four numbers a lane; products of each in a turn of the loop; bytes of the copy. */
const [SUMS, TURNS, COPIED] = [16, 256, 32 << 20];

const PRODUCTS = `
@group(0) @binding(0) var<storage, read> input: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> output: array<vec4<f32>>;
@compute @workgroup_size(64) fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  let a = input[0]; let b = input[1];
  ${Array.from({ length: SUMS }, (_, i) => `var s${i} = vec4(f32(id.x) + ${i}.0);`).join('\n')}
  for (var turn = 0u; turn < ${TURNS}u; turn++) {
    ${Array.from({ length: SUMS }, (_, i) => `s${i} = s${i} * a + b;`).join('\n')}
  }
  output[id.x] = ${Array.from({ length: SUMS }, (_, i) => `s${i}`).join(' + ')};
}`;
const COPY = `
@group(0) @binding(0) var<storage, read> input: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> output: array<vec4<f32>>;
@compute @workgroup_size(64) fn main(@builtin(global_invocation_id) id: vec3<u32>) { output[id.x] = input[id.x]; }`;

/** The same for the whole GPU, and billions of bytes copied per second through its memory. */
export async function gpu() {
  const adapter = await navigator.gpu.requestAdapter();
  const device = await adapter?.requestDevice();
  if (!device) throw new Error('no GPU');
  const usage = GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC;
  const [from, to] = [0, 1].map(() => device.createBuffer({ size: COPIED, usage }));
  const readable = device.createBuffer({ size: 16, usage: GPUBufferUsage.COPY_DST | GPUBufferUsage.MAP_READ });
  if (!from || !to) throw new Error('no buffers');

  /** Milliseconds of a kernel over so many lanes, so many times. */
  async function time(/** @type {string} */ code, /** @type {number} */ lanes) {
    const module = device?.createShaderModule({ code });
    if (!device || !module) throw new Error('no kernel');
    const pipeline = await device.createComputePipelineAsync({ layout: 'auto', compute: { module } });
    const entries = [from, to].map((buffer, binding) => ({ binding, resource: { buffer } }));
    const group = device.createBindGroup({ layout: pipeline.getBindGroupLayout(0), entries });
    return async (/** @type {number} */ times) => {
      const encoder = device.createCommandEncoder();
      const pass = encoder.beginComputePass();
      pass.setPipeline(pipeline);
      pass.setBindGroup(0, group);
      for (let i = 0; i < times; i++) pass.dispatchWorkgroups(lanes / 64);
      pass.end();
      encoder.copyBufferToBuffer(to, 0, readable, 0, 16);
      const begin = performance.now();
      device.queue.submit([encoder.finish()]);
      await readable.mapAsync(GPUMapMode.READ);
      const ms = performance.now() - begin;
      readable.unmap();
      return ms;
    };
  }
  const lanes = 1 << 14;
  const products = await best(await time(PRODUCTS, lanes));
  const copy = await best(await time(COPY, COPIED / 16));
  device.destroy();
  return { gigaflops: (2 * 4 * SUMS * TURNS * lanes) / products / 1e9, gigabytes: (2 * COPIED) / copy / 1e9 };
}
