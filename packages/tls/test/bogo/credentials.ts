// The runner's certificates, and a signer for their keys.
import { createPrivateKey, createPublicKey, type KeyObject } from 'node:crypto'
import { readFileSync } from 'node:fs'
import {
  createLocalSigner,
  type Credential,
  loadCredential,
  SIGNATURE_SCHEMES,
  type SignatureSchemeName,
  type Signer,
} from '@latchkey/tls'
import { type CredentialSettings, type Settings, Unimplemented } from './flags.ts'

export interface Credentials {
  /** In order of preference; the default one, which has no number, is the last. */
  readonly list: readonly Credential[]
  readonly signer: Signer
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
}

function load(settings: CredentialSettings): Loaded {
  const chain = readFileSync(settings['-cert-file'] ?? '', 'utf8')
  const privateKey = createPrivateKey(readFileSync(settings['-key-file'] ?? '', 'utf8'))
  const schemes = settings['-signing-prefs']?.map(schemeName)
  const credential = loadCredential({ chain, ...(schemes === undefined ? {} : { schemes }) })
  return { credential, privateKey, publicKey: createPublicKey(privateKey) }
}

function schemeName(code: number): SignatureSchemeName {
  const names = Object.keys(SIGNATURE_SCHEMES) as SignatureSchemeName[]
  const name = names.find((candidate) => SIGNATURE_SCHEMES[candidate].code === code)
  if (name === undefined) throw new Unimplemented(`signature scheme ${code}`)
  return name
}
