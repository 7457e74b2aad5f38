import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'

/** Files of a repository by their path; an object is written as JSON, `undefined` leaves a file out. */
export type Tree = Readonly<Record<string, string | object | undefined>>

/** Writes a tree into a temporary folder that goes away with the handle. */
export function writeTree(tree: Tree): { readonly root: string } & Disposable {
  const root = mkdtempSync(path.join(os.tmpdir(), 'disk-image-checks-'))
  for (const [file, content] of Object.entries(tree)) {
    if (content === undefined) continue
    mkdirSync(path.join(root, path.dirname(file)), { recursive: true })
    writeFileSync(path.join(root, file), typeof content === 'string' ? content : JSON.stringify(content))
  }
  return { root, [Symbol.dispose]: () => rmSync(root, { recursive: true, force: true }) }
}
