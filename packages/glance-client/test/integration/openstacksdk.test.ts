import path from 'node:path'
import { spawnSync } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { requireTool } from '@disk-image/testing'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { parseConfigYaml } from '../../src/session/config-yaml.ts'
import { loadCloud } from '../../src/session/load-cloud.ts'
import { loadTls } from '../../src/session/load-tls.ts'
import { authSettings } from '../../src/session/settings.ts'
import { cloudFiles } from './cloud-files.ts'
import type { CloudFiles } from './cloud-files.ts'
import { randomYaml } from './random-yaml.ts'

/** PyYAML's values, with scalars as they are written. */
const readYaml = `
import json, sys, yaml
class Text(yaml.SafeLoader): pass
for kind in ('int', 'float', 'bool', 'timestamp'):
    Text.add_constructor('tag:yaml.org,2002:' + kind, lambda loader, node: loader.construct_scalar(node))
def read(text):
    try: return {'value': yaml.load(text, Loader=Text)}
    except Exception as error: return {'error': str(error)}
json.dump([read(text) for text in json.load(sys.stdin)], sys.stdout)
`

/** What openstacksdk makes of files and variables. */
const readClouds = `
import json, os, sys, warnings
warnings.simplefilter('ignore')
import openstack.config
def read(case):
    for name in list(os.environ):
        if name.startswith('OS_'): del os.environ[name]
    os.environ.update(case['environment'])
    listed = lambda name: [case[name]] if case.get(name) else []
    try:
        config = openstack.config.OpenStackConfig(config_files=listed('clouds'), secure_files=listed('secure'), vendor_files=listed('vendor'))
        region = config.get_one(case.get('cloud'), **({'region_name': case['region']} if case.get('region') else {}))
        return {'name': region.name, 'auth': {k: v for k, v in region.config['auth'].items() if v is not None},
          'region': region.config.get('region_name') or None, 'interface': region.get_interface('image'),
          'insecure': region.get_requests_verify_args()[0] is False}
    except Exception as error: return {'error': str(error)}
cases = json.load(sys.stdin)
out, sys.stdout = sys.stdout, sys.stderr
json.dump([read(case) for case in cases], out)
`

/** Debian's Python: the one that has Debian's modules. */
function python<T>(script: string, input: readonly unknown[]): T[] {
  const { status, stdout, stderr } = spawnSync('/usr/bin/python3', ['-c', script], {
    input: JSON.stringify(input),
    maxBuffer: 256 * 1024 * 1024,
    encoding: 'utf8',
  })
  if (status !== 0) throw new Error(stderr)
  return JSON.parse(stdout) as T[]
}

let directory: string

beforeAll(async () => {
  requireTool('openstack', 'python3-openstackclient')
  directory = await mkdtemp(path.join(tmpdir(), 'glance-client-openstacksdk-'))
})

afterAll(() => rm(directory, { recursive: true, force: true }))

describe('PyYAML', () => {
  it('reads the same values from random files', async () => {
    const texts = Array.from({ length: 1500 }, (_, index) => randomYaml(index + 1))
    const theirs = python<{ value?: unknown; error?: string }>(readYaml, texts)
    let alike = 0
    for (const [index, text] of texts.entries()) {
      const { value, error } = theirs[index] ?? {}
      // We are less strict with tabs, a lone = or <<, and anchors that come twice.
      if (error !== undefined) continue
      const { value: ours } = await parseConfigYaml(text).catch((failure: unknown) => ({ value: failure }))
      expect(ours, text).toEqual(value)
      alike += 1
    }
    expect(alike).toBeGreaterThan(500)
  })
})

describe('openstacksdk', () => {
  /** Ours, in openstacksdk's words. */
  async function ours(files: CloudFiles, environment: Record<string, string>): Promise<object> {
    const options = { environment, directories: [], cloud: files.cloud, region: files.region }
    const { name, settings } = await loadCloud(options)
    const auth = Object.entries(authSettings(settings))
      .filter(([, value]) => value !== undefined)
      .map(([key, value]) => [
        key.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`),
        value as unknown,
      ])
    const chosen = ['image_endpoint_type', 'image_interface', 'endpoint_type', 'interface']
    const chosenInterface = chosen.map((key) => settings[key]).find((value) => value !== undefined)
    const { insecure, verify } = settings
    return {
      name,
      auth: Object.fromEntries(auth) as object,
      region: settings['region_name'] ?? null,
      interface: chosenInterface ?? 'public',
      insecure: (await loadTls({ environment: {}, settings: { insecure, verify } }))?.insecure ?? false,
    }
  }

  it('finds the same cloud in the same files', async () => {
    const write = async (name: string, text: string | undefined): Promise<string | undefined> => {
      if (text === undefined) return undefined
      const file = path.join(directory, name)
      await writeFile(file, text)
      return file
    }
    const cases = await Promise.all(
      cloudFiles.map(async (files, index) => ({
        ...files,
        clouds: await write(`clouds-${index}.yaml`, files.clouds),
        secure: await write(`secure-${index}.yaml`, files.secure),
        vendor: await write(`vendor-${index}.yaml`, files.vendor),
        environment: files.environment ?? {},
      })),
    )
    const theirs = python<object>(readClouds, cases)
    for (const [index, { clouds = '', secure = '', vendor = '', environment }] of cases.entries()) {
      const files = cloudFiles[index]!
      const found = await ours(files, {
        ...environment,
        HOME: directory,
        OS_CLIENT_CONFIG_FILE: clouds,
        OS_CLIENT_SECURE_FILE: secure,
        OS_CLIENT_VENDOR_FILE: vendor,
      }).catch((error: unknown) => ({ error: (error as Error).message }))
      const refused = 'error' in theirs[index]!
      // Why, each says in words of its own.
      expect('error' in found ? { error: '' } : found, JSON.stringify(files)).toEqual(
        refused ? { error: '' } : theirs[index],
      )
    }
  })
})
