/**
 * Whether a text is a public nkey: base32 of a prefix byte (which kind), the 32 bytes of the key
 * and a CRC-16 (XMODEM) of both, low byte first. So a letter mistyped is found before it matters:
 * a gateway that trusts nobody takes no config, and nobody is there to tell it.
 */
const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567';
const characters = 56;
const bitsOfCharacter = 5;
const bitsOfByte = 8;
const crcBytes = 2;
const polynomial = 0x1021;
const highBit = 0x8000;
const crcMask = 0xffff;
/** Operator, server, cluster, account, user. */
const kinds = /^[ONCAU]/;

export function isPublicNkey(text: string): boolean {
  if (text.length !== characters || !kinds.test(text)) return false;
  const bytes = decoded(text);
  if (bytes === null) return false;
  const [low = 0, high = 0] = bytes.slice(-crcBytes);
  return crc16(bytes.slice(0, -crcBytes)) === high * 2 ** bitsOfByte + low;
}

function decoded(text: string): number[] | null {
  const bytes: number[] = [];
  let bits = 0;
  let held = 0;
  for (const character of text) {
    const value = alphabet.indexOf(character);
    if (value < 0) return null;
    held = held * 2 ** bitsOfCharacter + value;
    bits += bitsOfCharacter;
    if (bits < bitsOfByte) continue;
    bits -= bitsOfByte;
    bytes.push(Math.floor(held / 2 ** bits));
    held %= 2 ** bits;
  }
  return bytes;
}

function crc16(bytes: readonly number[]): number {
  let crc = 0;
  for (const byte of bytes) {
    crc ^= byte << bitsOfByte;
    for (let bit = 0; bit < bitsOfByte; bit++) {
      crc = (crc & highBit) === 0 ? crc << 1 : (crc << 1) ^ polynomial;
      crc &= crcMask;
    }
  }
  return crc;
}
