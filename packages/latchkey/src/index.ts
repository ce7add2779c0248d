// The latchkey command for programs: its configuration files, and what the demo measures.
export {
  CONFIG_ERRORS,
  ConfigError,
  type ConfigErrorCode,
  type ConfigErrorDetail,
} from './config/config-error.ts'
export { type EdgeConfig, loadEdgeConfig } from './config/edge-config.ts'
export { type KeyServerConfig, loadKeyServerConfig } from './config/key-server-config.ts'
export {
  MEMORY_SEARCH_ERRORS,
  MemorySearchError,
  type MemorySearchErrorCode,
  searchProcessMemory,
} from './demo/memory-search.ts'
export { privateKeyNeedles } from './demo/private-key-needles.ts'
export type { Console } from './process/console.ts'
export { run } from './program.ts'
