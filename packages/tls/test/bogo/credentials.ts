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
  type Staples,
  TlsError,
} from '@latchkey/tls'
import { CertificateMessages } from '../../src/credential/certificate-messages.ts'
import { openDelegatedCredential } from '../../src/credential/delegation.ts'
import { readSctList } from '../../src/credential/stapling.ts'
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
  const credential = withStaples(loadCredential({ chain, ...(schemes && { schemes }) }), settings)
  const delegation = settings['-delegated-credential']
  if (delegation !== undefined) return loadDelegated(credential, delegation, privateKey)
  return { credential, privateKey, publicKey: createPublicKey(privateKey) }
}

/**
 * With the runner, a delegated credential is a certificate of its own that is good for nothing else. What a client checks of
 * it is not checked here: the runner's certificates have no DelegationUsage, and the runner signs and verifies `algorithm`
 * in front of `cred`, which RFC 9345 §4 has the other way round (as NSS does, see delegated-interop.test.ts).
 */
function loadDelegated(credential: Credential, encoded: Uint8Array, privateKey: KeyObject): Loaded {
  const delegated = [openDelegatedCredential({ credential, encoded, privateKey })]
  // Without schemes an RSA key would still do for RSA key exchange.
  const tls12 = { ...credential.tls12, authentication: 'ecdsa', schemes: [] } as const
  const forNothingElse = { ...credential, schemes: [], tls12 }
  return { credential: forNothingElse, privateKey, publicKey: createPublicKey(privateKey), delegated }
}

/**
 * The runner staples bytes to see them come back: `loadCredential` would refuse them, as what is no OCSP response, and as
 * timestamps of a version that nobody knows. A list of timestamps that is none is refused here too.
 */
function withStaples(credential: Credential, settings: CredentialSettings): Credential {
  const { '-ocsp-response': ocsp, '-signed-cert-timestamps': sct } = settings
  if (ocsp === undefined && sct === undefined) return credential
  if (sct !== undefined) checkSctList(sct)
  const staples: Staples = { ...(ocsp && { ocsp }), ...(sct && { sct }) }
  return { ...credential, staples, certificateMessages: new CertificateMessages(credential.chain, staples) }
}

function checkSctList(sct: Uint8Array): void {
  try {
    readSctList(sct)
  } catch (error) {
    if (!(error instanceof TlsError && /timestamp of version \d+$/.test(error.detail ?? ''))) throw error
  }
}

function schemeName(code: number): SignatureSchemeName {
  const names = Object.keys(SIGNATURE_SCHEMES) as SignatureSchemeName[]
  const name = names.find((candidate) => SIGNATURE_SCHEMES[candidate].code === code)
  if (name === undefined) throw new Unimplemented(`signature scheme ${code}`)
  return name
}
