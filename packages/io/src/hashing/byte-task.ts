/** What is computed over a stream of bytes: a digest in hex, or whether a signature is right. */
export type ByteTask =
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

/** A running {@link ByteTask}. */
export interface RunningByteTask {
  update(bytes: Uint8Array): void
  /** The digest in lower-case hex, or `valid` or `invalid`. */
  finish(): string
}

/** Runs a task in this thread. Only then is `node:crypto` loaded, so that it costs those nothing who don't hash here. */
export function runByteTask(task: ByteTask): RunningByteTask {
  const { constants, createHash, createVerify } = process.getBuiltinModule('node:crypto')
  if (task.kind === 'hash') {
    const hash = createHash(task.algorithm)
    return { update: (bytes) => void hash.update(bytes), finish: () => hash.digest('hex') }
  }
  const verify = createVerify(task.algorithm)
  const key =
    task.saltLength === undefined
      ? task.publicKey
      : { key: task.publicKey, padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: task.saltLength }
  return {
    update: (bytes) => void verify.update(bytes),
    finish: () => (verify.verify(key, task.signature) ? 'valid' : 'invalid'),
  }
}
