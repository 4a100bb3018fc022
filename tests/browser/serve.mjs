// A static host for the built page, under a path of its own: `node serve.mjs PORT PATH [FOLDER]`.

import { existsSync } from 'node:fs';
import { createServer } from 'node:http';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';

const here = (path) => fileURLToPath(new URL(path, import.meta.url));
const sirv = createRequire(here('../../www/package.json'))('sirv');

const [port, base, folder] = process.argv.slice(2);
const dist = folder ?? here('../../www/dist');
if (!existsSync(dist)) throw new Error(`There is no ${dist}: build the page first, with \`npm run build\` in www.`);
const files = sirv(dist);

createServer((request, response) => {
  const notFound = () => response.writeHead(404).end();
  if (!request.url.startsWith(`${base}/`)) {
    notFound();
    return;
  }
  request.url = request.url.slice(base.length);
  files(request, response, notFound);
}).listen(Number(port), '127.0.0.1');
