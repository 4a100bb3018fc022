// Chapter: one token's way out of noise.

import { stopAfter, type Chapter } from '../chapter';

export const diffusion: Chapter = {
  title: 'From noise to a token',
  text: 'Now the [head] turns [noise] into the token. It is told two things only: the z of this place and the [timestep]. In each [diffusion-step] it guesses the noise and takes a little of it away.',
  target: ['[data-role=inside]'],
  question: 'Drag the slider of this iteration back to step 0, where there is only noise.',
  enter(session) {
    const { active, player, view } = session;
    const iteration = Math.floor(player.extent.iterations / 2);
    view.mode = 'token';
    view.token = active.events[iteration]?.tokens[0] ?? null;
    stopAfter(session, iteration);
  },
  answered: ({ active, player }) => active.events.length > 0 && player.place.frame === 0,
  insight: () =>
    'Here [alpha-bar] is almost 0: nothing of the token is there yet. Move forward slowly and see how late you can tell what it becomes.',
};
