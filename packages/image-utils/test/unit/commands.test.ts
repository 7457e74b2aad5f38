import { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { gunzipSync, gzipSync } from 'node:zlib'
import {
  type CallOptions,
  ImageError,
  type ImageMetadata,
  type ImageService,
  type QemuImgInfo,
  toQemuFormat,
} from '@disk-image/core'
import { openDisk, openLuks, type ReadableFormat } from '@disk-image/disk'
import { afterEach, assert, beforeEach, describe, expect, test, vi } from 'vitest'
import { createDirectoryImageService } from '../../src/directory/index.ts'
import { type CinderImageUtils, createCinderImageUtils } from '../../src/cinder/index.ts'
import type { ImageUtilsOptions, TargetImage } from '../../src/index.ts'
import { type Call, converted, fixture, scriptedRunner } from './scripted-runner.ts'
import { decodeValue, ourNameOf, readVectors, type Vector } from './vector.ts'

/** Outcomes that differ on purpose: what ours comes to (`done`, or an error's name), and why. */
const differences: Readonly<Record<string, readonly [ours: string, why: string]>> = {
  'info-full': ['InvalidError', 'a backing file is refused by what qemu-img says too, unless it was allowed'],
  'info-empty-output': ['QemuImgOutputError', 'no answer is no answer: nothing could be checked against it'],
  'info-empty-object': ['QemuImgOutputError', 'the same'],
  'info-luks-empty': ['done', 'a raw file is asked about LUKS only where the inspector sees a LUKS header'],
  'conv-compress-QCOW2-conf1-1': ['InvalidError', 'a format that qemu-img has not is refused before it runs'],
  'conv-compress-QCOW2-conf0-1': ['InvalidError', 'the same'],
  'conv-no-data-datafile': [
    'ImageUnacceptableError',
    'the inspector sees the data file before qemu-img is asked',
  ],
  'conv-no-data-unsafe': ['ImageUnacceptableError', 'an unsafe file is a refusal with its rule'],
  'info-unsafe': ['ImageUnacceptableError', 'an unsafe file is a refusal with its rule'],
  'info-vhd': ['done', 'a VHD is described by our own reader'],
  'qdata-unsafe': ['ImageUnacceptableError', 'an unsafe file is a refusal with its rule'],
  'conv-luks-nopass': ['InvalidError', 'a LUKS volume without a passphrase file is refused before qemu-img'],
  'conv-fails-no-space': ['ImageTooBigError', 'a full file system is named, with the folder and the figures'],
  'conv-fails-no-space-elsewhere': ['ImageTooBigError', 'the same'],
  'resize-2': ['InvalidError', 'nothing is resized to 0 bytes'],
  'up-volume-unsafe': ['done', 'a raw volume is its bytes, whatever its guest wrote there'],
  'up-compressed-gzip-fails': ['done', 'compressed in process: there is no gzip that could fail'],
  'up-compressed-mv-fails': ['done', 'no mv either'],
  'fetch-no-qemu-raw-int-blocksize': ['done', 'raw needs neither qemu-img nor a block size'],
  'fetch-convert-fails': ['done', 'raw is written in process'],
  'fetch-no-size-info': ['done', 'the size of a raw image is known without asking'],
  'fetch-compressed-no-tool': ['done', 'decompressed in process'],
  'verify-10': ['done', 'raw is judged by its bytes; qemu-img is not asked'],
  'verify-09': ['done', 'a sound VHD is accepted'],
}

/** Vectors about what ours has none of; the same effect is tested where the note says. */
const elsewhere: Readonly<Record<string, string>> = {
  'conv-blk-no-odirect': 'real block devices: test/integration/devices.test.ts',
  'conv-blk-dd-ok': 'the same; O_DIRECT is tried without dd',
  'conv-luks-sparse-cache': 'the same',
  'conv-no-data-second-unsafe': 'ours looks once',
  'conv-info-fails': 'raw is judged by its bytes; qemu-img is not asked',
  'fetch-xenserver': 'test/integration/xenserver.test.ts: it works there',
}
const native = /^(?:vhd-|targz)/

const vectors = readVectors('commands.json')
const here = vectors.filter(({ id }) => elsewhere[id] === undefined && !native.test(id))
let folder: string

// Every transfer hashes in a thread of its own, which takes its time to start on a busy machine.
vi.setConfig({ testTimeout: 60_000 })

beforeEach(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'image-utils-commands-'))
})
afterEach(async () => {
  const left = await readdir(path.join(folder, 'conversion')).catch(() => [])
  await rm(folder, { recursive: true, force: true })
  expect(left).toEqual([])
})

