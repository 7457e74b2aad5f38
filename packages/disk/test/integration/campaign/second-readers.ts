import { execFile, spawn } from 'node:child_process'
import { open, readFile } from 'node:fs/promises'
import { promisify } from 'node:util'
import type { ReadResult } from './reader-process.ts'

const program = `
import sys
kind, image, target = sys.argv[1:]
module = __import__(kind)
handle = module.handle() if kind == 'pyvmdk' else module.file()
try:
    handle.open(image)
    if kind == 'pyvmdk':
        handle.open_extent_data_files()
    size = handle.get_media_size()
    with open(target, 'wb') as out:
        for at in range(0, size, 2 ** 20):
            out.write(handle.read_buffer_at_offset(min(2 ** 20, size - at), at))
except (IOError, MemoryError) as error:
    print(error, file=sys.stderr)
    sys.exit(3)
`

/** Python's modules of libyal, by the kind of image, and the Debian packages that have them. */
const modules: Readonly<Record<string, string>> = {
  vmdk: 'pyvmdk',
  'vmdk-set': 'pyvmdk',
  vhdx: 'pyvhdi',
  vpc: 'pyvhdi',
  qcow2: 'pyqcow',
}

/** Whether a reader of somebody else takes an image; where it does, its disk is in `target`. */
export async function readBySecondReader(kind: string, image: string, target: string): Promise<boolean> {
  const module = modules[kind]
  if (module === undefined) return false
  try {
    await promisify(execFile)('/usr/bin/python3', ['-c', program, module, image, target])
    return true
  } catch (error) {
    if ((error as { readonly code?: unknown }).code === 3) return false
    const found = `apt-get install -y python3-libvmdk python3-libvhdi python3-libqcow`
    throw new Error(found, { cause: error })
  }
}

/** Whether the tools of its envelopes take an image, too; where they do, what was inside is in `target`. */
export async function unwrapByTools(
  image: string,
  target: string,
  { opened = [], members = [] }: ReadResult,
): Promise<boolean> {
  // Several files, of which some may be compressed, are not one after the other in what tar gives.
  if (opened.length > 1 && members.length > 1) return false
  let bytes: Buffer = await readFile(image)
  for (const name of opened) {
    // A name is given to tar as it is; what can't be is not compared.
    const names = members.filter((member) => member !== undefined)
    if (name === 'tar' && !names.every((member) => /^[\w./]+$/.test(member))) return false
    const wanted = names.flatMap((member) => [member, `./${member}`])
    const args = name === 'tar' ? ['-xOf', '-', '--no-wildcards', ...wanted] : ['-dc']
    bytes = await pipe(name, args, bytes)
  }
  await using file = await open(target, 'w')
  await file.write(bytes)
  return true
}

async function pipe(tool: string, args: readonly string[], input: Buffer): Promise<Buffer> {
  const child = spawn(tool, args, { stdio: ['pipe', 'pipe', 'pipe'] })
  child.stdin.on('error', () => undefined)
  child.stdin.end(input)
  const [out, errors] = await Promise.all([child.stdout.toArray(), child.stderr.toArray()])
  const code = child.exitCode ?? (await new Promise((resolve) => child.once('exit', resolve)))
  const said = Buffer.concat(errors as Buffer[]).toString()
  // gzip only warns of what follows its data, and each member has one of two names.
  if (code !== 0 && !(tool === 'gzip' && code === 2) && !(tool === 'tar' && said.includes('Not found'))) {
    throw new Error(`${tool} does not read it: ${said}`)
  }
  return Buffer.concat(out as Buffer[])
}
