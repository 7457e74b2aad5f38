import { type ChildProcess, spawn } from 'node:child_process'
import { mkdirSync, openSync, readFileSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { createServer, type AddressInfo } from 'node:net'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { run } from './run.ts'

/** A registry of our own, that runs. */
export interface Registry extends AsyncDisposable {
  readonly url: string
  /** For npm and pnpm: nothing of theirs is read from or written to the home directory. */
  readonly environment: NodeJS.ProcessEnv
  /** The versions of a package that it has, none where it doesn't know it. */
  versions(name: string): Promise<string[]>
}

async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve)
  })
  const { port } = server.address() as AddressInfo
  await new Promise((resolve) => {
    server.close(resolve)
  })
  return port
}

/** Ours are kept here and never asked for elsewhere; everybody else's come from the registry behind. */
function configuration(uplink: string): string {
  return JSON.stringify({
    storage: './storage',
    auth: { htpasswd: { file: './htpasswd' } },
    uplinks: { behind: { url: uplink, timeout: '60s', maxage: '60m' } },
    packages: {
      '@disk-image/*': { access: '$all', publish: '$all', unpublish: '$all' },
      '**': { access: '$all', proxy: 'behind' },
    },
    web: { enable: false },
    log: { type: 'stdout', format: 'json', level: 'warn' },
  })
}

async function waitUntilUp(child: ChildProcess, url: string, log: string): Promise<void> {
  for (let attempt = 0; attempt < 300; attempt += 1) {
    if (child.exitCode !== null) break
    try {
      if ((await fetch(`${url}/-/ping`)).ok) return
    } catch {
      // Not yet.
    }
    await sleep(100)
  }
  throw new Error(`The registry did not start:\n${readFileSync(log, 'utf8')}`)
}

/** Starts verdaccio on the loopback interface, with all it keeps in one folder. */
export async function startRegistry(folder: string): Promise<Registry> {
  mkdirSync(folder, { recursive: true })
  const uplink = (await run('npm', ['config', 'get', 'registry'], { cwd: folder })).trim()
  const config = path.join(folder, 'config.yaml')
  // JSON is YAML, too.
  writeFileSync(config, configuration(uplink))
  const port = await freePort()
  const url = `http://127.0.0.1:${port}`
  const userConfig = path.join(folder, 'npmrc')
  writeFileSync(userConfig, `registry=${url}/\n//127.0.0.1:${port}/:_authToken=anybody\n`)
  const log = path.join(folder, 'registry.log')
  const program = path.join(
    path.dirname(createRequire(import.meta.url).resolve('verdaccio/package.json')),
    'bin/verdaccio',
  )
  const output = openSync(log, 'a')
  const child = spawn(process.execPath, [program, '--config', config, '--listen', `127.0.0.1:${port}`], {
    cwd: folder,
    stdio: ['ignore', output, output],
  })
  // It would wait for connections that are kept alive, and has nothing that is worth keeping.
  const stop = (): void => {
    child.kill('SIGKILL')
  }
  process.once('exit', stop)
  const ended = new Promise((resolve) => {
    child.once('exit', resolve)
  })
  await waitUntilUp(child, url, log)
  return {
    url,
    environment: {
      NPM_CONFIG_USERCONFIG: userConfig,
      npm_config_registry: `${url}/`,
      npm_config_cache: path.join(folder, 'npm-cache'),
      XDG_CACHE_HOME: path.join(folder, 'cache'),
      XDG_DATA_HOME: path.join(folder, 'data'),
      npm_config_audit: 'false',
      npm_config_fund: 'false',
      npm_config_update_notifier: 'false',
    },
    versions: async (name) => {
      const answer = await fetch(`${url}/${name.replace('/', '%2f')}`)
      if (answer.status === 404) return []
      const { versions } = (await answer.json()) as { readonly versions: object }
      return Object.keys(versions)
    },
    [Symbol.asyncDispose]: async () => {
      process.off('exit', stop)
      stop()
      await ended
    },
  }
}
