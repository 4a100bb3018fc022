// A picture from a file, as a sketch: its middle, at the model's size, grey where the model is.
// The file is read in the browser and never leaves it.

import { backgroundOf, centreCrop, sketchOfImage, type Sketch } from '../../state/pins';
import type { Geometry } from '../../state/settings';

/** File types that the file chooser accepts. */
export const PICTURES = 'image/png,image/jpeg,image/webp,image/gif,image/bmp,image/avif,image/svg+xml';

/** Browsers make no bitmap of an SVG file, only of an element that shows it. */
async function drawing(file: File): Promise<HTMLImageElement> {
  const picture = new Image();
  picture.src = URL.createObjectURL(file);
  try {
    await picture.decode();
    return picture;
  } finally {
    URL.revokeObjectURL(picture.src);
  }
}

/** Rejects with an Error with a readable message. */
export async function sketchFromFile(file: File, geometry: Geometry): Promise<Sketch> {
  let picture: ImageBitmap | HTMLImageElement;
  try {
    picture = file.type === 'image/svg+xml' ? await drawing(file) : await createImageBitmap(file);
  } catch {
    throw new Error(`This browser cannot read "${file.name}" as a picture. Take a PNG or a JPEG file.`);
  }
  const [height, width] = geometry.image;
  const canvas = document.createElement('canvas');
  canvas.width = width;
  canvas.height = height;
  const context = canvas.getContext('2d', { willReadFrequently: true });
  if (!context) throw new Error('This browser gives no canvas to fit the picture on. Close other pages and try again.');
  context.imageSmoothingQuality = 'high';
  // Where the picture is transparent the background stays.
  const background = backgroundOf(geometry);
  context.fillStyle = `rgb(${background} ${background} ${background})`;
  context.fillRect(0, 0, width, height);
  // An SVG file may say no size.
  const crop = centreCrop(picture.width || width, picture.height || height, geometry.image);
  context.drawImage(picture, crop.x, crop.y, crop.width, crop.height, 0, 0, width, height);
  if (picture instanceof ImageBitmap) picture.close();
  return sketchOfImage(context.getImageData(0, 0, width, height).data, geometry);
}
