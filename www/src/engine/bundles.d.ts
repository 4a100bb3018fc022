// The wasm bundles `cargo xtask wasm` builds into src/pkg; `@engine` is that folder (see vite.config.ts).
// Declared here so that type checking needs no built engine.

declare module '@engine/cpu/marscope.js' {
  const bundle: import('./types').EngineBundle;
  export default bundle.default;
  export const Engine: typeof bundle.Engine;
}

declare module '@engine/cpu-relaxed/marscope.js' {
  const bundle: import('./types').EngineBundle;
  export default bundle.default;
  export const Engine: typeof bundle.Engine;
}

declare module '@engine/gpu/marscope.js' {
  const bundle: import('./types').EngineBundle;
  export default bundle.default;
  export const Engine: typeof bundle.Engine;
}

/**
 * Sizes in bytes of the files fetched at run time, known at build time. Keys: `cpu`, `cpu-relaxed`, `gpu`, `weights/NAME`,
 * and `weights/NAME/FILE` for the optional files of a model.
 */
declare const FILE_SIZES: Readonly<Record<string, number>>;

/** A hash of each model's weights, by `weights/NAME`; known at build time. */
declare const WEIGHTS_HASHES: Readonly<Record<string, string>>;

/** What the models of the build are, by the name of their folder; known at build time. */
declare const MODELS: Readonly<Record<string, import('../../build/facts').Facts>>;
