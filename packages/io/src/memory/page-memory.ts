import { allocateSharedBuffer } from './buffers.ts'

/** The types of Node.js don't have it. */
declare const WebAssembly: {
  readonly Memory: new (options: { initial: number; maximum: number; shared: boolean }) => {
    readonly buffer: SharedArrayBuffer
  }
}

/** Bytes of a page. Direct I/O wants memory, offsets and lengths to be multiples of it, or of less. */
export const pageBytes = 4096

const wasmPageBytes = 65_536
/** Where memory lies in the process can't be seen from here, so what is known to lie well is remembered. */
const aligned = new WeakSet<ArrayBufferLike>()

/**
 * Pieces of memory for several threads, all zero, each of so many bytes and at the start of a page: they can be
 * written with O_DIRECT. Where there is no such memory, as without WebAssembly, they are as good as any other.
 *
 * A WebAssembly memory begins at a page, as nothing else in JavaScript is sure to. Each reserves some GiB of
 * addresses, which are no memory, but not endless: so one has many pieces. It is freed when all of them are.
 */
export function allocatePagePieces(count: number, bytes: number): Uint8Array[] {
  const step = Math.ceil(bytes / pageBytes) * pageBytes
  const block = allocateBlock(count * step)
  return Array.from({ length: count }, (_, index) => block.subarray(index * step, index * step + bytes))
}

/** Whether bytes are known to begin at a page: those of {@link allocatePagePieces}, and parts of them. */
export function isPageAligned(bytes: Uint8Array): boolean {
  return bytes.byteOffset % pageBytes === 0 && aligned.has(bytes.buffer)
}

function allocateBlock(bytes: number): Uint8Array {
  const pages = Math.ceil(bytes / wasmPageBytes)
  try {
    const { buffer } = new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true })
    aligned.add(buffer)
    return new Uint8Array(buffer)
  } catch {
    return allocateSharedBuffer(bytes)
  }
}
