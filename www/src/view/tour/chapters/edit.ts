// Chapter: given tokens, and the rest decoded around them.

import { PICTURE, seen, stopAfter, type Chapter } from '../chapter';

export const edit: Chapter = {
  title: 'Your turn',
  text: 'Since any order works, any tokens may be known from the start. Give some tokens, kept from the picture or painted, and the rest is decoded around them. It takes no extra training.',
  target: [PICTURE],
  question: 'Paint, give or mask tokens as you like, then decode the rest.',
  enter(session) {
    session.show(session.trunk);
    session.view.token = null;
    session.view.mode = 'edit';
    // Half a picture: something is given, and something is left to decode.
    stopAfter(session, Math.ceil(session.player.extent.iterations / 2) - 1);
  },
  answered: (session) => session.active.pins.size > 0 && seen(session),
  insight: () =>
    'What you gave has not changed by a single number: the transformer read it like any other known token. Share the picture, or read on below.',
};