/** The paths of the vectors in a folder of this test. */
function local(name: unknown): string {
  return path.join(folder, 'disk', String(name).replaceAll('/', '_'))
}

/** A file that the inspector sees as the vector's inspector did; nothing safe is a qcow2 with a backing file. */
function content({ id, fake = {} }: Vector): Buffer {
  const given = /(backing|datafile|larger|too-big|flat)$/.exec(id)?.[1]
  const formats = [fake['format_if_safe']].flat()
  const format = 'format_if_safe' in fake ? formats.at(-1) : 'raw'
  if (id.startsWith('up-') || format === 'raw') return Buffer.alloc(1024 * 1024, 'x')
  if (format === 'vhd') return fixedVhd()
  if (format === null || given === 'backing') return fixture('qcow2-backing')
  if (given === 'too-big') return fixture('qcow2-larger')
  if (given === 'datafile' || id === 'verify-04') return fixture('qcow2-datafile')
  if (given === 'flat' || id === 'verify-06') return fixture('vmdk-flat')
  return fixture(format as string)
}

/** 1 MiB and the footer of a fixed VHD. */
function fixedVhd(): Buffer {
  const footer = Buffer.alloc(512)
  footer.write('conectix')
  footer.writeUInt32BE(2, 8)
  footer.writeUInt32BE(0x10000, 12)
  footer.writeBigUInt64BE(0xffffffffffffffffn, 16)
  footer.write('qem2', 28)
  footer.writeBigUInt64BE(1048576n, 40)
  footer.writeBigUInt64BE(1048576n, 48)
  footer.writeUInt32BE(0x001e0411, 56)
  footer.writeUInt32BE(2, 60)
  footer.writeUInt32BE(~footer.reduce((sum, byte) => sum + byte, 0) >>> 0, 64)
  return Buffer.concat([Buffer.alloc(1024 * 1024, 'x'), footer])
}

function optionsOf({ config }: Vector): ImageUtilsOptions {
  const names: Readonly<Record<string, string>> = {
    image_compress_on_upload: 'imageCompressOnUpload',
    image_conversion_disable: 'imageConversionDisable',
    image_conversion_cpu_limit: 'imageConversionCpuLimitSeconds',
    image_conversion_address_space_limit: 'imageConversionAddressSpaceLimitGiB',
    allow_compression_on_image_upload: 'allowCompressionOnImageUpload',
  }
  const options: Record<string, unknown> = { imageConversionDir: path.join(folder, 'conversion') }
  for (const [name, value] of Object.entries(config)) options[names[name] ?? name] = value
  return options
}

/** Python's keywords as ours: camelCase, null as nothing, our paths. */
function keywords({ kwargs }: Vector): Record<string, unknown> {
  const ours: Record<string, unknown> = {}
  for (const [name, value] of Object.entries(kwargs)) {
    if (value === null) continue
    const camel = name.replaceAll(/_(\w)/g, (_, letter: string) => letter.toUpperCase())
    ours[camel] = decodeValue(value)
    if (name.endsWith('passphrase_file')) ours[camel] = local(value)
    if (name === 'throttle') ours[camel] = (value as { $Throttle: unknown }).$Throttle
    if (name === 'cipher_spec') {
      const spec = value as Record<string, string>
      ours[camel] = {
        cipherAlg: spec['cipher_alg'],
        cipherMode: spec['cipher_mode'],
        ivgenAlg: spec['ivgen_alg'],
      }
    }
  }
  return ours
}

interface Outcome {
  readonly ended: string
  readonly returned: unknown
  readonly calls: readonly Call[]
  readonly imageService: ImageService
  readonly imageId: string
}

