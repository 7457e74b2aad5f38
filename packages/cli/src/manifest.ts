import { readFileSync } from 'node:fs'

/** What the package says of itself. It lies beside this file's folder, of the sources and of what is built. */
export function readManifest(): { readonly version: string; readonly engines: { readonly node: string } } {
  return JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')) as ReturnType<
    typeof readManifest
  >
}
