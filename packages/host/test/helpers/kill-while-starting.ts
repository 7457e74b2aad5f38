import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdir, readFile } from 'node:fs/promises'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'

const host = fileURLToPath(new URL('../../src/index.ts', import.meta.url))
const firstMs = 20

/** Starts commands a little after each other, and cancels each, or is killed itself among their beginnings. */
const program = `
const { createProcessRunner } = await import(process.argv[1])
const { duration, commands, moments, cancels } = JSON.parse(process.argv[2])
const runner = createProcessRunner({ sandbox: 'require' })
const start = async (afterMs, endMs) => {
  await new Promise((resolve) => setTimeout(resolve, afterMs))
  const controller = new AbortController()
  if (cancels) setTimeout(() => controller.abort(), endMs)
  await runner.run({ file: 'sleep', args: [duration] }, { files: {}, signal: controller.signal }).catch(() => {})
}
await runner.run({ file: 'true', args: [] }, { files: {} })
process.stdout.write('ready')
await Promise.all(moments.map((moment, index) => start(cancels ? index * 5 : moment, moment)))
`

let count = 0

/** @returns the command lines of what is left */
export async function killWhileStarting({
  how,
  commands,
  random,
}: {
  readonly how: 'cancel' | NodeJS.Signals
  readonly commands: number
  /** In [0, 1). */
  readonly random: () => number
}): Promise<string[]> {
  count += 1
  // Nobody else sleeps so long: ours are told by it.
  const duration = `${600 + count}.${process.pid}`
  const moments = Array.from({ length: commands }, () => random() * firstMs)
  const settings = JSON.stringify({ duration, commands, moments, cancels: how === 'cancel' })
  const flags = ['--conditions=@disk-image/source', '--input-type=module', '-e', program, host, settings]
  const caller = spawn(process.execPath, flags, { stdio: ['ignore', 'pipe', 'inherit'] })
  const exit = once(caller, 'exit')
  await once(caller.stdout, 'data')
  if (how !== 'cancel') {
    await delay(random() * firstMs * 2)
    caller.kill(how)
  }
  await exit
  for (let tries = 0; tries < 30 && (await linesWith(duration)).length > 0; tries += 1) await delay(100)
  return linesWith(duration)
}

async function linesWith(word: string): Promise<string[]> {
  const lines = (await readdir('/proc'))
    .filter((name) => /^\d+$/.test(name) && name !== String(process.pid))
    .map((name) => readFile(`/proc/${name}/cmdline`, 'latin1').catch(() => ''))
  return (await Promise.all(lines))
    .filter((line) => line.includes(word))
    .map((line) => line.replaceAll('\0', ' '))
}
