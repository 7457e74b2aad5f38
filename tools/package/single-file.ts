/** Puts the command into one file that Node.js runs alone: `.cache/package/disk-image.mjs`, or where it is told. */
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { deflateRawSync } from 'node:zlib'
import { type InputOptions, type OutputChunk, type Plugin, rolldown } from 'rolldown'
import { readJson } from '../checks/workspace.ts'

interface Manifest {
  readonly name: string
  readonly version: string
  readonly engines: object
  readonly license: string
  readonly imports?: Readonly<Record<string, { readonly '@disk-image/source': string }>>
}

const root = path.resolve(import.meta.dirname, '../..')
const command = path.join(root, 'packages/cli')

/** A source with all that it imports: one text of modules, or texts of CommonJS, so that what waits is not read. */
async function bundleAlone(
  input: string,
  format: 'cjs' | 'esm',
  options: Pick<InputOptions, 'external' | 'plugins' | 'transform'> = {},
): Promise<OutputChunk[]> {
  const build = await rolldown({
    cwd: command,
    input,
    platform: 'node',
    tsconfig: false,
    resolve: { conditionNames: ['@disk-image/source', 'node', 'import', 'default'] },
    ...options,
    transform: { target: 'es2024', ...options.transform },
  })
  const { output } = await build.generate({
    format,
    codeSplitting: format === 'cjs',
    charset: 'ascii',
    comments: { legal: false, annotation: false, jsdoc: false },
    entryFileNames: '[name]',
    chunkFileNames: '[name]-[hash]',
  })
  await build.close()
  return output.filter((part) => part.type === 'chunk')
}

/** What the sources find beside them goes into the file: what the manifest says, and the workers' code, which is run from there. */
function embed(): Plugin {
  const workers = new Map<string, Promise<OutputChunk[]>>()
  return {
    name: 'embed',
    async transform(code, id) {
      if (!id.startsWith(path.join(root, 'packages'))) return undefined
      let text = code.replace(
        "readFileSync(new URL('../package.json', import.meta.url), 'utf8')",
        () => `'${JSON.stringify(readManifest())}'`,
      )
      for (const [call, name = ''] of code.matchAll(/import\.meta\.resolve\('(#[a-z-]+)'\)/g)) {
        const folder = id.slice(0, id.lastIndexOf('/src/'))
        const { imports = {} } = readJson(path.join(folder, 'package.json')) as Manifest
        const source = imports[name]?.['@disk-image/source'] ?? ''
        const worker = workers.get(name) ?? bundleAlone(path.join(folder, source), 'esm')
        workers.set(name, worker)
        const [whole] = await worker
        const bytes = Buffer.from(whole?.code ?? '').toString('base64')
        text = text.replace(call, () => `'data:text/javascript;base64,${bytes}'`)
      }
      if (text.includes('import.meta')) throw new Error(`${id} asks for its neighbours`)
      return text === code ? undefined : text
    },
  }
}

function readManifest(): Pick<Manifest, 'version' | 'engines'> {
  const { version, engines } = readJson(path.join(command, 'package.json')) as Manifest
  return { version, engines }
}

/** What the licences of the bundled packages of others want to be kept: their texts. */
function licencesOf(chunks: readonly OutputChunk[]): string {
  const folders = new Map<string, string>()
  for (const id of chunks.flatMap(({ moduleIds }) => moduleIds)) {
    const [folder, name] = /^.*\/node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(id) ?? []
    if (folder !== undefined && name !== undefined) folders.set(name, folder)
  }
  const texts = [...folders.keys()].toSorted().map((name) => {
    const folder = folders.get(name) ?? ''
    const { version, license } = readJson(path.join(folder, 'package.json')) as Manifest
    const file = readdirSync(folder).find((one) => /^licen[cs]e/i.test(one))
    const text = file === undefined ? '' : readFileSync(path.join(folder, file), 'latin1')
    return `${name} ${version} (${license})\n\n${text.trim()}`
  })
  return texts
    .join('\n\n---\n\n')
    .replaceAll('*/', '* /')
    .replaceAll(/[^\n -~]/g, ' ')
}

const output = path.resolve(process.argv[2] ?? path.join(root, '.cache/package/disk-image.mjs'))
// A library of the fleet asks for it where it is installed, and does without.
const external = ['@opentelemetry/api']
const parts = await bundleAlone(path.join(command, 'src/run.ts'), 'cjs', { external, plugins: [embed()] })
const packed = parts.map(({ fileName, code }) => ({
  fileName,
  text: deflateRawSync(code, { level: 9 }).toString('base64'),
}))
const lengths = packed.map(({ fileName, text }) => [fileName, text.length])
const loader = path.join(import.meta.dirname, 'load-parts.ts')
const [main] = await bundleAlone(path.join(command, 'src/main.ts'), 'esm', {
  plugins: [{ name: 'parts', resolveId: (id) => (id === './run.ts' ? loader : undefined) }],
  transform: { define: { PARTS: JSON.stringify(lengths) } },
})
mkdirSync(path.dirname(output), { recursive: true })
const notice = `/*! disk-image is licensed under Apache-2.0. It contains:\n\n${licencesOf(parts)}\n*/\n`
const comment = `/*${packed.map(({ text }) => text).join('')}*/\n`
writeFileSync(output, `#!/usr/bin/env node\n${main?.code ?? ''}${notice}${comment}`, { mode: 0o755 })
