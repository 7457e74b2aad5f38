import type { Random } from '../../random.ts'
import type { Wrapping } from './generate-wrapped.ts'
import { imageOf, type Sample } from './sample.ts'
import { mutate, numbers } from './mutate.ts'

/** Damages the descriptor of a VMDK in several files, or one of its parts. */
export function mutateSet(random: Random, sample: Sample): Sample {
  const files = new Map(sample.files)
  const names = [...files.keys()]
  const name = random.chance(0.7) ? 'disk.vmdk' : random.pick(names as [string, ...string[]])
  const bytes = files.get(name) ?? Buffer.alloc(0)
  if (name === 'disk.vmdk') {
    const { text, what } = mutateText(random, bytes.toString('latin1'), names)
    files.set(name, Buffer.from(text, 'latin1'))
    return { what: `${name}: ${what}`, files }
  }
  if (name.includes('-s')) {
    const { bytes: damaged, what } = mutate(random, 'vmdk', bytes)
    files.set(name, damaged)
    return { what: `${name}: ${what}`, files }
  }
  const length = Math.max(0, bytes.length + random.pick([-1, -512, -5000, 1, 512]))
  files.set(name, Buffer.concat([bytes, Buffer.alloc(512)]).subarray(0, length))
  return { what: `${name} has ${length} bytes`, files }
}

