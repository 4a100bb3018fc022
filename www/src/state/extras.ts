// Files that may lie beside a model's weights, and that the page does without where they do not.

/** A file of the model's folder as JSON; null where there is none. */
export async function fetchExtra(model: string, file: string): Promise<unknown> {
  // What came with the page is known; only a host's own models have to be asked for theirs.
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
