/**
 * How long a test waits for what has to come: as long as it says, or TIDEGATE_TEST_PATIENCE times
 * as long, for a machine that is emulated. Only such waits are stretched; a time that a test
 * asserts is a promise, and stays.
 */
const factor = Math.max(1, Number(process.env.TIDEGATE_TEST_PATIENCE ?? 1) || 1);

export function patient(ms: number): number {
  return ms * factor;
}
