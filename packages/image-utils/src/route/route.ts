import { MiB } from '@disk-image/core'
import { isReadByUs, type RouteLayout } from './formats.ts'

/** What an image is wrapped in, by its record. */
export type ContainerFormat = 'none' | 'compressed' | 'archive' | 'containerdisk' | 'xenserver'

/** What is known of where the bytes come from. */
export interface RouteSource {
  /** Bytes as they are stored; undefined where only the end tells. */
  readonly sizeBytes: number | undefined
  /** Whether they are in a file already, which can be read at any place. */
  readonly inFile: boolean
  /** Whether a signature is verified. */
  readonly signed: boolean
  /** Whether nothing may be written before all of them are verified. */
  readonly verifyFirst: boolean
  /** Whether qemu-img is asked about what it could read, too, as Cinder does. */
  readonly asCinder: boolean
}

/** What is known of where the disk goes. */
export interface RouteTarget {
  /** As a person calls it. */
  readonly name: string
  /**
   * `volume`: a disk. `copy`: the stored bytes, whatever they are. `image`: an image's data.
   */
  readonly kind: 'volume' | 'copy' | 'image'
  /** In qemu-img's terms. */
  readonly format: string
  /** Whether an encoder of ours writes the format, as it was asked for. */
  readonly encodes: boolean
  /** Whether what an encoder makes must be in a file before the first byte is sent: a compressed qcow2. @default false */
  readonly spools?: boolean | undefined
  /** Whether only a tool may write it: through the root helper, or with a throttle's prefix before it. */
  readonly needsTool: boolean
  /** Whether it takes a disk from its start to its end only. @default false */
  readonly inOrder?: boolean | undefined
  /** Whether every byte is written, zeros too. */
  readonly writesZeros: boolean
  /** Whether there is something already, whose ends are written last. */
  readonly exists: boolean
  /** A file that becomes at least so long; 0 for a device. */
  readonly lengthBytes: number
  /** Whether the data of an image are compressed before they are sent. */
  readonly compressed: boolean
}

/** One step, in words, with what it needs. */
export interface RouteStep {
  readonly kind: 'download' | 'verify' | 'ask' | 'lay-out' | 'write' | 'send'
  readonly sentence: string
  /** Bytes in the conversion folder, at most; of what is compressed, as many as are stored. */
  readonly temporaryBytes: number
  readonly tool: 'qemu-img' | undefined
}

/**
 * How the bytes get from a source onto a target.
 *
 * - `stream`: straight onto it, as they arrive
 * - `decode`: decoded onto it, as they arrive; what has to wait is spooled
 * - `read`: from a file, by a reader of ours
 * - `encode`: from a file, by a reader of ours, as the file of another format that an encoder of ours makes of it
 * - `convert`: from a file, by qemu-img, in one go, or by way of a raw file that is made longer
 * - `send`: from the file that it is in, as it is
 * - `lay-out`: from a file, by a reader of ours, into a raw file, of which qemu-img makes the target's format
 */
export interface Route {
  readonly kind: 'stream' | 'decode' | 'read' | 'encode' | 'convert' | 'lay-out' | 'send'
  readonly steps: readonly RouteStep[]
  /** Whether qemu-img is asked what it makes of the image, before that is written. */
  readonly asksQemuImg: boolean
  readonly needsQemuImg: boolean
  /** Bytes in the conversion folder, at most; of what is compressed, as many as are stored. */
  readonly temporaryBytes: number
}

/** How often the data are passed over: to look at them is no pass. */
export function passesOf({ steps }: Route): number {
  return steps.filter(({ kind }) => kind !== 'verify' && kind !== 'ask').length
}

/** What a tool puts beside a disk whose ends are written last. */
const endBytes = 4 * MiB + 64 * 1024

/** Most bytes of a file of some format: with its tables, and its last block whole. */
function fileBytes(format: string, diskBytes: number): number {
  return format === 'raw' ? diskBytes : diskBytes + Math.ceil(diskBytes / 128) + 64 * MiB
}

