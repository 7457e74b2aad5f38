import { NotSupportedOperationError } from '@disk-image/core'
import type { VolumeDriver } from '../volumes/volume-driver.ts'
import type { Execution } from './execution.ts'

/** @throws {NotSupportedOperationError} where the worker has no driver for Ceph */
export function needRbd({ rbd }: Execution): VolumeDriver {
  if (rbd === undefined) {
    throw new NotSupportedOperationError({
      operation: 'rbd',
      reason: 'This worker has no driver for volumes of Ceph: give it one made by createRbdDriver.',
    })
  }
  return rbd
}
