import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { onTestFinished } from 'vitest'

/** A folder of one test's own. */
export function temporaryDirectory(): string {
  const directory = mkdtempSync(path.join(tmpdir(), 'disk-image-vhd-'))
  onTestFinished(() => rmSync(directory, { recursive: true, force: true }))
  return directory
}
