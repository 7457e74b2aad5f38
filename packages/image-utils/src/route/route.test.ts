import { GiB, MiB } from '@disk-image/core'
import { expect, test } from 'vitest'
import { layoutOf, type RouteLayout } from './formats.ts'
import { chooseRoute, type ContainerFormat, type RouteSource, type RouteTarget } from './route.ts'

const source: RouteSource = {
  sizeBytes: 10 * MiB,
  inFile: false,
  signed: false,
  verifyFirst: false,
  asCinder: false,
}
const target: RouteTarget = {
  name: '/volume',
  kind: 'volume',
  format: 'raw',
  encodes: false,
  needsTool: false,
  writesZeros: false,
  exists: false,
  lengthBytes: 0,
  compressed: false,
}
const layouts = {
  raw: { format: 'raw', sizeBytes: 10 * MiB, streams: true, reads: true },
  /** Of whose record nothing was claimed: it may be something else at its end. */
  unclaimed: { format: 'raw', sizeBytes: undefined, streams: false, reads: true },
  unknown: { format: undefined, sizeBytes: undefined, streams: false, reads: true },
  qcow2: { format: 'qcow2', sizeBytes: 40 * MiB, streams: true, reads: true },
  /** With something that no reader of ours takes. */
  oddQcow2: { format: 'qcow2', sizeBytes: 40 * MiB, streams: false, reads: false },
  vmdk: { format: 'vmdk', sizeBytes: 40 * MiB, streams: false, reads: true },
  streamedVmdk: { format: 'vmdk', sizeBytes: 40 * MiB, streams: true, reads: true },
  vhd: { format: 'vpc', sizeBytes: 40 * MiB, streams: false, reads: true },
  streamedVhd: { format: 'vpc', sizeBytes: undefined, streams: true, reads: true },
  fixedVhd: { format: 'vpc', sizeBytes: undefined, streams: true, reads: true, spools: false },
  luks: { format: 'luks', sizeBytes: undefined, streams: false, reads: false },
  /** With its passphrase, for a raw volume. */
  openedLuks: { format: 'luks', sizeBytes: 40 * MiB, streams: false, reads: true },
} satisfies Record<string, RouteLayout>

const first = { inFile: false, verifyFirst: true }
const there = { inFile: true }
const ends = 4 * MiB + 64 * 1024
/** A file of another format than raw has a little more than its disk. */
const file = (bytes: number): number => bytes + Math.ceil(bytes / 128) + 64 * MiB

interface Row {
  readonly container?: ContainerFormat
  readonly source?: Partial<RouteSource>
  readonly target?: Partial<RouteTarget>
  /** The steps of the route. */
  readonly takes: string
  readonly temporary: number
  readonly tool?: true
}

