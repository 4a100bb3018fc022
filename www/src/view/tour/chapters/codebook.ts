// Chapter: the picture as a whole, made without a list of pieces to choose from.

import { PICTURE, stopBefore, type Chapter } from '../chapter';

export const codebook: Chapter = {
  title: 'A picture without a codebook',
  text: 'You see a picture in the making, computed in your browser. Most generators that build a picture piece by piece pick every piece from a fixed list, a [codebook]. Here each piece is a handful of numbers, drawn afresh by diffusion.',
  target: [PICTURE],
  question: 'Press Play, or drag the timeline, and watch the picture to its end.',
  enter(session) {
    session.view.mode = 'watch';
    session.view.token = null;
    stopBefore(session, 0);
  },
  answered: ({ player }) => player.recorded === player.extent.iterations && player.moment === player.end,
  insight: () =>
    'Every token came out of a diffusion process. Nothing was looked up, so nothing was rounded to the nearest entry of a list.',
};
