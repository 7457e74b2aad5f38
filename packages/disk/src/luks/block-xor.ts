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

/** Sectors whose tweaks are made side by side: each waits for the one before it, and the processor for none. */
const together = 4

/** What combines blocks in a memory, at some GiB/s. */
export function createBlockXor(memory: PageMemory): BlockXor {
  const module = new WebAssembly.Module(assemble())
  const { exports } = new WebAssembly.Instance(module, { [moduleName]: { [memoryName]: memory } })
  const { several, single, ...rest } = exports as Pick<BlockXor, 'xor'> &
    Readonly<Record<'several' | 'single', BlockXor['tweak']>>
  return {
    ...rest,
    tweak(data, vectors, sectors, blocks) {
      const groups = Math.floor(sectors / together)
      if (groups > 0) several(data, vectors, groups, blocks)
      const done = groups * together
      if (sectors > done) single(data + done * blocks * 16, vectors + done * 16, sectors - done, blocks)
    },
  }
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
const load = (offset = 0): Code => vector(0, 0, offset)
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

function body(locals: readonly Code[], code: Code): Code {
  return sized([...list(locals), ...code, ...end])
}

function assemble(): Uint8Array {
  const section = (id: number, content: Code): Code => [id, ...sized(content)]
  const parameters = (count: number): Code => [0x60, ...list(Array.from({ length: count }, () => [i32])), 0]
  const sharedMemory = [2, 3, 1, ...unsigned(65_536)]
  return Uint8Array.from([
    ...magic,
    ...section(1, list([parameters(4), parameters(7)])),
    ...section(2, list([[...name(moduleName), ...name(memoryName), ...sharedMemory]])),
    ...section(3, list([[0], [0], [1]])),
    ...section(
      7,
      list([
        [...name('several'), 0, 0],
        [...name('single'), 0, 1],
        [...name('xor'), 0, 2],
      ]),
    ),
    ...section(10, list([tweakBody(together), tweakBody(1), body([], xorBody())])),
  ])
}

/** @param lanes sectors at once */
function tweakBody(lanes: number): Code {
  const [data, vectors, groups, blocks, sectorEnd, signs] = [0, 1, 2, 3, 4, 4 + lanes] as const
  const each = Array.from({ length: lanes }, (_, lane) => lane)
  // Where each sector is: the first one in `data`, the others behind `sectorEnd`.
  const place = (lane: number): number => (lane === 0 ? data : sectorEnd + lane)
  const tweak = (lane: number): number => signs + 1 + lane
  const sectorBytes = [...get(blocks), ...constant(4), ...shiftLeft]
  // The highest bits of 64 each: that of the second goes into the first as 0x87, that of the first into the second.
  const swapped = vector(13, 12, 13, 14, 15, 8, 9, 10, 11, 4, 5, 6, 7, 0, 1, 2, 3)
  const kept = vector(12, 0x87, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0)
  const double = (lane: number): Code => {
    const shifted = [...get(tweak(lane)), ...get(tweak(lane)), ...vector(206)]
    const found = [...get(tweak(lane)), ...constant(31), ...vector(172), ...tee(signs), ...get(signs)]
    return [...shifted, ...found, ...swapped, ...kept, ...and, ...xor, ...set(tweak(lane))]
  }
  const combine = (lane: number): Code => {
    const combined = [...get(place(lane)), ...load(), ...get(tweak(lane)), ...xor]
    return [...get(place(lane)), ...combined, ...store]
  }
  const code = repeat(
    ...each.map((lane) => [...get(vectors), ...load(16 * lane), ...set(tweak(lane))]),
    [...get(data), ...sectorBytes, ...add, ...set(sectorEnd)],
    ...each.slice(1).map((lane) => [...get(place(lane - 1)), ...sectorBytes, ...add, ...set(place(lane))]),
    repeat(
      ...each.flatMap((lane) => [combine(lane), double(lane)]),
      ...each.slice(1).map((lane) => advance(place(lane), constant(16))),
      [...get(data), ...constant(16), ...add, ...tee(data), ...get(sectorEnd), ...isLess],
    ),
    [...get(place(lanes - 1)), ...set(data)],
    ...each.map(() => advance(vectors, constant(16))),
    [...get(groups), ...constant(1), ...subtract, ...tee(groups)],
  )
  const locals = [
    [lanes, i32],
    [1 + lanes, v128],
  ]
  return body(locals, code)
}

function xorBody(): Code {
  const [one, oneStep, other, otherStep, out, outStep, count] = [0, 1, 2, 3, 4, 5, 6] as const
  return repeat(
    [...get(out), ...get(one), ...load(), ...get(other), ...load(), ...xor, ...store],
    advance(one, get(oneStep)),
    advance(other, get(otherStep)),
    advance(out, get(outStep)),
    [...get(count), ...constant(1), ...subtract, ...tee(count)],
  )
}
