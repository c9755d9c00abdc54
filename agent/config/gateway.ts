/**
 * The default name of this gateway: host name and 8 hex digits of the machine id,
 * `[a-z0-9-]{1,63}`. The digits tell machines of one image apart (every fresh image is
 * called raspberrypi).
 */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { hostname } from 'node:os';

const machineIdFile = '/etc/machine-id';
const idDigits = 8;
/** A DNS label's 63 characters less the dash and the digits. */
const hostLength = 63 - 1 - idDigits;

export function gatewayDefault(host: string = hostname(), machineId = readMachineId()): string {
  const label = host.split('.')[0] ?? '';
  const clean = label
    .toLowerCase()
    .replaceAll(/[^a-z0-9]+/g, '-')
    .slice(0, hostLength)
    .replaceAll(/^-+|-+$/g, '');
  const id = machineId ?? createHash('sha256').update(host).digest('hex');
  return `${clean === '' ? 'gateway' : clean}-${id.slice(0, idDigits)}`;
}

function readMachineId(): string | null {
  try {
    const id = readFileSync(machineIdFile, 'utf8').trim().toLowerCase();
    // An image that was never started says "uninitialized".
    return /^[0-9a-f]{32}$/.test(id) ? id : null;
  } catch {
    return null;
  }
}
