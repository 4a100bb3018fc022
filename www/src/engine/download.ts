// Fetching large files with progress: bytes are counted as they stream in.
// Failures become messages that name the file and what to do.

/** Bytes so far, and the total where it is known. */
export type OnBytes = (received: number) => void;

/** A response whose body reports its bytes as they are read. Throws an Error with a readable message. */
export async function open(url: string, name: string, onBytes: OnBytes): Promise<Response> {
  let response: Response;
  try {
    response = await fetch(url);
  } catch (cause) {
    throw new Error(`Could not fetch ${name}: the connection failed. Check the network, then try again.`, { cause });
  }
  if (response.status === 404) {
    throw new Error(
      `${name} is not on the server (404). Check the model's name in the address; on your own host, put that file next to index.html.`,
    );
  }
  if (!response.ok || !response.body) {
    throw new Error(`The server answered ${response.status} for ${name}. Try again in a moment.`);
  }
  let received = 0;
  const counted = response.body.pipeThrough(
    new TransformStream<Uint8Array<ArrayBuffer>, Uint8Array<ArrayBuffer>>({
      transform(chunk, controller) {
        received += chunk.byteLength;
        onBytes(received);
        controller.enqueue(chunk);
      },
    }),
  );
  return new Response(counted, { headers: { 'content-type': response.headers.get('content-type') ?? '' } });
}

/** The whole file. Throws an Error with a readable message. */
export async function download(url: string, name: string, onBytes: OnBytes): Promise<Uint8Array> {
  const response = await open(url, name, onBytes);
  try {
    return new Uint8Array(await response.arrayBuffer());
  } catch (cause) {
    throw new Error(`The download of ${name} was interrupted. Check the network, then try again.`, { cause });
  }
}
