/** Puts a package into a list that is kept by hand, before the facade: its place among the siblings. */
export function enlist(file: string, text: string, folder: string): string {
  const changed = changes[file]?.(text, folder)
  if (changed === undefined || changed === text) throw new Error(`${file} has no place for ${folder}`)
  return changed
}

const changes: Readonly<Record<string, (text: string, folder: string) => string>> = {
  'tsconfig.json': (text, folder) => addReference(text, 'packages/', folder),
  'tools/tsconfig/tests.json': (text, folder) => addReference(text, '../../packages/', folder),
  'vitest.config.ts': (text, folder) =>
    text.replace(/(\[\s*|, |\n\s*)'image-utils'/, `$1'${folder}', 'image-utils'`),
  'tools/checks/rules.ts': (text, folder) =>
    text.replace(/^( +)'image-utils': \[/m, `$1${quote(folder)}: ['core'],\n$1'image-utils': [`),
}

function quote(folder: string): string {
  return folder.includes('-') ? `'${folder}'` : folder
}

function addReference(text: string, before: string, folder: string): string {
  const config = JSON.parse(text) as { references: { path: string }[] }
  const place = config.references.findIndex((reference) => reference.path === `${before}image-utils`)
  if (place === -1) return text
  config.references.splice(place, 0, { path: before + folder })
  return `${JSON.stringify(config, undefined, 2)}\n`
}
