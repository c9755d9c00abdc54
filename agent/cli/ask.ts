/**
 * Asks the running agent over its local HTTP port. No answer is exit 69; what the agent refuses is
 * said in its own words, under the code that fits.
 */
import { type ErrorCode, messageOf, TidegateError } from '../errors.ts';

const answerWithinMs = 5_000;

/** What the agent's statuses mean here. */
const codes: Readonly<Record<number, ErrorCode>> = {
  400: 'usage',
  404: 'usage',
  409: 'notRunning',
  507: 'bufferFull',
};

export interface Asked {
  readonly method: 'GET' | 'POST';
  readonly withinMs?: number;
}

/** @throws TidegateError notRunning | usage | bufferFull */
export async function askAgent(url: string, asked: Asked): Promise<unknown> {
  const answer = await fetchAnswer(url, asked);
  const body: unknown = await answer.json().catch(() => ({}));
  if (answer.ok) return body;
  const error = (body as { error?: string }).error ?? `HTTP ${answer.status}`;
  const code = codes[answer.status] ?? 'notRunning';
  const origin = new URL(url).origin;
  throw new TidegateError(code, code === 'notRunning' ? `${origin} refused: ${error}` : error);
}

async function fetchAnswer(url: string, { method, withinMs }: Asked): Promise<Response> {
  const signal = AbortSignal.timeout(withinMs ?? answerWithinMs);
  try {
    return await fetch(url, { method, signal });
  } catch (error) {
    const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
    const detail = `no agent answers at ${new URL(url).origin}: ${messageOf(cause)}`;
    throw new TidegateError('notRunning', detail, { cause: error });
  }
}
