import { InvalidError, MiB } from '@disk-image/core'
import type { Command } from '@disk-image/core'
import { parseRbdName, type RbdName } from '../jobs/identity.ts'

/** As whom, and where, Ceph is asked. */
export interface RbdAccess {
  /** The user's name without `client.`; its keyring lies where Ceph looks for it. @default Ceph's own: admin */
  readonly id?: string | undefined
  /** Absolute path of Ceph's configuration. @default Ceph's own: /etc/ceph/ceph.conf */
  readonly configuration?: string | undefined
}

/** A part of a disk, in bytes. */
export interface Part {
  readonly offset: number
  readonly length: number
}

/** What a volume is called until it is whole. */
export function partialOf({ pool, image }: RbdName): RbdName {
  return { pool, image: `${image}.partial` }
}

/**
 * The command lines of a volume in Ceph. Names come from jobs: each is two plain words, so that none is an option, a
 * snapshot, or a further option of qemu's driver.
 */
export class RbdCommands {
  readonly #access: RbdAccess

  /** @throws {InvalidError} for an access that can't be written into a file name of qemu's */
  constructor(access: RbdAccess = {}) {
    const { id, configuration } = access
    if (id !== undefined && !/^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$/.test(id)) {
      throw new InvalidError({ reason: `${JSON.stringify(id)} can't be a user of Ceph.` })
    }
    if (configuration !== undefined && !/^\/[A-Za-z0-9_./-]+$/.test(configuration)) {
      throw new InvalidError({ reason: "The path of Ceph's configuration must be absolute and plain." })
    }
    this.#access = access
  }

  /** @throws {InvalidError} */
  nameOf(volume: string): RbdName {
    const name = parseRbdName(volume)
    if (name === undefined) {
      throw new InvalidError({ reason: `A volume of Ceph is rbd:POOL/IMAGE, not ${JSON.stringify(volume)}.` })
    }
    return name
  }

  info({ pool, image }: RbdName): Command {
    return this.#rbd('info', '--format', 'json', '--pool', pool, '--image', image)
  }

  /** A raw disk, from a file or `-`, into a volume that is not there yet; zeroes become holes. */
  import(file: string, { pool, image }: RbdName): Command {
    return this.#rbd('import', '--no-progress', '--path', file, '--dest-pool', pool, '--dest', image)
  }

  rename(from: RbdName, to: RbdName): Command {
    return this.#rbd(
      'rename',
      '--pool',
      from.pool,
      '--image',
      from.image,
      '--dest-pool',
      to.pool,
      '--dest',
      to.image,
    )
  }

  /** Makes it at least so long, in whole MiB. */
  resize({ pool, image }: RbdName, sizeBytes: number): Command {
    const size = `${Math.ceil(sizeBytes / MiB)}M`
    return this.#rbd('resize', '--no-progress', '--size', size, '--pool', pool, '--image', image)
  }

  remove({ pool, image }: RbdName): Command {
    return this.#rbd('rm', '--no-progress', '--pool', pool, '--image', image)
  }

  /** A part of a raw disk into the same part of a volume that is there; without a file zeros. Whole sectors. */
  overwrite(file: string | undefined, { pool, image }: RbdName, { offset, length }: Part): Command {
    const { id, configuration } = this.#access
    const below =
      file === undefined
        ? ['file.driver=null-co', 'file.read-zeroes=on', `file.size=${offset + length}`]
        : ['file.driver=raw', 'file.file.driver=file', `file.file.filename=${file.replaceAll(',', ',,')}`]
    const part = ['driver=raw', `offset=${offset}`, `size=${length}`]
    const volume = [
      'file.driver=rbd',
      `file.pool=${pool}`,
      `file.image=${image}`,
      ...(id === undefined ? [] : [`file.user=${id}`]),
      ...(configuration === undefined ? [] : [`file.conf=${configuration}`]),
    ]
    const options = [
      [...part, ...below],
      [...part, ...volume],
    ].map((list) => list.join(','))
    return {
      file: 'qemu-img',
      args: ['convert', '-n', '--image-opts', '--target-image-opts', '-t', 'writeback', ...options],
    }
  }

  /** A volume into a file, as raw. */
  read(name: RbdName, file: string): Command {
    return { file: 'qemu-img', args: ['convert', '-f', 'raw', '-O', 'raw', this.qemuName(name), file] }
  }

  /** The name by which qemu's rbd driver knows a volume. */
  qemuName({ pool, image }: RbdName): string {
    const { id, configuration } = this.#access
    return [
      `rbd:${pool}/${image}`,
      ...(id === undefined ? [] : [`id=${id}`]),
      ...(configuration === undefined ? [] : [`conf=${configuration}`]),
    ].join(':')
  }

  #rbd(...words: readonly string[]): Command {
    const { id, configuration } = this.#access
    return {
      file: 'rbd',
      args: [
        ...(configuration === undefined ? [] : ['--conf', configuration]),
        ...(id === undefined ? [] : ['--id', id]),
        ...words,
      ],
    }
  }
}
