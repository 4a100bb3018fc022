// Chapter: z, the condition that every place gets.

import { PICTURE, stopBefore, type Chapter } from '../chapter';

export const condition: Chapter = {
  title: 'A z for every place',
  text: 'Then the [decoder] writes a vector for every place, its [z]. That is not a token yet: it says what would fit there and leaves open which token exactly.',
  target: [PICTURE],
  question: 'Choose a token in the picture that is not known yet.',
  enter(session) {
    session.view.mode = 'watch';
    session.view.token = null;
    stopBefore(session, Math.floor(session.player.extent.iterations / 3));
  },
  answered({ active, player, view }) {
    return view.token !== null && active.events[player.place.iteration]?.maskBefore[view.token] === 1;
  },
  insight: () =>
    'Nothing is drawn there, and yet it has a z. All places get one in every iteration. Only those whose turn it is are drawn; the others wait for a better informed one.',
};
