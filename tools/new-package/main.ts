import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { newPackageFiles } from './files.ts'
import { enlist } from './enlist.ts'

const root = path.resolve(import.meta.dirname, '../..')

function fail(reason: string): never {
  console.error(reason)
  console.error('pnpm new-package NAME ["What it is, in a few words"]')
  process.exit(2)
}

function create(folder: string, description: string): void {
  const model = JSON.parse(readFileSync(path.join(root, 'packages/qemu-img/package.json'), 'utf8')) as Record<
    string,
    unknown
  >
  const exports = {
    '.': (model['exports'] as Record<string, unknown>)['.'],
    './package.json': './package.json',
  }
  const licence = readFileSync(path.join(root, 'LICENSE'), 'utf8')
  const files = newPackageFiles({ folder, description }, { ...model, exports }, licence)
  for (const [file, text] of Object.entries(files)) {
    mkdirSync(path.dirname(path.join(root, file)), { recursive: true })
    writeFileSync(path.join(root, file), text)
  }
  for (const file of [
    'tsconfig.json',
    'tools/tsconfig/tests.json',
    'vitest.config.ts',
    'tools/checks/rules.ts',
  ]) {
    const before = readFileSync(path.join(root, file), 'utf8')
    writeFileSync(path.join(root, file), enlist(file, before, folder))
  }
}

function run(file: string, ...args: string[]): void {
  execFileSync(file, args, { cwd: root, stdio: ['ignore', 'inherit', 'inherit'] })
}

const [folder = '', description] = process.argv.slice(2)
if (!/^[a-z][a-z0-9]*(-[a-z0-9]+)*$/.test(folder))
  fail(`'${folder}' is no name: lower-case words, joined with -`)
if (existsSync(path.join(root, 'packages', folder))) fail(`packages/${folder} is there already`)

create(folder, description ?? `What ${folder} is, in a few words`)
run('pnpm', 'install', '--prefer-offline')
run('pnpm', 'exec', 'oxfmt', `packages/${folder}`, 'tsconfig.json', 'tools/tsconfig', 'vitest.config.ts')
run('pnpm', 'exec', 'tsc', '--build', `packages/${folder}`)
run('pnpm', 'api:accept', folder)
console.log(`
packages/${folder} is there, and passes pnpm check. Now:
  1. Read docs/decisions/0001-star-graph.md: would anybody install it alone? Otherwise it is a subpath.
  2. Replace src/count-sectors.ts by what it is about, and the README's sentences by its own.
  3. A package that others may import goes into their lines of tools/checks/rules.ts.
  4. pnpm check && pnpm test --project '${folder}:*' && pnpm build && pnpm rehearse`)
