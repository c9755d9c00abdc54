/**
 * NATS subjects as Topic Names, so that one kind of filter serves both:
 *
 *   plant.line-1.pump  →  plant/line-1/pump         a token is a level
 *
 * What a level cannot hold, or what would make two subjects one Topic Name, is percent-encoded in
 * its token: / + # % and control characters. `subjectOf` in egress/nats-subject.ts is the inverse.
 */
const encoded = /[/+#%\p{Cc}]/gu;
const encodedTest = /[/+#%\p{Cc}]/u;
const hexadecimal = 16;
const digits = 2;

export function topicNameOf(subject: string): string {
  const plain = encodedTest.test(subject) ? subject.replaceAll(encoded, percent) : subject;
  return plain.replaceAll('.', '/');
}

/** Each byte of its UTF-8. */
function percent(character: string): string {
  const bytes = [...Buffer.from(character)];
  return bytes
    .map((byte) => `%${byte.toString(hexadecimal).toUpperCase().padStart(digits, '0')}`)
    .join('');
}
