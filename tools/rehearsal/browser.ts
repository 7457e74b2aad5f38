import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { requireTool } from '@disk-image/testing'
import { chromium } from 'playwright-core'
import { rolldown } from 'rolldown'
import { createProject, installWithNpm } from './project.ts'
import type { Registry } from './registry.ts'
import { diskBytes, type Stage } from './stage.ts'

/** A page as anybody would write it: drop a file, see what it is. */
const page = `
import { createInspector, inspect } from '@disk-image/format-policy/inspector'

const zone = document.querySelector('#zone')
zone.addEventListener('dragover', (event) => event.preventDefault())
zone.addEventListener('drop', async (event) => {
  event.preventDefault()
  const [file] = event.dataTransfer.files
  const reader = {
    size: file.size,
    read: async (offset, length) => new Uint8Array(await file.slice(offset, offset + length).arrayBuffer()),
  }
  const found = await inspect(reader)
  const inspector = createInspector()
  for await (const chunk of file.stream()) inspector.write(chunk)
  const streamed = inspector.end()
  zone.textContent = JSON.stringify({
    format: found.format,
    virtualSizeBytes: found.virtualSizeBytes,
    safe: found.safe,
    streamed: streamed.format,
  })
})
`

/** Packs the page for a browser. What it needs of Node.js is a problem. */
async function bundle(
  project: string,
): Promise<{ readonly code: string; readonly problems: readonly string[] }> {
  const input = path.join(project, 'page.js')
  writeFileSync(input, page)
  const built = await rolldown({ input, cwd: project, platform: 'browser', external: [/^node:/] })
  const { output } = await built.generate({ format: 'esm', minify: true })
  await built.close()
  const problems = output.flatMap((part) =>
    part.type === 'chunk'
      ? part.imports.map((name) => `the bundle of format-policy/inspector needs ${name}`)
      : [],
  )
  return { code: output[0].code, problems }
}

/** Drops a file onto the page, as a hand would: the browser's own File in the browser's own event. */
async function dropFile(code: string, bytes: Buffer): Promise<string> {
  const browser = await chromium.launch({
    executablePath: requireTool('chromium'),
    args: ['--no-sandbox', '--disable-gpu'],
  })
  try {
    const tab = await browser.newPage()
    const errors: string[] = []
    tab.on('pageerror', (error) => errors.push(error.message))
    await tab.setContent(
      `<!doctype html><div id="zone">drop here</div><script type="module">${code}</script>`,
    )
    // As text: what runs in the browser has names that Node.js has not.
    const transfer = await tab.evaluateHandle(`(() => {
      const bytes = Uint8Array.from(atob('${bytes.toString('base64')}'), (character) => character.charCodeAt(0))
      const files = new DataTransfer()
      files.items.add(new File([bytes], 'disk.img'))
      return files
    })()`)
    await tab.dispatchEvent('#zone', 'drop', { dataTransfer: transfer })
    await tab.waitForFunction(`document.querySelector('#zone').textContent !== 'drop here'`)
    const said = await tab.textContent('#zone')
    return errors.length > 0 ? errors.join('\n') : (said ?? '')
  } finally {
    await browser.close()
  }
}

/** The inspector, installed by a stranger, bundled and used in Chromium. */
export async function tryInBrowser(
  registry: Registry,
  stage: Stage,
  folder: string,
): Promise<{ readonly bundleKiB: number; readonly problems: readonly string[] }> {
  const project = createProject(path.join(folder, 'browser'))
  mkdirSync(project, { recursive: true })
  await installWithNpm(project, registry, ['@disk-image/format-policy'])
  const { code, problems } = await bundle(project)
  const said = await dropFile(code, readFileSync(stage.qcow2))
  const expected = { format: 'qcow2', virtualSizeBytes: diskBytes, safe: true, streamed: 'qcow2' }
  return {
    bundleKiB: Math.round(code.length / 1024),
    problems:
      said === JSON.stringify(expected)
        ? problems
        : [...problems, `in Chromium, the inspector said of a dropped qcow2: ${said}`],
  }
}
