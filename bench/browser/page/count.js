// Counts an engine's use of the GPU: dispatches, submissions, bytes written and read-backs,
// at the browser's own WebGPU calls, which every engine must use.

/** @type {{ dispatches: number, submissions: number, written: number, readBacks: number }} */
const counts = { dispatches: 0, submissions: 0, written: 0, readBacks: 0 };

/**
 * Has every call of a method counted before it is made.
 * @param {any} type A class of WebGPU's, absent where the browser has none.
 * @param {string} method
 * @param {(...args: any[]) => void} count
 */
function watch(type, method, count) {
  if (type === undefined) return;
  const original = type.prototype[method];
  type.prototype[method] = function (/** @type {any[]} */ ...args) {
    count(...args);
    return original.apply(this, args);
  };
}

const browser = /** @type {any} */ (globalThis);
watch(browser.GPUComputePassEncoder, 'dispatchWorkgroups', () => counts.dispatches++);
watch(browser.GPUComputePassEncoder, 'dispatchWorkgroupsIndirect', () => counts.dispatches++);
watch(browser.GPUQueue, 'submit', () => counts.submissions++);
watch(browser.GPUQueue, 'writeBuffer', (_buffer, _offset, data, from = 0, size = undefined) => {
  // In elements of a typed array, in bytes of a buffer.
  const unit = data.BYTES_PER_ELEMENT ?? 1;
  counts.written += size === undefined ? data.byteLength - from * unit : size * unit;
});
watch(browser.GPUBuffer, 'mapAsync', () => counts.readBacks++);

/** The counts so far. */
export function counted() {
  return { ...counts };
}