const rows: readonly (readonly [keyof typeof layouts, Row])[] = [
  // As it arrives.
  ['raw', { takes: 'stream: download verify', temporary: 0 }],
  ['raw', { container: 'compressed', takes: 'stream: download verify', temporary: 0 }],
  ['raw', { target: { writesZeros: true }, takes: 'stream: download verify', temporary: 0 }],
  ['raw', { target: { exists: true, lengthBytes: GiB }, takes: 'stream: download verify', temporary: 0 }],
  ['qcow2', { takes: 'decode: download verify', temporary: 10 * MiB }],
  ['qcow2', { container: 'compressed', takes: 'decode: download verify', temporary: 10 * MiB }],
  ['qcow2', { source: { asCinder: true }, takes: 'decode: download verify', temporary: 10 * MiB }],
  ['streamedVmdk', { takes: 'decode: download verify', temporary: 10 * MiB }],
  ['fixedVhd', { takes: 'decode: download verify', temporary: 0 }],
  // From a file, by our own readers.
  ['raw', { source: first, takes: 'read: download verify write', temporary: 10 * MiB }],
  // Onto what takes a disk in order only, from its start to its end.
  ['raw', { target: { inOrder: true }, takes: 'stream: download verify', temporary: 0 }],
  ['qcow2', { target: { inOrder: true }, takes: 'read: download verify write', temporary: 10 * MiB }],
  ['streamedVmdk', { target: { inOrder: true }, takes: 'read: download verify write', temporary: 10 * MiB }],
  [
    'oddQcow2',
    {
      target: { inOrder: true },
      takes: 'convert: download verify ask lay-out write',
      temporary: 50 * MiB,
      tool: true,
    },
  ],
  ['unclaimed', { takes: 'read: download verify write', temporary: 10 * MiB }],
  ['unknown', { takes: 'read: download verify write', temporary: 10 * MiB }],
  ['qcow2', { source: first, takes: 'read: download verify write', temporary: 10 * MiB }],
  ['qcow2', { target: { writesZeros: true }, takes: 'decode: download verify', temporary: 10 * MiB }],
  ['qcow2', { source: there, takes: 'read: write', temporary: 0 }],
  ['vmdk', { takes: 'read: download verify write', temporary: 10 * MiB }],
  ['streamedVhd', { container: 'xenserver', takes: 'decode: download verify', temporary: 10 * MiB }],
  [
    'streamedVhd',
    { container: 'xenserver', source: first, takes: 'read: download verify write', temporary: 10 * MiB },
  ],
  ['vmdk', { source: there, target: { lengthBytes: GiB }, takes: 'read: write', temporary: 0 }],
  // Cinder's functions ask qemu-img all the same, about the whole file.
  [
    'streamedVmdk',
    {
      source: { asCinder: true },
      takes: 'read: download verify ask write',
      temporary: 10 * MiB,
      tool: true,
    },
  ],
  ['vhd', { source: { ...there, asCinder: true }, takes: 'read: write', temporary: 0 }],
  // As a file of another format, by an encoder of ours.
  ...(['raw', 'qcow2', 'vmdk', 'openedLuks'] as const).map(
    (name) =>
      [
        name,
        {
          target: { format: 'vmdk', encodes: true },
          takes: 'encode: download verify write',
          temporary: 10 * MiB,
        },
      ] as const,
  ),
  [
    'vmdk',
    {
      source: there,
      target: { format: 'qcow2', encodes: true, exists: true, lengthBytes: GiB },
      takes: 'encode: write',
      temporary: 0,
    },
  ],
  [
    'oddQcow2',
    {
      source: there,
      target: { format: 'vmdk', encodes: true },
      takes: 'convert: ask write',
      temporary: 0,
      tool: true,
    },
  ],
  [
    'raw',
    {
      source: there,
      target: { format: 'qcow2', encodes: true, needsTool: true },
      takes: 'convert: write',
      temporary: 0,
      tool: true,
    },
  ],
  [
    'raw',
    {
      source: there,
      target: { kind: 'image', format: 'qcow2', encodes: true },
      takes: 'encode: send',
      temporary: 0,
    },
  ],
  // A compressed qcow2 has its tables in front, and their sizes are known at the end.
  [
    'raw',
    {
      source: there,
      target: { kind: 'image', format: 'qcow2', encodes: true, spools: true },
      takes: 'encode: write send',
      temporary: file(10 * MiB),
    },
  ],
  // By qemu-img.
  ['oddQcow2', { takes: 'convert: download verify ask write', temporary: 10 * MiB, tool: true }],
  [
    'qcow2',
    {
      target: { needsTool: true },
      takes: 'convert: download verify ask write',
      temporary: 10 * MiB,
      tool: true,
    },
  ],
  [
    'raw',
    { target: { format: 'qcow2' }, takes: 'convert: download verify write', temporary: 10 * MiB, tool: true },
  ],
  ['openedLuks', { takes: 'read: download verify write', temporary: 10 * MiB }],
  ['openedLuks', { source: there, target: { lengthBytes: GiB }, takes: 'read: write', temporary: 0 }],
  ['luks', { source: there, target: { format: 'luks' }, takes: 'convert: write', temporary: 0, tool: true }],
  // Onto what is there: its ends are written last, and any format but raw is made aside.
  [
    'raw',
    {
      source: there,
      target: { needsTool: true, exists: true },
      takes: 'convert: write',
      temporary: ends,
      tool: true,
    },
  ],
  [
    'qcow2',
    {
      source: there,
      target: { format: 'qcow2', exists: true },
      takes: 'convert: ask write',
      temporary: file(40 * MiB),
      tool: true,
    },
  ],
  [
    'qcow2',
    {
      source: there,
      target: { format: 'qcow2', exists: true, needsTool: true },
      takes: 'convert: ask write',
      temporary: file(40 * MiB) + ends,
      tool: true,
    },
  ],
  // Laid out as raw first: what qemu-img must not read, and what becomes larger.
  [
    'vmdk',
    {
      target: { format: 'qcow2' },
      takes: 'lay-out: download verify lay-out write',
      temporary: 50 * MiB,
      tool: true,
    },
  ],
  [
    'vmdk',
    {
      source: there,
      target: { needsTool: true, lengthBytes: GiB },
      takes: 'lay-out: lay-out write',
      temporary: GiB,
      tool: true,
    },
  ],
  [
    'raw',
    {
      source: there,
      target: { format: 'vmdk', lengthBytes: GiB },
      takes: 'lay-out: lay-out write',
      temporary: GiB,
      tool: true,
    },
  ],
  [
    'oddQcow2',
    {
      source: there,
      target: { format: 'qcow2', lengthBytes: GiB },
      takes: 'convert: ask lay-out write',
      temporary: GiB,
      tool: true,
    },
  ],
  // The stored bytes, as they are.
  ['raw', { target: { kind: 'copy' }, takes: 'stream: download verify', temporary: 0 }],
  ['vmdk', { target: { kind: 'copy' }, takes: 'stream: download verify', temporary: 0 }],
  ['qcow2', { target: { kind: 'copy' }, takes: 'stream: download verify ask', temporary: 0, tool: true }],
  [
    'qcow2',
    { target: { kind: 'copy' }, container: 'compressed', takes: 'stream: download verify', temporary: 0 },
  ],
  // A volume becomes an image.
  ['raw', { source: there, target: { kind: 'image' }, takes: 'send: send', temporary: 0 }],
  [
    'raw',
    {
      source: there,
      target: { kind: 'image', compressed: true },
      takes: 'send: send',
      temporary: 0,
    },
  ],
  ['vmdk', { source: there, target: { kind: 'image' }, takes: 'read: write send', temporary: 40 * MiB }],
  [
    'raw',
    {
      source: there,
      target: { kind: 'image', format: 'qcow2', compressed: true },
      takes: 'convert: write send',
      temporary: file(10 * MiB),
      tool: true,
    },
  ],
]

