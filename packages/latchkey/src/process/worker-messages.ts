// What a supervising process and its workers say to each other over IPC: one question, one answer, by id.

/** A worker's first message: it can do its work, or why not. */
export type FirstMessage = { readonly first: 'ready' } | { readonly first: 'failed'; readonly text: string }

export interface Question {
  readonly id: number
  readonly name: string
  readonly value: unknown
}

export type Answer =
  | { readonly id: number; readonly value: unknown }
  /** Why it could not be answered. */
  | { readonly id: number; readonly failure: string }

/** By the name of the question. */
export type Handlers = Readonly<Record<string, (value: never) => unknown>>
