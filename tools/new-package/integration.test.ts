import { execFileSync } from 'node:child_process'
import { cpSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { expect, test } from 'vitest'
import { listProjectFiles } from '../checks/workspace.ts'

const root = path.resolve(import.meta.dirname, '../..')

test('a new package passes every check at once, and its own tests', () => {
  const folder = mkdtempSync(path.join(os.tmpdir(), 'disk-image-new-package-'))
  const run = (...words: string[]): string => {
    const [file = '', ...args] = words
    try {
      return execFileSync(file, args, {
        cwd: folder,
        encoding: 'utf8',
        env: { ...process.env, CI: 'true', DISK_IMAGE_TEST_RUN: process.env['DISK_IMAGE_TEST_RUN'] },
        stdio: ['ignore', 'pipe', 'pipe'],
      })
    } catch (error) {
      const { stdout, stderr } = error as { stdout: string; stderr: string }
      throw new Error(`${words.join(' ')}\n${stdout}\n${stderr}`, { cause: error })
    }
  }
  try {
    for (const file of listProjectFiles(root)) cpSync(path.join(root, file), path.join(folder, file))
    run('git', 'init', '--quiet')
    run('pnpm', 'install', '--frozen-lockfile', '--prefer-offline')
    run('git', 'add', '--all')
    // In CI a lock file is not changed without being asked to; on a developer's machine it is.
    const told = run('env', '--unset=CI', 'pnpm', 'new-package', 'token-bucket', 'Counts what may pass')
    expect(told).toContain('packages/token-bucket is there')
    const own = { cwd: folder, encoding: 'utf8' } as const
    const changed = execFileSync('git', ['status', '--porcelain'], own).trim().split('\n')
    expect(
      changed.map((line) => line.slice(3)).filter((file) => !/^(packages\/[\w-]+\/api\.txt)$/.test(file)),
    ).toEqual(
      expect.arrayContaining([
        'packages/token-bucket/',
        'pnpm-lock.yaml',
        'tsconfig.json',
        'vitest.config.ts',
      ]),
    )
    // Only what is said about the new package counts: the others are checked elsewhere.
    const objections = (...words: string[]): string[] => {
      try {
        run(...words)
        return []
      } catch (error) {
        return String(error)
          .split('\n')
          .slice(1)
          .filter((line) => line.includes('token-bucket'))
      }
    }
    for (const words of [
      ['pnpm', 'check:boundaries'],
      ['pnpm', 'check:packages'],
      ['pnpm', 'check:words'],
      ['pnpm', 'check:links'],
      ['pnpm', 'check:unused'],
      ['pnpm', 'check:api'],
      ['pnpm', 'check:format'],
      ['pnpm', 'exec', 'tsc', '--build', 'tools/tsconfig/tests.json'],
    ]) {
      expect(objections(...words), words.join(' ')).toEqual([])
    }
    run('pnpm', 'exec', 'oxlint', '--type-aware', '--deny-warnings', 'packages/token-bucket')
    run('pnpm', 'exec', 'vitest', 'run', '--project', 'token-bucket:unit')
    const manifest = readFileSync(path.join(folder, 'packages/token-bucket/package.json'), 'utf8')
    expect(JSON.parse(manifest)).toMatchObject({
      name: '@disk-image/token-bucket',
      version: '0.0.0',
      description: 'Counts what may pass',
    })
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
})
