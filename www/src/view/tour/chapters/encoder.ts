// Chapter: what the encoder reads.

import { PICTURE, stopBefore, type Chapter } from '../chapter';

export const encoder: Chapter = {
  title: 'The encoder reads what is known',
  text: 'An iteration begins with reading. The [encoder] gets the tokens known so far, behind a few [buffer] positions that hold the class. Masked tokens are not in its sequence at all.',
  target: ['[data-stage=encoder]', PICTURE],
  question: 'Open the encoder’s stage. How long is the sequence it reads?',
  enter(session) {
    session.view.mode = 'watch';
    session.view.token = null;
    session.view.open = session.view.open.filter((stage) => stage !== 'encoder');
    stopBefore(session, Math.floor(session.player.extent.iterations / 2));
  },
  answered: ({ info, view }) => info !== null && view.open.includes('encoder'),
  insight({ active, info, player }) {
    const known = active.events[player.place.iteration]?.maskBefore.filter((masked) => masked === 0).length ?? 0;
    const buffer = info?.buffer ?? 0;
    return `${buffer} buffer positions and ${known} known tokens: ${buffer + known} in all. Go back along the timeline and it gets shorter.`;
  },
};
