import { expect, test } from 'vitest'
import { redact } from './printable.ts'

test.each([
  ['secret,id=a,data=hunter2', 'secret,id=a,data=***'],
  ['secret,id=a,data=a,,b,format=raw', 'secret,id=a,data=***,format=raw'],
  ['secret,id=a,format=raw,file=/run/key', 'secret,id=a,format=raw,file=/run/key'],
  ['driver=rbd,password=hunter2,pool=a', 'driver=rbd,password=***,pool=a'],
  ['https://user:pw@host/x', 'https://***@host/x'],
  ['https://host/x?X-Signature=abc&expires=1', 'https://host/x?***'],
  ['/var/lib/volume-1', '/var/lib/volume-1'],
  ['key-secret=source0', 'key-secret=source0'],
])('%s is shown as %s', (text, shown) => {
  expect(redact(text)).toBe(shown)
})
