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
 * Sizes in bytes of what is fetched at run time, by `cpu`, `cpu-relaxed`, `gpu`, `weights/NAME` and, of what lies beside
 * weights, `weights/NAME/FILE`; known at build time.
 */
declare const FILE_SIZES: Readonly<Record<string, number>>;

/** A hash of each model's weights, by `weights/NAME`; known at build time. */
declare const WEIGHTS_HASHES: Readonly<Record<string, string>>;
