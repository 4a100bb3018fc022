// Chapter: temperature, how much chance there is in every diffusion step.

import { seen, showPicture, type Chapter } from '../chapter';

export const temperature: Chapter = {
  title: 'How much chance',
  text: 'Each [diffusion-step] takes noise away and adds a little fresh noise. The [temperature] scales what is added: 1 is what the head was trained for.',
  target: ['#temperature'],
  question: 'Set the temperature to 0.5 or less. What goes missing?',
  borrows: ['temperature'],
  enter(session) {
    showPicture(session);
    if (session.trunk.choices.temperature <= 0.5) session.change({ temperature: 1 });
  },
  answered: (session) => seen(session) && session.active.choices.temperature <= 0.5,
  insight: () =>
    'With less chance every patch settles for what is likeliest: surfaces turn smooth and flat, and texture goes first.',
};
