import { readFileSync } from 'node:fs'
import { InvalidError, type QemuImgInfo } from '@disk-image/core'
import { describe, expect, test } from 'vitest'
import {
  checkConversionAllowed,
  checkImageFormat,
  checkQcow2Image,
  checkVirtualSize,
  checkVmdkImage,
  withoutReservedNamespaces,
} from '@disk-image/format-policy'

interface Vector {
  readonly id: string
  readonly fn: string
  readonly args: readonly unknown[]
  readonly kwargs: Readonly<Record<string, unknown>>
  readonly config: Readonly<Record<string, unknown>>
  readonly fake?: { readonly qemu_img_info?: unknown }
  readonly expect: {
    readonly returns?: unknown
    readonly throws?: string
    readonly message?: string
    readonly incidental?: boolean
  }
}

const file = new URL('../vectors/checks.json', import.meta.url)
const { vectors } = JSON.parse(readFileSync(file, 'utf8')) as { readonly vectors: readonly Vector[] }

/** Values that JSON can't hold, and the original's names of an answer's fields. */
function decode(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(decode)
  if (typeof value !== 'object' || value === null) return value
  const record = value as Record<string, unknown>
  if ('$int' in record) return BigInt(record['$int'] as string)
  if ('$float' in record) return record['$float'] === 'inf' ? Infinity : Number.NaN
  if ('$QemuImgInfo' in record) {
    const info = record['$QemuImgInfo'] as Record<string, unknown>
    return {
      fileFormat: info['file_format'] ?? undefined,
      virtualSize: info['virtual_size'],
      backingFile: info['backing_file'] ?? undefined,
      formatSpecific: info['format_specific'] ?? undefined,
    }
  }
  return Object.fromEntries(Object.entries(record).map(([key, entry]) => [key, decode(entry)]))
}

function call({ fn, args, kwargs, config, fake }: Vector): unknown {
  const [first, second, third] = args.map(decode) as [never, never, string]
  const types = config['vmdk_allowed_types'] as readonly string[] | undefined
  const allowedTypes = types === undefined ? {} : { allowedTypes: types }
  switch (fn) {
    case 'check_vmdk_image':
      return checkVmdkImage(first, second, allowedTypes)
    case 'check_qcow2_image':
      return checkQcow2Image(first, second)
    case 'check_image_format': {
      // Where the answer was not given it is asked for, which is another package's business.
      const asked = fake?.qemu_img_info as Record<string, unknown> | undefined
      if (asked !== undefined && 'throws' in asked)
        throw new InvalidError({ reason: 'Unacceptable parameters.' })
      const data = decode(kwargs['data'] ?? asked) as QemuImgInfo
      return checkImageFormat(third, second, data, allowedTypes)
    }
    case 'check_virtual_size':
      return checkVirtualSize(first, second, third)
    case 'check_image_conversion_disable':
      return checkConversionAllowed(first, second, third, {
        disabled: config['image_conversion_disable'] === true,
        upload: kwargs['upload'] === true,
      })
    case 'filter_out_reserved_namespaces_metadata':
      return withoutReservedNamespaces(first, {
        reservedNamespaces: config['reserved_image_namespaces'] as readonly string[] | null,
      })
    default:
      throw new Error(`no such function: ${fn}`)
  }
}

/** Cinder's exceptions by our names. */
const classes: Readonly<Record<string, string>> = {
  ImageUnacceptable: 'ImageUnacceptableError',
  ImageConversionNotAllowed: 'ImageConversionNotAllowedError',
  Invalid: 'InvalidError',
}

describe('the checks do what the original does', () => {
  test('every function has its vectors', () => {
    expect(vectors.length).toBe(221)
  })

  test.each(vectors)('$id', (vector) => {
    expect(outcome(vector)).toEqual(differences[vector.id]?.ours ?? wanted(vector))
  })
})

/** What came back, or what was thrown, by the original's names. */
function outcome(vector: Vector): unknown {
  try {
    return { returns: call(vector) ?? null }
  } catch (error) {
    if (vector.expect.incidental === true) return { throws: 'anything' }
    const { name, message } = error as Error
    return { throws: name, message }
  }
}

/** What differs on purpose, and why. */
const differences: Readonly<Record<string, { readonly why: string; readonly ours: unknown }>> = {
  'vsize-43-2147483648-1_5': {
    why: 'a volume of 1.5 GiB is called that, not 1GB',
    ours: {
      throws: 'ImageUnacceptableError',
      message:
        "Image b0a1c2d3-e4f5-4678-9abc-def012345678 is unacceptable: Image virtual size is 2 GiB and doesn't fit in a volume of size 1.50 GiB.",
    },
  },
  'convdis-04-off-down': {
    why: 'vhd and vpc are two names of one format, so nothing is converted',
    ours: { returns: null },
  },
}

/** An exception of Python's own only means that the call fails. */
function wanted({ expect: { returns, throws, message, incidental } }: Vector): unknown {
  if (throws === undefined) return { returns }
  return incidental === true ? { throws: 'anything' } : { throws: classes[throws], message }
}
