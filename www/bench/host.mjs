// A static host for measurements: it compresses, counts the bytes it sends, and simulates a slow network.
// The network is shaped here and not in the browser, whose own emulation leaves out what workers fetch.

import { existsSync, readFileSync, statSync } from 'node:fs';
import { createServer } from 'node:http';
import { extname, join, normalize } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { gzipSync } from 'node:zlib';

const TYPES = {
  '.html': 'text/html',
  '.js': 'text/javascript',
  '.css': 'text/css',
  '.json': 'application/json',
  '.svg': 'image/svg+xml',
  '.wasm': 'application/wasm',
  '.woff2': 'font/woff2',
};
const COMPRESSED = new Set(['.html', '.js', '.css', '.json', '.svg', '.wasm']);
/** Bytes sent at a time on a slow network. */
const PIECE = 8192;

/**
 * Serves a folder. `network` is null for as fast as it goes, or { bitsPerSecond, latencyMs }, the latency before each answer.
 * Answers { port, sent, close }; sent lists [time in ms since the epoch, bytes] of every piece.
 */
export async function serve(folder, network) {
  const files = new Map();
  const sent = [];
  /** When the line is free again. */
  let free = 0;

  function load(path) {
    if (!files.has(path)) {
      const bytes = readFileSync(path);
      files.set(path, COMPRESSED.has(extname(path)) ? gzipSync(bytes) : bytes);
    }
    return files.get(path);
  }

  async function send(response, body) {
    if (!network) {
      sent.push([Date.now(), body.length]);
      response.end(body);
      return;
    }
    await wait(network.latencyMs);
    for (let at = 0; at < body.length; at += PIECE) {
      const piece = body.subarray(at, at + PIECE);
      free = Math.max(free, performance.now()) + (piece.length * 8 * 1000) / network.bitsPerSecond;
      const ahead = free - performance.now();
      if (ahead > 1) await wait(ahead);
      if (response.destroyed) return;
      sent.push([Date.now(), piece.length]);
      response.write(piece);
    }
    response.end();
  }

  const server = createServer((request, response) => {
    const name = normalize(decodeURIComponent(new URL(request.url, 'http://x').pathname));
    const path = join(folder, name.endsWith('/') ? `${name}index.html` : name);
    if (!path.startsWith(folder) || !existsSync(path) || !statSync(path).isFile()) {
      response.writeHead(404).end();
      return;
    }
    const type = extname(path);
    response.setHeader('content-type', TYPES[type] ?? 'application/octet-stream');
    if (COMPRESSED.has(type)) response.setHeader('content-encoding', 'gzip');
    void send(response, load(path));
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    port: server.address().port,
    sent,
    close: () => {
      server.closeAllConnections();
      server.close();
    },
  };
}
