// The seam for tracing: what a key server tells about one request to whoever records spans. Without a tracer nothing of
// it is done.
import type { CallerSpan } from '@latchkey/wire'
import type { KeyRequest } from './key-request.ts'

/** A piece of work that has begun. */
export interface WorkSpan {
  /** @param failure why it came to nothing; undefined: it went well. More than once is harmless. */
  end(failure?: string): void
}

/** The work on one request. */
export interface RequestSpan extends WorkSpan {
  /** A piece of it that begins now: `DefaultKeystore.Get`, `execute.Sign`, `execute.Decrypt`. */
  begin(name: string): WorkSpan
}

/** Called in the middle of the work, like an observer: it must be quick and must not throw. */
export interface RequestTracer {
  /**
   * @param caller the span in which the client asked, if it told one.
   * @returns undefined for a request that is not recorded.
   */
  begin(request: KeyRequest, caller: CallerSpan | undefined): RequestSpan | undefined
}