async function act(vector: Vector): Promise<Outcome> {
  await mkdir(path.join(folder, 'disk'))
  for (const key of ['/p/key', '/p/src', '/p/new', '/p/s,x', '/p/n']) await writeFile(local(key), 'secret')
  const imageService = createDirectoryImageService({ directory: path.join(folder, 'store') })
  const { runner, calls } = scriptedRunner(vector)
  const imageUtils = createCinderImageUtils({ runner, imageService }, optionsOf(vector))
  const imageId = await prepare(vector, imageService)
  const end = (ended: string, returned?: unknown): Outcome => ({
    ended,
    returned,
    calls,
    imageService,
    imageId,
  })
  try {
    return end('done', await call(vector, imageUtils, imageId))
  } catch (error) {
    if (!ImageError.is(error)) throw error
    return end((error as Error).name)
  }
}

/** Makes the files, and the image where the function has one. */
async function prepare(vector: Vector, imageService: ImageService): Promise<string> {
  const { fn, args, fake = {} } = vector
  if (fn === 'upload_volume') {
    await writeFile(local(args[0]), content(vector))
    const metadata = fake['image_meta'] as TargetImage
    return (await imageService.create({}, metadata)).id
  }
  if (!fn.startsWith('fetch')) {
    const source = fn === 'get_qemu_data' ? args[3] : args[0]
    const isQcow2 = (vector.kwargs['data'] as { $QemuImgInfo?: { file_format?: string } } | undefined)
      ?.$QemuImgInfo?.file_format
    await writeFile(local(source), isQcow2 === 'qcow2' ? fixture('qcow2') : content(vector))
    return ''
  }
  const { size: _, ...metadata } = fake['show'] as ImageMetadata
  const packed = metadata.container_format === 'compressed'
  const data = packed ? gzipSync(content(vector)) : content(vector)
  const open = async function* (): AsyncGenerator<Uint8Array> {
    yield data
  }
  return (await imageService.create({}, metadata, { data: { open } })).id
}

async function call(vector: Vector, imageUtils: CinderImageUtils, imageId: string): Promise<unknown> {
  const { fn, args } = vector
  const words = keywords(vector)
  switch (fn) {
    case 'qemu_img_info':
      return imageUtils.qemuImgInfo(local(args[0]), words)
    case 'convert_image':
      return imageUtils.convertImage(local(args[0]), local(args[1]), args[2] as string, words)
    case 'resize_image':
      return imageUtils.resizeImage(local(args[0]), Number(args[1]), words)
    case 'get_qemu_data': {
      const [id, hasMeta, isRaw, dest, asRoot] = args as [string, boolean, boolean, string, boolean]
      return imageUtils.getQemuData(id, hasMeta, isRaw, local(dest), asRoot, words)
    }
    case 'chown_if_needed':
      return chown(vector, imageUtils)
    case 'upload_volume': {
      const { image_meta: image } = vector.fake as { image_meta: TargetImage }
      return imageUtils.uploadVolume({}, undefined, image, local(args[0]), words)
    }
    case 'fetch_verify_image':
      return imageUtils.fetchVerifyImage({}, undefined, imageId, local(args[1]), words)
    case 'fetch_to_vhd':
      return imageUtils.fetchToVhd({}, undefined, imageId, local(args[1]), args[2] as string, words)
    case 'fetch_to_raw':
      return imageUtils.fetchToRaw({}, undefined, imageId, local(args[1]), args[2] as string, words)
    default:
      throw new Error(`no such function: ${fn}`)
  }
}

/** What the process may read, and whose it is, is the vector's word. */
async function chown({ args, fake = {} }: Vector, imageUtils: CinderImageUtils): Promise<unknown> {
  const look = async () => ({ accessible: fake['access'] === true, ownerId: fake['owner'] as number })
  const options = { look, userId: fake['uid'] as number } as CallOptions
  const body = async (): Promise<string> => {
    await using _owned = await imageUtils.chownIfNeeded(local(args[0]), options)
    if (fake['body'] === 'raises') throw new ImageErrorInside()
    return 'inside'
  }
  return body()
}

