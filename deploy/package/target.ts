/**
 * What a package is made for. Each fact of an architecture stands here once: Debian's name, npm's
 * and Node's name, and the number in the head of its ELF files, by which the build sees that no
 * binary of another machine came along. 32-bit ARM is not here: neither the runtime nor SQLite's
 * binding has binaries for it.
 */
export type DebianName = 'amd64' | 'arm64';
export type NodeName = 'x64' | 'arm64';

export interface Target {
  readonly debian: DebianName;
  readonly node: NodeName;
  /** e_machine. */
  readonly elfMachine: number;
}

export const targets: readonly Target[] = [
  { debian: 'amd64', node: 'x64', elfMachine: 62 },
  { debian: 'arm64', node: 'arm64', elfMachine: 183 },
];
