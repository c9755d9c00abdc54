/**
 * `node deploy/systemd/exposure.ts [--json]`: how exposed Tidegate's unit is, side by side with
 * those of the brokers that it stands beside, as Debian ships them; and what remains of ours, with
 * the reason. Exit 1 when ours is above its bound, or something remains that nobody explained.
 */
import { join } from 'node:path';
import { type Assessment, assess, CannotAssess, type Finding, toolVersion } from './assess.ts';

export const exposureMost = 1.0;
const exitUnavailable = 69;
const columns = { name: 16, setting: 42 } as const;

const ours = join(import.meta.dirname, 'tidegate.service');
const others = ['mosquitto.service', 'nats-server.service'].map((name) =>
  join('/lib/systemd/system', name),
);

/** Why a setting stays as it is. */
const reasons: Readonly<Record<string, string>> = {
  'PrivateNetwork=': 'it is there to be spoken to',
  'RestrictAddressFamilies=~AF_(INET|INET6)': 'it is there to be spoken to',
  'RestrictAddressFamilies=~AF_UNIX': 'the socket of the service manager (sd_notify)',
  'IPAddressDeny=': 'devices and brokers may be anywhere, until a drop-in says where',
  'MemoryDenyWriteExecute=': 'V8 compiles JavaScript and WebAssembly to machine code',
  'DeviceAllow=': 'ProtectClock= itself lists the clock, to be read; there is no other device',
};

export interface Comparison {
  readonly systemd: string;
  readonly most: number;
  readonly units: readonly Assessment[];
  readonly remains: readonly (Finding & { readonly reason: string | null })[];
}

/** @throws CannotAssess a unit or the tool is missing */
export function compare(): Comparison {
  const units = [ours, ...others].map(assess);
  const remains = (units[0]?.findings ?? []).map((finding) => {
    return { ...finding, reason: reasons[finding.setting] ?? null };
  });
  return { systemd: toolVersion(), most: exposureMost, units, remains };
}

export function isWithin({ units, remains, most }: Comparison): boolean {
  return (units[0]?.exposure ?? Infinity) <= most && remains.every(({ reason }) => reason !== null);
}

export function showComparison({ systemd, units, remains }: Comparison): string {
  const bar = (exposure: number): string => '█'.repeat(Math.round(exposure * 2));
  const lines = units.map(({ unit, exposure }) => {
    const name = unit.replace(/\.service$/, '').padEnd(columns.name);
    return `  ${name}${exposure.toFixed(1).padStart(4)}  ${bar(exposure)}`;
  });
  const rest = remains.map(({ setting, exposure, reason }) => {
    const why = reason ?? 'NOT EXPLAINED';
    return `  ${setting.padEnd(columns.setting)}${exposure.toFixed(1)}  ${why}`;
  });
  return [
    `exposure, 0 to 10, less is better (systemd-analyze security, systemd ${systemd}):`,
    ...lines,
    '',
    'what remains of tidegate (each rounded up):',
    ...rest,
    '',
  ].join('\n');
}

function main(args: readonly string[]): number {
  try {
    const comparison = compare();
    const text = args.includes('--json')
      ? `${JSON.stringify(comparison)}\n`
      : showComparison(comparison);
    process.stdout.write(text);
    return isWithin(comparison) ? 0 : 1;
  } catch (error) {
    if (!(error instanceof CannotAssess)) throw error;
    process.stderr.write(`exposure: ${error.message}\n`);
    return exitUnavailable;
  }
}

if (import.meta.main) process.exitCode = main(process.argv.slice(2));
