// Chapter: temperature, how much chance there is in every diffusion step.

import { seen, showPicture, type Chapter } from '../chapter';

export const temperature: Chapter = {
  title: 'How much chance',
  text: 'Each [diffusion-step] takes noise away and adds a little fresh noise. The [temperature] scales what is added: 1 is what the head was trained for.',
  target: ['#temperature'],
  question: 'Set the temperature to 0.5 or less. What goes missing?',
  borrows: ['temperature', 'solver'],
  enter(session) {
    showPicture(session);
    const { temperature, solver } = session.trunk.choices;
    // Only DDPM adds the noise that is scaled.
    if (temperature <= 0.5 || solver !== 'ddpm') session.change({ temperature: 1, solver: 'ddpm' });
  },
  answered: (session) => seen(session) && session.active.choices.temperature <= 0.5,
  insight: () =>
    'With less chance every token settles for what is likeliest: surfaces turn smooth and flat, and texture goes first.',
};
