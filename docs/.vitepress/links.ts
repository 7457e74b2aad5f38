import { existsSync, readdirSync } from 'node:fs'
import path from 'node:path'
import type { MarkdownRenderer } from 'vitepress'

export const docs: string = path.resolve(import.meta.dirname, '..')
export const repository: string = path.resolve(docs, '..')
export const repositoryUrl = 'https://github.com/disk-image/disk-image'

/** In the order in which people meet them. */
const order = [
  'image-utils',
  'cli',
  'format-policy',
  'glance-client',
  'vhd',
  'disk',
  'qemu-img',
  'host',
  'http',
  'io',
  'core',
]

/** Folders of the packages that have a README. */
export function packageNames(): string[] {
  const place = (name: string): number => (order.includes(name) ? order.indexOf(name) : order.length)
  return readdirSync(path.join(repository, 'packages'))
    .filter((name) => existsSync(path.join(repository, 'packages', name, 'README.md')))
    .toSorted((a, b) => place(a) - place(b))
}

/** Folders of `docs` whose pages are read in the repository, not on the site. */
const notOnSite = /^(examples|node_modules|samples|site|test)\//

/**
 * Where a link of a page leads on the site. The pages are written to be read in the repository too, so a link there is
 * a path; a package's README has a page of its own here, and whatever else lies outside of `docs` is shown by GitHub.
 *
 * @param page path of the page in the repository
 */
export function siteLink(page: string, link: string): string {
  if (/^([a-z]+:|#|\/)/.test(link)) return link
  const [file = '', anchor] = link.split('#')
  const hash = anchor === undefined ? '' : `#${anchor}`
  const target = path.posix.join(path.posix.dirname(page), file)
  const [, name] = /^packages\/([a-z-]+)\/?(?:README\.md)?$/.exec(target) ?? []
  if (name !== undefined) return `/packages/${name}${hash}`
  const inside = target.startsWith('docs/') ? target.slice('docs/'.length) : undefined
  if (inside !== undefined && inside.endsWith('.md') && !notOnSite.test(inside)) {
    return `/${inside.replace(/(^|\/)(?:README|index)\.md$/, '$1').replace(/\.md$/, '')}${hash}`
  }
  const kind = existsSync(path.join(repository, target)) && path.extname(target) === '' ? 'tree' : 'blob'
  return `${repositoryUrl}/${kind}/main/${target}${hash}`
}

/** Makes markdown-it lead every link of a page to its place on the site. */
export function useSiteLinks(markdown: MarkdownRenderer): void {
  const inner = markdown.renderer.rules.link_open
  markdown.renderer.rules.link_open = (tokens, index, options, environment, self) => {
    const token = tokens[index]
    const link = token?.attrGet('href')
    const { relativePath } = environment as { relativePath: string }
    if (token !== undefined && typeof link === 'string' && !relativePath.startsWith('api/')) {
      token.attrSet('href', siteLink(`docs/${relativePath}`, link))
    }
    return inner === undefined
      ? self.renderToken(tokens, index, options)
      : inner(tokens, index, options, environment, self)
  }
}
