// Optional files of a model's folder; the page works without them.

/** A file of the model's folder as JSON; null where there is none. */
export async function fetchExtra(model: string, file: string): Promise<unknown> {
  // The files of the built page are known. Only models that a host added must be tried.
  const folder = `weights/${model}`;
  if (folder in FILE_SIZES && !(`${folder}/${file}` in FILE_SIZES)) return null;
  try {
    const response = await fetch(`${folder}/${file}`);
    return response.ok ? await response.json() : null;
  } catch {
    return null;
  }
}

/** Whether a value of such a file is a number in a range. */
export function isFrom(value: unknown, min: number, max: number): value is number {
  return typeof value === 'number' && value >= min && value <= max;
}
