import { type CallOptions, type Disk, type EncodedImage, InvalidError, MiB } from '@disk-image/core'
import { readDisk } from '../encode/disk-windows.ts'
import type { EncodeOptions, LuksEncodeOptions } from '../encode/encode-options.ts'
import { type FilePart, imageOfParts } from '../encode/image-of-parts.ts'
import { CipherPool } from './cipher-pool.ts'
import { isRefusal, parseCipher, parseHash } from './cipher-name.ts'
import { hasBlockXor } from './block-xor.ts'
import type { LuksCipher, LuksHash } from './luks-layout.ts'
import { type LuksShape, writeLuksHeader } from './write-header.ts'

/** Parts of a MiB that are read, encrypted or handed on at once. */
const partsAtOnce = 6

/**
 * Lays a disk out as a LUKS container: its header with one key slot, then the disk, all of it encrypted. A hole would be
 * read as noise, and what is left as it is tells where a disk has data: so zeros are encrypted as anything else.
 *
 * Key, salts and UUID are random: the same disk makes another container each time, of the same length.
 *
 * @throws {InvalidError} for a cipher, a version or a passphrase that is not written here
 */
export async function encodeLuks(disk: Disk, options: EncodeOptions): Promise<EncodedImage> {
  const { luks, signal } = options
  if (luks === undefined) throw new InvalidError({ reason: 'A LUKS container needs a passphrase.' })
  if (!hasBlockXor()) throw new InvalidError({ reason: 'This Node.js runs without WebAssembly.' })
  const shape = shapeOf(luks)
  const { sectorBytes } = shape
  const sizeBytes = Math.ceil(disk.size / sectorBytes) * sectorBytes
  const { header, key, payloadOffset } = await writeLuksHeader(shape, luks, signal)
  let isClosed = false
  const image = imageOfParts({
    format: 'luks',
    sizeBytes: payloadOffset + sizeBytes,
    async *parts(call) {
      if (isClosed) throw new InvalidError({ reason: 'The container is closed, and its key is gone.' })
      // A copy: whoever takes it may do with it as with any part.
      yield header.slice()
      yield payloadOffset - header.length
      const pool = new CipherPool(shape.cipher, key)
      try {
        yield* encryptedParts(disk, { pool, sizeBytes, sectorBytes }, call)
      } finally {
        await pool.close()
      }
    },
  })
  return {
    ...image,
    close() {
      isClosed = true
      key.fill(0)
      return Promise.resolve()
    },
  }
}

interface Payload {
  readonly pool: CipherPool
  readonly sizeBytes: number
  readonly sectorBytes: number
}

/** The disk in order, each part read and encrypted while those before it are handed on. */
async function* encryptedParts(
  disk: Disk,
  { pool, sizeBytes, sectorBytes }: Payload,
  { signal, onProgress }: CallOptions,
): AsyncGenerator<FilePart, void, void> {
  const free = pool.allocate(partsAtOnce)
  const queue: { readonly memory: Uint8Array; readonly end: number; readonly bytes: Promise<Uint8Array> }[] =
    []
  const encrypt = async (memory: Uint8Array, offset: number): Promise<Uint8Array> => {
    const bytes = memory.subarray(0, Math.min(memory.length, sizeBytes - offset))
    const length = Math.max(0, Math.min(bytes.length, disk.size - offset))
    if (length > 0) await readDisk(disk, { offset, length }, bytes)
    bytes.fill(0, length)
    signal?.throwIfAborted()
    await pool.run('encrypt', bytes, { first: offset / 512, sectorBytes })
    return bytes
  }
  try {
    let started = 0
    for (let done = 0; done < sizeBytes;) {
      for (
        let memory = free.pop();
        memory !== undefined;
        memory = started < sizeBytes ? free.pop() : undefined
      ) {
        const bytes = encrypt(memory, started)
        // It is awaited later; a failure until then is not an unhandled one.
        bytes.catch(() => undefined)
        started = Math.min(sizeBytes, started + MiB)
        queue.push({ memory, end: started, bytes })
      }
      const next = queue.shift()
      if (next === undefined) break
      yield await next.bytes
      signal?.throwIfAborted()
      done = next.end
      free.push(next.memory)
      const completed = Math.min(disk.size, done)
      onProgress?.({ stage: 'convert', completed, total: disk.size, unit: 'bytes' })
    }
  } finally {
    // Nothing may still read when the caller closes the disk.
    await Promise.allSettled(queue.map(({ bytes }) => bytes))
  }
}

/** @throws {InvalidError} for what is not written here */
function shapeOf(luks: LuksEncodeOptions): LuksShape {
  const { passphrase, version = 1, cipher: cipherName = 'aes-xts-plain64', sectorBytes = 512 } = luks
  if (passphrase.length === 0) throw new InvalidError({ reason: 'The passphrase is empty.' })
  if (version !== 1 && version !== 2)
    throw new InvalidError({ reason: `There is no LUKS ${String(version)}.` })
  if (![512, 1024, 2048, 4096].includes(sectorBytes) || (version === 1 && sectorBytes !== 512)) {
    throw new InvalidError({ reason: `LUKS ${version} has no sectors of ${sectorBytes} bytes.` })
  }
  const { keyBytes = cipherName.includes('-xts-') ? 64 : 32, hash: hashName = 'sha256' } = luks
  const cipher = sound<LuksCipher>(parseCipher(cipherName, keyBytes, 0))
  const hash = sound<LuksHash>(parseHash(hashName, 0))
  return { version, cipherName, cipher, keyBytes, hash, sectorBytes }
}

function sound<Value extends object | string>(value: Value | ReturnType<typeof parseHash>): Value {
  if (!isRefusal(value)) return value as Value
  const { reason, found, accepted } = value
  throw new InvalidError({ reason: `${reason}: ${found}. Accepted: ${accepted}.` })
}
