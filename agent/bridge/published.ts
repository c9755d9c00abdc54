/**
 * What a request publishes, whatever API it came by: one record, before it has a Topic Name. What
 * it does not say (null, or left out) is for its route to decide.
 */
export interface Published {
  readonly key: Buffer | null;
  readonly payload: Buffer;
  readonly partition: number | null;
  readonly timestampMs?: number | null;
  readonly headers?: readonly (readonly [name: string, value: string])[];
}
