// For `node --import`: whatever runs then, a test, a fuzzer or the shim, computes through the FFI where this Node has it.
import { useOpenSslPrimitives } from '../../src/openssl/openssl-primitives.ts'

if (!useOpenSslPrimitives())
  console.error('no node:ffi here: what runs now computes with node:crypto once more')
