import { readFileSync } from 'node:fs'
import path from 'node:path'
import { packageNames, repository, siteLink } from '../.vitepress/links.ts'

/** A page for each package: its README, with its links led to the site. */
const pages = {
  watch: ['../../packages/*/README.md'],
  paths(): { params: { name: string }; content: string }[] {
    return packageNames().map((name) => {
      const source = `packages/${name}/README.md`
      const text = readFileSync(path.join(repository, source), 'utf8')
      const content = text.replaceAll(/\]\(([^)\s]+)\)/g, (_, link: string) => `](${siteLink(source, link)})`)
      return { params: { name }, content }
    })
  },
}

export default pages
