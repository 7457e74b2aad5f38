/** No module keeps state: two callers in one program must not meet. */
import { readFileSync } from 'node:fs'
import path from 'node:path'
import { parseSync } from 'oxc-parser'
import { runAsProgram, type Problem } from './workspace.ts'
import { listFiles, readPackages } from './workspace.ts'

/** Constants that hold state of the whole process, by file. @see docs/decisions/0014-state-of-a-process.md */
const processState: Readonly<Record<string, readonly string[]>> = {
  'packages/io/src/memory/buffers.ts': ['aligned'],
  'packages/host/src/volume/volume.ts': ['underWayOfAll'],
}

interface Node {
  readonly type: string
  readonly [key: string]: unknown
}

/** Whether an expression makes what is there to be filled: an empty collection, an empty array, anything weak. */
function makesState(init: Node | null): boolean {
  if (init?.type === 'ArrayExpression') return (init['elements'] as unknown[]).length === 0
  if (init?.type !== 'NewExpression') return false
  const name = String((init['callee'] as Node)['name'])
  return (
    /^Weak(Map|Set|Ref)$/.test(name) ||
    (/^(Map|Set)$/.test(name) && (init['arguments'] as unknown[]).length === 0)
  )
}

/** Names at the top level of a module that hold state: `let`, `var`, and constants that are there to be filled. */
export function findState(file: string, text: string): string[] {
  const { program } = parseSync(file, text)
  return (program.body as unknown as Node[]).flatMap((statement) => {
    const declaration = (statement['declaration'] ?? statement) as Node
    if (declaration.type !== 'VariableDeclaration') return []
    return (declaration['declarations'] as { id: { name?: string }; init: Node | null }[])
      .filter(({ init }) => declaration['kind'] !== 'const' || makesState(init))
      .map(({ id }) => id.name ?? '{…}')
  })
}

function checkState(root: string): Problem[] {
  return readPackages(root)
    .flatMap(({ directory }) => listFiles(root, `${directory}/src`))
    .filter((file) => file.endsWith('.ts') && !/\.test(-d)?\.ts$/.test(file))
    .flatMap((where) =>
      findState(where, readFileSync(path.join(root, where), 'utf8'))
        .filter((name) => processState[where]?.includes(name) !== true)
        .map((name) => ({ where, what: `keeps state in the module: ${name}; keep it in an instance` })),
    )
}

runAsProgram(import.meta.url, 'state', checkState)
