// Writes .oxlintrc.json from the floors of docs/ARCHITECTURE.md. Run it after adding a package:
//   node scripts/make-lint-config.ts
// Neither npm nor tsc stops an undeclared or upward import between workspaces, so the lint does.
import { readFileSync, writeFileSync } from 'node:fs'

/** What each package may import of ours. A package not named here may import nothing of ours. */
export const MAY_IMPORT: Readonly<Record<string, readonly string[]>> = {
  core: [],
  wire: ['core'],
  keys: ['core'],
  'keys-pkcs11': ['core', 'keys'],
  'keys-azure': ['core', 'keys'],
  'keys-google': ['core', 'keys'],
  'keys-aws': ['core', 'keys'],
  'keys-vault': ['core', 'keys'],
  tls: ['core'],
  client: ['core', 'wire', 'tls'],
  keyserver: ['core', 'wire', 'keys'],
  audit: ['core'],
  enrolment: ['core'],
  edge: ['core', 'wire', 'tls', 'client'],
  'throwaway-pki': [],
  latchkey: [
    'core',
    'wire',
    'keys',
    'tls',
    'client',
    'keyserver',
    'audit',
    'enrolment',
    'edge',
    'throwaway-pki',
    'keys-pkcs11',
  ],
}

/** Folders that hold no socket, timer or file: bytes and events in, bytes and events out. */
const PURE = [
  'packages/core/src/**',
  'packages/wire/src/**',
  'packages/tls/src/handshake/**',
  'packages/tls/src/record/**',
  'packages/tls/src/client-certificate/**',
  'packages/tls/src/credential/**',
  'packages/tls/src/admission/**',
  'packages/tls/src/signer/signature-checks.ts',
  'packages/tls/src/signer/signer-load.ts',
  'packages/tls/src/ticket/**',
  'packages/tls/src/handshake12/**',
  'packages/tls/src/server-connection.ts',
]

const IO_MODULES = [
  'net',
  'tls',
  'fs',
  'fs/promises',
  'http',
  'https',
  'http2',
  'dns',
  'dns/promises',
  'timers',
  'timers/promises',
  'child_process',
  'worker_threads',
  'cluster',
  'dgram',
]

/** `node:crypto` has one importer in the TLS engine, so that a Node version's differences live in one file. */
const CRYPTO_PROVIDER = 'packages/tls/src/crypto-provider.ts'

const relativeEscape = {
  group: ['**/packages/*', '../../../*', '../../*/src/*'],
  message: 'Import another package by its name, never by path.',
}

function floor(name: string, allowed: readonly string[]): object[] {
  return [
    relativeEscape,
    {
      group: [
        '@latchkey/*',
        'latchkey',
        'latchkey/*',
        ...allowed.map((other) => `!@latchkey/${other}`),
        `!@latchkey/${name}`,
      ],
      message: `packages/${name} may import only: ${allowed.join(', ') || 'nothing of ours'} (floors, docs/ARCHITECTURE.md).`,
    },
  ]
}

const noIo = IO_MODULES.flatMap((module) => [
  { name: `node:${module}`, message: 'Pure package: sockets, timers and files live in the shells.' },
])

const overrides: object[] = []
for (const [name, allowed] of Object.entries(MAY_IMPORT)) {
  const own = `packages/${name}/src/**`
  overrides.push({
    files: [own],
    rules: { 'no-restricted-imports': ['error', { patterns: floor(name, allowed) }] },
  })
}
for (const files of PURE) {
  const name = files.split('/')[1] ?? ''
  const allowed = MAY_IMPORT[name] ?? []
  const paths = name === 'tls' ? [...noIo, { name: 'node:crypto', message: `Use ${CRYPTO_PROVIDER}.` }] : noIo
  overrides.push({
    files: [files],
    excludeFiles: ['**/*.test.ts'],
    rules: {
      'no-restricted-imports': ['error', { paths, patterns: floor(name, allowed) }],
      'no-restricted-globals': ['error', 'setTimeout', 'setInterval', 'setImmediate', 'fetch', 'Buffer'],
      'no-restricted-properties': [
        'error',
        { object: 'Date', property: 'now', message: 'Take a clock.' },
        { object: 'Math', property: 'random', message: 'Take a random source.' },
        { object: 'performance', property: 'now', message: 'Take a clock.' },
      ],
    },
  })
}
overrides.push({
  files: ['**/*.test.ts', '**/test/**'],
  rules: {
    'typescript/no-floating-promises': [
      'error',
      {
        allowForKnownSafeCalls: [
          { from: 'package', package: 'node:test', name: ['test', 'describe', 'it', 'suite'] },
        ],
      },
    ],
  },
})

// A question over IPC names the type of its answer.
overrides.push({
  files: ['test/**', 'bench/**'],
  rules: { 'typescript/no-unnecessary-type-parameters': 'off' },
})

const config = {
  $schema: './node_modules/oxlint/configuration_schema.json',
  plugins: ['typescript', 'import', 'promise', 'unicorn', 'oxc', 'node'],
  categories: { correctness: 'error', suspicious: 'error' },
  env: { node: true, es2024: true },
  ignorePatterns: ['node_modules', 'bench/out'],
  rules: {
    'import/no-cycle': 'error',
    'typescript/no-floating-promises': 'error',
    'typescript/no-misused-promises': 'error',
    'typescript/switch-exhaustiveness-check': ['error', { considerDefaultExhaustiveForUnions: true }],
    'typescript/no-explicit-any': 'error',
    'typescript/no-unsafe-type-assertion': 'off',
    'typescript/consistent-return': 'off',
    'eslint/no-shadow': 'off',
    'eslint/no-underscore-dangle': 'off',
    'eslint/no-await-in-loop': 'off',
    'import/no-unassigned-import': 'off',
    'unicorn/no-array-sort': 'off',
    'unicorn/consistent-function-scoping': 'off',
    'unicorn/require-post-message-target-origin': 'off',
  },
  overrides,
}

const target = new URL('../.oxlintrc.json', import.meta.url)
const text = `${JSON.stringify(config, null, 2)}\n`
if (process.argv.includes('--check')) {
  if (readFileSync(target, 'utf8') !== text) {
    console.error('.oxlintrc.json is stale: run node scripts/make-lint-config.ts')
    process.exitCode = 1
  }
} else {
  writeFileSync(target, text)
}