class ImageErrorInside extends ImageError {
  readonly code = 'INSIDE'
  readonly kind = 'failed'
  override readonly name: string = 'ValueError'
  constructor() {
    super({ message: 'inside' })
  }
}

/** Rules that every command keeps, whatever asked for it. */
function checkCommand({ command, options }: Call, vector: Vector): void {
  const { file, args } = command
  assert.include(['qemu-img', 'chown', 'test', 'blkdiscard', 'blockdev'], file)
  // Whether it is there at all is asked without an image.
  if (file !== 'qemu-img' || args[0] === '--version') return
  const text = args.join(' ')
  const explicit = args.includes('-f') || /--image-opts .*driver=/.test(text)
  assert.equal(explicit, true)
  if (args[0] === 'convert') assert.include(args, '-O')
  assert.isAbove(options.limits?.cpuSeconds ?? 0, 0)
  assert.isAbove(options.limits?.addressSpaceBytes ?? 0, 0)
  assert.notInclude(text, 'secret,id=secret')
  const { config } = vector
  if (args[0] === 'info') {
    assert.equal(options.limits?.cpuSeconds, config['image_conversion_cpu_limit'] ?? 60)
    const limit = config['image_conversion_address_space_limit']
    if (typeof limit === 'number') assert.equal(options.limits?.addressSpaceBytes, limit * 1024 ** 3)
  }
  const recorded = vector.expect.commands?.filter(({ argv }) => argv.includes(args[0] ?? '')) ?? []
  // Which of the calls ours needs is its own affair; as whom they run is not.
  const [first] = recorded
  // A download is the process's own file: looking at it needs no root.
  const own = vector.fn.startsWith('fetch') && args[0] === 'info'
  if (first !== undefined) assert.equal(options.asRoot ?? false, first.run_as_root && !own)
}

describe('the same answers lead to the same end', () => {
  test('every function has its vectors', () => {
    expect(vectors.length).toBe(152)
    const known = new Set(vectors.map(({ id }) => id))
    for (const id of [...Object.keys(differences), ...Object.keys(elsewhere)]) expect(known).toContain(id)
  })

  test.each(here.map((vector) => [vector.id, vector] as const))('%s', async (id, vector) => {
    const { ended, returned, calls, imageService, imageId } = await act(vector)
    const { throws, incidental } = vector.expect
    const same = throws === undefined ? 'done' : ourNameOf(throws)
    const anyFailure = incidental === true && differences[id] === undefined
    expect(anyFailure && ended !== 'done' ? 'a failure' : ended).toBe(
      anyFailure ? 'a failure' : (differences[id]?.[0] ?? same),
    )
    for (const made of calls) checkCommand(made, vector)
    if (ended === 'done') await checkEffect(vector, returned, { calls, imageService, imageId })
  })
})

/** What is there afterwards. */
async function checkEffect(
  vector: Vector,
  returned: unknown,
  { calls, imageService, imageId }: Pick<Outcome, 'calls' | 'imageService' | 'imageId'>,
): Promise<void> {
  const { fn, args, fake = {}, expect: wanted } = vector
  if (fn === 'qemu_img_info' || fn === 'get_qemu_data') checkInfo(vector, returned as QemuImgInfo)
  if (fn === 'convert_image') await checkConversion(vector, calls)
  if (fn === 'chown_if_needed') {
    const done = calls.map(({ command: { args: words } }) => words[0])
    assert.deepEqual(
      done,
      wanted.commands?.map(({ argv }) => argv[1]),
    )
  }
  if (fn === 'upload_volume') {
    const record = await imageService.show({}, imageId)
    assert.equal(record.status, 'active')
    const data = Buffer.from((await imageService.readRange?.({}, imageId, 0, 4 * 1024 * 1024)) ?? [])
    const { disk_format: format, container_format: container } = fake['image_meta'] as ImageMetadata
    const disk = container === 'compressed' ? gunzipSync(data) : data
    const plain = format === 'raw' || format === 'iso'
    const isConverted = calls.some(({ command }) => command.args[0] === 'convert')
    if (plain) assert.isFalse(isConverted)
    if (!plain && !isConverted) await checkEncoded(disk, format ?? '', content(vector))
    else {
      const made = plain ? content(vector) : converted(format as 'qcow2' | 'vmdk', content(vector).length)
      assert.isTrue(disk.equals(made))
    }
  }
  if (fn === 'fetch_to_raw') {
    const disk = await readFile(local(args[1])).catch(() => undefined)
    const size = (await stat(local(args[1]))).size
    const { disk_format: format } = fake['show'] as ImageMetadata
    if (format === 'qcow2') assert.equal(size, 1024 ** 3)
    else if (format !== 'vmdk') assert.equal(disk?.equals(content(vector)), true)
  }
}

