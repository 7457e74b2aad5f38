import { parseSync } from 'oxc-parser'

/** One module that a file asks for. */
export interface ImportedModule {
  readonly specifier: string
}

/** What the checks want to know about one TypeScript file. */
export interface SourceFile {
  readonly imports: readonly ImportedModule[]
  /** Reasons why the imports can't be known: a computed `import()`, `createRequire`, a syntax error. */
  readonly hidden: readonly string[]
  /** Names of bindings at the top level that can be assigned again, or hold what is made to be filled. */
  readonly mutableGlobals: readonly string[]
  readonly readsEnvironment: boolean
}

interface Node {
  readonly type: string
  readonly [key: string]: unknown
}

function isNode(value: unknown): value is Node {
  return typeof value === 'object' && value !== null && typeof (value as Node).type === 'string'
}

/** Calls `visit` for every node of a syntax tree. */
function walk(node: unknown, visit: (node: Node) => void): void {
  if (Array.isArray(node)) {
    for (const item of node) walk(item, visit)
    return
  }
  if (!isNode(node)) return
  visit(node)
  for (const value of Object.values(node)) {
    if (typeof value === 'object' && value !== null) walk(value, visit)
  }
}

/** The literal that an expression is, where it is one. */
function literal(node: unknown): string | undefined {
  if (!isNode(node)) return undefined
  if (node.type === 'Literal' && typeof node['value'] === 'string') return node['value']
  if (node.type !== 'TemplateLiteral' || (node['expressions'] as unknown[]).length > 0) return undefined
  const [quasi] = node['quasis'] as { value: { cooked: string } }[]
  return quasi?.value.cooked
}

/** The name of the property that a member expression reads: `a.b` and `a['b']` alike. */
function propertyName(node: Node): string | undefined {
  if (node['computed'] === true) return literal(node['property'])
  return isNode(node['property']) ? (node['property']['name'] as string | undefined) : undefined
}

function isProcess(node: unknown): boolean {
  return isNode(node) && node.type === 'Identifier' && node['name'] === 'process'
}

/** Whether a node takes the environment: `process.env`, `const { env } = process`, `import { env }`. */
function takesEnvironment(node: Node): boolean {
  if (node.type === 'MemberExpression') return isProcess(node['object']) && propertyName(node) === 'env'
  if (node.type === 'VariableDeclarator' && isProcess(node['init']) && isNode(node['id'])) {
    const properties = (node['id']['properties'] ?? []) as { key?: { name?: string } }[]
    return properties.some(({ key }) => key?.name === 'env')
  }
  if (node.type !== 'ImportDeclaration' || !/^(node:)?process$/.test(literal(node['source']) ?? ''))
    return false
  return (node['specifiers'] as { imported?: { name?: string } }[]).some(
    ({ imported }) => imported?.name === 'env',
  )
}

/** Whether an expression makes something that changes: a collection, a buffer, an instance of a class, an empty array. */
function makesState(node: unknown): boolean {
  if (!isNode(node)) return false
  if (node.type === 'ArrayExpression') return (node['elements'] as unknown[]).length === 0
  if (node.type !== 'NewExpression' || !isNode(node['callee'])) return false
  const args = node['arguments'] as unknown[]
  const name = String(node['callee']['name'])
  if (/^Weak(Map|Set|Ref)$/.test(name)) return true
  return /^(Map|Set)$/.test(name) && args.length === 0
}

/** Names at the top level that hold state: `let`, `var`, and constants of what is made to be filled. */
function findMutableGlobals(program: Node): string[] {
  return (program['body'] as Node[]).flatMap((statement) => {
    const exported = statement.type === 'ExportNamedDeclaration' ? statement['declaration'] : statement
    if (!isNode(exported) || exported.type !== 'VariableDeclaration') return []
    const declarations = exported['declarations'] as { id: { name?: string }; init: unknown }[]
    const stateful =
      exported['kind'] === 'const' ? declarations.filter(({ init }) => makesState(init)) : declarations
    return stateful.map(({ id }) => id.name ?? '{…}')
  })
}

/**
 * Parses one file and collects what it imports, re-exports and requires.
 *
 * @param file only for the parser to know the language, and for messages
 */
export function readSourceFile(file: string, text: string): SourceFile {
  const { program, errors } = parseSync(file, text)
  const imports: ImportedModule[] = []
  const hidden = errors.map((error) => `does not parse: ${error.message}`)
  let readsEnvironment = false
  const add = (module: unknown, otherwise: string): void => {
    const specifier = literal(module)
    if (specifier === undefined) hidden.push(otherwise)
    else imports.push({ specifier })
  }
  walk(program, (node) => {
    if (/^(Import|ExportNamed|ExportAll)Declaration$/.test(node.type) && isNode(node['source'])) {
      add(node['source'], 'imports a module without a name')
    } else if (node.type === 'ImportExpression') {
      add(node['source'], 'computes what it imports; write the module as a literal')
    } else if (node.type === 'TSImportType') {
      add(node['source'], 'computes the module of a type')
    } else if (node.type === 'CallExpression' && isNode(node['callee'])) {
      const { callee } = node
      const [first] = node['arguments'] as unknown[]
      const name = isNode(callee) ? (callee['name'] as string | undefined) : undefined
      if (name === 'require') add(first, 'computes what it requires')
      if (name === 'createRequire') hidden.push('makes a require(); import instead')
      if (callee.type === 'MemberExpression' && propertyName(callee) === 'getBuiltinModule') {
        add(first, 'computes the built-in module that it takes')
      }
    }
    readsEnvironment ||= takesEnvironment(node)
  })
  const mutableGlobals = findMutableGlobals(program as unknown as Node)
  return { imports, hidden, mutableGlobals, readsEnvironment }
}
