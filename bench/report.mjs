// Raw times to the benchmark's table and JSON: `node report.mjs RAW.. --out FILE`.
// A row is an engine's median in a task, and how many times faster that is than the peer's best form in the same task.

import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { cpus, loadavg } from 'node:os';
import { dirname } from 'node:path';
import { parseArgs } from 'node:util';

/**
 * @typedef {object} Group Raw times, as run.mjs and run.py write them.
 * @property {string} group
 * @property {Record<string, string>} machine
 * @property {string[]} notes
 * @property {{ name: string, role: 'ours' | 'peer' | 'baseline', difference: number | null }[]} engines
 * @property {{ engine: string, task: string, ms: number, estimated?: boolean }[]} samples
 */

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { out: { type: 'string', default: 'target/bench/bench.json' } },
});

/** @param {number[]} list */
function median(list) {
  const sorted = [...list].sort((a, b) => a - b);
  const half = sorted.length / 2;
  return ((sorted[Math.ceil(half) - 1] ?? NaN) + (sorted[Math.floor(half)] ?? NaN)) / 2;
}

/** @param {Group} group */
function rowsOf({ group, engines, samples }) {
  const tasks = [...new Set(samples.map((sample) => sample.task))];
  return tasks.flatMap((task) => {
    const measured = engines.flatMap(({ name, role, difference }) => {
      const own = samples.filter((sample) => sample.task === task && sample.engine === name);
      if (own.length === 0) return [];
      const rounds = own.map((sample) => sample.ms);
      const estimated = own.some((sample) => sample.estimated);
      return [
        { engine: name, role, task, ms: median(rounds), least: Math.min(...rounds), rounds, estimated, difference },
      ];
    });
    const peers = measured.filter(({ role }) => role === 'peer').sort((a, b) => a.ms - b.ms);
    const peer = peers[0];
    return measured.map((row) => ({
      group,
      ...row,
      peer: peer && peer !== row ? peer.engine : null,
      ratio: peer && peer !== row ? peer.ms / row.ms : null,
    }));
  });
}

const number = (/** @type {number} */ value) => value.toLocaleString('en', { maximumSignificantDigits: 3 });
/** @type {Group[]} */
const groups = positionals.flatMap((path) => JSON.parse(readFileSync(path, 'utf8')));
const rows = groups.flatMap(rowsOf);
const machine = `${cpus()[0]?.model ?? 'unknown processor'}, ${cpus().length} cores, load average ${loadavg()[0]?.toFixed(1)}`;
console.log(
  `\n${machine}. Milliseconds: medians, the least of all rounds beside them; ratio: times faster than the peer's best.`,
);
for (const group of groups) {
  console.log(`\n### ${group.group} (${Object.values(group.machine).filter(Boolean).join(', ')})\n`);
  console.log('| task | engine | ms | least | times faster than | picture off by |');
  console.log('| --- | --- | --- | --- | --- | --- |');
  for (const row of rows.filter((row) => row.group === group.group)) {
    const ms = `${number(row.ms)}${row.estimated ? ' (estimated)' : ''}`;
    const ratio = row.ratio === null ? '' : `${row.ratio.toFixed(2)} × ${row.peer}`;
    const off = row.task.startsWith('whole image') && row.difference !== null ? row.difference.toExponential(0) : '';
    console.log(`| ${row.task} | ${row.engine} | ${ms} | ${number(row.least)} | ${ratio} | ${off} |`);
  }
  for (const note of group.notes) console.log(`\n${note}.`);
}
const machines = groups.map(({ group, machine, notes }) => ({ group, ...machine, notes }));
mkdirSync(dirname(values.out), { recursive: true });
writeFileSync(values.out, `${JSON.stringify({ machine, machines, rows }, null, 2)}\n`);
console.log(`\nWritten to ${values.out}.`);
