import { existsSync } from 'node:fs'
import { readdir, rm } from 'node:fs/promises'
import path from 'node:path'
import { rolldown } from 'rolldown'

type Conditions = Readonly<Record<string, string>>

/** What of a package.json says which files are built. */
export interface Manifest {
  readonly name: string
  readonly exports?: Readonly<Record<string, string | Conditions>>
  readonly imports?: Readonly<Record<string, Conditions>>
}

/** Sources by the name of what is built from them, without extension: all entry points, and workers. */
export function entriesOf({ exports = {}, imports = {} }: Manifest): Record<string, string> {
  const entries: [name: string, source: string][] = []
  for (const conditions of [...Object.values(exports), ...Object.values(imports)]) {
    if (typeof conditions === 'string') continue
    const { '@disk-image/source': source, default: target } = conditions
    if (source === undefined || target === undefined)
      throw new Error('an entry point without source or target')
    entries.push([target.replace(/^\.\/dist\/|\.js$/g, ''), source])
  }
  // A command has no entry point to import: its program is `main`.
  return entries.length === 0 ? { main: './src/main.ts' } : Object.fromEntries(entries)
}

/**
 * Puts each entry point into one file, with shared parts beside them: Node.js takes longer to find four hundred
 * small modules than to run them. Names and lines stay as they are, and maps lead to `src`, which is shipped and has
 * the comments; left are those that bundlers read. A file of ASCII alone takes half the memory.
 */
export async function bundle(directory: string, manifest: Manifest): Promise<void> {
  const build = await rolldown({
    cwd: directory,
    input: entriesOf(manifest),
    // Every other name is another package's; the helpers that stand for newer syntax are taken in.
    external: (id) => !/^[./]|^@oxc-project\/runtime\//.test(id),
    platform: 'neutral',
    preserveEntrySignatures: 'exports-only',
    tsconfig: false,
    // What the oldest supported Node.js knows; `using` is not in it.
    transform: { target: 'es2024' },
  })
  const output = path.join(directory, 'dist')
  await removeJavaScript(output)
  await build.write({
    dir: output,
    format: 'esm',
    chunkFileNames: '[name]-[hash].js',
    sourcemap: true,
    charset: 'ascii',
    comments: { legal: true, annotation: true, jsdoc: false },
  })
  await build.close()
}

/** Of an earlier build: a part that has gone must not be shipped. */
async function removeJavaScript(output: string): Promise<void> {
  if (!existsSync(output)) return
  for (const file of await readdir(output, { recursive: true })) {
    if (/\.js(\.map)?$/.test(file)) await rm(path.join(output, file))
  }
}
