/**
 * Topic Names against Topic Filters, level by level as [MQTT-4.7] has it: the naive truth that the
 * core's tries are held against.
 */

/** @param device what a level `{device}` stands for; without it such a level is text */
export function matches(filter: string, topicName: string, device?: string): boolean {
  const levels = topicName.split('/');
  const wanted = filter.split('/');
  if (topicName.startsWith('$') && (wanted[0] === '+' || wanted[0] === '#')) return false;
  for (const [index, level] of wanted.entries()) {
    if (level === '#') return levels.length >= index;
    const own = level === '{device}' && device !== undefined;
    if (own && device === '') return false;
    if (index >= levels.length) return false;
    if (level !== '+' && (own ? device : level) !== levels[index]) return false;
  }
  return levels.length === wanted.length;
}