function checkInfo({ expect: wanted }: Vector, returned: QemuImgInfo): void {
  const info = decodeValue(wanted.returns) as Partial<QemuImgInfo> | undefined
  // An answer that the original could not have.
  if (info === undefined || info.virtualSize === undefined) return
  assert.equal(returned.virtualSize, info.virtualSize)
  assert.equal(returned.backingFile, info.backingFile)
  assert.equal(returned.clusterSize, info.clusterSize)
  assert.equal(returned.diskSize, info.diskSize)
  assert.equal(returned.snapshots.length, info.snapshots?.length)
}

/** What was written in process is an image of that format, and has the disk. */
async function checkEncoded(file: Uint8Array, format: string, raw: Uint8Array): Promise<void> {
  const reader = {
    size: file.length,
    read: async (offset: number, length: number) => file.subarray(offset, offset + length),
  }
  await using disk = await openDisk(reader, toQemuFormat(format) as ReadableFormat)
  const bytes = await disk.read(0, raw.length + 1)
  assert.isTrue(Buffer.from(bytes).equals(raw))
}

/** The same of a container, which has the cipher that was asked for. */
async function checkContainer({ args, kwargs }: Vector, file: Uint8Array): Promise<void> {
  const read = async (offset: number, length: number): Promise<Uint8Array> =>
    file.subarray(offset, offset + length)
  const passphrase = await readFile(local(kwargs['passphrase_file']))
  await using disk = await openLuks({ size: file.length, read }, { passphrase })
  assert.isTrue(Buffer.from(await disk.read(0, disk.size)).equals(await readFile(local(args[0]))))
  const { cipherName, keyBytes, version } = disk.layout
  assert.deepEqual([cipherName, keyBytes, version], ['aes-xts-plain64', 64, 1])
}

/** The same source, target, format and options, in whatever words; or the same disk, in process. */
async function checkConversion(vector: Vector, calls: readonly Call[]): Promise<void> {
  const { args, kwargs, expect: wanted } = vector
  const conversions = calls.filter(({ command }) => command.args[0] === 'convert')
  if (conversions.length === 0) {
    const made = await readFile(local(args[1]))
    if (args[2] === 'luks') await checkContainer(vector, made)
    else await checkEncoded(made, String(args[2]), await readFile(local(args[0])))
    return
  }
  assert.equal(conversions.length, 1)
  const [{ command, options } = conversions[0] as Call] = conversions
  const recorded = wanted.commands?.find(({ argv }) => argv.includes('convert'))?.argv ?? []
  const valueOf = (words: readonly string[], name: string): string | undefined =>
    words.includes(name) ? words[words.indexOf(name) + 1] : undefined
  const names: Readonly<Record<string, string>> = { iso: 'raw', ploop: 'parallels' }
  const format = valueOf(recorded, '-O') ?? ''
  assert.equal(valueOf(command.args, '-O'), names[format] ?? format.toLowerCase())
  assert.equal(command.args.at(-1), local(args[1]))
  assert.deepEqual(options.prefix ?? [], recorded.slice(0, recorded.indexOf('qemu-img')))
  assert.equal(valueOf(command.args, '-S'), valueOf(recorded, '-S'))
  assert.equal(command.args.includes('-c'), recorded.includes('-c'))
  const text = command.args.join(' ')
  for (const word of recorded.filter((part) => /^(?:subformat|cipher-alg)=/.test(part))) {
    for (const option of word.split(',')) assert.include(text, option)
  }
  const source = local(args[0])
  assert.include(text, source.replaceAll(',', kwargs['src_passphrase_file'] === undefined ? ',' : ',,'))
}
