/**
 * What dpkg reads of a package: the control file, the list of config files, the sums.
 *
 * The versions under Depends are what the binaries ask for, as `objdump -T` shows it (a test
 * compares them): better-sqlite3 asks for most, GLIBC_2.34 and GLIBCXX_3.4.29 (GCC 11). So the
 * package installs on Debian 12 or later, Ubuntu 22.04 or later.
 */
import { createHash } from 'node:crypto';
import { lstatSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { debianVersion } from './options.ts';
import type { Target } from './target.ts';

/** Nobody's address: the example domain stands for whoever builds a release. */
export const maintainer = 'Tidegate maintainers <maintainers@tidegate.example.org>';
export const glibcLeast = '2.34';
export const gccLeast = '11';
export const configFile = '/etc/tidegate/tidegate.yaml';

const description = `event-mesh agent for edge gateways
 Devices publish to it over MQTT and NATS. It commits every event to a buffer
 on disk, acknowledges only then, and carries what is committed to Kafka, MQTT,
 NATS or files, now or when the uplink is back.
 .
 The package holds all it needs to run, a Node runtime included, so that a
 gateway can be installed without a network. It brings a hardened systemd
 service and a config that listens on this machine only.`;

const kib = 1024;

export function controlFile(version: string, target: Target, treeKib: number): string {
  return `Package: tidegate
Version: ${debianVersion(version)}
Architecture: ${target.debian}
Maintainer: ${maintainer}
Installed-Size: ${treeKib}
Depends: libc6 (>= ${glibcLeast}), libgcc-s1 (>= 4.2), libstdc++6 (>= ${gccLeast}), ${sysusers}
Section: net
Priority: optional
Description: ${description}
`;
}

/** Who makes the system user in postinst; the unit itself needs a systemd of Debian 12. */
const sysusers = 'systemd (>= 252) | systemd-standalone-sysusers | systemd-sysusers';

/** As dpkg-gencontrol counts: each file in whole KiB, everything else as one. */
export function sizeKib(tree: string): number {
  return paths(tree)
    .map((path) => lstatSync(join(tree, path)))
    .reduce((sum, entry) => sum + (entry.isFile() ? Math.ceil(entry.size / kib) : 1), 0);
}

/** @param tree without its DEBIAN folder */
export function sumsFile(tree: string): string {
  return paths(tree)
    .filter((path) => `/${path}` !== configFile && statSync(join(tree, path)).isFile())
    .map((path) => `${md5(join(tree, path))}  ${path}\n`)
    .join('');
}

function paths(tree: string): string[] {
  return (readdirSync(tree, { recursive: true }) as string[]).sort();
}

function md5(file: string): string {
  return createHash('md5').update(readFileSync(file)).digest('hex');
}
