import { afterEach, beforeEach, expect, test } from 'vitest'
import { createImageUtils, type FormatRules, ImageUnacceptableError } from '../../src/index.ts'
import { createWorkspace, tool, type Workspace } from './support.ts'

let work: Workspace
beforeEach(async () => {
  work = await createWorkspace()
})
afterEach(() => work[Symbol.asyncDispose]())

async function fetchWith(formatRules: FormatRules, format: string, options: string[] = []): Promise<unknown> {
  const image = work.file('image')
  await tool('qemu-img', 'create', '-q', '-f', format, ...options, image, '64M')
  const imageId = await work.add(image, { disk_format: format, container_format: 'bare' })
  const imageUtils = createImageUtils(
    { imageService: work.store },
    { imageConversionDir: work.conversionDir, formatRules },
  )
  const request = { imageId, volume: work.file(`volume-${format}`) }
  return imageUtils.imageToVolume(request).catch((error: unknown) => error)
}

test.each<[FormatRules, string, string]>([
  [{ allowedFormats: ['raw', 'vdi'] }, 'qcow2', 'allowed-formats'],
  [{ maxVirtualSizeBytes: 1024 ** 2 }, 'qcow2', 'max-virtual-size'],
  [{ maxRatio: 2 }, 'vmdk', 'max-ratio'],
])('%j refuses a %s by %s, where it would be accepted without', async (rules, format, rule) => {
  const refused = await fetchWith(rules, format)
  expect(refused).toBeInstanceOf(ImageUnacceptableError)
  expect(refused).toMatchObject({ rule })
  expect(await fetchWith({}, format)).toMatchObject({ format })
})

test('an image that was not closed is accepted where that is allowed', async () => {
  const image = work.file('unclean')
  await tool('qemu-img', 'create', '-q', '-f', 'qcow2', '-o', 'lazy_refcounts=on', image, '8M')
  // The dirty bit, as a program sets it that is killed.
  await tool('qemu-io', '-f', 'qcow2', '-c', 'write 0 64k', '-c', 'abort', image).catch(() => undefined)
  const imageId = await work.add(image, { disk_format: 'qcow2', container_format: 'bare' })
  for (const allowUnclean of [false, true]) {
    const imageUtils = createImageUtils(
      { imageService: work.store },
      { imageConversionDir: work.conversionDir, formatRules: { allowUnclean } },
    )
    const asked = imageUtils.imageToVolume({ imageId, volume: work.file('volume') })
    const ended = await asked.then(
      () => 'done',
      (error: unknown) => (error as ImageUnacceptableError).rule,
    )
    expect(ended).toBe(allowUnclean ? 'done' : 'qcow2-clean')
  }
})
