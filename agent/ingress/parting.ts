/**
 * How a connection begins and ends as a stream: when the broker behind is reached, and how a device
 * is left so that it hears the last words.
 */
import type { Duplex } from 'node:stream';
import { TLSSocket } from 'node:tls';
import { closeWithinMs, lingerMs } from '../bounds.ts';

/** TCP alone is no connection where the broker is spoken to by TLS. */
export function connectedEvent(broker: Duplex): 'connect' | 'secureConnect' {
  return broker instanceof TLSSocket ? 'secureConnect' : 'connect';
}

/**
 * FIN, and what still comes is read and thrown away until the device has ended too: unread bytes
 * would turn our close into a reset, which can take the last words with it (RFC 1122, 4.2.2.13).
 * A device that does not read what it is owed, or goes on for ever, is not waited for.
 * @param waits there are last words to be heard
 */
export function partWays(device: Duplex, waits: boolean, parted: () => void): void {
  let told = false;
  const look = (): void => {
    if (told && (device.readableEnded || !waits)) parted();
  };
  device.once('end', look);
  device.end(() => {
    told = true;
    look();
    setTimeout(parted, lingerMs).unref();
  });
  setTimeout(parted, closeWithinMs).unref();
}
