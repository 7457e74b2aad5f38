import { expect, test } from 'vitest'
import { moveIntoStage } from '../../samples/stage.ts'

test('paths of the pages are led into the folder of a sample, others stay', () => {
  const moved = moveIntoStage(
    "a('/var/lib/images', '/dev/vg/volume-1', '/etc/passwd') x=/var/tmp/y",
    '/t',
    '',
  )
  expect(moved).toBe("a('/t/var/lib/images', '/t/dev/vg/volume-1', '/etc/passwd') x=/t/var/tmp/y")
})

test('the Glance of the pages is the one that runs', () => {
  expect(moveIntoStage("'http://glance.example:9292'", '/t', 'http://127.0.0.1:1')).toBe(
    "'http://127.0.0.1:1'",
  )
})
