import { readFileSync, readlinkSync } from 'node:fs'
import { chown, lstat, mkdir, mkdtemp, rename, rm, stat, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { InvalidError, ProcessExecutionError } from '@disk-image/core'
import type { Command, ProcessRunner, RunOptions } from '@disk-image/core'
import { execa } from 'execa'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { chownIfNeeded } from './chown-if-needed.ts'
import { holdFile } from './files/hold-file.ts'
import { createProcessRunner } from './process/create-process-runner.ts'

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
    const folder = await mkdtemp(path.join(tmpdir(), 'chown-vectors-'))
    const file = path.join(folder, path.basename(args[0]))
    await writeFile(file, '')
    const seen: { readonly argv: readonly string[]; readonly run_as_root: boolean }[] = []
    const runner: ProcessRunner = {
      async run({ file: program, args: given }: Command, options: RunOptions = {}) {
        // A handle is held on the file.
        const words = given.map((word) =>
          word.startsWith('/proc/') ? `/${path.basename(readlinkSync(word))}` : word,
        )
        const answer = script[seen.length] ?? {}
        seen.push({ argv: [program, ...words], run_as_root: options.asRoot === true })
        if ((answer.exit ?? 0) === 0) return { stdout: '', stderr: '', durationMs: 1 }
        throw new ProcessExecutionError({
          command: [program, ...words],
          endReason: 'exit',
          exitCode: answer.exit,
        })
      },
    }
    const look = async () => ({ accessible: fake.access, ownerId: fake.owner })
    const body = async (): Promise<void> => {
      await using _ = await chownIfNeeded(file, { runner, userId: fake.uid, look })
      if (fake.body === 'raises') throw new RangeError('inside')
    }
    const errors = { ValueError: 'RangeError', ProcessExecutionError: 'ProcessExecutionError' }
    const outcome = await body().then(
      () => undefined,
      (error: Error) => error.name,
    )
    await rm(folder, { recursive: true })
    expect(outcome).toBe(wanted.throws === undefined ? undefined : errors[wanted.throws])
    expect(seen).toEqual(wanted.commands.map(({ argv, run_as_root }) => ({ argv, run_as_root })))
  },
)

describe.runIf(process.geteuid?.() === 0)('of a real file, by a real chown', () => {
  const [theirs, ours] = [12_345, 54_321]
  const runner = createProcessRunner()
  let folder: string
  const at = (name: string): string => path.join(folder, name)
  const ownerOf = async (name: string): Promise<number> => (await lstat(at(name))).uid
  beforeEach(async () => {
    folder = await mkdtemp(path.join(tmpdir(), 'chown-'))
    await writeFile(at('volume'), '')
    await chown(at('volume'), theirs, theirs)
    await writeFile(at('precious'), '')
  })
  afterEach(() => rm(folder, { recursive: true }))

  /** As a user who may not read it sees it; root itself may read everything. */
  const look = async (file: string) => ({ accessible: false, ownerId: (await stat(file)).uid })
  const take = (name: string): Promise<AsyncDisposable> => chownIfNeeded(name, { runner, userId: ours, look })

  test('it changes hands, and goes back to its owner, though another file has its name by then', async () => {
    const taken = await take(at('volume'))
    expect(await ownerOf('volume')).toBe(ours)
    await rename(at('volume'), at('moved'))
    await symlink('precious', at('volume'))
    await taken[Symbol.asyncDispose]()
    expect(await ownerOf('moved')).toBe(theirs)
    expect(await ownerOf('precious')).toBe(0)
  })

  test('what is swapped for a link between the look and the chown changes nothing elsewhere', async () => {
    const swapping: ProcessRunner = {
      run: async (command, options) => {
        await rename(at('volume'), at('moved'))
        await symlink('precious', at('volume'))
        return runner.run(command, options)
      },
    }
    await chownIfNeeded(at('volume'), { runner: swapping, userId: ours, look })
    expect(await ownerOf('precious')).toBe(0)
    expect(await ownerOf('moved')).toBe(ours)
  })

  test('a link, a pipe and a folder are refused, and what the link leads to stays its owner’s', async () => {
    await symlink('volume', at('link'))
    await mkdir(at('folder'))
    await execa('mkfifo', [at('pipe')])
    for (const name of ['link', 'folder', 'pipe', 'link/..']) {
      await expect(take(`${folder}/${name}`)).rejects.toThrow(InvalidError)
    }
    await expect(take('/dev/null')).rejects.toThrow(InvalidError)
    expect(await ownerOf('volume')).toBe(theirs)
  })

  test('a file that this process holds is taken by the path of its handle', async () => {
    await using held = await holdFile(at('volume'))
    await using _taken = await take(held.path)
    expect(await ownerOf('volume')).toBe(ours)
  })
})