test.each(rows)('%s %j', (layout, { container = 'none', ...row }) => {
  const route = chooseRoute({ ...source, ...row.source }, container, layouts[layout], {
    ...target,
    ...row.target,
  })
  const steps = route.steps.map(({ kind }) => kind).join(' ')
  expect(`${route.kind}: ${steps}`).toBe(row.takes)
  expect(route.temporaryBytes).toBe(row.temporary)
  expect(route.needsQemuImg).toBe(row.tool ?? false)
  expect(route.asksQemuImg).toBe(steps.includes('ask'))
  for (const { sentence } of route.steps) expect(sentence).not.toMatch(/undefined|vpc/)
})

test('what is claimed and what the head shows make the layout', () => {
  const found = (format: string) => ({ format, virtualSizeBytes: 5 }) as const
  expect(layoutOf('raw', found('gpt'))).toMatchObject({ format: 'raw', streams: true })
  // It may have a footer.
  expect(layoutOf(undefined, found('gpt'))).toMatchObject({ format: 'raw', streams: false })
  expect(layoutOf('vpc', found('raw'))).toMatchObject({ format: 'vpc', reads: true })
  expect(layoutOf(undefined)).toMatchObject({ format: undefined, streams: false })
  expect(layoutOf(undefined, found('vhdx'))).toMatchObject({ format: 'vhdx', reads: true })
  expect(layoutOf('qcow2')).toMatchObject({ streams: true, reads: true })
  expect(layoutOf('qcow2', found('qcow2'), new Uint8Array(1024))).toMatchObject({ reads: false })
})

test('a fixed VHD is written while it arrives, unless its disk looks like another image', () => {
  const head = new Uint8Array(1024 ** 2)
  const virtualSizeBytes = undefined
  expect(layoutOf('vpc', { format: 'raw', virtualSizeBytes }, head)).toMatchObject({
    format: 'vpc',
    streams: true,
    reads: true,
    stream: { sizeBytes: undefined, spools: false },
  })
  for (const format of ['qcow2', 'vmdk', 'vhdx']) {
    expect(layoutOf('vpc', { format, virtualSizeBytes }, head)).toMatchObject({ streams: false, reads: true })
  }
})
