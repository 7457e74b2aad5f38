import { createHash } from 'node:crypto'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { expect, test } from 'vitest'
import { addContentSecurityPolicy } from '../../.vitepress/content-security-policy.ts'
import { siteLink } from '../../.vitepress/links.ts'
import { mendApiPages } from '../../site/mend-api.ts'

const repository = 'https://github.com/disk-image/disk-image'

test.each([
  ['docs/guide/luks.md', 'behind-sudo.md', '/guide/behind-sudo'],
  ['docs/guide/luks.md', '../security.md#layers', '/security#layers'],
  ['docs/guide/luks.md', '#here', '#here'],
  ['docs/architecture/overview.md', '../decisions/README.md', '/decisions/'],
  ['docs/guide/luks.md', '../../packages/vhd/README.md#security', '/packages/vhd#security'],
  ['packages/vhd/README.md', '../qemu-img', '/packages/qemu-img'],
  [
    'docs/guide/luks.md',
    '../../packages/core/src/index.ts',
    `${repository}/blob/main/packages/core/src/index.ts`,
  ],
  ['docs/guide/luks.md', '../../tools/checks', `${repository}/tree/main/tools/checks`],
  [
    'docs/guide/x.md',
    '../examples/volume-worker/README.md',
    `${repository}/blob/main/docs/examples/volume-worker/README.md`,
  ],
  ['docs/guide/luks.md', 'https://example.org/', 'https://example.org/'],
])('in %s a link to %s leads to %s', (page, link, place) => {
  expect(siteLink(page, link)).toBe(place)
})

test('the policy allows the scripts that are in the page, by their hashes, and nobody else', () => {
  const html = addContentSecurityPolicy('<head></head><script>go()</script><script src="/a.js"></script>')
  const hash = createHash('sha256').update('go()').digest('base64')
  expect(html).toContain(`script-src 'self' 'sha256-${hash}';`)
  expect(html).toContain("default-src 'none'")
  expect(html).toContain("connect-src 'self'")
})

test('numbers that the generator added without need go, others stay', () => {
  const directory = mkdtempSync(path.join(os.tmpdir(), 'disk-image-mend-'))
  try {
    mkdirSync(path.join(directory, 'a'))
    writeFileSync(path.join(directory, 'a/only-1.md'), '# Only\n## Once\n## Twice\n## Twice\n')
    writeFileSync(
      path.join(directory, 'index.md'),
      '[one](a/only-1.md) [two](a/only-1.md#once-1) [three](a/only-1.md#twice-1)\n',
    )
    mendApiPages(directory)
    expect(readFileSync(path.join(directory, 'index.md'), 'utf8')).toBe(
      '[one](a/only.md) [two](a/only.md#once) [three](a/only.md#twice-1)\n',
    )
    expect(readFileSync(path.join(directory, 'a/only.md'), 'utf8')).toContain('# Only')
  } finally {
    rmSync(directory, { recursive: true })
  }
})
