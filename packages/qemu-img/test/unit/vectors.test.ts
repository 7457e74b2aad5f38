import { readFileSync } from 'node:fs'
import { ImageError, ProcessExecutionError, toQemuFormat } from '@disk-image/core'
import type { Command, ProcessRunner, RunOptions } from '@disk-image/core'
import { createQemuImg, decodeCipher } from '@disk-image/qemu-img'
import { describe, expect, test } from 'vitest'
import { effectOf } from './effect.ts'

interface Vector {
  readonly id: string
  readonly fn: string
  readonly args: readonly unknown[]
  readonly kwargs: Readonly<Record<string, unknown>>
  readonly fake?: {
    readonly earlier_stdout?: string
    readonly execute_stdout?: string
    readonly execute_throws?: string
  }
  readonly script?: readonly { readonly stdout?: string; readonly stderr?: string; readonly exit?: number }[]
  readonly expect: {
    readonly returns?: unknown
    readonly throws?: string
    readonly message?: string
    readonly incidental?: boolean
    readonly commands?: readonly { readonly argv: readonly string[]; readonly run_as_root: boolean }[]
  }
}

function vectorsOf(file: string, ...functions: string[]): [string, Vector][] {
  const text = readFileSync(new URL(`../vectors/${file}`, import.meta.url), 'utf8')
  const all = JSON.parse(text) as readonly Vector[]
  return all.filter(({ fn }) => functions.includes(fn)).map((vector) => [vector.id, vector])
}

interface Call {
  readonly command: Command
  readonly options: RunOptions
}

/** Answers commands from a script, and remembers them. */
function scripted(script: Vector['script'] = []): { readonly runner: ProcessRunner; readonly calls: Call[] } {
  const calls: Call[] = []
  const run: ProcessRunner['run'] = async (command, options = {}) => {
    const { stdout = '', stderr = '', exit = 0 } = script[calls.length] ?? {}
    calls.push({ command, options })
    if (exit === 0) return { stdout, stderr, durationMs: 1 }
    throw new ProcessExecutionError({
      command: [command.file],
      endReason: 'exit',
      exitCode: exit,
      stdout,
      stderr,
    })
  }
  return { runner: { run }, calls }
}

async function outcomeOf(act: () => unknown): Promise<{ returns?: unknown; error?: unknown }> {
  try {
    return { returns: (await act()) ?? null }
  } catch (error) {
    return { error }
  }
}

const names: Readonly<Record<string, string>> = {
  InvalidVolumeType: 'InvalidVolumeTypeError',
  ProcessExecutionError: 'ProcessExecutionError',
  VolumeBackendAPIException: 'VolumeBackendError',
}

/** An outcome and what a vector demands, so that they can be compared: value, or class and text, or a failure. */
function asDemanded(
  { error, returns }: { returns?: unknown; error?: unknown },
  { expect: wanted }: Vector,
): unknown {
  if (wanted.throws === undefined || error === undefined) return error ?? returns
  if (wanted.incidental === true) return ImageError.is(error) ? 'some failure' : error
  return { name: (error as Error).name, message: (error as Error).message }
}

function demanded({ expect: wanted }: Vector): unknown {
  if (wanted.throws === undefined) return wanted.returns
  if (wanted.incidental === true) return 'some failure'
  return { name: names[wanted.throws], message: wanted.message }
}

function pythonNumber(value: unknown): never {
  const { $int } = (value ?? {}) as { $int?: string }
  return ($int === undefined ? value : BigInt($int)) as never
}

// JSON has no 256.0: the vector that ends in one can't be told from the one with 256.
const ciphers = vectorsOf('cipher-and-version.json', 'decode_cipher').filter(([id]) => id !== 'cipher-18')

test.each(ciphers)('%s', async (_, vector) => {
  const outcome = await outcomeOf(() => {
    const { cipherAlg, cipherMode, ivgenAlg } = decodeCipher(
      vector.args[0] as string,
      pythonNumber(vector.args[1]),
    )
    return { cipher_alg: cipherAlg, cipher_mode: cipherMode, ivgen_alg: ivgenAlg }
  })
  expect(asDemanded(outcome, vector)).toEqual(demanded(vector))
})

const versions = vectorsOf('cipher-and-version.json', 'get_qemu_img_version', 'check_qemu_img_version')

test.each(versions)('%s', async (_, vector) => {
  const { fake = {}, fn, args } = vector
  const stdout = fake.earlier_stdout ?? fake.execute_stdout ?? ''
  const { runner, calls } = scripted([{ stdout, exit: fake.execute_throws === undefined ? 0 : 127 }])
  const failing: ProcessRunner = {
    run: () =>
      Promise.reject(new ProcessExecutionError({ command: ['qemu-img'], endReason: 'not-installed' })),
  }
  const qemuImg = createQemuImg({ runner: fake.execute_throws === undefined ? runner : failing })
  const ask = (): Promise<unknown> =>
    fn === 'get_qemu_img_version' ? qemuImg.version() : qemuImg.requireVersion(args[0] as string)
  const outcome = await outcomeOf(ask)
  expect(asDemanded(outcome, vector)).toEqual(demanded(vector))
  if (outcome.error === undefined) await ask()
  expect(calls.length).toBeLessThanOrEqual(1)
})

const resizes = vectorsOf('commands.json', 'resize_image')

