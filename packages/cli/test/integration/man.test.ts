import { execFile } from 'node:child_process'
import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { requireTool } from '@disk-image/testing'
import { expect, test } from 'vitest'

const run = promisify(execFile)
const cli = fileURLToPath(new URL('../..', import.meta.url))

test('each command has a page for man, without a warning', async () => {
  const folder = await mkdtemp(path.join(tmpdir(), 'disk-image-man-'))
  try {
    const script = path.join(cli, '../../tools/build/man-pages.ts')
    await run(process.execPath, ['--conditions=@disk-image/source', script, folder], { cwd: cli })
    const names = await readdir(folder)
    expect(names).toEqual(
      expect.arrayContaining(['disk-image.1', 'disk-image-fetch.1', 'disk-image-vhd-flatten.1']),
    )
    const pages = names.map((name) => path.join(folder, name))
    const env = { ...process.env, LC_ALL: 'C.UTF-8', MANWIDTH: '100', MANROFFOPT: '-ww' }
    const { stdout, stderr } = await run(requireTool('man', 'man-db'), ['--warnings', '-l', ...pages], {
      env,
      maxBuffer: 16 * 1024 ** 2,
    })
    expect(stderr).toBe('')
    expect(stdout).toMatch(/disk-image-fetch - an image onto a volume/)
    expect(stdout).toContain('--verify-before-write')
    expect(stdout).toContain('$ disk-image vhd flatten azure.vhd leaf.vhd base.vhd --to fixed')
    // The options of every command are in one page, and not in each.
    expect(stdout.match(/^ +--root-helper <command>/gm)).toHaveLength(1)
  } finally {
    await rm(folder, { recursive: true })
  }
})
