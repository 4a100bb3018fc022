// A static host for the built page, on this machine alone: `node serve.mjs PORT [BASE [FOLDER]]`.
// BASE is the URL path the page appears under, as on a host that serves it from a sub-folder. Port 0 is any that is free.

import { existsSync } from 'node:fs';
import { createServer } from 'node:http';
import { fileURLToPath } from 'node:url';
import sirv from 'sirv';

const [port = '4173', path = '/', folder = fileURLToPath(new URL('dist', import.meta.url))] = process.argv.slice(2);

/** @param {string} problem What a person can act on. */
function fail(problem) {
  console.error(`error: ${problem}`);
  process.exit(1);
}

if (!existsSync(folder)) fail(`there is no ${folder}: build the page first, with \`npm run build\` in www/`);

/** Without a slash at its end, the page's relative addresses would lead elsewhere. */
const base = `/${path.replaceAll(/^\/+|\/+$/g, '')}/`.replace('//', '/');
// Read anew at every request and never kept without asking: a rebuilt page must not be mixed with the one before.
const files = sirv(folder, { dev: true, etag: true });

const server = createServer((request, response) => {
  const [, asked = '', query = ''] = /^([^?]*)(.*)$/.exec(request.url ?? '') ?? [];
  if (asked.startsWith(base)) {
    request.url = asked.slice(base.length - 1) + query;
    files(request, response);
  } else if (`${asked}/` === base) {
    response.writeHead(308, { location: base + query }).end();
  } else {
    response.writeHead(404).end();
  }
});
server.on('error', (error) => {
  fail(`cannot listen on 127.0.0.1:${port} (${error.message}): if the port is taken, choose another`);
});
server.listen(Number(port), '127.0.0.1', () => {
  const address = server.address();
  const actual = typeof address === 'object' ? address?.port : port;
  console.log(`serving the page at http://127.0.0.1:${actual}${base} (stop with Ctrl-C)`);
});
