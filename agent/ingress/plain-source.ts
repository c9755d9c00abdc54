/**
 * What is the same for every source that is not a device's own connection: no aliases, no sessions,
 * no allow rules, nothing that it authenticates; and what it is told and does not need.
 */

export abstract class PlainSource {
  readonly maxPacketBytes = 0;
  readonly aliasName = null;
  readonly aliasMaximum = 0;
  readonly seen = null;
  readonly allowGroups = null;
  readonly copiesAll = false;
  readonly authenticates = false;
  readonly sessionEnds = false;

  connect(_start: number, _end: number): void {}
  passed(_type: number, _start: number, _end: number, _packetId: number): void {}
}
