/** Writes the API reference, a page for each entry point of each package, into `docs/api` (not under version control). */
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { Application, Converter, type TypeDocOptions } from 'typedoc'
import type { PluginOptions } from 'typedoc-plugin-markdown'
import { mendApiPages } from './mend-api.ts'

const docs = path.resolve(import.meta.dirname, '..')
const packages = path.resolve(docs, '../packages')

interface Manifest {
  readonly name: string
  readonly exports?: Readonly<Record<string, string | Readonly<Record<string, string>>>>
}

/** Source files of every entry point, and the names under which they are imported. */
function findEntryPoints(): Map<string, string> {
  const entries = new Map<string, string>()
  for (const folder of readdirSync(packages)) {
    const directory = path.join(packages, folder)
    const file = path.join(directory, 'package.json')
    if (!existsSync(file)) continue
    const manifest = JSON.parse(readFileSync(file, 'utf8')) as Manifest
    for (const [subpath, target] of Object.entries(manifest.exports ?? {})) {
      if (typeof target === 'string') continue
      const source = target['@disk-image/source']
      if (source !== undefined) entries.set(path.join(directory, source), manifest.name + subpath.slice(1))
    }
  }
  return entries
}

const entryPoints = findEntryPoints()
const options: TypeDocOptions & Partial<PluginOptions> = {
  plugin: ['typedoc-plugin-markdown', 'typedoc-vitepress-theme'],
  tsconfig: path.join(docs, 'tsconfig.api.json'),
  entryPoints: [...entryPoints.keys()],
  out: path.join(docs, 'api'),
  name: 'API reference',
  readme: 'none',
  router: 'module',
  excludePrivate: true,
  excludeInternal: true,
  excludeExternals: true,
  githubPages: false,
  disableGit: true,
  sourceLinkTemplate: 'https://github.com/disk-image/disk-image/blob/main/packages/{path}#L{line}',
  basePath: path.resolve(docs, '..'),
  hideBreadcrumbs: true,
  hidePageHeader: true,
  useCodeBlocks: true,
  expandParameters: true,
  parametersFormat: 'table',
  interfacePropertiesFormat: 'table',
  tableColumnSettings: { hideSources: true, hideModifiers: true },
  validation: { notExported: false, invalidLink: false, notDocumented: false },
  // `pnpm check:types` does that, with the compiler that the packages are built with.
  skipErrorChecking: true,
  logLevel: 'Warn',
}
const application = await Application.bootstrapWithPlugins(options)
application.converter.on(Converter.EVENT_RESOLVE_BEGIN, ({ project }) => {
  for (const module of project.children ?? []) {
    const [source] = module.sources ?? []
    const name = entryPoints.get(source?.fullFileName ?? '')
    if (name !== undefined) module.name = name
  }
})
const project = await application.convert()
if (project === undefined) process.exit(1)
await application.generateOutputs(project)
if (application.logger.hasErrors()) process.exit(1)
mendApiPages(path.join(docs, 'api'))
writeFileSync(
  path.join(docs, 'api/names.json'),
  JSON.stringify([...entryPoints.values()].toSorted(), null, 2),
)
