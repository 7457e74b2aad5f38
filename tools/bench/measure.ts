import { execa } from 'execa'
import path from 'node:path'

const wrapper = path.join(import.meta.dirname, 'measure.py')

/** What one run of a command took, over its whole process tree. */
export interface Measurement {
  readonly wallSeconds: number
  readonly cpuSeconds: number
  /** Of all processors, whoever kept them busy: servers and the kernel's own threads too. */
  readonly machineBusySeconds: number
  readonly peakRssBytes: number
  readonly largestProcessRssBytes: number
  readonly storageWrittenBytes: number
  readonly storageReadBytes: number
}

/** A measured run and what the command printed. */
export interface MeasuredRun extends Measurement {
  readonly stdout: string
}

/** A command that took longer than this is stuck. */
const timeoutMs = 15 * 60_000

/**
 * Runs a command to its end and measures it.
 *
 * @throws where the command fails, with what it said
 */
export async function measure(
  command: readonly string[],
  environment: Record<string, string> = {},
): Promise<MeasuredRun> {
  const { stdout, stderr } = await execa('/usr/bin/python3', [wrapper, ...command], {
    env: environment,
    stdin: 'ignore',
    timeout: timeoutMs,
    maxBuffer: 16 * 1024 * 1024,
  })
  const lines = stderr.trimEnd().split('\n')
  const { exitCode, ...measurement } = JSON.parse(lines.at(-1) ?? '') as Measurement & { exitCode: number }
  if (exitCode !== 0) {
    const said = [...lines.slice(0, -1), stdout].join('\n').trim().slice(-4000)
    throw new Error(`${command.join(' ')} ended with ${exitCode}:\n${said}`)
  }
  return { ...measurement, stdout }
}
