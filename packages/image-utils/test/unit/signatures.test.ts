import { existsSync } from 'node:fs'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import type { ImageService } from '@disk-image/core'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { createImageUtils } from '../../src/index.ts'
import { decodeValue, demanded, outcomeOf, readVectors } from './vector.ts'

vi.setConfig({ testTimeout: 60_000 })

let folder: string
beforeEach(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'image-utils-signatures-'))
})
afterEach(() => rm(folder, { recursive: true, force: true }))

const vectors = readVectors('signatures.json')

test.each(vectors.map((vector) => [vector.id, vector] as const))('%s', async (_, vector) => {
  const { args, fake = {} } = vector
  const file = path.join(folder, 'image')
  await writeFile(file, decodeValue(fake['content']) as Buffer)
  const imageService = { show: async () => fake['show'] } as unknown as ImageService
  const certificates = { getCertificate: async () => fake['certificate_pem'] as string }
  const imageUtils = createImageUtils({ imageService, certificates }, { imageConversionDir: folder })
  const outcome = await outcomeOf(vector, () =>
    imageUtils.verifyGlanceImageSignature({}, undefined, args[0] as string, file),
  )
  const [ours, theirs] = [outcome, demanded(vector)].map((end) => {
    const { throws } = end as { throws?: string }
    return throws === undefined ? end : throws
  })
  expect(ours).toEqual(theirs)
  expect(existsSync(file)).toBe(vector.expect.file_kept)
})
