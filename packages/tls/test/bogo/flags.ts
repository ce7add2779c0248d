// The command line of BoringSSL's runner. A setting has the name of its flag, so that ssl/test/test_config.cc and
// PORTING.md there say what it means.

/** The shim cannot do what the runner asks: it exits with 89, and the runner counts the test as not implemented. */
export class Unimplemented extends Error {}

/** What follows each flag that the shim acts on. `list`: the flag may be repeated. */
const FLAGS = {
  '-port': 'number',
  '-ipv6': 'nothing',
  '-shim-id': 'text',
  '-server': 'nothing',
  '-resume-count': 'number',
  '-async': 'nothing',

  '-min-version': 'number',
  '-max-version': 'number',
  '-no-tls1': 'nothing',
  '-no-tls11': 'nothing',
  '-no-tls12': 'nothing',
  '-no-tls13': 'nothing',
  '-cipher': 'text',
  '-curves': 'list',
  '-select-alpn': 'text',
  '-decline-alpn': 'nothing',
  '-reject-alpn': 'nothing',
  '-no-ticket': 'nothing',
  '-skip-ticket': 'nothing',
  '-fail-cert-callback': 'nothing',
  '-fail-ddos-callback': 'nothing',
  '-resumption-delay': 'number',

  '-verify-peer': 'nothing',
  '-require-any-client-certificate': 'nothing',
  '-verify-fail': 'nothing',
  '-use-custom-verify-callback': 'nothing',
  '-verify-prefs': 'list',
  '-use-client-ca-list': 'text',

  '-shim-writes-first': 'nothing',
  '-shim-shuts-down': 'nothing',
  '-check-close-notify': 'nothing',
  '-export-keying-material': 'number',
  '-export-label': 'text',
  '-export-context': 'text',
  '-use-export-context': 'nothing',

  '-expect-version': 'number',
  '-expect-advertised-alpn': 'text',
  '-expect-session-miss': 'nothing',
  '-expect-server-name': 'text',
  '-expect-no-server-name': 'nothing',
  '-expect-curve-id': 'number',
  '-expect-cipher': 'number',
  '-expect-cipher-aes': 'number',
  '-expect-hrr': 'nothing',
  '-expect-no-hrr': 'nothing',
  '-expect-selected-credential': 'number',
  '-expect-verify-result': 'nothing',
  '-expect-peer-cert-file': 'text',
  '-expect-early-data-reason': 'text',
} as const satisfies Record<string, Kind>

/** Flags that ask for what is always so here, or that only matter with an extension that is ignored. */
const ALWAYS_SO: Readonly<Record<string, Kind>> = {
  '-advertise-npn': 'text',
  '-allow-hint-mismatch': 'nothing', // no half of a handshake is done elsewhere
  '-alps-use-new-codepoint': 'number',
  '-expect-cipher-no-aes': 'number', // this Node's OpenSSL uses AES instructions
  '-expect-extended-master-secret': 'nothing', // always, if the client offers it: the runner checks its end
  '-enable-ocsp-stapling': 'nothing', // for clients
  '-expect-peer-signature-algorithm': 'number', // a session does not say; clients that are asked have one
  '-expect-no-session-id': 'nothing', // there is no cache of sessions
  '-implicit-handshake': 'nothing', // a stream needs nobody to start its handshake
  '-install-ddos-callback': 'nothing', // the certificate store is asked at the same place
  '-install-cert-compression-algs': 'nothing', // of the runner's making: as if we knew none in common
  '-install-one-cert-compression-alg': 'number',
  '-no-op-extra-handshake': 'nothing',
  '-quic-use-legacy-codepoint': 'number',
  '-read-with-unfinished-write': 'nothing', // reading and writing do not wait for each other
  '-renew-ticket': 'nothing', // a resumption of TLS 1.3 gives a new ticket
  '-srtp-profiles': 'text',
  '-trust-cert': 'text', // any client certificate will do
  '-use-early-callback': 'nothing', // the certificate store is asked at the same place
  '-use-ticket-aead-callback': 'nothing', // tickets are sealed by an object of the caller's
  '-use-ticket-callback': 'nothing',
}

/** Flags of the certificate that the flags before them announced, or of the default one. */
const CREDENTIAL_FLAGS = {
  '-cert-file': 'text',
  '-key-file': 'text',
  '-signing-prefs': 'list',
  '-ocsp-response': 'base64',
  '-signed-cert-timestamps': 'base64',
  '-delegated-credential': 'base64',
} as const

type Kind = 'nothing' | 'number' | 'text' | 'list' | 'base64'
type Value<K extends Kind> = K extends 'nothing'
  ? true
  : K extends 'number'
    ? number
    : K extends 'text'
      ? string
      : K extends 'base64'
        ? Uint8Array
        : readonly number[]
type Values<T extends Record<string, Kind>> = { readonly [Name in keyof T]?: Value<T[Name]> }

export type CredentialSettings = Values<typeof CREDENTIAL_FLAGS>

/** What one connection is to be like. */
export type Settings = Values<typeof FLAGS> & {
  /** The one without a number. */
  readonly defaultCredential: CredentialSettings
  /** Those of `-new-x509-credential` and `-new-delegated-credential`; their index is their number. */
  readonly credentials: readonly CredentialSettings[]
}

interface Draft extends Record<string, unknown> {
  readonly defaultCredential: Record<string, unknown>
  readonly credentials: Record<string, unknown>[]
}

/**
 * The settings of the first connection and of those that resume it.
 *
 * @throws {Unimplemented} for a flag that the shim does not know.
 */
export function parseFlags(args: readonly string[]): { initial: Settings; resume: Settings } {
  const initial: Draft = { defaultCredential: {}, credentials: [] }
  const resume: Draft = { defaultCredential: {}, credentials: [] }
  const rest = args.values()
  for (const arg of rest) {
    const { name, isFor } = withoutPrefix(arg)
    const drafts = [initial, resume].filter((_, index) => isFor === undefined || isFor === index)
    if (name === '-new-x509-credential' || name === '-new-delegated-credential') {
      for (const draft of drafts) draft.credentials.push({})
      continue
    }
    const isOfCredential = name in CREDENTIAL_FLAGS
    const kind = kindOf(name)
    const value = kind === 'nothing' ? true : valueOf(kind, rest.next().value ?? '')
    for (const draft of drafts) {
      const owner = isOfCredential ? (draft.credentials.at(-1) ?? draft.defaultCredential) : draft
      owner[name] = kind === 'list' ? [...((owner[name] as number[] | undefined) ?? []), value] : value
    }
  }
  return { initial, resume }
}

/** `isFor`: 0 for the first connection, 1 for those that resume it, undefined for all. */
function withoutPrefix(arg: string): { name: string; isFor: 0 | 1 | undefined } {
  if (arg.startsWith('-on-initial-')) return { name: arg.slice('-on-initial'.length), isFor: 0 }
  if (arg.startsWith('-on-resume-')) return { name: arg.slice('-on-resume'.length), isFor: 1 }
  return { name: arg, isFor: undefined }
}

function kindOf(name: string): Kind {
  const kinds: Readonly<Record<string, Kind>> = { ...ALWAYS_SO, ...CREDENTIAL_FLAGS, ...FLAGS }
  const kind = Object.hasOwn(kinds, name) ? kinds[name] : undefined
  if (kind === undefined) throw new Unimplemented(name)
  return kind
}

function valueOf(kind: Kind, text: string): number | string | Uint8Array {
  if (kind === 'base64') return Buffer.from(text, 'base64')
  return kind === 'text' ? text : Number(text)
}
