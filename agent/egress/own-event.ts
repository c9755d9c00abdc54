/**
 * An event that was a CloudEvent when it came (over HTTP): its attributes go on as they were, in
 * the names of the upstream's binding; the gateway says what it knows under names of its own.
 *
 *   frame's User Properties   Kafka, file                     MQTT         NATS
 *   ce_id, ce_type, …         ce_id, ce_type, …               id, type, …  ce-id, ce-type, …
 *   ce_datacontenttype        content-type                    (its property) ce-datacontenttype
 *   others                    under their own names
 *   tidegate-source           //<gateway>/http/<device>, whatever the event says
 *
 * Only what came over HTTP is looked at: a device's User Properties can name no event.
 */
import type { Binding, FrameProperties } from './record.ts';

const overHttp = 3;
const attribute = 'ce_';
/** CloudEvents 1.0.2, section 3.1: what else begins so is no attribute, and rides along. */
const attributeShape = /^ce_[a-z0-9]+$/;
const marks = ['ce_specversion', 'ce_id', 'ce_source', 'ce_type'] as const;
const contentType = 'ce_datacontenttype';
/** Who published it, as the gateway knows: what `ce_source` says of other events. */
export const ownSourceName = 'tidegate-source';

/** Whether the frame brings an event's own attributes. */
export function isOwnEvent(protocol: number, properties: FrameProperties | null): boolean {
  if (protocol !== overHttp || properties === null) return false;
  const names = new Set(properties.userProperties.map(([name]) => name));
  return marks.every((name) => names.has(name));
}

export function isAttribute(name: string): boolean {
  return attributeShape.test(name);
}

/** The name that the upstream's binding has for it; null: it is no attribute. */
export function attributeName(name: string, binding: Binding): string | null {
  if (!isAttribute(name)) return null;
  if (binding === 'nats') return `ce-${name.slice(attribute.length)}`;
  if (binding === 'mqtt') return name.slice(attribute.length);
  return name === contentType ? 'content-type' : name;
}
