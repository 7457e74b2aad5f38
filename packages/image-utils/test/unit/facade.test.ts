import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { expect, test } from 'vitest'
import {
  createDirectoryImageService,
  createImageUtils,
  GlanceConnectionFailedError,
  InvalidError,
} from '../../src/index.ts'

/** Cinder's functions, the pipelines of our own with the plan and the verdict on a file, and what is at hand beside them. */
const functions = `
  imageToVolume archiveToVolumes planImageToVolume planArchiveToVolumes volumeToImage volumesToArchive sourceToImage streamToImage verifyVolume verifyVolumeChecksums openSource inspectInside cleanTemporaryFiles checkImageFile fixupDiskFormat
  fromQemuImgDiskFormat qemuImgInfo getImageFormat getQemuImgVersion checkQemuImgVersion
  convertImage resizeImage getQemuData checkQcow2Image checkVmdkImage checkImageFormat
  checkImageConversionDisable checkVirtualSize checkAvailableSpace decodeCipher isXenserverFormat
  filterOutReservedNamespacesMetadata fetch fetchVerifyImage fetchToRaw fetchToVhd
  fetchToVolumeFormat uploadVolume validateStoresId verifyGlanceImageSignature setVhdParent
  coalesceVhd getVhdSize resizeVhd discoverVhdChain fixVhdChain coalesceChain extractTargz
  replaceXenserverImageWithCoalescedVhd createTemporaryFile temporaryFile temporaryDir
  cleanupTemporaryFile chownIfNeeded
`
  .trim()
  .split(/\s+/)

test('every function is there, and nothing else but what stands beside them', () => {
  const imageUtils = createImageUtils()
  const found = Object.entries(imageUtils).filter(([, value]) => typeof value === 'function')
  expect(found.map(([name]) => name).sort()).toEqual([...functions].sort())
  expect(
    Object.keys(imageUtils)
      .filter((name) => !functions.includes(name))
      .sort(),
  ).toEqual(['TemporaryImages', 'imageService', 'options'])
  expect(Object.isFrozen(imageUtils)).toBe(true)
})

test.each(['10', null, Number.NaN, -1, 0, Infinity, 1e300, {}, true, 10n])(
  'a volume of %s GiB is no size, and that is no refusal of the image',
  async (volumeSizeGiB) => {
    const imageUtils = createImageUtils({
      imageService: createDirectoryImageService({ directory: '/nowhere' }),
    })
    const request = { imageId: 'image', volume: '/tmp/volume', volumeSizeGiB: volumeSizeGiB as number }
    for (const answer of [imageUtils.imageToVolume(request), imageUtils.planImageToVolume(request)]) {
      await expect(answer).rejects.toMatchObject({ code: 'INVALID', kind: 'invalid' })
      await expect(answer).rejects.toThrow('volumeSizeGiB must be a number of GiB above 0')
    }
  },
)

test('a Glance is the default service, and is asked as often as the option says', async () => {
  let requests = 0
  const server = createServer((_request, response) => {
    requests += 1
    response.writeHead(503).end()
  })
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve)
  })
  try {
    const endpoint = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
    for (const glanceNumRetries of [0, 2]) {
      requests = 0
      const glance = { endpoint, retryDelayMs: 1 }
      const imageUtils = createImageUtils({ glance }, { glanceNumRetries })
      const asked = imageUtils.fetch({}, undefined, 'b0a1c2d3-e4f5-4678-9abc-def012345678', '/var/tmp/never')
      await expect(asked).rejects.toThrow(GlanceConnectionFailedError)
      expect(requests).toBe(glanceNumRetries + 1)
    }
  } finally {
    server.closeAllConnections()
    server.close()
  }
})

test('further rules are the policy’s, and checked by it', () => {
  expect(() => createImageUtils({}, { formatRules: { maxRatio: 0 } })).toThrow(
    'maxRatio must be a number above 0',
  )
  expect(createImageUtils({}, { formatRules: { maxRatio: 50 } }).options.formatRules).toEqual({
    maxRatio: 50,
  })
})

test('one default service, not two', () => {
  const imageService = createDirectoryImageService({ directory: '/images' })
  expect(createImageUtils({ imageService }).imageService).toBe(imageService)
  expect(createImageUtils().imageService).toBeUndefined()
  const glance = { endpoint: 'http://127.0.0.1:9292' }
  expect(() => createImageUtils({ imageService, glance })).toThrow(InvalidError)
  expect(() => createImageUtils({ glance: { endpoint: 'no url' } })).toThrow(InvalidError)
})
