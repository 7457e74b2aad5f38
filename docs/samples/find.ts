import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { extractSamples, type Sample } from './extract.ts'

export const repository: string = path.resolve(import.meta.dirname, '../..')

/** Pages whose samples belong to somebody else: programs of their own with their own tests. */
const elsewhere = /^docs\/(examples|node_modules)\//

/** Pages with samples: the documentation, the READMEs, and the packages' own pages. */
const patterns = ['README.md', 'CONTRIBUTING.md', 'docs/*.md', 'packages/*.md']

/** Every sample of the repository. */
export function findSamples(): Sample[] {
  const listed = execFileSync(
    'git',
    ['ls-files', '-z', '--cached', '--others', '--exclude-standard', ...patterns],
    { cwd: repository, encoding: 'utf8' },
  )
  return listed
    .split('\0')
    .filter((page) => page !== '' && !elsewhere.test(page) && !page.endsWith('CHANGELOG.md'))
    .filter((page) => existsSync(path.join(repository, page)))
    .flatMap((page) => extractSamples(page, readFileSync(path.join(repository, page), 'utf8')))
}

/** A file name that tells the page and the line: `packages-vhd-README.32.ts`. */
export function fileNameOf({ page, line, language }: Sample): string {
  return `${page.replace(/\.md$/, '').replaceAll(/[/[\]]/g, '-')}.${line}.${language}`
}
