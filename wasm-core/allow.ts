/**
 * Who may publish where: Topic Filters, each with a mask of the groups it is for. A captured
 * PUBLISH never meets the ACL of the broker behind, so this is asked before anything else, of every
 * PUBLISH of a device: a filter that matches and has one of the connection's groups lets it by.
 */
import { ALLOW_TRIE, NAME_OFFSET } from './layout';
import { allowGroups, deviceBytes } from './call';
import { UNION, trieAdd, trieClear, trieUnion } from './topics';

export function allowClear(): void {
  trieClear(ALLOW_TRIE, UNION);
}

/** @returns 0 or −fault; a filter that was there gets these groups as well */
export function allowAdd(filterBytes: i32, groups: i32): i32 {
  return -trieAdd(ALLOW_TRIE, filterBytes, groups);
}

export function allowed(topicName: i32, bytes: i32): bool {
  return (trieUnion(ALLOW_TRIE, topicName, bytes, NAME_OFFSET, deviceBytes) & allowGroups) != 0;
}
