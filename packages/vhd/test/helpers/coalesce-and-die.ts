import { open } from 'node:fs/promises'
import { openTarget, type OpenTarget } from '../../src/files/vhd-file.ts'
import { coalesceFiles } from '../../src/merge/coalesce.ts'

/**
 * Coalesces the chain that the arguments name, in a process of its own that is killed.
 *
 * First argument: the operation at which it kills itself, in the middle of the write where it is one;
 * `never`; or `wait`: it says that it is ready and is killed from outside.
 */
const [mode = 'never', ...files] = process.argv.slice(2)
const at = Number(mode)
let operations = 0

function die(): never {
  process.kill(process.pid, 'SIGKILL')
  // The signal ends the process before this line is left.
  for (;;) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1000)
}

const openDying: OpenTarget = async (path) => {
  const target = await openTarget(path)
  const count = (): boolean => {
    operations += 1
    return operations - 1 === at
  }
  return {
    ...target,
    write: async (bytes, offset) => {
      if (count()) {
        const half = Math.floor(bytes.length / 1024) * 512
        const file = await open(path, 'r+')
        if (half > 0) await file.write(bytes, 0, half, offset)
        die()
      }
      await target.write(bytes, offset)
    },
    truncate: async (size) => {
      if (count()) die()
      await target.truncate(size)
    },
    sync: async () => {
      if (count()) die()
      await target.sync()
    },
  }
}

if (mode === 'wait') process.stdout.write('ready\n')
await coalesceFiles(files, {}, true, openDying)
process.stdout.write(`${operations}\n`)
