import { expect, test } from 'vitest'
import { wrapCommand } from './wrap-command.ts'
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
