import { execFile } from 'node:child_process'
import { chmodSync, createReadStream, mkdirSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import type { Sample } from './extract.ts'
import { fileNameOf, repository } from './find.ts'
import { imageId, moveIntoStage, type Stage } from './stage.ts'

const command = path.join(repository, 'packages/cli/src/main.ts')
const nodeFlags = ['--conditions=@disk-image/source', '--no-warnings']
const timeoutMs = 150_000

interface Outcome {
  readonly code: number | string
  readonly output: string
}

function run(file: string, args: readonly string[], folder: string, searchPath: string): Promise<Outcome> {
  const environment = {
    // The volumes of the stage are full, so that every page has something to read; those of a reader are not.
    DISK_IMAGE_FORCE: 'yes',
    PATH: searchPath,
    HOME: folder,
    LC_ALL: 'C.UTF-8',
    NODE_COMPILE_CACHE: path.join(folder, '.v8'),
  }
  return new Promise((resolve) => {
    const child = execFile(
      file,
      args,
      { cwd: folder, env: environment, timeout: timeoutMs, maxBuffer: 16 * 1024 ** 2 },
      (error, stdout, stderr) => {
        const code = error === null ? 0 : (error.code ?? error.signal ?? 'unknown')
        resolve({ code, output: `${stdout}${stderr}` })
      },
    )
    // A program may end without having read it.
    child.stdin?.on('error', () => undefined)
    if (child.stdin !== null) createReadStream(path.join(folder, 'ubuntu.qcow2')).pipe(child.stdin)
  })
}

/** Puts a `disk-image` for the shell into a folder, which runs the sources. */
function writeCommand(folder: string): void {
  mkdirSync(folder, { recursive: true })
  const file = path.join(folder, 'disk-image')
  writeFileSync(file, `#!/bin/sh\nexec '${process.execPath}' ${nodeFlags.join(' ')} '${command}' "$@"\n`)
  chmodSync(file, 0o755)
}

/**
 * Runs one sample in a folder of its own, with the pages' image id as its argument and an image on its input.
 *
 * @returns what it printed
 * @throws where it ends with an error, with what it printed
 */
export async function runSample(stage: Stage, sample: Sample): Promise<string> {
  const folder = stage.open()
  const text = moveIntoStage(sample.text, folder, stage.glanceUrl, stage.webUrl)
  const programs = path.join(folder, '.bin')
  writeCommand(programs)
  const searchPath = `${programs}:${process.env['PATH'] ?? ''}`
  let outcome: Outcome
  if (sample.language === 'sh') {
    outcome = await run(
      '/bin/bash',
      ['--noprofile', '--norc', '-euo', 'pipefail', '-c', text],
      folder,
      searchPath,
    )
  } else {
    // Beside the dependencies of this workspace: from there a sample finds the packages that it imports.
    const file = path.join(repository, 'docs/.cache/samples', `run-${fileNameOf(sample)}`)
    writeFileSync(file, `${text}\nexport {}\n`)
    outcome = await run(process.execPath, [...nodeFlags, file, imageId], folder, searchPath)
  }
  if (outcome.code !== 0) {
    throw new Error(
      `${sample.page}:${sample.line} ends with ${outcome.code}\n${outcome.output}\n--- the sample\n${text}`,
    )
  }
  return outcome.output
}