test.each(resizes)('%s', async (_, vector) => {
  const { runner, calls } = scripted(vector.script)
  const [path, size] = vector.args as [string, number | string]
  // The format is never left out: where the original leaves it to be guessed, the caller has to say it.
  const format = (vector.kwargs['file_format'] as string | undefined) || 'raw'
  const asRoot = vector.kwargs['run_as_root'] === true
  const outcome = await outcomeOf(() =>
    createQemuImg({ runner }).resize(path, Number(size) * 1024 ** 3, { format, asRoot }),
  )
  expect(outcome.error === undefined ? undefined : (outcome.error as Error).name).toBe(vector.expect.throws)
  expect(calls.map(({ command, options }) => [...command.args, options.asRoot])).toEqual([
    ['resize', '-f', format, '-q', path, String(Number(size) * 1024 ** 3), asRoot],
  ])
})

const infos = vectorsOf('commands.json', 'qemu_img_info').filter(
  ([, { script }]) => (script ?? []).length > 0,
)

describe('info', () => {
  test.each(infos)('%s', async (_, vector) => {
    const [first] = vector.expect.commands ?? []
    const format = first?.argv[first.argv.indexOf('-f') + 1] ?? 'raw'
    const { runner, calls } = scripted(vector.script)
    const path = first?.argv.at(-1) ?? '/d/img'
    const forceShare = vector.kwargs['force_share'] === true
    const outcome = await outcomeOf(() =>
      createQemuImg({ runner }).info(path, {
        format: toQemuFormat(format),
        forceShare,
        asRoot: first?.run_as_root,
      }),
    )
    const answer = vector.script?.[0]
    const size = (JSON.parse(answer?.stdout || '{}') as Record<string, unknown>)['virtual-size']
    // An answer without a size is no answer: nothing could be checked against it.
    const expected =
      answer?.exit !== undefined
        ? 'ProcessExecutionError'
        : size === undefined
          ? 'QemuImgOutputError'
          : 'none'
    expect(outcome.error === undefined ? 'none' : (outcome.error as Error).name).toBe(expected)
    expect(
      outcome.returns === undefined ? size : (outcome.returns as { virtualSize: unknown }).virtualSize,
    ).toBe(size)
    const words = first?.argv.slice(3).map((word) => (word === format ? toQemuFormat(word) : word))
    expect(calls[0]?.command.args.toSorted()).toEqual(words?.toSorted())
    expect(calls[0]?.options.asRoot).toBe(first?.run_as_root)
    expect(calls[0]?.options.limits?.cpuSeconds).toBe(60)
  })
})

test('making an encrypted image is tried again when qemu-img could not measure the machine', async () => {
  const answer = {
    exit: 1,
    stderr: 'qemu-img: error while converting luks: Unable to get accurate CPU usage',
  }
  const source = { path: '/s', format: 'raw' }
  const destination = { path: '/d', format: 'luks', passphraseFile: '/k' }
  const once = scripted([answer, answer])
  await createQemuImg(once).convert({ source, destination, virtualSizeBytes: 1 })
  expect(once.calls).toHaveLength(3)
  const always = scripted(Array.from({ length: 30 }, () => answer))
  const failing = createQemuImg(always).convert({ source, destination, virtualSizeBytes: 1 })
  await expect(failing).rejects.toThrow(ProcessExecutionError)
  expect(always.calls).toHaveLength(20)
})

/** The conversions that are about the command line; what decides whether one is run belongs to the facade. */
const conversions = vectorsOf('commands.json', 'convert_image').filter(
  ([
    id,
    {
      args,
      expect: { commands = [] },
    },
  ]) =>
    commands.some(({ argv }) => argv.includes('convert')) &&
    !/^conv-(?:blk|no-data|odd-names|fails|raw-spec|luks-nopass|srcpass-both-raw)/.test(id) &&
    !['iso', 'ploop', 'QCOW2'].includes(args[2] as string),
)

test.each(conversions)('%s', async (_, vector) => {
  const { args, kwargs } = vector
  const wanted = vector.expect.commands?.find(({ argv }) => argv.includes('convert'))
  const { runner, calls } = scripted([])
  const text = (name: string): string | undefined => (kwargs[name] as string | null | undefined) ?? undefined
  const spec = kwargs['cipher_spec'] as Readonly<Record<string, string>> | undefined
  const throttle = kwargs['throttle'] as { $Throttle: { prefix: string[] } } | undefined
  const passphraseFile = text('src_passphrase_file')
  const format = toQemuFormat(args[2] as string)
  await createQemuImg({ runner }).convert({
    virtualSizeBytes: 1024 ** 3,
    asRoot: kwargs['run_as_root'] !== false,
    throttlePrefix: throttle?.$Throttle.prefix,
    source: {
      path: args[0] as string,
      format: passphraseFile === undefined ? 'raw' : 'qcow2',
      passphraseFile,
    },
    destination: {
      path: args[1] as string,
      format,
      subformat: text('out_subformat'),
      compression: wanted?.argv.includes('-c') === true ? 'zlib' : 'none',
      passphraseFile: text('passphrase_file'),
      cipher: spec && {
        cipherAlg: spec['cipher_alg'] ?? '',
        cipherMode: spec['cipher_mode'] ?? '',
        ivgenAlg: spec['ivgen_alg'] ?? '',
      },
    },
    sparse: kwargs['disable_sparse'] !== true,
    directIo: wanted?.argv.includes('none') === true,
  })
  const [call] = calls
  const argv = [...(call?.options.prefix ?? []), 'qemu-img', ...(call?.command.args ?? [])]
  const effect = effectOf(argv)
  // The original forgets the cipher that is asked for where the source is encrypted too.
  const options = passphraseFile === undefined ? effect.options : []
  expect({ ...effect, options }).toEqual(effectOf(wanted?.argv ?? []))
  expect(call?.options.asRoot).toBe(wanted?.run_as_root)
  const named = argv.includes('-f') || argv.some((word) => word.startsWith('driver=qcow2,'))
  expect(named).toBe(true)
})
