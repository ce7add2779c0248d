// Who this process is to Azure: what gokeyless takes, and what the SDK takes.
import { readFileSync } from 'node:fs'
import type { TokenCredential } from '@azure/core-auth'
import { ClientSecretCredential, DefaultAzureCredential } from '@azure/identity'
import type { HttpClient } from '@azure/core-rest-pipeline'
import { KeysError } from '@latchkey/keys'

/**
 * The file that AZURE_AUTH_LOCATION names, else what DefaultAzureCredential finds: environment, workload identity, managed
 * identity.
 *
 * @throws {KeysError} ERR_KEYS_DENIED of the file.
 */
export function azureCredential(env: NodeJS.ProcessEnv, httpClient: HttpClient | undefined): TokenCredential {
  const options = { retryOptions: { maxRetries: 1 }, ...(httpClient === undefined ? {} : { httpClient }) }
  const path = env['AZURE_AUTH_LOCATION']
  if (path === undefined || path === '') return new DefaultAzureCredential(options)
  const { tenantId, clientId, clientSecret, activeDirectoryEndpointUrl } = readAuthFile(path)
  return new ClientSecretCredential(tenantId, clientId, clientSecret, {
    ...options,
    ...(activeDirectoryEndpointUrl === undefined ? {} : { authorityHost: activeDirectoryEndpointUrl }),
  })
}

interface AuthFile {
  readonly tenantId: string
  readonly clientId: string
  readonly clientSecret: string
  readonly activeDirectoryEndpointUrl?: string
}

/** As "az ad sp create-for-rbac --sdk-auth" writes it. */
function readAuthFile(path: string): AuthFile {
  try {
    const file = JSON.parse(readFileSync(path, 'utf8').replace(/^\uFEFF/, '')) as Partial<AuthFile>
    const { tenantId, clientId, clientSecret } = file
    if ([tenantId, clientId, clientSecret].every((each) => typeof each === 'string' && each !== '')) {
      return file as AuthFile
    }
  } catch (cause) {
    const detail = (cause as NodeJS.ErrnoException).code ?? 'it is not JSON' // and nothing of what is in it
    throw new KeysError('ERR_KEYS_DENIED', { path, detail: `AZURE_AUTH_LOCATION: ${detail}` })
  }
  throw new KeysError('ERR_KEYS_DENIED', {
    path,
    detail: 'AZURE_AUTH_LOCATION: clientId, clientSecret and tenantId must be there',
  })
}
