/**
 * What a Mosquitto says in its log (log_type all) of the packets that it sent: enough to judge
 * its own part in a delivery.
 */

const line = /: Sending (PUBLISH|PUBREL) to (\S+) \((?:d([01]), q[012], r[01], m|Mid: |m)(\d+)/;

/**
 * PUBLISHes of QoS 2 that it sent again although it had sent their PUBREL: the standard forbids it
 * [MQTT-4.3.3-6 of 5.0], since to the receiver, who has released the identifier, it is another
 * message. Mosquitto 2.0.11 does it over a restart, for what was in flight.
 */
export function sentAfterPubrel(log: string): number {
  const released = new Set<string>();
  let count = 0;
  for (const entry of log.split('\n')) {
    const match = line.exec(entry);
    if (match === null) continue;
    const [, type, client, dup, identifier] = match;
    const key = `${client} ${identifier}`;
    if (type === 'PUBREL') released.add(key);
    else if (dup === '0') released.delete(key);
    else if (released.has(key)) count += 1;
  }
  return count;
}
