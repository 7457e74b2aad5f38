import { execFile } from 'node:child_process'
import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import type { Sample } from './extract.ts'
import { fileNameOf, repository } from './find.ts'

/** Where the samples become files: beside the dependencies of this workspace, which are theirs too. */
const directory = path.join(repository, 'docs/.cache/samples')

/** What a careful user has; and the source condition, so that no build is needed. */
const tsconfig = {
  compilerOptions: {
    target: 'es2024',
    module: 'nodenext',
    lib: ['es2024', 'esnext.disposable', 'webworker'],
    types: ['node'],
    typeRoots: ['../../../node_modules/@types'],
    strict: true,
    exactOptionalPropertyTypes: true,
    noUncheckedIndexedAccess: true,
    verbatimModuleSyntax: true,
    skipLibCheck: true,
    noEmit: true,
    // For the sources: they import each other as files.
    allowImportingTsExtensions: true,
    customConditions: ['@disk-image/source'],
    rootDir: '../../..',
  },
  include: ['*.ts'],
}

function run(file: string, args: readonly string[]): Promise<string> {
  return new Promise((resolve) => {
    execFile(file, args, { cwd: directory, maxBuffer: 16 * 1024 ** 2 }, (error, stdout, stderr) =>
      resolve(error === null ? '' : `${stdout}${stderr}` || error.message),
    )
  })
}

/**
 * Compiles TypeScript samples as a user would: strict, ESM, `nodenext`, against the packages' sources.
 *
 * @returns what the compiler has to say, with the page and its line in place of the file; empty where all is well
 */
export async function checkTypes(samples: readonly Sample[]): Promise<string[]> {
  rmSync(directory, { recursive: true, force: true })
  mkdirSync(directory, { recursive: true })
  writeFileSync(path.join(directory, 'package.json'), '{ "type": "module" }\n')
  writeFileSync(path.join(directory, 'tsconfig.json'), JSON.stringify(tsconfig))
  const byFile = new Map(samples.map((sample) => [fileNameOf(sample), sample]))
  for (const [file, { text }] of byFile) {
    // Each sample is a module of its own, whether it imports something or not.
    writeFileSync(path.join(directory, file), `${text}\nexport {}\n`)
  }
  const compiler = path.join(repository, 'node_modules/typescript/bin/tsc')
  const output = await run(process.execPath, [compiler, '-p', directory, '--pretty', 'false'])
  return output
    .split('\n')
    .filter((line) => line.trim() !== '')
    .map((line) => {
      const [, file = '', row = '1'] = /^([^(]+\.ts)\((\d+),/.exec(line) ?? []
      const sample = byFile.get(path.basename(file))
      if (sample === undefined) return line
      return `${sample.page}:${sample.line} (line ${row} of the sample)${line.slice(line.indexOf('): ') + 1)}`
    })
}
