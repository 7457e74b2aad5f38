import { existsSync, readFileSync } from 'node:fs'
import path from 'node:path'
import type { WorkspacePackage } from '../workspace.ts'
import { type Declaration, type DeclarationFile, readDeclarationFile } from './declaration-file.ts'

/** Reads every `.d.ts` once. */
class Declarations {
  readonly #files = new Map<string, DeclarationFile>()

  read(file: string): DeclarationFile {
    let known = this.#files.get(file)
    if (known === undefined) {
      known = readDeclarationFile(file, readFileSync(file, 'utf8'))
      this.#files.set(file, known)
    }
    return known
  }

  /** Where a name that a file knows is declared; a package's name where that is elsewhere. */
  find(
    file: string,
    name: string,
  ): { readonly file: string; readonly name: string } | { readonly from: string } {
    const { exports, imports, declarations } = this.read(file)
    if (declarations.has(name)) return { file, name }
    const origin = imports.get(name) ?? exports.get(name)
    if (origin === undefined) throw new Error(`${file}: nothing is known of ${name}`)
    if (origin.from === undefined) return this.find(file, origin.name)
    if (!origin.from.startsWith('.')) return { from: origin.from }
    return this.#follow(path.resolve(path.dirname(file), origin.from.replace(/\.ts$/, '.d.ts')), origin.name)
  }

  #follow(file: string, name: string): ReturnType<Declarations['find']> {
    const origin = this.read(file).exports.get(name)
    if (origin === undefined) throw new Error(`${file}: does not export ${name}`)
    if (origin.from === undefined) return this.find(file, origin.name)
    if (!origin.from.startsWith('.')) return { from: origin.from }
    return this.#follow(path.resolve(path.dirname(file), origin.from.replace(/\.ts$/, '.d.ts')), origin.name)
  }
}

/** Lines with the exports of one entry point, and the declarations behind them put into `reached`. */
function recordEntry(known: Declarations, entry: string, reached: Map<string, Declaration>): string[] {
  const include = (file: string, name: string): void => {
    const key = `${file}\n${name}`
    if (reached.has(key)) return
    const { declarations, imports } = known.read(file)
    const declaration = declarations.get(name)!
    reached.set(key, declaration)
    for (const other of declaration.names) {
      if (!declarations.has(other) && !imports.has(other)) continue
      const place = known.find(file, other)
      if ('file' in place) include(place.file, place.name)
    }
  }
  const lines: string[] = []
  for (const exported of known.read(entry).exports.keys()) {
    const origin = known.read(entry).exports.get(exported)!
    const place =
      origin.from !== undefined && !origin.from.startsWith('.')
        ? { from: origin.from }
        : origin.from === undefined
          ? known.find(entry, origin.name)
          : known.find(entry, exported)
    if ('from' in place) {
      lines.push(`${exported} of ${place.from}`)
      continue
    }
    include(place.file, place.name)
    const { kind } = known.read(place.file).declarations.get(place.name)!
    lines.push(place.name === exported ? `${exported}: ${kind}` : `${exported}: ${kind} ${place.name}`)
  }
  return lines.toSorted()
}

/**
 * Everything that can be imported from a package, as text: names by entry point, and the declarations of these
 * names and of what they mention. Comments, order and the files they are in make no difference.
 *
 * @throws {Error} where it is not built
 */
export function recordTypes(root: string, unit: WorkspacePackage): string {
  const known = new Declarations()
  const reached = new Map<string, Declaration>()
  const sections: string[] = []
  for (const [subpath, entry] of Object.entries(unit.manifest.exports ?? {})) {
    if (typeof entry === 'string') continue
    const file = path.join(root, unit.directory, entry['types'] ?? '')
    if (!existsSync(file)) throw new Error(`${unit.directory} is not built; run pnpm build`)
    sections.push(`[${subpath}]\n${recordEntry(known, file, reached).join('\n')}`)
  }
  const declarations = [...reached].map(([key, { text }]) => ({ name: key.split('\n')[1] ?? '', text }))
  const sorted = declarations.toSorted((a, b) =>
    a.name === b.name ? (a.text < b.text ? -1 : 1) : a.name < b.name ? -1 : 1,
  )
  return `${[...sections, '[declarations]', ...sorted.map(({ text }) => text)].join('\n\n')}\n`
}
