import { readdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import path from 'node:path'

/** The name that a heading has in a link. */
function anchorOf(heading: string): string {
  return heading
    .toLowerCase()
    .replaceAll(/[`\\<>(),.?]/g, '')
    .trim()
    .replaceAll(/\s+/g, '-')
}

function countAnchors(text: string): Map<string, number> {
  const counts = new Map<string, number>()
  for (const [, heading = ''] of text.matchAll(/^#{1,6} (.+)$/gm)) {
    const anchor = anchorOf(heading)
    counts.set(anchor, (counts.get(anchor) ?? 0) + 1)
  }
  return counts
}

/**
 * Mends two habits of the generator: it numbers pages and places (`telemetry-1.md`, `#imageerrorkind-1`) of which there
 * is only one.
 *
 * @param directory the folder of the generated pages
 */
export function mendApiPages(directory: string): void {
  const list = (): string[] =>
    readdirSync(directory, { recursive: true, encoding: 'utf8' }).filter((file) => file.endsWith('.md'))
  const renamed = new Map<string, string>()
  const before = new Set(list())
  for (const file of before) {
    const plain = file.replace(/-1\.md$/, '.md')
    if (plain === file || before.has(plain)) continue
    renameSync(path.join(directory, file), path.join(directory, plain))
    renamed.set(path.basename(file), path.basename(plain))
  }
  const pages = new Map(list().map((file) => [file, readFileSync(path.join(directory, file), 'utf8')]))
  const anchors = new Map([...pages].map(([file, text]) => [file, countAnchors(text)]))
  for (const [file, text] of pages) {
    const mended = text.replaceAll(
      /\]\(([^)#\s]*\.md)?(?:#([^)\s]*))?\)/g,
      (whole, link?: string, anchor?: string) => {
        if (link === undefined && anchor === undefined) return whole
        const name = path.basename(link ?? '')
        const to =
          link === undefined ? '' : link.slice(0, link.length - name.length) + (renamed.get(name) ?? name)
        const target = to === '' ? file : path.join(path.dirname(file), to)
        const [, plain = '', number] = /^(.*)-(\d+)$/.exec(anchor ?? '') ?? []
        const surplus = number !== undefined && (anchors.get(target)?.get(plain) ?? 0) <= Number(number)
        const place = surplus ? plain : anchor
        return `](${to}${place === undefined ? '' : `#${place}`})`
      },
    )
    if (mended !== text) writeFileSync(path.join(directory, file), mended)
  }
}
