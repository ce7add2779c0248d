// Exit codes of the command; the README has the same table.

/** `failed` is 1 for everything that is wrong with the configuration or the machine, as with gokeyless. */
export const EXIT = { ok: 0, failed: 1, usage: 2 } as const
export type ExitCode = (typeof EXIT)[keyof typeof EXIT]
