import { randomUUID } from 'node:crypto'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import {
  type ImageService,
  ProcessExecutionError,
  type ProcessRunner,
  type QemuImgInfo,
} from '@disk-image/core'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createDirectoryImageService } from '../../src/directory/index.ts'
import { createImageUtils, type ImageUtils, type ImageUtilsOptions } from '../../src/index.ts'
import { demanded, decodeValue, outcomeOf, readVectors, type Vector } from './vector.ts'

const unsafe = {
  why: 'an unsafe file is a refusal with its rule, which is an InvalidError too',
  ours: { throws: 'ImageUnacceptableError', message: expect.stringContaining('backing file') },
}

/** What differs on purpose, and why. */
const differences: Readonly<Record<string, { readonly why: string; readonly ours: unknown }>> = {
  'convdis-04-off-down': {
    why: 'vhd and vpc are two names of one format, so nothing is converted',
    ours: { returns: null },
  },
  'imgfmt-call-info-2': unsafe,
  'imgfmt-call-info-5': unsafe,
  'vsize-43-2147483648-1_5': {
    why: 'a volume of 1.5 GiB is called that, not 1GB',
    ours: {
      throws: 'ImageUnacceptableError',
      message:
        "Image b0a1c2d3-e4f5-4678-9abc-def012345678 is unacceptable: Image virtual size is 2 GiB and doesn't fit in a volume of size 1.50 GiB.",
    },
  },
  'cipher-18': {
    why: 'JSON has no 256.0, which the original prints as aes-256.0; a key of 256 bits is what it says',
    ours: { returns: { cipher_alg: 'aes-256', cipher_mode: 'xts', ivgen_alg: 'plain64' } },
  },
}

const vectors = readVectors('pure.json')
let folder: string

beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'image-utils-vectors-'))
})
afterAll(() => rm(folder, { recursive: true, force: true }))

/** The facade as a vector configures it. */
function configured({ config, fake = {} }: Vector, runner: ProcessRunner): ImageUtils {
  const options: Record<string, unknown> = { imageConversionDir: folder }
  const names: Readonly<Record<string, keyof ImageUtilsOptions>> = {
    vmdk_allowed_types: 'vmdkAllowedTypes',
    image_conversion_disable: 'imageConversionDisable',
    reserved_image_namespaces: 'reservedImageNamespaces',
  }
  for (const [name, value] of Object.entries(config)) {
    const ours = names[name]
    if (ours === undefined) throw new Error(`no option of ours for ${name}`)
    options[ours] = value ?? undefined
  }
  const imageService = { getStores: async () => fake['get_stores'] } as unknown as ImageService
  return createImageUtils({ runner, imageService }, options)
}

/** Answers every command with the same text, or fails as where the program is not there. */
function answering({ fake = {} }: Vector): ProcessRunner {
  return {
    run: async (command) => {
      if (fake['execute_throws'] !== undefined) {
        throw new ProcessExecutionError({ command: [command.file], endReason: 'not-installed' })
      }
      const stdout = (fake['earlier_stdout'] ?? fake['execute_stdout'] ?? '') as string
      return { stdout, stderr: '', durationMs: 1 }
    },
  }
}

async function call(vector: Vector): Promise<unknown> {
  const { fn, kwargs, fake = {} } = vector
  const imageUtils = configured(vector, answering(vector))
  const args = vector.args.map(decodeValue)
  const [first, second, third] = args as [never, never, never]
  switch (fn) {
    case 'fixup_disk_format':
      return imageUtils.fixupDiskFormat(first)
    case 'from_qemu_img_disk_format':
      return imageUtils.fromQemuImgDiskFormat(first)
    case 'check_qcow2_image':
      return imageUtils.checkQcow2Image(first, second)
    case 'check_vmdk_image':
      return imageUtils.checkVmdkImage(first, second)
    case 'check_image_format':
      return checkImageFormat(imageUtils, vector)
    case 'check_virtual_size':
      return imageUtils.checkVirtualSize(first, second, third)
    case 'check_image_conversion_disable':
      return imageUtils.checkImageConversionDisable(first, second, third, {
        upload: kwargs['upload'] === true,
      })
    case 'check_available_space':
      // A file system without a free byte is always at hand; of the others some bytes can be asked for.
      return imageUtils.checkAvailableSpace(fake['free'] === 0 ? '/proc' : folder, second, third)
    case 'decode_cipher': {
      const { cipherAlg, cipherMode, ivgenAlg } = imageUtils.decodeCipher(first, second)
      return { cipher_alg: cipherAlg, cipher_mode: cipherMode, ivgen_alg: ivgenAlg }
    }
    case 'filter_out_reserved_namespaces_metadata':
      return imageUtils.filterOutReservedNamespacesMetadata(first)
    case 'is_xenserver_format':
      return imageUtils.isXenserverFormat(first)
    case 'get_qemu_img_version':
      return imageUtils.getQemuImgVersion()
    case 'check_qemu_img_version':
      return imageUtils.checkQemuImgVersion(first)
    case 'validate_stores_id':
      return imageUtils.validateStoresId(first, second)
    default:
      throw new Error(`no such function: ${fn}`)
  }
}