function mutateText(random: Random, text: string, names: readonly string[]): { text: string; what: string } {
  const lines = text.split('\n')
  const at = random.chance(0.6)
    ? lines.findIndex((line) => line.startsWith('RW'))
    : random.below(lines.length)
  const line = lines[at] ?? ''
  const change = random.pick(['bit', 'drop', 'twice', 'swap', 'number', 'name', 'blank', 'cut', 'word'])
  const with_ = (...changed: readonly string[]): string => lines.toSpliced(at, 1, ...changed).join('\n')
  const what = `${change} in line ${at}`
  switch (change) {
    case 'bit': {
      const place = random.below(text.length)
      const flipped = String.fromCharCode(text.charCodeAt(place) ^ (1 << random.below(8)))
      return { text: text.slice(0, place) + flipped + text.slice(place + 1), what: `bit at ${place}` }
    }
    case 'drop':
      return { text: with_(), what }
    case 'twice':
      return { text: with_(line, line), what }
    case 'swap': {
      const other = random.below(lines.length)
      return {
        text: lines
          .with(at, lines[other] ?? '')
          .with(other, line)
          .join('\n'),
        what: `${what} with ${other}`,
      }
    }
    case 'number': {
      const value = random.pick([2 ** 53, -1, 3, 100, ...numbers])
      return { text: with_(line.replace(/\d+/, String(value))), what: `${what}: ${value}` }
    }
    case 'name': {
      const name = random.pick(['../disk.vmdk', '/etc/passwd', 'nbd://host/', 'json:{}', ...names] as [
        string,
        ...string[],
      ])
      return { text: with_(line.replace(/"[^"]*"/, `"${name}"`)), what: `${what}: ${name}` }
    }
    case 'blank':
      return { text: with_(line.replace(' ', random.pick(['', '  ', '\t', '\0', '\r', '\v']))), what }
    case 'cut':
      return { text: text.slice(0, random.below(text.length)), what: change }
    case 'word':
    default: {
      const word = random.pick([
        // qemu-img leaves it out, and libvmdk reads one within a file from its start.
        /" [1-9]/.test(text) ? 'NOACCESS' : 'RDONLY',
        'NOACCESS',
        'rw',
        'RW 1 ZERO',
        'VMFS',
        'SPARSE',
        'FLAT',
        'monolithicSparse',
      ])
      return { text: with_(line.replace(/[A-Za-z]+/, word)), what: `${what}: ${word}` }
    }
  }
}

/** Damages an image as it is wrapped: anywhere, or in the headers of its archive with their sums made right. */
export function mutateWrapped(wrapping: Wrapping, random: Random, sample: Sample): Sample {
  const image = imageOf(sample)
  const headers = headersOf(image)
  const isHeader = headers.length > 0 && random.chance(0.7)
  const { bytes, what } = isHeader ? mutateHeader(random, image, headers) : mutateAnywhere(random, image)
  return { what: `${wrapping}: ${what}`, files: new Map([['image', bytes]]) }
}

/** Where a tar archive has what can be a header. */
function headersOf(image: Buffer): number[] {
  const places: number[] = []
  for (let at = 0; at + 512 <= image.length; at += 512) {
    const sum = Number.parseInt(image.toString('latin1', at + 148, at + 155), 8)
    if (sum > 0 && sum === sumOf(image, at)) places.push(at)
  }
  return places
}

function sumOf(image: Buffer, at: number): number {
  let sum = 0
  for (let index = 0; index < 512; index += 1)
    sum += index >= 148 && index < 156 ? 0x20 : (image[at + index] ?? 0)
  return sum
}

type Field = readonly [offset: number, length: number]
const fields: readonly [Field, ...Field[]] = [
  [0, 100],
  [100, 24],
  [124, 12],
  [124, 12],
  [156, 1],
  [156, 1],
  [157, 100],
  [257, 8],
  [345, 155],
  [386, 97],
  [482, 13],
]

function mutateHeader(
  random: Random,
  image: Buffer,
  headers: readonly number[],
): { bytes: Buffer; what: string } {
  const bytes = Buffer.from(image)
  const header = random.pick(headers as [number, ...number[]])
  const [offset, length] = random.pick(fields)
  const at = header + offset + random.below(length)
  if (offset === 156)
    bytes.write(random.pick(['0', '1', '2', '5', '7', 'S', 'x', 'g', 'L', 'K', 'D', 'M', '\0']), at)
  else if (random.chance(0.5)) bytes[at] = random.below(256)
  else if (random.chance(0.6))
    bytes.write(random.pick(['0', '7', '8', ' ', '\0', '-', '.', '/', '\x80', '\xff']), at, 'latin1')
  else bytes.copy(bytes, header + offset, random.pick(headers as [number, ...number[]]) + offset, undefined)
  const isSealed = random.chance(0.8)
  if (isSealed) bytes.write(`${sumOf(bytes, header).toString(8).padStart(6, '0')}\0 `, header + 148, 'latin1')
  return { bytes, what: `header at ${header}, ${at - header}${isSealed ? ', sealed' : ''}` }
}

function mutateAnywhere(random: Random, image: Buffer): { bytes: Buffer; what: string } {
  const at = random.chance(0.5)
    ? random.below(Math.min(image.length, 700))
    : random.chance(0.5)
      ? random.below(image.length)
      : Math.max(0, image.length - 1 - random.below(40))
  const change = random.pick(['bit', 'bit', 'bits', 'cut', 'longer', 'twice', 'noise', 'drop'])
  const what = `${change} at ${at}`
  const bytes = Buffer.from(image)
  switch (change) {
    case 'cut':
      return { bytes: bytes.subarray(0, at), what }
    case 'longer': {
      const more = Buffer.alloc(1 + random.below(1000), random.pick([0, 0, 1, 0x1f]))
      return { bytes: Buffer.concat([bytes, more]), what: `${more.length} bytes more` }
    }
    case 'twice': {
      const length = 1 + random.below(2000)
      return {
        bytes: Buffer.concat([bytes.subarray(0, at + length), bytes.subarray(at)]),
        what: `${what}, ${length}`,
      }
    }
    case 'drop':
      return {
        bytes: Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + 1 + random.below(600))]),
        what,
      }
    case 'noise':
      for (let index = at; index < Math.min(at + 30, bytes.length); index += 1)
        bytes[index] = random.below(256)
      return { bytes, what }
    case 'bit':
    case 'bits':
    default:
      for (let count = change === 'bit' ? 1 : 4; count > 0; count -= 1) {
        const place = Math.min(bytes.length - 1, at + random.below(count * 3))
        bytes[place] = (bytes[place] ?? 0) ^ (1 << random.below(8))
      }
      return { bytes, what }
  }
}
