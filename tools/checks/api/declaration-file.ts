import { parseSync } from 'oxc-parser'

/** Where a name comes from: another file, or a name of this one. */
export interface Origin {
  /** Absent: this file. */
  readonly from?: string | undefined
  readonly name: string
}

/** One declaration of a `.d.ts`, as it is shown in the record. */
export interface Declaration {
  readonly kind: string
  readonly text: string
  /** Every identifier in it; most are of no interest. */
  readonly names: ReadonlySet<string>
}

/** What a `.d.ts` gives away, takes in and declares. */
export interface DeclarationFile {
  readonly exports: ReadonlyMap<string, Origin>
  readonly imports: ReadonlyMap<string, Origin>
  readonly declarations: ReadonlyMap<string, Declaration>
}

interface Node {
  readonly type: string
  readonly start: number
  readonly end: number
  readonly [key: string]: unknown
}

const kinds: Readonly<Record<string, string>> = {
  TSInterfaceDeclaration: 'interface',
  TSTypeAliasDeclaration: 'type',
  ClassDeclaration: 'class',
  FunctionDeclaration: 'function',
  TSDeclareFunction: 'function',
  VariableDeclaration: 'const',
  TSEnumDeclaration: 'enum',
}

function nameOf(node: unknown): string {
  const { name, value } = node as { readonly name?: string; readonly value?: string }
  return name ?? value ?? ''
}

function collectNames(node: unknown, names: Set<string>): void {
  if (Array.isArray(node)) for (const item of node) collectNames(item, names)
  else if (typeof node === 'object' && node !== null) {
    const { type, name } = node as { readonly type?: string; readonly name?: unknown }
    if (type === 'Identifier' && typeof name === 'string') names.add(name)
    for (const value of Object.values(node)) collectNames(value, names)
  }
}

/**
 * Reads a `.d.ts` that TypeScript emitted.
 *
 * @throws {Error} where it holds what the record can't show: a default export, `export *`, a syntax error
 */
export function readDeclarationFile(file: string, text: string): DeclarationFile {
  const { program, errors, comments } = parseSync(file, text)
  if (errors.length > 0) throw new Error(`${file}: ${errors[0]?.message}`)
  const exports = new Map<string, Origin>()
  const imports = new Map<string, Origin>()
  const declarations = new Map<string, Declaration>()

  /** The text without comments, blank lines and what every declaration begins with. */
  const show = ({ start, end }: Node): string => {
    let shown = ''
    let position = start
    for (const comment of comments) {
      if (comment.end <= position || comment.start >= end) continue
      shown += text.slice(position, comment.start)
      position = comment.end
    }
    shown += text.slice(position, end)
    const lines = shown.split('\n').map((line) => line.trimEnd())
    return lines
      .filter((line) => line !== '')
      .join('\n')
      .replace(/^(export )?(declare )?/, '')
      .replaceAll('    ', '  ')
  }

  const declare = (node: Node): string[] => {
    const kind = kinds[node.type]
    if (kind === undefined) throw new Error(`${file}: ${node.type} is not known to the record`)
    const declared =
      node.type === 'VariableDeclaration'
        ? (node['declarations'] as { readonly id: unknown }[]).map(({ id }) => nameOf(id))
        : [nameOf(node['id'])]
    const names = new Set<string>()
    collectNames(node, names)
    for (const name of declared) {
      const overload = declarations.get(name)
      declarations.set(name, {
        kind,
        text: overload === undefined ? show(node) : `${overload.text}\n${show(node)}`,
        names: new Set([...names, ...(overload?.names ?? [])]),
      })
    }
    return declared
  }

  for (const node of program.body as unknown as Node[]) {
    const from = node['source'] === null || node['source'] === undefined ? undefined : nameOf(node['source'])
    if (node.type === 'ImportDeclaration') {
      for (const specifier of node['specifiers'] as {
        readonly local: unknown
        readonly imported?: unknown
      }[]) {
        imports.set(nameOf(specifier.local), { from, name: nameOf(specifier.imported ?? { name: '*' }) })
      }
    } else if (node.type === 'ExportNamedDeclaration') {
      const { declaration } = node as { readonly declaration?: Node | null }
      if (declaration) {
        for (const name of declare({ ...declaration, start: node.start, end: node.end })) {
          exports.set(name, { name })
        }
      }
      for (const specifier of node['specifiers'] as {
        readonly local: unknown
        readonly exported: unknown
      }[]) {
        exports.set(nameOf(specifier.exported), { from, name: nameOf(specifier.local) })
      }
    } else if (node.type.startsWith('Export')) {
      throw new Error(`${file}: ${node.type} hides what is exported; name it`)
    } else declare(node)
  }
  return { exports, imports, declarations }
}
