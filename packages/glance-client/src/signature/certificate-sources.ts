import path from 'node:path'
import { readFile } from 'node:fs/promises'
import { adaptLogger, InvalidError } from '@disk-image/core'
import type { CallOptions, CertificateSource, RequestContext } from '@disk-image/core'
import { createHttp, undiciConnections } from '@disk-image/http'
import { readObject } from '../api/answers.ts'
import { Api } from '../api/api.ts'
import { resolveClientOptions } from '../client/client-options.ts'
import type { GlanceClientOptions } from '../client/client-options.ts'
import { fixedSession, normalizeEndpoint, withEndpoints } from '../session/session.ts'

/** Certificates from a function: a database, a vault, a constant. */
export function certificatesFrom(
  find: (certificateId: string, context: RequestContext, options: CallOptions) => Promise<string> | string,
): CertificateSource {
  return {
    getCertificate: async (context, certificateId, options = {}) => find(certificateId, context, options),
  }
}

/** Certificates as files `ID.pem` in a folder. */
export function certificatesInDirectory(directory: string): CertificateSource {
  return certificatesFrom(async (certificateId, _, { signal }) => {
    // The id comes from the image: it must not lead out of the folder.
    if (!/^[\w-]{1,200}$/.test(certificateId)) {
      throw new InvalidError({ reason: 'The certificate id of the image is no plain name' })
    }
    return readFile(path.join(directory, `${certificateId}.pem`), {
      encoding: 'utf8',
      ...(signal === undefined ? {} : { signal }),
    })
  })
}

/** Settings of {@link certificatesInBarbican}: a session, or the key manager's URL. */
export type BarbicanOptions = Omit<GlanceClientOptions, 'endpoint'> & {
  readonly endpoint?: string | undefined
}

/**
 * Certificates as secrets of OpenStack's key manager. The secret must be of type `certificate`, with a PEM payload.
 *
 * @throws {InvalidError} where an option is wrong
 * @see https://docs.openstack.org/barbican/latest/api/reference/secrets.html
 */
export function certificatesInBarbican(options: BarbicanOptions): CertificateSource & AsyncDisposable {
  const resolved = resolveClientOptions(options)
  const { endpoint, session } = options
  const endpoints = endpoint === undefined ? [] : [normalizeEndpoint(endpoint)]
  const http = createHttp(resolved.timeouts, undiciConnections(resolved.timeouts, resolved))
  const api = new Api({
    ...resolved,
    http,
    logger: adaptLogger(options.logger),
    serviceType: 'key-manager',
    session:
      session === undefined
        ? fixedSession(endpoints)
        : endpoints.length === 0
          ? session
          : withEndpoints(session, endpoints),
    shuffle: (list) => list,
  })
  const source = certificatesFrom(async (certificateId, context, { signal }) => {
    const secret = `/v1/secrets/${encodeURIComponent(certificateId)}`
    const answer = await api.call({ method: 'GET', path: secret, context, signal })
    const { secret_type: type } = readObject<{ secret_type?: unknown }>(answer)
    if (type !== 'certificate') {
      throw new InvalidError({
        reason: `The secret is of the type ${JSON.stringify(type)}, not a certificate`,
      })
    }
    const payload = await api.call({
      method: 'GET',
      path: `${secret}/payload`,
      accept: 'application/octet-stream',
      context,
      signal,
    })
    return payload.text
  })
  return { ...source, [Symbol.asyncDispose]: () => http.close() }
}
