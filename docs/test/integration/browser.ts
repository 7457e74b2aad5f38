import { requireTool } from '@disk-image/testing'
import { type Browser, type BrowserContext, chromium, type Page } from 'playwright-core'

/** A browser that can reach nothing but this machine. */
export function launchBrowser(): Promise<Browser> {
  return chromium.launch({
    executablePath: requireTool('chromium'),
    args: [
      // Chromium's own sandbox does not start as root, as which tests in containers often run.
      '--no-sandbox',
      '--disable-gpu',
      '--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1',
    ],
  })
}

/** A page, with everything that it complained about and asked for. */
export interface WatchedPage extends AsyncDisposable {
  readonly page: Page
  readonly context: BrowserContext
  readonly complaints: string[]
  readonly requests: string[]
}

/** Opens a page that is watched. */
export async function openPage(browser: Browser, width: number): Promise<WatchedPage> {
  const context = await browser.newContext({ viewport: { width, height: 844 } })
  const page = await context.newPage()
  const complaints: string[] = []
  const requests: string[] = []
  page.on('console', (message) => {
    if (['error', 'warning'].includes(message.type())) complaints.push(`${page.url()}: ${message.text()}`)
  })
  page.on('pageerror', (error) => complaints.push(`${page.url()}: ${error.message}`))
  page.on('requestfailed', (request) => {
    const reason = request.failure()?.errorText
    // The site fetches ahead what its links lead to; leaving a page ends that.
    if (reason !== 'net::ERR_ABORTED') complaints.push(`${request.url()}: ${reason}`)
  })
  page.on('request', (request) => requests.push(request.url()))
  return {
    page,
    context,
    complaints,
    requests,
    async [Symbol.asyncDispose]() {
      await context.close()
    },
  }
}
