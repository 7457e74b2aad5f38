import { readFileSync, readlinkSync } from 'node:fs'
import { stat, truncate, writeFile } from 'node:fs/promises'
import { gunzipSync } from 'node:zlib'
import { type Command, ProcessExecutionError, type ProcessRunner, type RunOptions } from '@disk-image/core'
import type { InspectionResult } from '@disk-image/format-policy/inspector'
import { inspectFile } from '../../src/files/file-reader.ts'
import type { ScriptedAnswer, Vector } from './vector.ts'

/** A command that ours ran. */
export interface Call {
  readonly command: Command
  readonly options: RunOptions
}

/** Small images of formats that only a tool writes, as it wrote them. */
export function fixture(name: string): Buffer {
  const all = JSON.parse(readFileSync(new URL('../fixtures/images.json', import.meta.url), 'utf8')) as Record<
    string,
    string
  >
  const packed = all[name]
  if (packed === undefined) throw new Error(`no fixture ${name}`)
  return gunzipSync(Buffer.from(packed, 'base64'))
}

/** What a conversion makes of a disk of that size. */
export function converted(format: 'qcow2' | 'vmdk', sizeBytes: number): Buffer {
  const image = fixture(format)
  if (format === 'qcow2') image.writeBigUInt64BE(BigInt(sizeBytes), 24)
  else image.writeBigUInt64LE(BigInt(sizeBytes / 512), 12)
  return image
}

/** What a command is, so that the same question gets the same answer whoever asks, and however often. */
function kindOf(words: readonly string[]): string {
  const start = words.indexOf('qemu-img')
  if (start < 0) return words[0] ?? ''
  if (words[start + 1] !== 'info') return words[start + 1] ?? ''
  const format = words[words.indexOf('-f') + 1] ?? ''
  return `info ${format === 'vhd' ? 'vpc' : format}`
}

/**
 * Gives to ours the answers that the original got, kind by kind: ours asks less often, and in another order.
 * A conversion makes its file, as the tool would.
 */
export function scriptedRunner(vector: Vector): { readonly runner: ProcessRunner; readonly calls: Call[] } {
  const answers = new Map<string, ScriptedAnswer[]>()
  for (const [index, { argv }] of (vector.expect.commands ?? []).entries()) {
    const answer = vector.script?.[index] ?? {}
    answers.set(kindOf(argv), [...(answers.get(kindOf(argv)) ?? []), answer])
  }
  const calls: Call[] = []
  const latest = new Map<string, ScriptedAnswer>()
  const run: ProcessRunner['run'] = async ({ file, args }, options = {}) => {
    const command = { file, args: args.map(named) }
    calls.push({ command, options })
    const words = [command.file, ...command.args]
    const kind = kindOf(words)
    const isInfo = kind.startsWith('info ')
    const next = answers.get(kind)?.shift() ?? (isInfo ? (latest.get(kind) ?? someInfo) : {})
    if (isInfo) latest.set(kind, next)
    const { stdout = '', stderr = '', exit = 0 } = next
    if (exit !== 0) {
      const endReason = exit === 127 ? 'not-installed' : 'exit'
      throw new ProcessExecutionError({ command: words, exitCode: exit, stdout, stderr, endReason })
    }
    if (kind === 'convert') await makeTarget(args)
    return { stdout, stderr, durationMs: 1 }
  }
  return { runner: { run }, calls }
}

/**
 * A source is given by a handle that is held for the call, and a new file has another name until it is whole; the vectors
 * know their own.
 */
function named(word: string): string {
  const final = word.replace(/\/\.([^/]*)\.disk-image-[^/]*\.partial$/, '/$1')
  return final.replaceAll(/\/proc\/\d+\/fd\/\d+/g, (link) => {
    const name = readlinkSync(link)
    return word.includes('filename=') ? name.replaceAll(',', ',,') : name
  })
}

/** What is answered where only ours asks: how large the disk is. */
const someInfo: ScriptedAnswer = { stdout: '{"format": "raw", "virtual-size": 1073741824}' }

/** As large as the disk that is read, where that is told by a path. */
async function makeTarget(words: readonly string[]): Promise<void> {
  const format = words[words.indexOf('-O') + 1]
  const target = words.at(-1) ?? ''
  const source = words.at(-2) ?? ''
  const inspection = source.startsWith('/') ? await inspectFile(source) : undefined
  const isRaw = words[words.indexOf('-f') + 1] === 'raw'
  const sizeBytes = inspection === undefined ? 1024 : await sizeOf(source, isRaw ? undefined : inspection)
  const data = format === 'qcow2' || format === 'vmdk' ? converted(format, sizeBytes) : Buffer.alloc(0)
  await writeFile(target, data)
  if (data.length === 0) await truncate(target, sizeBytes)
}

async function sizeOf(source: string, inspection: InspectionResult | undefined): Promise<number> {
  return inspection?.virtualSizeBytes ?? (await stat(source)).size
}
