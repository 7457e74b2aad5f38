import { mkdirSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import path from 'node:path'
import type { Registry } from './registry.ts'
import { run } from './run.ts'

/** A stranger's fresh project, as an ES module. */
export function createProject(folder: string): string {
  mkdirSync(folder, { recursive: true })
  writeFileSync(path.join(folder, 'package.json'), JSON.stringify({ private: true, type: 'module' }))
  return folder
}

/** pnpm puts nothing at the top but what was asked for: an undeclared import finds nothing. */
export async function installWithPnpm(
  project: string,
  registry: Registry,
  names: readonly string[],
): Promise<void> {
  // A version that is a minute old is what this is about; elsewhere one waits until others have looked at it.
  writeFileSync(
    path.join(project, 'pnpm-workspace.yaml'),
    ['minimumReleaseAge: 0', 'strictDepBuilds: false', 'hoist: false', 'storeDir: ../../pnpm-store', ''].join(
      '\n',
    ),
  )
  writeFileSync(path.join(project, '.npmrc'), `registry=${registry.url}/\n`)
  await run('pnpm', ['add', ...names], {
    cwd: project,
    environment: { ...registry.environment, CI: 'true' },
  })
}

/** How a TypeScript project finds modules. */
export type Resolution = 'nodenext' | 'bundler'

/** Compiles a file that imports all of these modules, strictly, their own declarations included. */
export async function compile(
  project: string,
  resolution: Resolution,
  modules: readonly string[],
): Promise<void> {
  const lines = modules.map((name, index) => `export * as entry${index} from ${JSON.stringify(name)}`)
  writeFileSync(path.join(project, 'uses.ts'), `${lines.join('\n')}\n`)
  const require = createRequire(import.meta.url)
  const types = path.dirname(path.dirname(require.resolve('@types/node/package.json')))
  const config = {
    compilerOptions: {
      strict: true,
      exactOptionalPropertyTypes: true,
      noUncheckedIndexedAccess: true,
      target: 'es2024',
      lib: ['es2024', 'esnext.disposable'],
      module: resolution === 'bundler' ? 'esnext' : 'nodenext',
      moduleResolution: resolution,
      skipLibCheck: false,
      typeRoots: [types],
      types: ['node'],
      noEmit: true,
    },
    files: ['uses.ts'],
  }
  const file = `tsconfig.${resolution}.json`
  writeFileSync(path.join(project, file), JSON.stringify(config))
  const tsc = path.join(path.dirname(require.resolve('typescript/package.json')), 'bin/tsc')
  await run(process.execPath, [tsc, '--project', file], { cwd: project })
}