/**
 * Says which way the bytes of an image take. Pure: `plan` prints what it returns, and every run follows it.
 */
export function chooseRoute(
  source: RouteSource,
  container: ContainerFormat,
  { sizeBytes, ...known }: RouteLayout,
  target: RouteTarget,
): Route {
  // A raw disk is as large as its file.
  const isStored = known.format === 'raw' && container === 'none'
  const layout = { ...known, sizeBytes: sizeBytes ?? (isStored ? source.sizeBytes : undefined) }
  const kind = chooseKind(source, container, layout, target)
  const asksQemuImg = asks(kind, source, container, layout, target)
  const steps = [
    ...(source.inFile ? [] : arrive(kind, source, container, layout, target)),
    ...(asksQemuImg ? [step('ask', 'compare with what qemu-img makes of it', 0, 'qemu-img')] : []),
    ...write(kind, layout, target),
  ]
  return Object.freeze({
    kind,
    steps: Object.freeze(steps),
    asksQemuImg,
    needsQemuImg: steps.some(({ tool }) => tool !== undefined),
    temporaryBytes: steps.reduce((all, { temporaryBytes }) => all + temporaryBytes, 0),
  })
}

function chooseKind(
  source: RouteSource,
  container: ContainerFormat,
  layout: RouteLayout,
  target: RouteTarget,
): Route['kind'] {
  if (target.kind === 'copy') return 'stream'
  if (target.kind === 'image' && layout.format === target.format) return 'send'
  if (target.format !== 'raw' && target.encodes && !target.needsTool && layout.reads) return 'encode'
  if (target.format !== 'raw' || target.needsTool) {
    const isOurs = isReadByUs(layout.format ?? '') || (isLonger(layout, target) && layout.reads)
    return isOurs ? 'lay-out' : 'convert'
  }
  const mayStream = !source.inFile && !source.verifyFirst && layout.streams
  if (mayStream && layout.format === 'raw') return 'stream'
  // Cinder's functions ask qemu-img about the whole file.
  if (mayStream && target.inOrder !== true && !asksAsCinder(source, layout)) return 'decode'
  return layout.reads ? 'read' : 'convert'
}

/** Few formats can be made larger afterwards: the disk is laid out as raw, in a file of holes, and then written. */
function isLonger({ sizeBytes }: RouteLayout, { lengthBytes }: RouteTarget): boolean {
  return sizeBytes !== undefined && lengthBytes > sizeBytes
}

function asksAsCinder({ asCinder }: RouteSource, { format }: RouteLayout): boolean {
  return asCinder && ['vmdk', 'vdi', 'parallels'].includes(format ?? '')
}

/** What qemu-img reads must be to it what it was judged as. */
function asks(
  kind: Route['kind'],
  source: RouteSource,
  container: ContainerFormat,
  layout: RouteLayout,
  target: RouteTarget,
): boolean {
  const { format = 'raw' } = layout
  if (target.kind === 'copy') return container === 'none' && format !== 'raw' && !isReadByUs(format)
  if (kind === 'stream' || kind === 'decode' || kind === 'send') return false
  return asksAsCinder(source, layout) || (kind === 'convert' && format !== 'raw' && format !== 'luks')
}

