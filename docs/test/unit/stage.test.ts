import { expect, test } from 'vitest'
import { moveIntoStage } from '../../samples/stage.ts'

test('paths of the pages are led into the folder of a sample, others stay', () => {
  const moved = moveIntoStage(
    "a('/var/lib/images', '/dev/vg/volume-1', '/etc/passwd') x=/var/tmp/y",
    '/t',
    '',
    '',
  )
  expect(moved).toBe("a('/t/var/lib/images', '/t/dev/vg/volume-1', '/etc/passwd') x=/t/var/tmp/y")
})

test('the servers of the pages are those that run', () => {
  const text = "'http://glance.example:9292' https://images.example/ubuntu.qcow2"
  const moved = moveIntoStage(text, '/t', 'http://127.0.0.1:1', 'http://127.0.0.1:2')
  expect(moved).toBe("'http://127.0.0.1:1' http://127.0.0.1:2/ubuntu.qcow2")
})
