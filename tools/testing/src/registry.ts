import { execFileSync } from 'node:child_process'
import { createSign, randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { requireTool } from './require-tool.ts'
import { freePort, listens, startServer } from './server.ts'

/** How a registry is started. */
export interface RegistryOptions {
  /** `token`: by tokens of a server beside it; `basic`: by user and password; `none`: everybody may. @default 'none' */
  readonly auth?: 'token' | 'basic' | 'none'
  /** Speak TLS, with a certificate that nobody trusts. @default false */
  readonly tls?: boolean
}

/** A registry that runs. */
export interface RunningRegistry extends AsyncDisposable {
  /** `127.0.0.1:PORT` */
  readonly host: string
  /** Of the token server; undefined where there is none. */
  readonly tokenHost: string | undefined
  readonly username: string
  readonly password: string
  /** What the token server was asked for so far: `repository:a/b:pull`. */
  readonly scopes: readonly string[]
  /** A file for skopeo's `--authfile`. */
  readonly authFile: string
  /** The folder of what it stores. */
  readonly storage: string
}

/** Starts Debian's docker-registry on loopback, with its data in a temporary directory. It ends with this process. */
export async function startRegistry({
  auth = 'none',
  tls = false,
}: RegistryOptions = {}): Promise<RunningRegistry> {
  const program = requireTool('docker-registry')
  const directory = await mkdtemp(path.join(tmpdir(), 'disk-image-registry-'))
  const port = await freePort('127.0.0.1')
  const host = `127.0.0.1:${port}`
  const [username, password] = ['tester', `pw-${randomUUID()}`]
  const scopes: string[] = []
  if (tls) makeCertificate(directory)
  const tokens =
    auth === 'token' ? await startTokenServer(directory, { username, password }, scopes) : undefined
  const login = { auth: Buffer.from(`${username}:${password}`).toString('base64') }
  const authFile = path.join(directory, 'auth.json')
  await writeFile(authFile, JSON.stringify(auth === 'none' ? {} : { auths: { [host]: login } }))
  if (auth === 'basic') {
    const line = execFileSync(requireTool('htpasswd'), ['-nbB', '-C', '4', username, password], {
      encoding: 'utf8',
    })
    await writeFile(path.join(directory, 'htpasswd'), line)
  }
  const lines = [
    'version: 0.1',
    'log: {level: error}',
    `storage: {filesystem: {rootdirectory: ${directory}/storage}, delete: {enabled: true}}`,
    `http: {addr: "${host}", secret: testing${tls ? `, tls: {certificate: ${directory}/cert.pem, key: ${directory}/key.pem}` : ''}}`,
    ...(auth === 'basic' ? [`auth: {htpasswd: {realm: testing, path: ${directory}/htpasswd}}`] : []),
    ...(tokens === undefined
      ? []
      : [
          `auth: {token: {realm: "http://${tokens.host}/token", service: testing, issuer: testing, rootcertbundle: ${directory}/cert.pem}}`,
        ]),
  ]
  await writeFile(path.join(directory, 'config.yml'), `${lines.join('\n')}\n`)
  const kill = await startServer([program, 'serve', path.join(directory, 'config.yml')], () =>
    tls ? listens(port) : answers(host),
  )
  return {
    host,
    tokenHost: tokens?.host,
    username,
    password,
    scopes,
    authFile,
    storage: path.join(directory, 'storage'),
    [Symbol.asyncDispose]: async () => {
      await kill()
      await tokens?.stop()
      await rm(directory, { recursive: true, force: true })
    },
  }
}

async function answers(host: string): Promise<boolean> {
  const { status } = await fetch(`http://${host}/v2/`)
  return status === 200 || status === 401
}

function makeCertificate(directory: string): { readonly keyFile: string; readonly certificateFile: string } {
  const [keyFile, certificateFile] = [path.join(directory, 'key.pem'), path.join(directory, 'cert.pem')]
  const request = ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-subj', '/CN=testing', '-days', '2']
  execFileSync(requireTool('openssl'), [...request, '-keyout', keyFile, '-out', certificateFile], {
    stdio: 'ignore',
  })
  return { keyFile, certificateFile }
}

/** Signs what it is asked for, by a key that the registry trusts. */
async function startTokenServer(
  directory: string,
  login: { readonly username: string; readonly password: string },
  scopes: string[],
): Promise<{ readonly host: string; stop(): Promise<void> }> {
  const { keyFile, certificateFile } = makeCertificate(directory)
  const key = await readFile(keyFile, 'utf8')
  const x5c = [(await readFile(certificateFile, 'utf8')).replaceAll(/-----[^-]+-----|\s/g, '')]
  const server = createServer((request, response) => {
    const url = new URL(request.url ?? '', 'http://localhost')
    const [, credentials = ''] = (request.headers.authorization ?? '').split(' ')
    if (Buffer.from(credentials, 'base64').toString() !== `${login.username}:${login.password}`) {
      response.writeHead(401, { 'content-type': 'application/json' })
      response.end(JSON.stringify({ errors: [{ code: 'UNAUTHORIZED', message: 'wrong user or password' }] }))
      return
    }
    const asked = url.searchParams.getAll('scope')
    scopes.push(...asked)
    const access = asked.map((scope) => {
      const [type, name, actions = ''] = scope.split(':')
      return { type, name, actions: actions.split(',') }
    })
    const now = Math.floor(Date.now() / 1000)
    const claims = {
      iss: 'testing',
      sub: login.username,
      aud: 'testing',
      exp: now + 300,
      nbf: now - 10,
      iat: now,
      jti: randomUUID(),
      access,
    }
    response.writeHead(200, { 'content-type': 'application/json' })
    response.end(JSON.stringify({ token: sign({ typ: 'JWT', alg: 'RS256', x5c }, claims, key) }))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    host: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    stop: async () => {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
  }
}

function sign(header: object, claims: object, key: string): string {
  const text = [header, claims]
    .map((part) => Buffer.from(JSON.stringify(part)).toString('base64url'))
    .join('.')
  return `${text}.${createSign('RSA-SHA256').update(text).sign(key).toString('base64url')}`
}
