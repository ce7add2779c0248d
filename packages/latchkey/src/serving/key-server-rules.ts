// What a key server decides by, apart from keys and certificates: its policy and its sealing keys. Both are replaced as a whole
// by a reload, and every connection goes by the new ones from its next request on.
import type { Logger } from '@latchkey/core'
import type { PrivateKey } from '@latchkey/keys'
import { type KeyServerOptions, PolicyEngine, SealingKeys, type Unsealed } from '@latchkey/keyserver'
import type { KeyServerConfig, SealingSettings } from '../config/key-server-config.ts'

/** What a retired sealing key sealed may come back for so many rotations: a week, with one a day (RFC 8446 §4.6.1). */
const KEPT_ROTATIONS = 7

/** Of keys in a warning. */
const MAX_NAMED = 3

export interface RulesOptions {
  readonly logger: Logger
  /** Processes that do the same: each holds its share of the rates. */
  readonly processes: number
}

interface Rules {
  readonly policy: PolicyEngine | undefined
  readonly sealing: SealingKeys | undefined
}

export class KeyServerRules {
  readonly #options: RulesOptions
  #rules: Rules

  /** @throws {ConfigError} and {KeyServerError} of the secrets that seal */
  constructor(config: KeyServerConfig, options: RulesOptions) {
    this.#options = options
    this.#rules = this.#read(config)
  }

  /** For `createKeyServer`: they look at the rules of the moment. */
  get hooks(): Pick<KeyServerOptions, 'denial' | 'sealing'> {
    const sealing = {
      seal: (content: Uint8Array): Uint8Array | undefined => this.#rules.sealing?.seal(content),
      unseal: (sealed: Uint8Array): Unsealed | undefined => this.#rules.sealing?.unseal(sealed),
    }
    return { denial: (question) => this.#rules.policy?.denial(question), sealing }
  }

  /** @returns what puts the new rules in place. @throws as the constructor; nothing has changed then. */
  prepare(config: KeyServerConfig): () => void {
    const next = this.#read(config)
    return () => {
      this.#rules = next
    }
  }

  /** Says what an operator may not have meant. */
  report(keys: Iterable<PrivateKey>): void {
    const { policy } = this.#rules
    if (policy === undefined) return
    const loaded = [...keys]
    const { logger } = this.#options
    for (const name of policy.unusedRules(loaded))
      logger.warning(`policy: ${name} fits no key that is loaded`)
    const unreachable = policy.unreachable(loaded)
    if (unreachable.length === 0) return
    const named = unreachable.slice(0, MAX_NAMED).map(({ source }) => source)
    const more = unreachable.length > MAX_NAMED ? ', …' : ''
    logger.warning(
      `policy: ${unreachable.length} of ${loaded.length} keys are in no rule: ${named.join(', ')}${more}`,
    )
  }

  #read({ policy, sealing, now }: KeyServerConfig): Rules {
    return {
      policy:
        policy === undefined ? undefined : new PolicyEngine(policy, { share: 1 / this.#options.processes }),
      sealing: sealing === undefined ? undefined : sealingKeys(sealing, () => new Date(now())),
    }
  }
}

function sealingKeys({ readSecrets, rotationSeconds }: SealingSettings, now: () => Date): SealingKeys {
  const secrets = readSecrets()
  try {
    return new SealingKeys({ secrets, rotationSeconds, keptRotations: KEPT_ROTATIONS, now })
  } finally {
    for (const secret of secrets) secret.fill(0) // what was derived of them is kept
  }
}
