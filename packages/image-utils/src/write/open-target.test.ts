import type { Target } from '@disk-image/core'
import { expect, test } from 'vitest'
import { openTarget } from './open-target.ts'

/** Notes what is asked of it, and that nothing overlaps. */
function noted(failAt = Infinity): { readonly target: Target; readonly calls: string[] } {
  const calls: string[] = []
  let busy = false
  const act = async (call: string, offset: number): Promise<void> => {
    expect(busy).toBe(false)
    busy = true
    await Promise.resolve()
    busy = false
    calls.push(call)
    if (offset >= failAt) throw new Error('the pipe broke')
  }
  const target: Target = {
    write: (bytes, offset) => act(`write ${offset} ${bytes.length}`, offset),
    zero: (offset, length) => act(`zero ${offset} ${length}`, offset),
    commit: async (sizeBytes) => void calls.push(`commit ${sizeBytes}`),
    abandon: async () => void calls.push('abandon'),
    [Symbol.asyncDispose]: async () => undefined,
  }
  return { target, calls }
}

test('what the caller gave gets its bytes in order, however they come', async () => {
  const { target, calls } = noted()
  const opened = await openTarget(target, 'a name', { fileLengthBytes: 50 })
  const writes = [
    opened.write(new Uint8Array(5), 20),
    opened.zero(10, 10),
    opened.write(new Uint8Array(0), 3),
    opened.write(new Uint8Array(10), 0),
  ]
  await Promise.all(writes)
  await opened.commit(25)
  await opened.close()
  expect(calls).toEqual(['write 0 10', 'zero 10 10', 'write 20 5', 'commit 50'])
})

test('a failure ends all that wait, and it is abandoned', async () => {
  const { target, calls } = noted(10)
  const opened = await openTarget(target, 'a name', {})
  const late = opened.write(new Uint8Array(5), 20)
  const bad = opened.zero(10, 10)
  await opened.write(new Uint8Array(10), 0)
  await expect(bad).rejects.toThrow('the pipe broke')
  await expect(late).rejects.toThrow('the pipe broke')
  await expect(opened.commit(25)).rejects.toThrow('the pipe broke')
  await opened.close()
  expect(calls).toEqual(['write 0 10', 'zero 10 10', 'abandon'])
})

test('closed while one waits for a gap, it lets go of it', async () => {
  const { target, calls } = noted()
  const opened = await openTarget(target, 'a name', {})
  const waiting = opened.write(new Uint8Array(5), 20)
  waiting.catch(() => undefined)
  await opened.close()
  await expect(waiting).rejects.toThrow('closed')
  expect(calls).toEqual(['abandon'])
})
