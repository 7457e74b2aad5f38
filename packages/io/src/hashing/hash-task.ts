// A thread loads this: no package is looked for here.
import { crc32c, crc64nvme } from './crc.ts'
import type { RequestHandler } from '../threads/serve-requests.ts'

/** What is computed over a stream of bytes: a digest in hex, or whether a signature is right. */
export type HashTask =
  | { readonly kind: 'hash'; readonly algorithm: string }
  | {
      readonly kind: 'signature'
      /** Node's name of the hash. */
      readonly algorithm: string
      /** The public key, PEM. */
      readonly publicKey: string
      readonly signature: Uint8Array
      /** RSA-PSS with exactly this salt; absent for DSA and ECDSA. */
      readonly saltLength?: number
    }

/** A task first, then its bytes, then null for their end; the answer to that is the result. */
export type HashRequest = HashTask | Uint8Array | null

interface RunningTask {
  update(bytes: Uint8Array): unknown
  /** The digest in lower-case hex, or `valid` or `invalid`. */
  finish(): string
}

/** Sums that tell damage, not forgery: hex digits by the names that sources promise them under. */
export const crcs = { crc32: 8, crc32c: 8, crc64nvme: 16 } as const

function crcTask(name: keyof typeof crcs): RunningTask {
  const { crc32 } = process.getBuiltinModule('node:zlib')
  let narrow = 0
  let wide = 0n
  return {
    update: (bytes) => {
      if (name === 'crc64nvme') wide = crc64nvme(bytes, wide)
      else narrow = name === 'crc32' ? crc32(bytes, narrow) : crc32c(bytes, narrow)
    },
    finish: () => (name === 'crc64nvme' ? wide : narrow).toString(16).padStart(crcs[name], '0'),
  }
}

/** Begins a task. Only then is `node:crypto` loaded, so that it costs those nothing who don't hash here. */
export function beginTask(task: HashTask): RunningTask {
  if (task.kind === 'hash' && task.algorithm in crcs) return crcTask(task.algorithm as keyof typeof crcs)
  const { constants, createHash, createVerify } = process.getBuiltinModule('node:crypto')
  if (task.kind === 'hash') {
    const hash = createHash(task.algorithm)
    return { update: (bytes) => hash.update(bytes), finish: () => hash.digest('hex') }
  }
  const verify = createVerify(task.algorithm)
  const key =
    task.saltLength === undefined
      ? task.publicKey
      : { key: task.publicKey, padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: task.saltLength }
  return {
    update: (bytes) => verify.update(bytes),
    finish: () => (verify.verify(key, task.signature) ? 'valid' : 'invalid'),
  }
}

/** Runs one task. Where it can't begin, every answer says why. */
export function createHashHandler(): RequestHandler<HashRequest, string> {
  let running: RunningTask | undefined
  let failure: unknown
  return (request) => {
    if (request !== null && 'kind' in request) {
      try {
        running = beginTask(request)
      } catch (error) {
        failure = error
      }
    }
    if (running === undefined) throw failure
    if (request === null) return running.finish()
    if (!('kind' in request)) running.update(request)
    return ''
  }
}
