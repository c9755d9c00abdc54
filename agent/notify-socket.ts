/**
 * A datagram socket to the service manager's NOTIFY_SOCKET, see sd_notify(3). Node has no AF_UNIX
 * datagrams, and `NotifyAccess=main` takes none from a child process: so libc is asked for a
 * connected descriptor once, through koffi, and everything after that is a plain write to it.
 *
 * It is loaded only where a service manager asks for it. The socket does not block: a manager that
 * hangs must not stop the path. What it has no room for is the caller's to send again; a socket
 * that is not there any more is opened anew, once a message.
 */
import { closeSync, writeSync } from 'node:fs';
import koffi from 'koffi';

/** Of Linux, the same on x86-64 and arm64. */
const AF_UNIX = 1;
const SOCK_DGRAM = 2;
const SOCK_NONBLOCK = 0o4_000;
const SOCK_CLOEXEC = 0o2_000_000;
/** sun_path with its NUL; an abstract name has none. */
const pathBytesMost = 108;
const familyBytes = 2;
/** koffi's own call stacks: three integers and 110 bytes pass through them. */
const callBytes = 64 * 1024;

export class NotifySocket {
  readonly #open: () => number;
  /** null: it could not be opened again. */
  #descriptor: number | null;

  /**
   * @param name NOTIFY_SOCKET: a path, or `@` and an abstract name
   * @throws what is wrong with it
   */
  constructor(name: string) {
    const address = addressOf(name);
    const { socket, connect } = callsOfLibc();
    this.#open = () => {
      const descriptor = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
      if (descriptor < 0) throw failure('socket', name);
      if (connect(descriptor, address, address.length) === 0) return descriptor;
      const reason = failure('connect', name);
      closeSync(descriptor);
      throw reason;
    };
    this.#descriptor = this.#open();
  }

  /**
   * @returns false: there is no room for it now
   * @throws it cannot be sent
   */
  send(message: string): boolean {
    try {
      if (this.#descriptor !== null) return write(this.#descriptor, message);
    } catch {
      // The other end was made anew (a manager of containers may do that).
    }
    this.close();
    this.#descriptor = this.#open();
    return write(this.#descriptor, message);
  }

  close(): void {
    if (this.#descriptor !== null) closeSync(this.#descriptor);
    this.#descriptor = null;
  }
}

function write(descriptor: number, message: string): boolean {
  try {
    writeSync(descriptor, message);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EAGAIN') return false;
    throw error;
  }
}

/** struct sockaddr_un: the family, then the name. @throws it is none */
function addressOf(name: string): Buffer {
  const abstract = name.startsWith('@');
  if (!abstract && !name.startsWith('/')) {
    throw new Error(`NOTIFY_SOCKET ${name} is neither a path nor an abstract name`);
  }
  const path = Buffer.from(abstract ? `\0${name.slice(1)}` : `${name}\0`);
  if (path.length > pathBytesMost) {
    throw new Error(`NOTIFY_SOCKET ${name} is longer than ${pathBytesMost - 1} bytes`);
  }
  const address = Buffer.alloc(familyBytes + path.length);
  address[0] = AF_UNIX; // both machines we run on are little-endian
  path.copy(address, familyBytes);
  return address;
}

type Socket = (domain: number, type: number, protocol: number) => number;
type Connect = (descriptor: number, address: Buffer, length: number) => number;

/** null: what this process is linked with, glibc or musl. */
function callsOfLibc(): { readonly socket: Socket; readonly connect: Connect } {
  koffi.config({
    ...koffi.config(),
    sync_stack_size: callBytes,
    sync_heap_size: callBytes,
    resident_async_pools: 0,
  });
  const libc = koffi.load(null);
  return {
    socket: libc.func('int socket(int domain, int type, int protocol)'),
    connect: libc.func('int connect(int descriptor, const uint8_t *address, uint32_t length)'),
  };
}

function failure(call: string, name: string): Error {
  const number = koffi.errno();
  const found = Object.entries(koffi.os.errno).find(([, value]) => value === number);
  return new Error(`${call} to NOTIFY_SOCKET ${name}: ${found?.[0] ?? `errno ${number}`}`);
}
