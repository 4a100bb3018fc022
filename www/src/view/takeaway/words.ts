// Texts for the visitor to take away: file names, the command that draws the same picture, the code of an iframe.

import type { Branch } from '../../state/branch.svelte';

/** Names of files start with this: the class and the seed, in letters that every system takes. */
export function fileStem(label: string | null, seed: number): string {
  const name = (label ?? 'any class').toLowerCase().replaceAll(/[^a-z0-9]+/g, '-');
  return `marscope-${name}-seed-${seed}`;
}

type Recipe = Pick<Branch, 'choices' | 'at' | 'pins' | 'start'>;

/** Whether a picture follows from its settings alone: no fork in mid-way, no patches given, no order by hand. */
export function fromSettings({ choices, at, pins, start }: Recipe): boolean {
  return at === 0 && pins.size === 0 && start === null && typeof choices.order === 'string';
}

/** The command that draws the picture again; if settings alone are not enough, it starts from the saved trace. */
export function commandLine(branch: Recipe, model: string, stem: string): string {
  const folder = `--model weights/${model}`;
  if (!fromSettings(branch)) return `marscope replay ${stem}.json ${folder} --out ${stem}.png`;
  const { label, seed, cfg, cfgSchedule, cfgEvery, iterations, steps, lateSteps, solver, temperature, order } =
    branch.choices;
  const settings = [
    `--label ${label ?? 'none'}`,
    `--seed ${seed}`,
    `--cfg ${cfg}`,
    `--cfg-schedule ${cfgSchedule}`,
    `--iterations ${iterations}`,
    `--steps ${steps}`,
    ...(lateSteps === null ? [] : [`--late-steps ${lateSteps}`]),
    `--solver ${solver}`,
    ...(cfgEvery === 1 ? [] : [`--cfg-every ${cfgEvery}`]),
    `--temperature ${temperature}`,
    `--order ${String(order)}`,
  ];
  return `marscope sample ${folder} ${settings.join(' ')} --out ${stem}.png`;
}

/** The page's address with this query; `embed` shows only the player. */
export function pageAddress(page: { origin: string; pathname: string }, query: string, embed: boolean): string {
  const kept = query
    .replace(/^\?/, '')
    .split('&')
    .filter((part) => part !== '' && part !== 'embed=1');
  return `${page.origin}${page.pathname}?${[...kept, ...(embed ? ['embed=1'] : [])].join('&')}`;
}

/** HTML that shows the player in another page. */
export function embedCode(address: string): string {
  const source = address.replaceAll('&', '&amp;').replaceAll('"', '&quot;');
  const title = 'marscope: a picture made token by token';
  return `<iframe src="${source}" title="${title}" width="360" height="440" loading="lazy" style="border: 0"></iframe>`;
}
