// Which engine to run: WebGPU on a real adapter where it is the faster one, the CPU engine otherwise.
// Software adapters also offer WebGPU and are much slower than the CPU engine: they are recognised by name, so nothing
// must be fetched to find out. With a real adapter both engines are timed after the weights have loaded.

import type { Device } from './types';

export type DeviceWish = 'auto' | Device;

/** The device taken and, in words, why. */
export interface DeviceChoice {
  device: Device;
  reason: string;
}

/** Milliseconds of the same iteration on each device. */
export type Trial = Record<Device, number>;

/** The part of GPUAdapterInfo that identifies an adapter. */
export type AdapterInfo = Partial<
  Pick<GPUAdapterInfo, 'vendor' | 'architecture' | 'device' | 'description' | 'isFallbackAdapter'>
>;

const SOFTWARE = /swiftshader|llvmpipe|lavapipe|softpipe|microsoft basic render/i;

/** The adapter in words: its description, or vendor and architecture. */
export function adapterName(info: AdapterInfo): string {
  const name = info.description || [info.vendor, info.architecture].filter(Boolean).join(' ');
  return name || 'unnamed adapter';
}

/** Whether the adapter computes on the CPU. */
export function isSoftware(info: AdapterInfo): boolean {
  if (info.isFallbackAdapter) return true;
  return SOFTWARE.test([info.vendor, info.architecture, info.device, info.description].join(' '));
}

/** Decides on a device. `gpu` is navigator.gpu, undefined where the browser has none. */
export async function chooseDevice(wish: DeviceWish, gpu: GPU | undefined): Promise<DeviceChoice> {
  if (wish === 'cpu') return { device: 'cpu', reason: 'chosen by you' };
  const adapter = await gpu?.requestAdapter().catch(() => null);
  if (wish === 'webgpu') {
    if (!gpu) throw new Error('This browser has no WebGPU. Run on the CPU, or use a browser with WebGPU switched on.');
    if (!adapter) throw new Error('WebGPU found no graphics adapter here. Run on the CPU instead.');
    const software = isSoftware(adapter.info) ? '; a software adapter, expect it to be slow' : '';
    return { device: 'webgpu', reason: `chosen by you (${adapterName(adapter.info)}${software})` };
  }
  if (!gpu) return { device: 'cpu', reason: 'this browser has no WebGPU' };
  if (!adapter) return { device: 'cpu', reason: 'WebGPU found no graphics adapter' };
  const name = adapterName(adapter.info);
  if (isSoftware(adapter.info)) {
    return { device: 'cpu', reason: `the only WebGPU adapter is software (${name}), and the CPU engine is faster` };
  }
  return { device: 'webgpu', reason: `there is a hardware graphics adapter (${name})` };
}

/** The faster of the two, if the setting lets the page choose. */
export function fasterOf(choice: DeviceChoice, trial: Trial): DeviceChoice {
  const [gpu, cpu] = [trial.webgpu, trial.cpu].map(
    (ms) => `${ms.toLocaleString('en', { maximumSignificantDigits: 2 })} ms`,
  );
  if (trial.webgpu <= trial.cpu) {
    return { device: 'webgpu', reason: `${choice.reason}; an iteration takes ${gpu} on it, ${cpu} on the CPU engine` };
  }
  return { device: 'cpu', reason: `${choice.reason}, but an iteration takes ${gpu} on it, ${cpu} on the CPU engine` };
}
