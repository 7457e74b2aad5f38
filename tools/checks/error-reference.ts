import { readFileSync } from 'node:fs'
import path from 'node:path'
import { runAsProgram, type Problem, listFiles, readPackages } from './workspace.ts'

const page = 'docs/reference/errors.md'

/** A class of error, as its source has it. */
interface ErrorClass {
  readonly code: string
  readonly name: string
  /** The folder of its package. */
  readonly folder: string
  readonly file: string
}

/** Every class with a code of its own, in the code that is shipped. */
function findErrorClasses(root: string): ErrorClass[] {
  return readPackages(root).flatMap(({ folder, directory }) =>
    listFiles(root, `${directory}/src`)
      .filter((file) => file.endsWith('.ts') && !/\.test(-d)?\.ts$/.test(file))
      .flatMap((file) => {
        const text = readFileSync(path.join(root, file), 'utf8')
        const classes = text.matchAll(
          /^export class (\w+) extends [\s\S]*?^ {2}(?:override )?readonly code(?:: string)? = '([A-Z][A-Z0-9_]*)'/gm,
        )
        return [...classes].map(([, name = '', code = '']) => ({ code, name, folder, file }))
      }),
  )
}

/** What the page says of each code: the first line with text below its heading. */
function readReference(root: string): Map<string, string> {
  const text = readFileSync(path.join(root, page), 'utf8')
  const entries = text.matchAll(/^### `([A-Z][A-Z0-9_]*)`\n\n(.*)\n([\s\S]*?)(?=^##|(?![\s\S]))/gm)
  return new Map([...entries].map(([, code = '', line = '', rest = '']) => [code, `${line}\n${rest}`]))
}

/** Every error code has its entry in the reference, with its class, its package, cause and advice; and no entry is left over. */
export function checkErrorReference(root: string): Problem[] {
  const classes = findErrorClasses(root)
  const entries = readReference(root)
  const known = new Set(classes.map(({ code }) => code))
  const missing = classes.flatMap(({ code, name, folder, file }) => {
    const entry = entries.get(code)
    if (entry === undefined) return [{ where: file, what: `${code} has no entry in ${page}` }]
    const wanted = [`\`${name}\``, `from ${folder}`, '**Cause:**', '**What to do:**']
    return wanted
      .filter((text) => !entry.includes(text))
      .map((text) => ({ where: page, what: `the entry ${code} does not say ${text}` }))
  })
  const left = [...entries.keys()]
    .filter((code) => !known.has(code))
    .map((code) => ({ where: page, what: `describes ${code}, which no package throws` }))
  return [...missing, ...left]
}

runAsProgram(import.meta.url, 'error reference', checkErrorReference)
