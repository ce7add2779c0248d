// The runner's certificates, and a signer for their keys.
import { createPrivateKey, createPublicKey, type KeyObject } from 'node:crypto'
import { readFileSync } from 'node:fs'
import {
  createLocalSigner,
  type Credential,
  type DelegatedCredential,
  type DelegatedCredentialSource,
  loadCredential,
  SIGNATURE_SCHEMES,
  type SignatureSchemeName,
  type Signer,
} from '@latchkey/tls'
import { openDelegatedCredential } from '../../src/credential/delegation.ts'
import { type CredentialSettings, type Settings, Unimplemented } from './flags.ts'

export interface Credentials {
  /** In order of preference; the default one, which has no number, is the last. */
  readonly list: readonly Credential[]
  readonly signer: Signer
  readonly delegated: DelegatedCredentialSource
  /** The number that the runner knows a certificate by: -1 for the default one. */
  numberOf(credential: Credential): number
}

/** @throws {Unimplemented} for keys and schemes that the engine has no use for. */
export function loadCredentials({ credentials, defaultCredential }: Settings): Credentials {
  const numbered = credentials.map(load)
  const all = '-cert-file' in defaultCredential ? [...numbered, load(defaultCredential)] : numbered
  return {
    list: all.map(({ credential }) => credential),
    signer: createLocalSigner(all),
    delegated: {
      current: (credential) => all.find((one) => one.credential === credential)?.delegated ?? [],
    },
    numberOf: (credential) => {
      const index = all.findIndex((one) => one.credential === credential)
      return index < numbered.length ? index : -1
    },
  }
}

interface Loaded {
  readonly credential: Credential
  readonly privateKey: KeyObject
  readonly publicKey: KeyObject
  readonly delegated?: readonly DelegatedCredential[]
}

function load(settings: CredentialSettings): Loaded {
  const chain = readFileSync(settings['-cert-file'] ?? '', 'utf8')
  const privateKey = createPrivateKey(readFileSync(settings['-key-file'] ?? '', 'utf8'))
  const schemes = settings['-signing-prefs']?.map(schemeName)
  const credential = loadCredential({ chain, ...(schemes === undefined ? {} : { schemes }) })
  const delegation = settings['-delegated-credential']
  if (delegation !== undefined)
    return loadDelegated(credential, Buffer.from(delegation, 'base64'), privateKey)
  return { credential, privateKey, publicKey: createPublicKey(privateKey) }
}

/**
 * With the runner, a delegated credential is a certificate of its own that is good for nothing else. What a client checks of
 * it is not checked here: the runner's certificates have no DelegationUsage, and the runner signs and verifies `algorithm`
 * in front of `cred`, which RFC 9345 §4 has the other way round (as NSS does, see delegated-interop.test.ts).
 */
function loadDelegated(credential: Credential, encoded: Uint8Array, privateKey: KeyObject): Loaded {
  const delegated = [openDelegatedCredential({ credential, encoded, privateKey })]
  const forNothingElse = { ...credential, schemes: [], tls12: { ...credential.tls12, schemes: [] } }
  return { credential: forNothingElse, privateKey, publicKey: createPublicKey(privateKey), delegated }
}

function schemeName(code: number): SignatureSchemeName {
  const names = Object.keys(SIGNATURE_SCHEMES) as SignatureSchemeName[]
  const name = names.find((candidate) => SIGNATURE_SCHEMES[candidate].code === code)
  if (name === undefined) throw new Unimplemented(`signature scheme ${code}`)
  return name
}