function arrive(
  kind: Route['kind'],
  source: RouteSource,
  container: ContainerFormat,
  layout: RouteLayout,
  target: RouteTarget,
): readonly RouteStep[] {
  const { sizeBytes = 0 } = source
  const verified = step('verify', source.signed ? 'verify hash and signature' : 'verify the hash')
  const opened = {
    none: 'download',
    compressed: 'download, decompress',
    archive: 'download, unpack',
    containerdisk: 'download, unpack',
    xenserver: 'download, unpack',
  }[container]
  if (target.kind === 'copy') return [step('download', `download onto ${target.name}`), verified]
  switch (kind) {
    case 'stream':
      return [step('download', `${opened} and inspect, writing ${target.name} in the same pass`), verified]
    case 'decode': {
      const sentence = `${opened} and inspect, decoding ${nameOf(layout)} onto ${target.name} in the same pass`
      return [step('download', sentence, layout.spools === false ? 0 : sizeBytes), verified]
    }
    case 'read':
    case 'encode':
    case 'convert':
    case 'lay-out':
    case 'send':
    default: {
      const where = container === 'xenserver' ? 'a temporary folder' : 'a temporary file'
      return [step('download', `${opened} and inspect into ${where}`, sizeBytes), verified]
    }
  }
}

function write(kind: Route['kind'], layout: RouteLayout, target: RouteTarget): readonly RouteStep[] {
  const { sizeBytes = 0 } = layout
  const format = nameOf(layout)
  if (target.kind === 'image') return send(kind, layout, target)
  switch (kind) {
    case 'stream':
    case 'decode':
    case 'send':
      return []
    case 'read':
      return [step('write', `convert ${format} to raw on ${target.name}`)]
    case 'encode':
      return [step('write', `convert ${format} to ${target.format} on ${target.name}`)]
    case 'lay-out':
      return [
        step(
          'lay-out',
          `convert ${format} to raw in a temporary file`,
          Math.max(sizeBytes, target.lengthBytes),
        ),
        step('write', `convert raw to ${target.format} on ${target.name}`, aside(layout, target), 'qemu-img'),
      ]
    case 'convert':
    default: {
      const writes = `convert ${format} to ${target.format} on ${target.name}`
      const first = `convert ${format} to raw in a temporary file`
      // qemu-img writes files.
      if (target.inOrder === true) {
        return [step('lay-out', first, sizeBytes, 'qemu-img'), step('write', `write raw on ${target.name}`)]
      }
      return [
        ...(isLonger(layout, target) ? [step('lay-out', first, target.lengthBytes, 'qemu-img')] : []),
        step('write', writes, aside(layout, target), 'qemu-img'),
      ]
    }
  }
}

/** An image's data come from the volume itself, or are made of it: while they are sent, or in a file before. */
function send(kind: Route['kind'], layout: RouteLayout, target: RouteTarget): readonly RouteStep[] {
  const { sizeBytes = 0 } = layout
  const packed = target.compressed ? ', compressed as gzip' : ''
  if (kind === 'encode' && target.spools !== true) {
    return [
      step('send', `convert ${nameOf(layout)} to ${target.format}${packed}, sending it to ${target.name}`),
    ]
  }
  const made = kind === 'send' ? sizeBytes : fileBytes(target.format, sizeBytes)
  const into = { ...target, kind: 'volume' as const, name: 'a temporary file', exists: false }
  const writing = write(kind, layout, into).map((one) =>
    one.kind === 'write' ? { ...one, temporaryBytes: one.temporaryBytes + made } : one,
  )
  return [...writing, step('send', `send to ${target.name}${packed}`)]
}

/** What is put aside where a tool writes onto what is there: a raw disk's ends, or all of any other format. */
function aside(layout: RouteLayout, target: RouteTarget): number {
  if (!target.exists) return 0
  const sizeBytes = Math.max(layout.sizeBytes ?? 0, target.lengthBytes)
  const ends = Math.min(sizeBytes, endBytes)
  if (target.format === 'raw') return ends
  return fileBytes(target.format, sizeBytes) + (target.needsTool ? endBytes : 0)
}

function nameOf({ format }: RouteLayout): string {
  return format === undefined ? 'what it is' : format === 'vpc' ? 'vhd' : format
}

function step(kind: RouteStep['kind'], sentence: string, temporaryBytes = 0, tool?: 'qemu-img'): RouteStep {
  return Object.freeze({ kind, sentence, temporaryBytes, tool })
}
