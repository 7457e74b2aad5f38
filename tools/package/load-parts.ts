/**
 * Stands in the one file for `run.ts` of the command. Its parts follow the program in a comment, compressed, and are
 * read and compiled when they are asked for: Node.js would read all of it each time otherwise.
 */
import { fstatSync, openSync, readSync } from 'node:fs'
import { createRequire, Module } from 'node:module'
import { fileURLToPath } from 'node:url'
import { inflateRawSync } from 'node:zlib'

/** Each part's name and length, in their order. */
declare const PARTS: readonly (readonly [name: string, lengthBytes: number])[]

interface Part extends Module {
  _compile(text: string, fileName: string): void
}

const file = fileURLToPath(import.meta.url)
const requireOther = createRequire(import.meta.url)
/** Open to the end: a new version that takes the file's name doesn't mix with this one. */
const handle = openSync(file, 'r')
const loaded = new Map<string, Part>()
const places = new Map<string, readonly [start: number, length: number]>()
let end = fstatSync(handle).size - '*/\n'.length
for (const [name, length] of PARTS.toReversed()) {
  end -= length
  places.set(name, [end, length])
}

function load(name: string): unknown {
  const known = loaded.get(name)
  if (known !== undefined) return known.exports
  const [start, length] = places.get(name) ?? [0, 0]
  const bytes = Buffer.alloc(length)
  readSync(handle, bytes, 0, length, start)
  const text = inflateRawSync(Buffer.from(bytes.toString('latin1'), 'base64')).toString('latin1')
  // A name of its own for each: the cache of compiled code goes by it.
  const part = new Module(`${file}/${name}`) as Part
  part.require = ((id: string) =>
    id.startsWith('./') ? load(id.slice(2)) : requireOther(id)) as NodeJS.Require
  loaded.set(name, part)
  part._compile(text, part.id)
  return part.exports
}

export const run: unknown = (load('run') as { readonly run: unknown }).run
