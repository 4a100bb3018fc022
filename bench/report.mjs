// Makes the benchmark's table and JSON from raw times: `node report.mjs RAW.. --out FILE`.
// A row is an engine's median in a task, and how many times faster it is than the peer's best form in the same task: the
// median over the rounds, in each of which both took their turn, so that a machine's slow minutes slow both.

import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { cpus, loadavg } from 'node:os';
import { dirname } from 'node:path';
import { parseArgs } from 'node:util';
import { arithmetic } from './work.mjs';

/**
 * @typedef {object} Group Raw times, as run.mjs and run.py write them.
 * @property {string} group
 * @property {Record<string, string>} machine
 * @property {string[]} notes
 * @property {{ name: string, role: 'ours' | 'peer' | 'baseline', difference: number | null, cost?: Cost | null }[]} engines
 * @property {{ engine: string, task: string, ms: number, estimated?: boolean }[]} samples
 * @property {{ gigaflops: number, gigabytes?: number }[]} [roofs] What the machine can do at all, a round each.
 * @property {import('./work.mjs').Plan} [plan] What an image is drawn by.
 * @typedef {Record<'dispatches' | 'submissions' | 'written' | 'readBacks', number> & { moved?: number, least?: number }} Cost
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

/**
 * Round by round, how many times as much `a` is as `b`.
 * @param {number[]} a
 * @param {number[]} b
 */
const times = (a, b) => median(a.flatMap((value, round) => (b[round] === undefined ? [] : [value / b[round]])));

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
      ratio: peer && peer !== row ? times(peer.rounds, row.rounds) : null,
      ratioOfLeast: peer && peer !== row ? peer.least / row.least : null,
    }));
  });
}

/**
 * What an image takes of the machine: arithmetic at least necessary, calls and bytes, and which share of the roof that is.
 * @param {Group} group
 */
function worksOf({ group, engines, samples, roofs, plan }) {
  if (!roofs || !plan) return [];
  const flops = arithmetic(plan);
  return engines.flatMap(({ name, cost }) => {
    const own = samples.filter(({ engine, task }) => engine === name && task === 'whole image');
    if (own.length === 0) return [];
    const speeds = own.map(({ ms }) => flops / ms / 1e6);
    const bytes = own.map(({ ms }) => (cost?.moved ?? NaN) / ms / 1e6);
    const through = roofs.map(({ gigabytes }) => gigabytes ?? NaN);
    return [
      {
        group,
        engine: name,
        gigaflops: median(speeds),
        arithmetic: times(
          speeds,
          roofs.map(({ gigaflops }) => gigaflops),
        ),
        bandwidth: cost?.moved ? times(bytes, through) : null,
        cost: cost ?? null,
      },
    ];
  });
}

const number = (/** @type {number} */ value) => value.toLocaleString('en', { maximumSignificantDigits: 3 });
/** @type {Group[]} */
const groups = positionals.flatMap((path) => JSON.parse(readFileSync(path, 'utf8')));
const rows = groups.flatMap(rowsOf);
const works = groups.flatMap(worksOf);
const machine = `${cpus()[0]?.model ?? 'unknown processor'}, ${cpus().length} cores, load average ${loadavg()[0]?.toFixed(1)}`;
console.log(
  `\n${machine}. Milliseconds: medians, the least of all rounds beside them; times faster than the peer's best: the median of the rounds.`,
);
for (const group of groups) {
  console.log(`\n### ${group.group} (${Object.values(group.machine).filter(Boolean).join(', ')})\n`);
  console.log('| task | engine | ms | least | times faster than | by the least | picture off by |');
  console.log('| --- | --- | --- | --- | --- | --- | --- |');
  for (const row of rows.filter((row) => row.group === group.group)) {
    const ms = `${number(row.ms)}${row.estimated ? ' (estimated)' : ''}`;
    const ratio = row.ratio === null ? '' : `${row.ratio.toFixed(2)} × ${row.peer}`;
    const off = row.task.startsWith('whole image') && row.difference !== null ? row.difference.toExponential(0) : '';
    const least = row.ratioOfLeast === null ? '' : row.ratioOfLeast.toFixed(2);
    console.log(`| ${row.task} | ${row.engine} | ${ms} | ${number(row.least)} | ${ratio} | ${least} | ${off} |`);
  }
  const shares = works.filter((work) => work.group === group.group);
  if (shares.length > 0 && group.roofs && group.plan) {
    const roofs = group.roofs;
    const flops = arithmetic(group.plan);
    const roof = (/** @type {'gigaflops' | 'gigabytes'} */ key) => number(median(roofs.map((roof) => roof[key] ?? NaN)));
    const memory = roofs[0]?.gigabytes === undefined ? '' : `, ${roof('gigabytes')} GB/s`;
    console.log(`\nAn image is ${number(flops / 1e9)} GFLOP; the roof ${roof('gigaflops')} GFLOP/s${memory}.\n`);
    console.log('| an image | GFLOP/s | of the roof | dispatches | submissions | read-backs | MB moved | fewest | of the bandwidth |');
    console.log('| --- | --- | --- | --- | --- | --- | --- | --- | --- |');
    for (const { engine, gigaflops, arithmetic, bandwidth, cost } of shares) {
      const percent = (/** @type {number | null} */ share) => (share === null ? '' : `${number(100 * share)}%`);
      const megabytes = (/** @type {number | undefined} */ bytes) => (bytes === undefined ? '' : number(bytes / 1e6));
      const calls = [cost?.dispatches, cost?.submissions, cost?.readBacks].map((count) => count ?? '');
      const cells = [engine, number(gigaflops), percent(arithmetic), ...calls];
      console.log(`| ${[...cells, megabytes(cost?.moved), megabytes(cost?.least), percent(bandwidth)].join(' | ')} |`);
    }
  }
  for (const note of group.notes) console.log(`\n${note}.`);
}
const machines = groups.map(({ group, machine, notes }) => ({ group, ...machine, notes }));
mkdirSync(dirname(values.out), { recursive: true });
writeFileSync(values.out, `${JSON.stringify({ machine, machines, rows, works }, null, 2)}\n`);
console.log(`\nWritten to ${values.out}.`);
