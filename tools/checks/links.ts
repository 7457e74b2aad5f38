import { existsSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { runAsProgram, type Problem, listProjectFiles } from './workspace.ts'

/** Pages that tools write: their links are not ours. */
const exempt = /(^|\/)(CHANGELOG\.md$|vectors\/|fixtures\/|\.changeset\/)/

/** A heading's name in a link, as GitHub makes it. */
function anchorOf(heading: string): string {
  return heading
    .trim()
    .toLowerCase()
    .replaceAll(/\[([^\]]*)\]\([^)]*\)/g, '$1')
    .replaceAll(/[^\p{L}\p{N}\s_-]/gu, '')
    .replaceAll(/\s/g, '-')
}

/** A page without its code blocks, in which nothing is a link or a heading. */
function proseOf(text: string): string {
  return text
    .replaceAll(/^\s*(`{3,}|~{3,})[^\n]*\n[\s\S]*?^\s*\1\s*$/gm, '')
    .replaceAll(/`[^`\n]*`/g, (code) => code.replaceAll(/[[\]()#]/g, ''))
}

/** Names that a link into a page may have. */
function anchorsOf(text: string): Set<string> {
  const headings = text.matchAll(/^#{1,6} (.+)$/gm)
  return new Set([...headings].map(([, heading = '']) => anchorOf(heading)))
}

/** Links of one page that lead nowhere in this repository. */
export function checkPage(root: string, page: string): Problem[] {
  const text = proseOf(readFileSync(path.join(root, page), 'utf8'))
  return [...text.matchAll(/\]\((?![a-z]+:)([^)\s]*)\)/g)].flatMap(([, link = '']) => {
    const [file = '', anchor] = link.split('#')
    const target = file === '' ? page : path.posix.join(path.posix.dirname(page), file)
    if (!existsSync(path.join(root, target)))
      return [{ where: page, what: `links to ${link}, which does not exist` }]
    if (anchor === undefined || !target.endsWith('.md')) return []
    const anchors = anchorsOf(proseOf(readFileSync(path.join(root, target), 'utf8')))
    return anchors.has(anchor) ? [] : [{ where: page, what: `links to ${link}, which has no such heading` }]
  })
}

/** Every link between the pages and files of this repository leads somewhere. */
function checkLinks(root: string): Problem[] {
  return listProjectFiles(root)
    .filter((file) => file.endsWith('.md') && !exempt.test(file))
    .flatMap((page) => checkPage(root, page))
}

runAsProgram(import.meta.url, 'links', checkLinks)
