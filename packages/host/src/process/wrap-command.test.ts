import { expect, test } from 'vitest'
import { parseHardLimits, withinLimits, wrapCommand } from './wrap-command.ts'
import type { CommandParts } from './wrap-command.ts'

const bare: CommandParts = {
  rootHelper: [],
  environment: { PATH: '/bin', LC_ALL: 'C' },
  env: '/usr/bin/env',
  watchdog: [],
  prefix: [],
  setpriv: undefined,
  prlimit: undefined,
  limits: undefined,
  sandbox: [],
  command: ['/usr/bin/qemu-img', '--version'],
}

test('a bare command stays bare', () => {
  expect(wrapCommand(bare)).toEqual(['/usr/bin/qemu-img', '--version'])
})

test('root helper, environment, prefix, death signal, limits, sandbox, command, in this order', () => {
  const argv = wrapCommand({
    ...bare,
    rootHelper: ['/usr/bin/sudo', '-n'],
    watchdog: ['/bin/sh', '-c', 'script', 'watchdog'],
    prefix: ['/usr/bin/ionice', '-c3'],
    setpriv: '/usr/bin/setpriv',
    prlimit: '/usr/bin/prlimit',
    limits: { cpuSeconds: 1.5, addressSpaceBytes: 2 ** 30, fileSizeBytes: 4096.5 },
    sandbox: ['/usr/bin/bwrap', '--'],
  })
  expect(argv).toEqual([
    '/usr/bin/sudo',
    '-n',
    '/usr/bin/env',
    'PATH=/bin',
    'LC_ALL=C',
    '/bin/sh',
    '-c',
    'script',
    'watchdog',
    '/usr/bin/ionice',
    '-c3',
    '/usr/bin/setpriv',
    '--pdeathsig',
    'KILL',
    '--',
    '/usr/bin/prlimit',
    '--cpu=2:3',
    '--as=1073741824',
    '--fsize=4097',
    '--',
    '/usr/bin/bwrap',
    '--',
    '/usr/bin/qemu-img',
    '--version',
  ])
})

test('the watchdog goes before a sandbox without a root helper too', () => {
  const watchdog = ['/bin/sh', '-c', 'script', 'watchdog']
  const sandbox = ['/usr/bin/bwrap', '--']
  expect(wrapCommand({ ...bare, watchdog, sandbox })).toEqual([...watchdog, ...sandbox, ...bare.command])
})

test('no limit, no prlimit', () => {
  expect(wrapCommand({ ...bare, prlimit: '/usr/bin/prlimit', limits: {} })).toEqual(bare.command)
})

const limits = `Limit                     Soft Limit           Hard Limit           Units
Max cpu time              unlimited            60                   seconds
Max file size             4096                 1048576              bytes
Max data size             unlimited            unlimited            bytes
Max address space         unlimited            unlimited            bytes
`

test('hard limits are read; what is unlimited, or not known, is none', () => {
  expect(parseHardLimits(limits)).toEqual({ cpuSeconds: 60, fileSizeBytes: 1_048_576 })
  expect(parseHardLimits('')).toEqual({})
})

test('no limit is above this process’s own hard one', () => {
  const own = parseHardLimits(limits)
  const wanted = { cpuSeconds: 120, addressSpaceBytes: 2 ** 30, fileSizeBytes: 2 ** 40 }
  expect(withinLimits(wanted, own)).toEqual({
    cpuSeconds: 59,
    addressSpaceBytes: 2 ** 30,
    fileSizeBytes: 1_048_576,
  })
  expect(withinLimits({ cpuSeconds: 5 }, own)).toEqual({ cpuSeconds: 5 })
  expect(withinLimits({ cpuSeconds: 5 }, { cpuSeconds: 0 })).toEqual({ cpuSeconds: 0 })
})
