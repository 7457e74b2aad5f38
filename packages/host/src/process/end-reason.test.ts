import { expect, test } from 'vitest'
import { endAdvice, endSignal, nameEnd } from './end-reason.ts'
import type { ProcessEnd } from './end-reason.ts'

const plain: ProcessEnd = {
  exitCode: undefined,
  signalName: undefined,
  stderr: '',
  durationMs: 10,
  limits: { cpuSeconds: 60, addressSpaceBytes: 2 ** 30 },
  wrapped: false,
  processors: 2,
}

test.each([
  ['exit', { exitCode: 1 }],
  ['exit', { exitCode: 134 }],
  ['memory-limit', { exitCode: 134, wrapped: true }],
  ['memory-limit', { signalName: 'SIGABRT' }],
  ['memory-limit', { signalName: 'SIGTRAP' }],
  ['memory-limit', { exitCode: 1, stderr: "qemu-img: Could not open 'x': Cannot allocate memory" }],
  ['memory-limit', { exitCode: 127, stderr: 'libx.so: failed to map segment from shared object' }],
  ['signal', { signalName: 'SIGABRT', limits: undefined }],
  ['signal', { signalName: 'SIGSEGV' }],
  ['signal', { exitCode: 139, wrapped: true }],
  ['cpu-limit', { signalName: 'SIGXCPU' }],
  ['cpu-limit', { exitCode: 152, wrapped: true }],
  ['cpu-limit', { signalName: 'SIGKILL', durationMs: 31_000 }],
  ['signal', { signalName: 'SIGKILL', durationMs: 1000 }],
  ['signal', { signalName: 'SIGXCPU', limits: undefined }],
  ['file-size-limit', { signalName: 'SIGXFSZ', limits: { fileSizeBytes: 1 } }],
  ['file-size-limit', { exitCode: 153, wrapped: true, limits: { fileSizeBytes: 1 } }],
  ['file-size-limit', { exitCode: 1, stderr: 'x: File too large', limits: { fileSizeBytes: 1 } }],
  ['signal', { signalName: 'SIGXFSZ' }],
] as const)('%s: %j', (reason, how) => {
  expect(nameEnd({ ...plain, ...how })).toBe(reason)
})

test('a wrapper exit code above 128 is the signal it stands for', () => {
  expect(endSignal({ exitCode: 137, signalName: undefined, wrapped: true })).toBe('SIGKILL')
  expect(endSignal({ exitCode: 137, signalName: undefined, wrapped: false })).toBeUndefined()
  expect(endSignal({ exitCode: 1, signalName: undefined, wrapped: true })).toBeUndefined()
})

test('the advice names the limit', () => {
  expect(endAdvice('memory-limit', plain)).toContain('1073741824 bytes')
  expect(endAdvice('cpu-limit', plain)).toContain('60 seconds')
  expect(endAdvice('file-size-limit', { ...plain, limits: { fileSizeBytes: 4096 } })).toContain('4096 bytes')
  expect(endAdvice('signal', { ...plain, signalName: 'SIGKILL' })).toContain('memory')
  expect(endAdvice('exit', plain)).toBeUndefined()
})
