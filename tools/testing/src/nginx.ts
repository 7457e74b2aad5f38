import { spawn } from 'node:child_process'
import { createHash, randomUUID } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { chmod, copyFile, link, mkdir, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { requireTool } from './require-tool.ts'
import { freePort, listens } from './server.ts'

/** A file that nginx offers as an image. */
export interface NginxImage {
  readonly file: string
  /** @default a random one */
  readonly id?: string
  /** @default 'raw' */
  readonly diskFormat?: string
  /** @default 'bare' */
  readonly containerFormat?: string
  /** Hex SHA-512, where it is known already. @default computed */
  readonly sha512?: string
  /** Further fields of the image's JSON. */
  readonly fields?: Readonly<Record<string, unknown>>
}

/** An nginx that looks like a Glance to whoever only reads. */
export interface RunningNginx extends AsyncDisposable {
  readonly url: string
  readonly directory: string
  /** Each request so far: `GET /path 206 bytes=0-`. */
  requests(): Promise<string[]>
  /** In the order of the images given. */
  readonly images: readonly { readonly id: string; readonly size: number; readonly sha512: string }[]
  stop(): Promise<void>
}

/** Options of {@link startNginx}. */
export interface NginxOptions {
  readonly images: readonly NginxImage[]
  /** Raw JSON of `/v2/schemas/image`. @default an object without properties */
  readonly imageSchema?: unknown
  /** Bytes per second and connection. @default unlimited */
  readonly bytesPerSecond?: number
  /** The parent of the temporary directory; on the images' own file system they are hard-linked. @default the system's */
  readonly parentDirectory?: string
  /** Take data by PUT; an image's record is its `stored.json` from then on. @default false */
  readonly uploads?: boolean
  /** Speak TLS. @default plain HTTP */
  readonly tls?: NginxTls
}

/** PEM files of a server that speaks TLS. */
export interface NginxTls {
  readonly certificateFile: string
  readonly keyFile: string
  /** Demand that clients show a certificate of this authority. @default none is asked for */
  readonly clientAuthorityFile?: string
}

/** Serves files in Glance's layout on an ephemeral loopback port, at a speed at which Glance is no bottleneck. */
export async function startNginx(options: NginxOptions): Promise<RunningNginx> {
  const nginx = requireTool('nginx')
  const directory = await mkdtemp(path.join(options.parentDirectory ?? tmpdir(), 'disk-image-nginx-'))
  try {
    await chmod(directory, 0o755)
    const images = []
    for (const image of options.images) images.push(await offer(directory, image))
    const schema = options.imageSchema ?? {
      name: 'image',
      properties: {},
      additionalProperties: { type: 'string' },
    }
    await mkdir(path.join(directory, 'root/v2/schemas'), { recursive: true })
    await writeFile(path.join(directory, 'root/v2/schemas/image'), JSON.stringify(schema))
    const port = await freePort()
    const configuration = path.join(directory, 'nginx.conf')
    await writeFile(configuration, nginxConfiguration(directory, port, options))
    const url = `${options.tls === undefined ? 'http' : 'https'}://127.0.0.1:${port}`
    // Behind TLS the certificate may be one that nobody trusts, on purpose.
    const stop = await run(nginx, configuration, directory, () =>
      options.tls === undefined ? answers(`${url}/v2/schemas/image`) : listens(port),
    )
    const requests = async (): Promise<string[]> =>
      (await readFile(path.join(directory, 'requests.log'), 'utf8')).trimEnd().split('\n')
    return { url, directory, requests, images, stop, [Symbol.asyncDispose]: stop }
  } catch (error) {
    await rm(directory, { recursive: true, force: true })
    throw error
  }
}

async function run(
  nginx: string,
  configuration: string,
  directory: string,
  isReady: () => Promise<boolean>,
): Promise<() => Promise<void>> {
  const child = spawn(
    nginx,
    ['-p', directory, '-c', configuration, '-e', path.join(directory, 'error.log')],
    {
      stdio: 'ignore',
    },
  )
  const ended = new Promise<void>((resolve) => {
    child.once('exit', () => resolve())
    child.once('error', () => resolve())
  })
  // Not SIGKILL: the master would leave its worker behind.
  const killAtExit = (): void => void child.kill('SIGTERM')
  process.once('exit', killAtExit)
  const stop = async (): Promise<void> => {
    process.removeListener('exit', killAtExit)
    child.kill('SIGTERM')
    await Promise.race([ended, delay(5000).then(() => child.kill('SIGKILL'))])
    await ended
    await rm(directory, { recursive: true, force: true })
  }
  for (let attempt = 0; attempt < 200 && child.exitCode === null; attempt += 1) {
    try {
      if (await isReady()) return stop
    } catch {
      // Not listening yet.
    }
    await delay(25)
  }
  await stop()
  throw new Error('nginx did not start')
}

async function answers(url: string): Promise<boolean> {
  const response = await fetch(url)
  await response.arrayBuffer()
  return response.ok
}

async function offer(
  directory: string,
  image: NginxImage,
): Promise<{ id: string; size: number; sha512: string }> {
  const id = image.id ?? randomUUID()
  const folder = path.join(directory, 'root/v2/images', id)
  await mkdir(folder, { recursive: true })
  const target = path.join(folder, 'file')
  await link(image.file, target).catch(() => copyFile(image.file, target))
  const { size } = await stat(image.file)
  const sha512 = image.sha512 ?? (await hashFile(image.file))
  const now = new Date().toISOString().replace(/\.\d+/, '')
  const record = {
    id,
    name: path.basename(image.file),
    status: 'active',
    visibility: 'public',
    protected: false,
    disk_format: image.diskFormat ?? 'raw',
    container_format: image.containerFormat ?? 'bare',
    size,
    checksum: null,
    os_hash_algo: 'sha512',
    os_hash_value: sha512,
    os_hidden: false,
    owner: null,
    min_disk: 0,
    min_ram: 0,
    virtual_size: null,
    tags: [],
    created_at: now,
    updated_at: now,
    file: `/v2/images/${id}/file`,
    self: `/v2/images/${id}`,
    schema: '/v2/schemas/image',
    ...image.fields,
  }
  await writeFile(path.join(folder, 'index.json'), JSON.stringify(record))
  return { id, size, sha512 }
}

async function hashFile(file: string): Promise<string> {
  const hash = createHash('sha512')
  for await (const chunk of createReadStream(file, { highWaterMark: 1 << 20 })) hash.update(chunk as Buffer)
  return hash.digest('hex')
}

function tlsLines({ certificateFile, keyFile, clientAuthorityFile }: NginxTls): string {
  const client =
    clientAuthorityFile === undefined
      ? ''
      : `ssl_client_certificate ${clientAuthorityFile}; ssl_verify_client on;`
  return `ssl_certificate ${certificateFile}; ssl_certificate_key ${keyFile}; ${client}`
}

function nginxConfiguration(
  directory: string,
  port: number,
  { bytesPerSecond, uploads = false, tls }: NginxOptions,
): string {
  const user = process.getuid?.() === 0 ? 'user root;' : ''
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
    .map((name) => `${name}_temp_path ${directory}/${name};`)
    .join('\n  ')
  return `${user}
daemon off;
worker_processes 1;
pid ${directory}/nginx.pid;
error_log ${directory}/error.log warn;
events { worker_connections 256; }
http {
  log_format asked '$request_method $request_uri $status $http_range';
  access_log ${directory}/requests.log asked;
  sendfile on;
  default_type application/octet-stream;
  ${temporary}
  server {
    listen 127.0.0.1:${port}${tls === undefined ? '' : ' ssl'};
    ${tls === undefined ? '' : tlsLines(tls)}
    root ${directory}/root;
    ${bytesPerSecond === undefined ? '' : `limit_rate ${Math.round(bytesPerSecond)};`}
    location = /v2/schemas/image { default_type application/json; }
    ${uploads ? uploadLines : ''}
    location ~ ^/v2/images/[^/]+$ { default_type application/json; try_files $uri/index.json =404; }
  }
}
`
}

const uploadLines = `
    client_max_body_size 0;
    client_body_buffer_size 1m;
    location ~ ^/v2/images/[^/]+/file$ { dav_methods PUT; }
    location ~ ^/v2/images/[^/]+$ {
      default_type application/json;
      if (-f $document_root$uri/file) { rewrite ^(.*)$ $1/stored.json break; }
      try_files $uri/index.json =404;
    }`
