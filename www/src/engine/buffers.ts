// Buffers that a message takes along instead of copies of them.

/** The buffers of a message's typed arrays. */
export function buffersOf(message: object): Transferable[] {
  return Object.values(message)
    .filter((value) => ArrayBuffer.isView(value))
    .map(({ buffer }) => buffer as ArrayBuffer);
}
