import { describe, expect, it } from 'vitest';
import { chooseDevice, fasterOf, isSoftware, type AdapterInfo } from './device';

/** A navigator.gpu whose adapter says this about itself; null for none. */
function gpu(info: AdapterInfo | null): GPU {
  return { requestAdapter: () => Promise.resolve(info && ({ info } as GPUAdapter)) } as GPU;
}

const REAL = { vendor: 'nvidia', architecture: 'ampere', description: 'NVIDIA GeForce RTX 3060' };

describe('isSoftware', () => {
  it.each<AdapterInfo>([
    { vendor: 'google', architecture: 'swiftshader' },
    { description: 'llvmpipe (LLVM 15.0.6, 256 bits)' },
    { vendor: 'mesa', description: 'lavapipe' },
    { vendor: 'mesa', description: 'softpipe' },
    { description: 'Microsoft Basic Render Driver' },
    { ...REAL, isFallbackAdapter: true },
  ])('tells %o', (info) => {
    expect(isSoftware(info)).toBe(true);
  });

  it.each<AdapterInfo>([
    REAL,
    { vendor: 'apple', architecture: 'metal-3' },
    { vendor: 'intel', architecture: 'gen-12lp' },
    {},
  ])('lets %o pass', (info) => {
    expect(isSoftware(info)).toBe(false);
  });
});

describe('chooseDevice', () => {
  it('takes a real adapter', async () => {
    expect(await chooseDevice('auto', gpu(REAL))).toMatchObject({ device: 'webgpu' });
  });

  it.each([
    ['no WebGPU', undefined],
    ['no graphics adapter', gpu(null)],
    ['software (google swiftshader)', gpu({ vendor: 'google', architecture: 'swiftshader' })],
  ])('takes the CPU where there is %s', async (reason, given) => {
    const choice = await chooseDevice('auto', given);
    expect(choice.device).toBe('cpu');
    expect(choice.reason).toContain(reason);
  });

  it('does as told', async () => {
    expect(await chooseDevice('cpu', gpu(REAL))).toMatchObject({ device: 'cpu' });
    expect(await chooseDevice('webgpu', gpu({ architecture: 'swiftshader' }))).toMatchObject({ device: 'webgpu' });
  });

  it('refuses WebGPU where there is none, and points to the CPU', async () => {
    await expect(chooseDevice('webgpu', undefined)).rejects.toThrow(/no WebGPU.*CPU/);
    await expect(chooseDevice('webgpu', gpu(null))).rejects.toThrow(/no graphics adapter.*CPU/);
  });
});

describe('fasterOf', () => {
  const choice = { device: 'webgpu', reason: 'there is a hardware graphics adapter (acme)' } as const;

  it('keeps the adapter that is as fast, and says how fast', () => {
    expect(fasterOf(choice, { webgpu: 5.432, cpu: 38.21 })).toEqual({
      device: 'webgpu',
      reason: 'there is a hardware graphics adapter (acme); an iteration takes 5.4 ms on it, 38 ms on the CPU engine',
    });
    expect(fasterOf(choice, { webgpu: 5, cpu: 5 }).device).toBe('webgpu');
  });

  it('takes the CPU where the adapter is slower, and says so', () => {
    expect(fasterOf(choice, { webgpu: 81.6, cpu: 38.21 })).toEqual({
      device: 'cpu',
      reason:
        'there is a hardware graphics adapter (acme), but an iteration takes 82 ms on it, 38 ms on the CPU engine',
    });
  });
});
