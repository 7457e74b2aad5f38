import path from 'node:path'
import { InvalidError } from '@disk-image/core'
import type { TlsOptions } from '@disk-image/http'
import type { Mapping } from './config-yaml.ts'
import { type Environment, expandPath, readBounded, readProblem } from './read-file.ts'
import { booleanSetting, textSetting } from './settings.ts'

/** Where certificates are named. */
export interface LoadTlsOptions {
  /** `process.env`, or what stands for it. */
  readonly environment: Environment
  /** What relative paths are relative to. @default '.' */
  readonly workingDirectory?: string | undefined
  /** A cloud's settings: `cacert`, `cert`, `key`, `insecure`, `verify`. */
  readonly settings?: Mapping | undefined
}

/** Files of authorities, for all that a user runs; the first that is set counts. */
const bundles = ['OS_CACERT', 'REQUESTS_CA_BUNDLE', 'CURL_CA_BUNDLE', 'SSL_CERT_FILE'] as const

const maximumBytes = 8 * 1024 * 1024

/**
 * The certificates of a cloud's settings, else of `OS_CACERT`, `REQUESTS_CA_BUNDLE`, `CURL_CA_BUNDLE` or
 * `SSL_CERT_FILE`. In paths `~`, `~user`, `$NAME` and `${NAME}` are replaced.
 *
 * @returns undefined where nothing is set
 * @throws {InvalidError} where a file can't be read or is not what it should be
 */
export async function loadTls(options: LoadTlsOptions): Promise<TlsOptions | undefined> {
  const { environment, settings = {} } = options
  const verify = verifySetting(settings)
  const insecure = booleanSetting('insecure', settings['insecure']) === true || verify === false
  const cacert = textSetting(settings['cacert'])
  const given = cacert ?? (typeof verify === 'string' ? verify : undefined)
  // What a variable put into the settings is called by the variable's name.
  const name = cacert === undefined ? 'verify' : cacert === environment['OS_CACERT'] ? 'OS_CACERT' : 'cacert'
  const bundle = bundles.find((name) => (environment[name] ?? '') !== '')
  // Where nothing is verified, a file that is missing does not matter.
  const ca = insecure
    ? undefined
    : given !== undefined
      ? await readPem(name, given, options)
      : bundle !== undefined
        ? await readPem(bundle, environment[bundle] ?? '', options)
        : undefined
  const certFile = textSetting(settings['cert']) ?? nonEmpty(environment['OS_CERT'])
  const keyFile = textSetting(settings['key']) ?? nonEmpty(environment['OS_KEY'])
  const identity = certFile === undefined ? undefined : await readIdentity(certFile, keyFile, options)
  if (ca === undefined && identity === undefined && !insecure) return undefined
  return { ca, cert: identity?.cert, key: identity?.key, insecure }
}

/** As the library requests has it, `verify` may be the file of the authorities. */
function verifySetting(settings: Mapping): boolean | string | undefined {
  try {
    return booleanSetting('verify', settings['verify'])
  } catch {
    return textSetting(settings['verify'])
  }
}

async function readIdentity(
  certFile: string,
  keyFile: string | undefined,
  options: LoadTlsOptions,
): Promise<{ cert: string; key: string }> {
  const cert = await readPem('cert', certFile, options)
  const key = keyFile === undefined ? cert : await readPem('key', keyFile, options)
  const named = keyFile ?? certFile
  if (!/-----BEGIN [A-Z ]*PRIVATE KEY-----/.test(key)) {
    throw new InvalidError({ reason: `The file ${named} has no private key in PEM: give one as key` })
  }
  const { createPrivateKey, X509Certificate } = process.getBuiltinModule('node:crypto')
  let fits: boolean
  try {
    fits = new X509Certificate(cert).checkPrivateKey(createPrivateKey(key))
  } catch {
    throw new InvalidError({ reason: `The private key in ${named} can't be used: it is broken or encrypted` })
  }
  if (!fits)
    throw new InvalidError({
      reason: `The private key in ${named} does not belong to the certificate in ${certFile}`,
    })
  return { cert, key }
}

async function readPem(name: string, given: string, options: LoadTlsOptions): Promise<string> {
  const file = path.resolve(options.workingDirectory ?? '.', expandPath(given, options.environment))
  let text: string
  try {
    text = (await readBounded(file, maximumBytes, false)).toString('utf8')
  } catch (error) {
    if (error instanceof InvalidError) throw error
    throw new InvalidError({ reason: `The file ${file} (${name}) could not be read: ${readProblem(error)}` })
  }
  if (name !== 'key') checkCertificate(name, file, text)
  return text
}

function checkCertificate(name: string, file: string, text: string): void {
  const [first] = /-----BEGIN (?:TRUSTED |X509 )?CERTIFICATE-----[^-]+-----END[^\n]*/.exec(text) ?? []
  try {
    if (first !== undefined && new (process.getBuiltinModule('node:crypto').X509Certificate)(first)) return
  } catch {
    // Said below.
  }
  throw new InvalidError({ reason: `The file ${file} (${name}) has no certificate in PEM` })
}

function nonEmpty(value: string | undefined): string | undefined {
  return value === '' ? undefined : value
}
