import { createHash, type Hash } from 'node:crypto'
import { gzip } from 'node:zlib'
import { promisify } from 'node:util'
import { type ByteSink, InvalidError, MiB } from '@disk-image/core'

const block = 512

/** Takes the bytes of a file, and hands on those of a blob; `end` follows the last of them. */
export interface BlobEncoder extends ByteSink {
  end(): Promise<void>
  /** `sha256:…` of what was there before it was compressed: an image's `diff_ids`. Known at the end. */
  readonly diffId: string
}

/** As it is. */
export function plainEncoder(write: ByteSink['write']): BlobEncoder {
  const hash = createHash('sha256')
  return {
    write: (chunk) => {
      hash.update(chunk)
      return write(chunk)
    },
    end: () => Promise.resolve(),
    get diffId() {
      return `sha256:${hash.copy().digest('hex')}`
    },
  }
}

/** Bytes that are compressed at once, each as a member of its own, and how many of them at a time. */
const memberBytes = 4 * MiB
const mostAtOnce = 4

/**
 * Compressed by gzip: one member for each 4 MiB, several of them at a time. Equal bytes have equal blobs, as long as
 * zlib is the same.
 */
export function gzipEncoder(write: ByteSink['write'], level: number): BlobEncoder {
  return new GzipEncoder(write, level)
}

class GzipEncoder implements BlobEncoder {
  readonly #write: ByteSink['write']
  readonly #level: number
  readonly #hash: Hash = createHash('sha256')
  readonly #underWay: Promise<Uint8Array>[] = []
  #member = Buffer.allocUnsafe(memberBytes)
  #length = 0
  #hasMembers = false

  constructor(write: ByteSink['write'], level: number) {
    this.#write = write
    this.#level = level
  }

  get diffId(): string {
    return `sha256:${this.#hash.copy().digest('hex')}`
  }

  async write(chunk: Uint8Array): Promise<void> {
    this.#hash.update(chunk)
    for (let at = 0; at < chunk.length;) {
      const part = chunk.subarray(at, at + memberBytes - this.#length)
      this.#member.set(part, this.#length)
      this.#length += part.length
      at += part.length
      if (this.#length === memberBytes) await this.#compress()
    }
  }

  async end(): Promise<void> {
    if (this.#length > 0 || !this.#hasMembers) await this.#compress()
    while (this.#underWay.length > 0) await this.#handOn()
  }

  async #compress(): Promise<void> {
    this.#hasMembers = true
    const compressed = promisify(gzip)(this.#member.subarray(0, this.#length), { level: this.#level })
    // It is waited for in its turn; a failure until then is not an unhandled one.
    compressed.catch(() => undefined)
    this.#underWay.push(compressed)
    this.#member = Buffer.allocUnsafe(memberBytes)
    this.#length = 0
    if (this.#underWay.length >= mostAtOnce) await this.#handOn()
  }

  async #handOn(): Promise<void> {
    const bytes = await this.#underWay.shift()
    if (bytes !== undefined) await this.#write(bytes)
  }
}

/**
 * Puts a file into a tar archive, as a containerDisk has it: below `disk/`, readable for the user 107 (qemu).
 *
 * @param name of the file, without folders
 * @see https://kubevirt.io/user-guide/storage/disks_and_volumes/#containerdisk
 */
export function tarEncoder(inner: BlobEncoder, name: string, sizeBytes: number): BlobEncoder {
  if (!/^[\w.+-]{1,90}$/.test(name) || /^\.+$/.test(name)) {
    throw new InvalidError({
      reason: `The name ${JSON.stringify(name.slice(0, 100))} can't be one of a file in a layer`,
    })
  }
  let left = sizeBytes
  let begun = false
  const begin = async (): Promise<void> => {
    if (begun) return
    begun = true
    await inner.write(
      Buffer.concat([tarHeader('disk/', '5', 0o555, 0), tarHeader(`disk/${name}`, '0', 0o440, sizeBytes)]),
    )
  }
  return {
    write: async (chunk) => {
      await begin()
      left -= chunk.length
      if (left >= 0) await inner.write(chunk)
    },
    end: async () => {
      await begin()
      if (left !== 0) {
        const found = left > 0 ? `${left} bytes less` : `${-left} bytes more`
        throw new InvalidError({ reason: `The source has ${found} than the ${sizeBytes} that it promised` })
      }
      await inner.write(Buffer.alloc(((block - (sizeBytes % block)) % block) + 2 * block))
      await inner.end()
    },
    get diffId() {
      return inner.diffId
    },
  }
}

/** A header of POSIX's format; a size beyond 8 GiB as GNU writes it. No date: equal disks have equal layers. */
function tarHeader(name: string, type: '0' | '5', mode: number, sizeBytes: number): Buffer {
  const header = Buffer.alloc(block)
  const octal = (value: number, at: number, digits: number): void => {
    header.write(value.toString(8).padStart(digits, '0'), at, 'latin1')
  }
  header.write(name, 0, 100, 'latin1')
  octal(mode, 100, 7)
  octal(107, 108, 7)
  octal(107, 116, 7)
  if (sizeBytes < 8 ** 11) {
    octal(sizeBytes, 124, 11)
  } else {
    header[124] = 0x80
    header.writeBigUInt64BE(BigInt(sizeBytes), 128)
  }
  octal(0, 136, 11)
  header.fill(0x20, 148, 156)
  header.write(type, 156, 'latin1')
  header.write('ustar\x0000', 257, 'latin1')
  const sum = header.reduce((all, byte) => all + byte, 0)
  header.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1')
  return header
}
