// Vite plugins of the page: the models it serves, the file sizes for its progress bars, its content policy.
// Models live outside www/, so they are served from there in development and copied into the build.

import { createHash } from 'node:crypto';
import { copyFileSync, createReadStream, existsSync, mkdirSync, readFileSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import type { Plugin } from 'vite';
import { factsOf, type Facts } from './facts';

const MODEL_FILES = ['config.json', 'model.safetensors'];
/** The autoencoder of a model of latents. */
const AUTOENCODER_FILES = ['autoencoder.json', 'autoencoder.safetensors'];
/** Optional files of a model: principal axes of real patches, measured quality, and whom to credit. */
const OPTIONAL_FILES = ['patches.json', 'iterations.json', 'sampling.json', 'frontier.json', 'credits.json'];
/** The engine's bundles. */
const BUNDLES = ['cpu', 'cpu-relaxed', 'gpu'];

/** A model's files that are there. */
function filesOf(folder: string, name: string): string[] {
  return [...MODEL_FILES, ...AUTOENCODER_FILES, ...OPTIONAL_FILES].filter((file) =>
    existsSync(join(folder, name, file)),
  );
}

/** A model's weights: the network's, and the autoencoder's if it has one. */
function weightsOf(folder: string, name: string): string[] {
  const files = filesOf(folder, name).filter((file) => file.endsWith('.safetensors'));
  return files.map((file) => join(folder, name, file));
}

/** Models in the folder: its subfolders that hold all of a model's files. */
function modelsIn(folder: string): string[] {
  if (!existsSync(folder)) return [];
  return readdirSync(folder).filter((name) => MODEL_FILES.every((file) => existsSync(join(folder, name, file))));
}

/** Serves `folder` as weights/ and copies it into the build. Fails the build if it contains no model. */
export function models(folder: string): Plugin {
  let out = '';
  return {
    name: 'marscope-models',
    configResolved(config) {
      out = config.build.outDir;
    },
    configureServer(server) {
      server.middlewares.use('/weights', (request, response, next) => {
        const [, name, file] = /^\/([a-z0-9-]+)\/([a-z.]+)(?:\?|$)/.exec(request.url ?? '') ?? [];
        if (!name || !file) {
          next();
        } else if (!modelsIn(folder).includes(name) || !filesOf(folder, name).includes(file)) {
          response.writeHead(404).end();
        } else {
          createReadStream(join(folder, name, file)).pipe(response);
        }
      });
    },
    buildStart() {
      if (modelsIn(folder).length === 0) {
        this.error(`no model in ${folder}: expected NAME/config.json and NAME/model.safetensors; train one first`);
      }
    },
    closeBundle() {
      for (const name of modelsIn(folder)) {
        mkdirSync(join(out, 'weights', name), { recursive: true });
        for (const file of filesOf(folder, name))
          copyFileSync(join(folder, name, file), join(out, 'weights', name, file));
      }
    },
  };
}

/** Fails the build, with a message on what to do, if an engine has not been built. */
export function engines(folder: string): Plugin {
  return {
    name: 'marscope-engines',
    buildStart() {
      for (const name of BUNDLES) {
        const file = join(folder, name, 'marscope_bg.wasm');
        if (!existsSync(file)) this.error(`no ${file}: build the engines first, with \`cargo xtask wasm\``);
      }
    },
  };
}

/** Sizes in bytes of the engines' wasm, the models' weights and what lies beside them: see src/engine/bundles.d.ts. */
export function fileSizes(models: string, engines: string): Record<string, number> {
  const sizes: Record<string, number> = {};
  for (const name of modelsIn(models)) {
    sizes[`weights/${name}`] = weightsOf(models, name).reduce((sum, file) => sum + statSync(file).size, 0);
    for (const file of filesOf(models, name).filter((other) => OPTIONAL_FILES.includes(other))) {
      sizes[`weights/${name}/${file}`] = statSync(join(models, name, file)).size;
    }
  }
  for (const engine of BUNDLES) {
    const wasm = join(engines, engine, 'marscope_bg.wasm');
    if (existsSync(wasm)) sizes[engine] = statSync(wasm).size;
  }
  return sizes;
}

/** A hash of each model's weights, by `weights/NAME`. */
export function weightsHashes(models: string): Record<string, string> {
  const hashes = modelsIn(models).map((name) => {
    const hash = createHash('sha256');
    for (const file of weightsOf(models, name)) hash.update(readFileSync(file));
    return [`weights/${name}`, hash.digest('hex').slice(0, 12)];
  });
  return Object.fromEntries(hashes) as Record<string, string>;
}

/** What each model is, by the name of its folder. */
export function modelFacts(models: string): Record<string, Facts> {
  return Object.fromEntries(modelsIn(models).map((name) => [name, factsOf(join(models, name))]));
}

/** A content policy for the built page: it contacts no other host. */
export function contentPolicy(): Plugin {
  const policy = [
    "default-src 'self'",
    "script-src 'self' 'wasm-unsafe-eval'",
    "worker-src 'self'",
    "connect-src 'self'",
    "style-src 'self' 'unsafe-inline'",
    // Pictures and films are made in the page, and shown before they are saved.
    "img-src 'self' data: blob:",
    "media-src 'self' blob:",
    "base-uri 'none'",
    "form-action 'none'",
  ];
  return {
    name: 'marscope-content-policy',
    apply: 'build',
    transformIndexHtml: () => [
      {
        tag: 'meta',
        attrs: { 'http-equiv': 'Content-Security-Policy', content: policy.join('; ') },
        injectTo: 'head-prepend',
      },
    ],
  };
}
