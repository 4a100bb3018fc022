// Chapter: guidance, the strength of the class.

import { seen, showPicture, type Chapter } from '../chapter';

export const guidance: Chapter = {
  title: 'How hard the class pulls',
  text: 'With [guidance] the noise is guessed twice, once with the class and once without. The step then goes further in the direction of the difference. 1 means no extra pull.',
  target: ['#cfg'],
  question: 'Set guidance to 1. Does it still look like what was asked for?',
  borrows: ['cfg'],
  enter(session) {
    showPicture(session);
    if (session.trunk.choices.cfg <= 1) session.change({ cfg: session.facts.defaults.cfg });
  },
  answered: (session) => seen(session) && session.active.choices.cfg === 1,
  insight: () =>
    'The same noise, and often nearly the same picture: the class reaches the transformer anyway, guidance only amplifies it. Try the other end too, 8 or more.',
};
