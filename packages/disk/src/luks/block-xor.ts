import type { PageMemory } from '@disk-image/io'

/** The types of Node.js don't have it. */
declare const WebAssembly: {
  readonly Module: new (bytes: Uint8Array) => object
  readonly Instance: new (module: object, imports: object) => { readonly exports: object }
}

/** What is done with blocks of 16 bytes in a memory; all places and steps are bytes of it. */
export interface BlockXor {
  /**
   * Combines the blocks of sectors with the tweaks of AES-XTS, in place.
   *
   * @param vectors where the first tweak of each sector is; each of the others is the one before it times x
   * @param sectors at least one, with `blocks` each
   * @see https://standards.ieee.org/ieee/1619/4205/ section 5.2
   */
  tweak(this: void, data: number, vectors: number, sectors: number, blocks: number): void
  /** `out = one ^ other`, block by block; at least one. */
  xor(
    this: void,
    one: number,
    oneStep: number,
    other: number,
    otherStep: number,
    out: number,
    outStep: number,
    count: number,
  ): void
}

/** Whether this process can combine blocks: not where it was started without a compiler. */
export function hasBlockXor(): boolean {
  return typeof WebAssembly !== 'undefined'
}

/** Where the memory is imported from. */
const [moduleName, memoryName] = ['disk', 'memory']

/** What combines blocks in a memory, at some GiB/s. */
export function createBlockXor(memory: PageMemory): BlockXor {
  const module = new WebAssembly.Module(assemble())
  const { exports } = new WebAssembly.Instance(module, { [moduleName]: { [memoryName]: memory } })
  return exports as BlockXor
}

/*
 * The program is put together here, so that nothing has to be believed of bytes: JavaScript has no 128-bit registers,
 * and takes five times as long.
 *
 * https://webassembly.github.io/spec/core/binary/index.html
 */
type Code = readonly number[]

const magic: Code = [0x00, 0x61, 0x73, 0x6d, 1, 0, 0, 0]
const i32 = 0x7f
const v128 = 0x7b
const get = (local: number): Code => [0x20, local]
const set = (local: number): Code => [0x21, local]
const tee = (local: number): Code => [0x22, local]
const constant = (value: number): Code => [0x41, value]
const add: Code = [0x6a]
const subtract: Code = [0x6b]
const shiftLeft: Code = [0x74]
const isLess: Code = [0x49]
const end: Code = [0x0b]
/** Ends with a condition under which it begins again. */
const repeat = (...body: readonly Code[]): Code => [0x03, 0x40, ...body.flat(), 0x0d, 0, ...end]
const vector = (operation: number, ...immediates: readonly number[]): Code => [
  0xfd,
  ...unsigned(operation),
  ...immediates,
]
const load = vector(0, 0, 0)
const store = vector(11, 0, 0)
const xor = vector(81)
const and = vector(78)
const advance = (local: number, by: Code): Code => [...get(local), ...by, ...add, ...set(local)]

function unsigned(value: number): Code {
  return value < 0x80 ? [value] : [(value & 0x7f) | 0x80, ...unsigned(value >>> 7)]
}

function sized(bytes: Code): Code {
  return [...unsigned(bytes.length), ...bytes]
}

function name(text: string): Code {
  return sized([...new TextEncoder().encode(text)])
}

function list(items: readonly Code[]): Code {
  return [...unsigned(items.length), ...items.flat()]
}

function assemble(): Uint8Array {
  const section = (id: number, content: Code): Code => [id, ...sized(content)]
  const parameters = (count: number): Code => [0x60, ...list(Array.from({ length: count }, () => [i32])), 0]
  const sharedMemory = [2, 3, 1, ...unsigned(65_536)]
  const body = (locals: readonly Code[], code: Code): Code => sized([...list(locals), ...code, ...end])
  return Uint8Array.from([
    ...magic,
    ...section(1, list([parameters(4), parameters(7)])),
    ...section(2, list([[...name(moduleName), ...name(memoryName), ...sharedMemory]])),
    ...section(3, list([[0], [1]])),
    ...section(
      7,
      list([
        [...name('tweak'), 0, 0],
        [...name('xor'), 0, 1],
      ]),
    ),
    ...section(
      10,
      list([
        body(
          [
            [1, i32],
            [2, v128],
          ],
          tweakBody(),
        ),
        body([], xorBody()),
      ]),
    ),
  ])
}

function tweakBody(): Code {
  const [data, vectors, sectors, blocks, sectorEnd, tweak, other] = [0, 1, 2, 3, 4, 5, 6] as const
  // The highest bits of 64 each: that of the second goes into the first as 0x87, that of the first into the second.
  const signs = [...get(tweak), ...constant(31), ...vector(172)]
  const swapped = vector(13, 12, 13, 14, 15, 8, 9, 10, 11, 4, 5, 6, 7, 0, 1, 2, 3)
  const kept = vector(12, 0x87, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0)
  const carries = [...signs, ...tee(other), ...get(other), ...swapped, ...kept, ...and]
  return repeat(
    [...get(vectors), ...load, ...set(tweak)],
    [...get(data), ...get(blocks), ...constant(4), ...shiftLeft, ...add, ...set(sectorEnd)],
    repeat(
      [...get(data), ...get(data), ...load, ...get(tweak), ...xor, ...store],
      [...get(tweak), ...get(tweak), ...vector(206), ...carries, ...xor, ...set(tweak)],
      [...get(data), ...constant(16), ...add, ...tee(data), ...get(sectorEnd), ...isLess],
    ),
    advance(vectors, constant(16)),
    [...get(sectors), ...constant(1), ...subtract, ...tee(sectors)],
  )
}

function xorBody(): Code {
  const [one, oneStep, other, otherStep, out, outStep, count] = [0, 1, 2, 3, 4, 5, 6] as const
  return repeat(
    [...get(out), ...get(one), ...load, ...get(other), ...load, ...xor, ...store],
    advance(one, get(oneStep)),
    advance(other, get(otherStep)),
    advance(out, get(outStep)),
    [...get(count), ...constant(1), ...subtract, ...tee(count)],
  )
}
