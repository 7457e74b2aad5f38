import type { ImageService, TemporaryPath } from '@disk-image/core'
import { expect, test } from 'vitest'
import { TemporaryImagesByService } from './temporary-images.ts'

const service = {} as ImageService
const alice = { userId: 'alice' }

interface Download {
  readonly signal: AbortSignal | undefined
  finish(): void
  fail(error: Error): void
}

function scripted() {
  const downloads: Download[] = []
  const removed: string[] = []
  const images = new TemporaryImagesByService((_service, _context, imageId, { signal }) => {
    return new Promise<TemporaryPath>((resolve, reject) => {
      const path = `/t/${imageId}-${downloads.length}`
      signal?.addEventListener('abort', () => reject(signal.reason as Error))
      downloads.push({
        signal,
        finish: () => resolve({ path, [Symbol.asyncDispose]: async () => void removed.push(path) }),
        fail: reject,
      })
    })
  }).forImageService(service)
  return { images, downloads, removed }
}

test('two users of one image share one download, and the file stays for the second', async () => {
  const { images, downloads, removed } = scripted()
  const first = images.fetch(service, alice, 'a')
  const second = images.fetch(service, alice, 'a')
  downloads[0]?.finish()
  const [one, two] = await Promise.all([first, second])
  expect(downloads).toHaveLength(1)
  expect(one.path).toBe(two.path)
  await one[Symbol.asyncDispose]()
  await one[Symbol.asyncDispose]()
  expect(removed).toEqual([])
  expect(images.get(alice, 'a')).toBe(two.path)
  await two[Symbol.asyncDispose]()
  expect(removed).toEqual([one.path])
  expect(images.get(alice, 'a')).toBeUndefined()
})

test('another user does not see it', async () => {
  const { images, downloads } = scripted()
  const fetching = images.fetch(service, alice, 'a')
  downloads[0]?.finish()
  await fetching
  expect(images.get({ userId: 'bob' }, 'a')).toBeUndefined()
  expect(images.get({}, 'a')).toBeUndefined()
})

test('one user who gives up does not end the other’s download; the last one does', async () => {
  const { images, downloads } = scripted()
  const abort = new AbortController()
  const first = images.fetch(service, alice, 'a', { signal: abort.signal })
  const second = images.fetch(service, alice, 'a')
  abort.abort(new Error('given up'))
  await expect(first).rejects.toThrow('given up')
  expect(downloads[0]?.signal?.aborted).toBe(false)
  downloads[0]?.finish()
  const file = await second
  await file[Symbol.asyncDispose]()
  const lonely = new AbortController()
  const third = images.fetch(service, alice, 'a', { signal: lonely.signal })
  lonely.abort(new Error('given up too'))
  await expect(third).rejects.toThrow('given up too')
  expect(downloads[1]?.signal?.aborted).toBe(true)
})

test('a failed download is forgotten, and may be tried again', async () => {
  const { images, downloads } = scripted()
  const first = images.fetch(service, alice, 'a')
  downloads[0]?.fail(new Error('no line'))
  await expect(first).rejects.toThrow('no line')
  const second = images.fetch(service, alice, 'a')
  downloads[1]?.finish()
  await expect(second).resolves.toMatchObject({ path: '/t/a-1' })
})
