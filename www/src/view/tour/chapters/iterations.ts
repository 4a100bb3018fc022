// Chapter: how many tokens are drawn at once, and in which order.

import { seen, showPicture, type Chapter } from '../chapter';

export const iterations: Chapter = {
  title: 'Many tokens at once',
  text: 'Tokens of the same [iteration] are drawn without seeing one another. More iterations let each token see more; fewer are faster. The [order] is free too.',
  target: ['#iterations'],
  question: 'Have the whole picture made in 2 iterations. Where does it suffer?',
  borrows: ['iterations'],
  enter(session) {
    showPicture(session);
    if (session.trunk.choices.iterations <= 2) {
      session.change({ iterations: session.facts.defaults.iterations });
    }
  },
  answered: (session) => seen(session) && session.active.choices.iterations === 2,
  insight({ active }) {
    const most = Math.max(...active.events.map(({ tokens }) => tokens.length));
    return `Up to ${most} tokens were drawn at once, each from its own z alone. Where neighbours did not agree there are seams. In Order you can choose who goes first.`;
  },
};
