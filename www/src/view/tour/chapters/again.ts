// Chapter: other noise with the same z.

import { stopAfter, type Chapter } from '../chapter';

export const again: Chapter = {
  title: 'What else it could have been',
  text: 'A z fits many tokens; the noise decides which one is drawn. This token was the first of all, drawn when nothing else was known.',
  target: ['[data-role=section-draws]'],
  question: 'Open “What else it could have been” and draw 64 more. Do they agree?',
  enter(session) {
    const { active, view } = session;
    view.mode = 'token';
    view.token = active.events[0]?.tokens[0] ?? null;
    stopAfter(session, 0);
  },
  // The draws belong to the panel that shows them; the page's state does not hold them.
  answered: () => document.querySelector('[data-role=draws]') !== null,
  insight: () =>
    'One z, 64 different noises. Where the draws agree, z had settled the token; where they differ, it left it open. Compare a token of the background with one on an edge.',
};
