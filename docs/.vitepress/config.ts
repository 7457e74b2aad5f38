import { existsSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { defineConfig, type DefaultTheme } from 'vitepress'
import { addContentSecurityPolicy } from './content-security-policy.ts'
import { docs, packageNames, repositoryUrl, useSiteLinks } from './links.ts'

type Item = DefaultTheme.SidebarItem

const guide: Item[] = [
  {
    text: 'Begin',
    items: [
      { text: 'What it is', link: '/guide/what-it-is' },
      { text: 'Getting started', link: '/guide/getting-started' },
    ],
  },
  {
    text: 'Tasks',
    items: [
      { text: 'A volume from an image', link: '/guide/volume-from-image' },
      { text: 'From anywhere', link: '/guide/from-anywhere' },
      { text: 'An image from a URL', link: '/guide/image-from-url' },
      { text: 'From and to a registry', link: '/guide/registry' },
      { text: 'From S3', link: '/guide/s3' },
      { text: 'An image from a volume', link: '/guide/image-from-volume' },
      { text: 'Many images at once', link: '/guide/many-images' },
      { text: 'LUKS volumes', link: '/guide/luks' },
      { text: 'XenServer images', link: '/guide/xenserver' },
      { text: 'The command in terminals and scripts', link: '/guide/command' },
      { text: 'An image service of your own', link: '/guide/own-image-service' },
      { text: 'A policy of your own', link: '/guide/own-policy' },
      { text: 'Examples', link: '/guide/examples' },
    ],
  },
  {
    text: 'Where it runs',
    items: [
      { text: 'Behind sudo', link: '/guide/behind-sudo' },
      { text: 'In a container', link: '/guide/container' },
      { text: 'In a multi-tenant service', link: '/guide/multi-tenant' },
      { text: 'On many hosts', link: '/fleet' },
    ],
  },
  {
    text: 'To know',
    items: [
      { text: 'Security model', link: '/security' },
      { text: 'Performance', link: '/performance' },
      { text: 'From image_utils', link: '/guide/from-image-utils' },
    ],
  },
]

const reference: Item[] = [
  {
    text: 'Reference',
    items: [
      { text: 'Errors', link: '/reference/errors' },
      { text: 'Differences from Cinder', link: '/architecture/differences-from-cinder' },
    ],
  },
  {
    text: 'Packages',
    items: [
      { text: 'All of them', link: '/packages/' },
      ...packageNames().map((name) => ({ text: name, link: `/packages/${name}` })),
    ],
  },
  { text: 'API', collapsed: false, items: readApiItems() },
]

const project: Item[] = [
  {
    text: 'Architecture',
    items: [
      { text: 'Overview', link: '/architecture/overview' },
      { text: 'Differences from Cinder', link: '/architecture/differences-from-cinder' },
      { text: 'Conversions', link: '/architecture/conversions' },
      { text: 'Time and memory', link: '/architecture/performance' },
    ],
  },
  { text: 'Decisions', items: readDecisions() },
  { text: 'Working on it', items: readWorkPages() },
]

/** The generated pages of the API; none before `site/api.ts` has run. */
function readApiItems(): Item[] {
  const file = path.join(docs, 'api/names.json')
  if (!existsSync(file)) return []
  const names = JSON.parse(readFileSync(file, 'utf8')) as string[]
  return names.map((name) => ({ text: name.replace('@disk-image/', ''), link: `/api/${name}` }))
}

/** The rows of the decisions' own table of contents. */
function readDecisions(): Item[] {
  const text = readFileSync(path.join(docs, 'decisions/README.md'), 'utf8')
  const rows = [...text.matchAll(/\| (\d+) +\| \[([^\]]+)\]\((\d{4}-[^)]+)\.md\)/g)]
  return [
    { text: 'All of them', link: '/decisions/' },
    ...rows.map(([, number, title = '', file]) => ({
      text: `${number}. ${title.replaceAll('`', '')}`,
      link: `/decisions/${file}`,
    })),
  ]
}

function readWorkPages(): Item[] {
  const pages = [
    { text: 'Debugging', link: '/debugging' },
    { text: 'Releasing', link: '/releasing' },
  ]
  const written = pages.filter(({ link }) => existsSync(path.join(docs, `${link}.md`)))
  return [...written, { text: 'Contributing', link: `${repositoryUrl}/blob/main/CONTRIBUTING.md` }]
}

export default defineConfig({
  title: 'disk-image',
  description: 'Moves virtual-disk images between an image service and volumes, from Node.js and a terminal',
  lang: 'en',
  cleanUrls: false,
  // A site under a path, as GitHub Pages serves it, sets this: SITE_BASE=/disk-image/
  base: process.env['SITE_BASE'] ?? '/',
  srcExclude: ['examples/**', 'samples/**', 'site/**', 'test/**', '.cache/**'],
  cacheDir: '.cache/vitepress',
  outDir: '.cache/site',
  rewrites: { 'decisions/README.md': 'decisions/index.md' },
  lastUpdated: false,
  head: [
    ['link', { rel: 'icon', type: 'image/svg+xml', href: `${process.env['SITE_BASE'] ?? '/'}mark.svg` }],
  ],
  markdown: { config: useSiteLinks, theme: { light: 'github-light-high-contrast', dark: 'github-dark' } },
  vite: {
    resolve: { conditions: ['@disk-image/source'] },
    // The esbuild of this Vite does not know the target of our tsconfig files yet.
    esbuild: { tsconfigRaw: { compilerOptions: { target: 'es2022' } } },
    ssr: { noExternal: [/^@disk-image\//] },
    build: { chunkSizeWarningLimit: 2000 },
  },
  transformHtml: addContentSecurityPolicy,
  themeConfig: {
    logo: '/mark.svg',
    search: { provider: 'local' },
    outline: { level: [2, 3] },
    nav: [
      {
        text: 'Guide',
        link: '/guide/getting-started',
        activeMatch: '^/guide/|^/fleet|^/security|^/performance',
      },
      { text: 'Reference', link: '/reference/errors', activeMatch: '^/(reference|packages|api)/' },
      { text: 'Project', link: '/architecture/overview', activeMatch: '^/(architecture|decisions)/' },
      { text: 'Inspect a file', link: '/inspect' },
    ],
    sidebar: {
      '/guide/': guide,
      '/fleet': guide,
      '/security': guide,
      '/performance': guide,
      '/reference/': reference,
      '/packages/': reference,
      '/api/': reference,
      '/architecture/': project,
      '/decisions/': project,
      '/debugging': project,
      '/releasing': project,
    },
    socialLinks: [{ icon: 'github', link: repositoryUrl }],
    footer: { message: 'Apache-2.0' },
  },
})