/** With an answer given, or with one that `qemu-img info` gives of a real file. */
async function checkImageFormat(imageUtils: ImageUtils, vector: Vector): Promise<void> {
  const { args, kwargs, fake = {} } = vector
  const [source, srcFormat, imageId] = args as [string, string | null, string]
  const asked = fake['qemu_img_info'] as Record<string, unknown> | undefined
  const options = { srcFormat: srcFormat ?? undefined, imageId, runAsRoot: kwargs['run_as_root'] === true }
  if (asked === undefined) {
    await imageUtils.checkImageFormat(source, {
      ...options,
      data: decodeValue(kwargs['data']) as QemuImgInfo,
    })
    return
  }
  const file = path.join(folder, randomUUID())
  // A qcow2 that names a backing file is what is not safe to open.
  await writeFile(file, 'throws' in asked ? backedQcow2() : Buffer.alloc(1024))
  const info = (asked['$QemuImgInfo'] ?? {}) as Record<string, unknown>
  const stdout = JSON.stringify({
    format: info['file_format'],
    'virtual-size': info['virtual_size'],
    'format-specific': info['format_specific'] ?? undefined,
    'backing-filename': info['backing_file'] ?? undefined,
  })
  const runner: ProcessRunner = { run: async () => ({ stdout, stderr: '', durationMs: 1 }) }
  await configured(vector, runner).checkImageFormat(file, options)
}

function backedQcow2(): Buffer {
  const image = Buffer.alloc(65_536)
  image.write('QFI\xfb', 0, 'latin1')
  image.writeUInt32BE(2, 4)
  image.writeBigUInt64BE(512n, 8)
  image.writeUInt32BE(11, 16)
  image.writeUInt32BE(16, 20)
  image.writeBigUInt64BE(1048576n, 24)
  image.write('/etc/passwd', 512, 'latin1')
  return image
}

describe('the facade answers as the original does', () => {
  const direct = vectors.filter(({ fn, fake = {} }) => fn !== 'TemporaryImages.get' && !('client' in fake))

  test('every function has its vectors', () => {
    expect(direct.length).toBe(333)
    for (const id of Object.keys(differences)) expect(direct.map((vector) => vector.id)).toContain(id)
  })

  test.each(direct.map((vector) => [vector.id, vector] as const))('%s', async (id, vector) => {
    const outcome = await outcomeOf(vector, () => call(vector))
    const wanted = differences[id]?.ours ?? demanded(vector)
    expect(replaceFolder(outcome)).toEqual(wanted)
  })
})

/** The folder of the vectors is not this machine's. */
function replaceFolder(outcome: unknown): unknown {
  const { message } = outcome as { message?: string }
  if (message === undefined) return outcome
  return { ...(outcome as object), message: message.replace('space on /proc', 'space on /srv/conv/dest') }
}

test('an error of the image service is passed on as it is', async () => {
  const error = new Error('HTTP no')
  const imageService = { getStores: () => Promise.reject(error) } as unknown as ImageService
  const imageUtils = createImageUtils({ imageService }, { imageConversionDir: folder })
  await expect(imageUtils.validateStoresId({}, 'x')).rejects.toBe(error)
})

describe('TemporaryImages.get', () => {
  const found = vectors.filter(({ fn }) => fn === 'TemporaryImages.get')

  test.each(found.map((vector) => [vector.id, vector] as const))('%s', async (_, vector) => {
    const [userId, imageId] = vector.args as [string, string]
    const held = vector.fake?.['temporary_images'] as Record<string, Record<string, string>>
    const imageService = createDirectoryImageService({ directory: path.join(folder, randomUUID()) })
    const imageUtils = createImageUtils({}, { imageConversionDir: folder })
    const handles: AsyncDisposable[] = []
    const paths = new Map<string, string>()
    for (const [user, images] of Object.entries(held)) {
      for (const [id, name] of Object.entries(images)) {
        const metadata = { id, disk_format: 'raw', container_format: 'bare' }
        await imageService.create({}, metadata, {
          data: {
            open: async function* () {
              yield Buffer.alloc(512)
            },
          },
        })
        const handle = await imageUtils.TemporaryImages.fetch(imageService, { userId: user }, id)
        handles.push(handle)
        paths.set(name, handle.path)
      }
    }
    const images = imageUtils.TemporaryImages.forImageService(imageService)
    const wanted = vector.expect.returns as string | null
    expect(images.get({ userId }, imageId)).toBe(wanted === null ? undefined : paths.get(wanted))
    for (const handle of handles) await handle[Symbol.asyncDispose]()
    expect(images.get({ userId }, imageId)).toBeUndefined()
  })
})
