/**
 * The schema as JSON Schema (draft 7), for editors: completion, prose on hover, unknown keys.
 * Its converter is loaded only here, and only when asked for. Units stand as patterns; relations
 * between keys cannot be said in it and are left to `tidegate check`.
 */
import { toJsonSchema } from '@valibot/to-json-schema';
import { configSchema } from './schema.ts';

export function jsonSchemaText(): string {
  const { $schema, required, ...rest } = toJsonSchema(configSchema, {
    errorMode: 'ignore',
    ignoreActions: ['raw_transform', 'raw_check'],
  });
  // With a fleet they may come later (check.ts).
  const anyOf = [{ required }, { required: ['fleet'] }];
  return `${JSON.stringify({ $schema, title: 'Tidegate config', ...rest, anyOf }, null, 2)}\n`;
}
