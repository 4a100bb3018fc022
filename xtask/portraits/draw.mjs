// Draws DiceBear's portraits: a folder a class, what each portrait is made of beside them, and whom to thank (CREDITS.md, and
// credits.json, which a weights folder takes along for the page's footer).
// node draw.mjs OUT TRAIN VAL SIDE; `cargo xtask data portraits` installs the packages and calls it.

import { createWriteStream } from 'node:fs';
import { mkdir, readFile, readdir, writeFile } from 'node:fs/promises';
import { once } from 'node:events';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

import * as collection from '@dicebear/collection';
import { createAvatar } from '@dicebear/core';
import { Resvg } from '@resvg/resvg-js';

/** Classes, and the packages that their designs are in. */
const STYLES = {
  adventurer: 'adventurer',
  bigEars: 'big-ears',
  bigSmile: 'big-smile',
  dylan: 'dylan',
  funEmoji: 'fun-emoji',
  micah: 'micah',
  miniavs: 'miniavs',
  openPeeps: 'open-peeps',
  personas: 'personas',
  pixelArt: 'pixel-art',
  thumbs: 'thumbs',
  toonHead: 'toon-head',
};
const BACKGROUNDS = ['b6e3f4', 'c0aede', 'd1d4f9', 'ffd5dc', 'ffdfbf'];
/** The number of the first portrait of each part; 2,000,000 and above stay unused. */
const FIRST = { train: 0, val: 1_000_000 };

const [out, ...numbers] = process.argv.slice(2);
const [train, val, side] = numbers.map(Number);
await refuseWhatIsThere(out);
await mkdir(out, { recursive: true });
const thanks = await credits();
await writeFile(path.join(out, 'credits.json'), `${JSON.stringify(thanks, null, 2)}\n`);
await writeFile(path.join(out, 'CREDITS.md'), inWords(thanks));
await draw('train', train);
await draw('val', val);

/** Two sets in one folder would be neither of them. */
async function refuseWhatIsThere(folder) {
  const found = await readdir(folder).catch(() => []);
  if (found.length > 0) {
    console.error(`${folder} is not empty: remove it, or give another --out`);
    process.exit(1);
  }
}

/** Draws `count` portraits, the styles in turn, into OUT/part/STYLE/NUMBER.png, and OUT/part.jsonl. */
async function draw(part, count) {
  const styles = Object.keys(STYLES);
  await Promise.all(styles.map((style) => mkdir(path.join(out, part, style), { recursive: true })));
  const parts = createWriteStream(path.join(out, `${part}.jsonl`));
  for (let i = 0; i < count; i++) {
    const style = styles[i % styles.length];
    const number = FIRST[part] + Math.floor(i / styles.length);
    const seed = `${style}-${number}`;
    const avatar = createAvatar(collection[style], { seed, backgroundColor: BACKGROUNDS });
    const picture = new Resvg(avatar.toString(), {
      fitTo: { mode: 'width', value: side },
      font: { loadSystemFonts: false },
    }).render();
    const file = `${part}/${style}/${String(number).padStart(7, '0')}.png`;
    await writeFile(path.join(out, file), picture.asPng());
    const line = JSON.stringify({ file, style, seed, extra: avatar.toJson().extra });
    if (!parts.write(`${line}\n`)) await once(parts, 'drain');
    if ((i + 1) % 6000 === 0 || i + 1 === count) console.log(`${part}: ${i + 1} of ${count} portraits`);
  }
  parts.end();
  await once(parts, 'finish');
}

/** Who designed the styles, as their packages' licences say: what the page shows in its footer. */
async function credits() {
  const packages = path.join(path.dirname(fileURLToPath(import.meta.url)), 'node_modules/@dicebear');
  const designs = [];
  for (const [style, name] of Object.entries(STYLES)) {
    const folder = path.join(packages, name);
    const { version } = JSON.parse(await readFile(path.join(folder, 'package.json'), 'utf8'));
    const [design] = (await readFile(path.join(folder, 'LICENSE'), 'utf8')).split('# Code');
    const said = (what) => {
      const found = new RegExp(`^${what}: *(.+)$`, 'm').exec(design);
      if (!found) throw new Error(`the licence of @dicebear/${name} names no ${what.toLowerCase()}`);
      const [, title, url] = /^(.*) \((https?:[^)]*)\)$/.exec(found[1].trim()) ?? [null, found[1].trim(), null];
      return { name: title, url };
    };
    const [title, creator, licence] = [said('Source'), said('Designer'), said('License')];
    designs.push({ style, title, creator, licence, package: `@dicebear/${name} ${version}` });
  }
  return { source: { name: 'DiceBear', url: 'https://www.dicebear.com' }, designs };
}

/** The same for people. */
function inWords({ source, designs }) {
  const link = ({ name, url }) => (url ? `[${name}](${url})` : name);
  const lines = [
    '# Credits',
    '',
    `The portraits were drawn by ${link(source)}, from designs by these people.`,
    '',
    '| Style | Design | Designer | Licence | Package |',
    '| --- | --- | --- | --- | --- |',
  ];
  for (const { style, title, creator, licence, package: from } of designs) {
    lines.push(`| ${[style, link(title), link(creator), link(licence), from].join(' | ')} |`);
  }
  return `${lines.join('\n')}\n`;
}
