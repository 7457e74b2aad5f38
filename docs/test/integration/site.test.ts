import { execFileSync } from 'node:child_process'
import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { requireTool } from '@disk-image/testing'
import type { Browser, Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { launchBrowser, openPage, type WatchedPage } from './browser.ts'
import { serveFolder, type SiteServer } from './serve.ts'

const docs = path.resolve(import.meta.dirname, '../..')
const repository = path.resolve(docs, '..')
const built = path.join(docs, '.cache/site')
const repositoryUrl = 'https://github.com/disk-image/disk-image'
/** Width of a common phone in CSS pixels. */
const phoneWidth = 390

let browser: Browser
let server: SiteServer
let images: string

beforeAll(async () => {
  const run = (...args: string[]): void => {
    execFileSync(process.execPath, args, { cwd: docs, stdio: ['ignore', 'ignore', 'inherit'] })
  }
  run('site/api.ts')
  run('node_modules/vitepress/bin/vitepress.js', 'build')
  images = mkdtempSync(path.join(os.tmpdir(), 'disk-image-site-'))
  makeImages(images)
  server = await serveFolder(built)
  browser = await launchBrowser()
})

afterAll(async () => {
  await browser?.close()
  await server?.[Symbol.asyncDispose]()
  if (images !== undefined) rmSync(images, { recursive: true, force: true })
})

/** Real images, and files that only look like ones. */
function makeImages(cwd: string): void {
  const qemuImg = requireTool('qemu-img')
  const run = (file: string, ...args: string[]): void => {
    execFileSync(file, args, { cwd, stdio: ['ignore', 'ignore', 'inherit'] })
  }
  run('truncate', '-s', '8M', 'disk.raw')
  run(requireTool('mkfs.ext4'), '-q', '-F', 'disk.raw')
  run(qemuImg, 'convert', '-f', 'raw', '-O', 'qcow2', 'disk.raw', 'sound.qcow2')
  run(qemuImg, 'create', '-q', '-f', 'qcow2', '-b', '/etc/hostname', '-F', 'raw', 'backed.qcow2', '1G')
  run(qemuImg, 'create', '-q', '-f', 'vmdk', '-o', 'subformat=monolithicFlat', 'flat.vmdk', '8M')
  run('sed', '-i', 's#flat-flat.vmdk#/etc/passwd#', 'flat.vmdk')
  run('truncate', '-s', '1M', 'file.txt')
  run(requireTool('genisoimage'), '-quiet', '-o', 'disc.iso', 'file.txt')
  run('gzip', '--keep', 'disk.raw')
  run(qemuImg, 'convert', '-f', 'raw', '-O', 'vpc', 'disk.raw', 'azure.vhd')
  run('truncate', '-s', '3G', 'large.raw')
}

function builtPages(): string[] {
  return readdirSync(built, { recursive: true, encoding: 'utf8' })
    .filter((file) => file.endsWith('.html') && file !== '404.html')
    .map((file) => `/${file}`)
    .toSorted()
}

interface SeenPage {
  readonly links: readonly string[]
  readonly ids: ReadonlySet<string>
  readonly overflow: number
}

async function readPage(page: Page): Promise<SeenPage> {
  const { links, ids, overflow } = await page.evaluate(() => ({
    links: [...document.querySelectorAll('a[href]')].map((link) => (link as HTMLAnchorElement).href),
    ids: [...document.querySelectorAll('[id]')].map(({ id }) => id),
    overflow: document.documentElement.scrollWidth - window.innerWidth,
  }))
  return { links, ids: new Set(ids), overflow }
}

/** Why a link leads nowhere, or undefined. */
function judgeLink(link: string, pages: ReadonlyMap<string, SeenPage>): string | undefined {
  if (link.startsWith(`${repositoryUrl}/`)) {
    const [, file] = /^\/(?:blob|tree)\/main\/([^#]*)/.exec(link.slice(repositoryUrl.length)) ?? []
    const there = file === undefined || existsSync(path.join(repository, decodeURIComponent(file)))
    return there ? undefined : 'is not in the repository'
  }
  if (!link.startsWith(`${server.origin}/`)) return undefined
  const { pathname, hash } = new URL(link)
  const plain = decodeURIComponent(pathname)
  const target = pages.get(plain.endsWith('/') ? `${plain}index.html` : plain)
  if (target === undefined) return existsSync(path.join(built, plain)) ? undefined : 'is no page'
  const id = decodeURIComponent(hash.slice(1))
  return id === '' || target.ids.has(id) ? undefined : 'has no such place'
}

test(
  'every page is read on a phone without complaint, and every link leads somewhere',
  { timeout: 170_000 },
  async () => {
    await using watched = await openPage(browser, phoneWidth)
    const { page, complaints, requests } = watched
    const pages = new Map<string, SeenPage>()
    for (const file of builtPages()) {
      await page.goto(server.origin + encodeURI(file), { waitUntil: 'load' })
      pages.set(file, await readPage(page))
    }
    expect(pages.size).toBeGreaterThan(40)
    const wide = [...pages].filter(([, { overflow }]) => overflow > 0)
    expect(wide.map(([file, { overflow }]) => `${file} is ${overflow} px too wide`)).toEqual([])
    const dead = [...pages].flatMap(([file, { links }]) =>
      links.flatMap((link) => {
        const reason = judgeLink(link, pages)
        return reason === undefined ? [] : [`${file}: ${link} ${reason}`]
      }),
    )
    expect([...new Set(dead)]).toEqual([])
    expect(complaints).toEqual([])
    expect(requests.filter((url) => !url.startsWith(`${server.origin}/`))).toEqual([])
  },
)

test('the search finds an error code, without a server', async () => {
  await using watched = await openPage(browser, 1280)
  const { page, complaints } = watched
  await page.goto(`${server.origin}/guide/getting-started.html`, { waitUntil: 'networkidle' })
  await page.getByRole('button', { name: 'Search' }).first().click()
  await page.getByRole('searchbox').fill('IMAGE_UNACCEPTABLE')
  await page.locator('.VPLocalSearchBox a.result').first().click()
  await page.waitForURL(/errors|core/)
  expect(complaints).toEqual([])
})

test('a page can connect to its own server, and to nobody else', async () => {
  await using watched = await openPage(browser, 1280)
  await using other = await serveFolder(built)
  await watched.page.goto(`${server.origin}/inspect.html`)
  const ask = (url: string): Promise<string> =>
    watched.page.evaluate(
      (target) =>
        fetch(target, { mode: 'no-cors' }).then(
          () => 'connected',
          () => 'refused',
        ),
      url,
    )
  expect(await ask(`${server.origin}/mark.svg`)).toBe('connected')
  expect(await ask(`${other.origin}/mark.svg`)).toBe('refused')
  expect(watched.complaints.join()).toContain('Content Security Policy')
})

test('the charts draw what was recorded', async () => {
  await using watched = await openPage(browser, 1280)
  const { page } = watched
  await page.goto(`${server.origin}/performance.html`)
  expect(await page.locator('.charts figure').count()).toBe(2)
  expect(await page.locator('.charts .ours .bar').count()).toBeGreaterThanOrEqual(4)
  const widths = await page
    .locator('.charts .bar')
    .evaluateAll((bars) => bars.map((bar) => bar.getBoundingClientRect().width))
  expect(Math.min(...widths)).toBeGreaterThan(2)
})

interface Expected {
  readonly file: string
  readonly format: string
  readonly safe: boolean
  /** Among the checks that fail. */
  readonly failed: readonly string[]
  readonly virtualSize: string
}

const unknown = 'the header does not say'
const expected: readonly Expected[] = [
  { file: 'sound.qcow2', format: 'qcow2', safe: true, failed: [], virtualSize: '8 MiB' },
  { file: 'backed.qcow2', format: 'qcow2', safe: false, failed: ['backing-file'], virtualSize: '1 GiB' },
  { file: 'flat.vmdk', format: 'vmdk', safe: false, failed: ['create-type'], virtualSize: '8 MiB' },
  { file: 'disc.iso', format: 'iso', safe: true, failed: [], virtualSize: 'MiB' },
  { file: 'disk.raw.gz', format: 'gzip', safe: false, failed: ['disk-image'], virtualSize: unknown },
  { file: 'azure.vhd', format: 'vhd', safe: true, failed: [], virtualSize: '8.00 MiB' },
  { file: 'large.raw', format: 'raw', safe: true, failed: [], virtualSize: '3 GiB' },
]

/** Waits until a page asks for nothing more: it fetches links ahead when it is idle, on a busy machine late. */
async function fetchedAhead({ page, requests }: WatchedPage): Promise<void> {
  for (let seen = -1; seen !== requests.length;) {
    seen = requests.length
    await page.evaluate(() => new Promise((resolve) => requestIdleCallback(resolve)))
    await page.waitForTimeout(3000)
  }
}

describe('the page that inspects a file, on a phone and without a network', () => {
  let watched: WatchedPage
  let before: number

  beforeAll(async () => {
    watched = await openPage(browser, phoneWidth)
    await watched.page.goto(`${server.origin}/inspect.html`, { waitUntil: 'networkidle' })
    await fetchedAhead(watched)
    await watched.context.setOffline(true)
    before = watched.requests.length
  })

  afterAll(() => watched?.[Symbol.asyncDispose]())

  test.each(expected)('$file', async ({ file, format, safe, failed, virtualSize }) => {
    const { page, complaints, requests } = watched
    await page.getByLabel('Disk image', { exact: true }).setInputFiles(path.join(images, file))
    const result = page.getByTestId('result')
    const verdict = result.getByRole('heading', { level: 2, name: file })
    await verdict.waitFor()
    const unsafe = failed.includes('disk-image') ? 'Not a disk image' : 'Not safe'
    expect(await verdict.innerText()).toContain(safe ? 'Safe' : unsafe)
    expect(await result.locator('[data-fact=format]').innerText()).toBe(format)
    expect(await result.locator('[data-fact=virtual-size]').innerText()).toContain(virtualSize)
    const failures = await result
      .locator('[data-check].failed')
      .evaluateAll((items) => items.map((item) => item.getAttribute('data-check')))
    expect(failures).toEqual(expect.arrayContaining([...failed]))
    expect(failures.length > 0).toBe(!safe)
    expect(await result.locator('.read-map .cell.read').count()).toBeGreaterThan(0)
    expect(await page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth)).toBe(0)
    expect(requests.slice(before).filter((url) => !url.startsWith('blob:'))).toEqual([])
    expect(complaints).toEqual([])
  })
})

describe('the page that inspects a file', () => {
  test('a file can be dropped, and its bytes at the finding are shown', async () => {
    await using watched = await openPage(browser, 1280)
    const { page } = watched
    await page.goto(`${server.origin}/inspect.html`, { waitUntil: 'networkidle' })
    await page.getByRole('button', { name: 'a qcow2 with a backing file' }).click()
    const check = page.locator('[data-check=backing-file].failed')
    await check.waitFor()
    expect(await check.innerText()).toContain('/etc/passwd')
    expect(await check.locator('.hex').innerText()).toContain('51 46 49 fb')
    const transfer = await page.evaluateHandle(() => {
      const items = new DataTransfer()
      items.items.add(new File([new Uint8Array([0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3])], 'dropped.gz'))
      return items
    })
    await page.dispatchEvent('.inspect .drop', 'drop', { dataTransfer: transfer })
    await page.getByRole('heading', { name: /dropped\.gz is gzip/ }).waitFor()
  })

  test('the policy judges the same file by a claim and by a volume', async () => {
    await using watched = await openPage(browser, phoneWidth)
    const { page } = watched
    await page.goto(`${server.origin}/inspect.html`, { waitUntil: 'networkidle' })
    await page.getByRole('button', { name: 'a sound qcow2' }).click()
    await page.locator('[data-policy=accepted]').waitFor()
    await page.getByLabel('Claimed format').selectOption('raw')
    await page.locator('[data-rule=format-mismatch]').waitFor()
    await page.getByLabel('Claimed format').selectOption('qcow2')
    await page.locator('[data-policy=accepted]').waitFor()
    await page.locator('.read-map summary').click()
    expect(await page.locator('.read-map table tbody tr').count()).toBeGreaterThan(0)
  })

  test('it works with the keyboard alone, and tells a screen reader', async () => {
    await using watched = await openPage(browser, 1280)
    const { page } = watched
    await page.goto(`${server.origin}/inspect.html`, { waitUntil: 'networkidle' })
    await page.getByLabel('Disk image', { exact: true }).focus()
    await page.keyboard.press('Tab')
    await page.keyboard.press('Enter')
    await page.getByRole('heading', { level: 2, name: /Safe: sound\.qcow2/ }).waitFor()
    expect(await page.evaluate(() => document.activeElement?.className)).toContain('verdict')
    expect(await page.getByRole('img', { name: /Map of the file/ }).count()).toBe(1)
  })
})
