import { readFileSync } from 'node:fs'
import { ProcessExecutionError } from '@disk-image/core'
import type { Command, ProcessRunner, RunOptions } from '@disk-image/core'
import { expect, test } from 'vitest'
import { chownIfNeeded } from './chown-if-needed.ts'

interface Vector {
  readonly id: string
  readonly args: readonly [string]
  readonly script: readonly { readonly exit?: number; readonly stderr?: string }[]
  readonly fake: {
    readonly access: boolean
    readonly uid: number
    readonly owner: number
    readonly body?: string
  }
  readonly expect: {
    readonly throws?: 'ValueError' | 'ProcessExecutionError'
    readonly commands: readonly { readonly argv: readonly string[]; readonly run_as_root: boolean }[]
  }
}

const vectors = JSON.parse(
  readFileSync(new URL('../test/vectors/chown-if-needed.json', import.meta.url), 'utf8'),
) as readonly Vector[]

test.each(vectors.map((vector) => [vector.id, vector] as const))(
  '%s',
  async (_, { args, script, fake, expect: wanted }) => {
    const seen: { readonly argv: readonly string[]; readonly run_as_root: boolean }[] = []
    const runner: ProcessRunner = {
      async run({ file, args: words }: Command, options: RunOptions = {}) {
        const answer = script[seen.length] ?? {}
        seen.push({ argv: [file, ...words], run_as_root: options.asRoot === true })
        if ((answer.exit ?? 0) === 0) return { stdout: '', stderr: '', durationMs: 1 }
        throw new ProcessExecutionError({
          command: [file, ...words],
          endReason: 'exit',
          exitCode: answer.exit,
        })
      },
    }
    const look = async () => ({ accessible: fake.access, ownerId: fake.owner })
    const body = async (): Promise<void> => {
      await using _ = await chownIfNeeded(args[0], { runner, userId: fake.uid, look })
      if (fake.body === 'raises') throw new RangeError('inside')
    }
    const errors = { ValueError: 'RangeError', ProcessExecutionError: 'ProcessExecutionError' }
    const outcome = await body().then(
      () => undefined,
      (error: Error) => error.name,
    )
    expect(outcome).toBe(wanted.throws === undefined ? undefined : errors[wanted.throws])
    expect(seen).toEqual(wanted.commands.map(({ argv, run_as_root }) => ({ argv, run_as_root })))
  },
)
