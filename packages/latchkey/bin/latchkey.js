#!/usr/bin/env -S node --max-semi-space-size=2 --disable-warning=ExperimentalWarning
// A small young generation: what reads and records leave outside the heap waits for its collection, and with Node's default
// of 16 MB an edge that streams carries 45 MB more (docs/decisions/0006). node:ffi is experimental and checked before it is
// used (docs/decisions/0008): Node need not say so each time.
//
// The installed command. Plain JavaScript that any Node can read: it checks the version before something newer is
// loaded, because an older Node would only say "Unknown file extension .ts".
const [major, minor] = process.versions.node.split('.').map(Number)

if (major > 24 || (major === 24 && minor >= 7)) {
  const { keepCompiledCode } = await import('./compile-cache.js')
  keepCompiledCode()
  await import('../src/main.ts')
} else {
  process.stderr.write(
    `latchkey needs Node.js 24.7 or newer; this is ${process.version} (${process.execPath}).\n` +
      'In a checkout the pinned one is used by:  npm run latchkey -- <command>\n',
  )
  process.exitCode = 1
}
