import { InvalidError } from '@disk-image/core'

/** One of several images that have the same name. */
export interface ImageCandidate {
  readonly id: string
  readonly createdAt: string | undefined
  readonly sizeBytes: number | undefined
}

/** A name that several images have: only an id says which one is meant. */
export class AmbiguousImageNameError extends InvalidError {
  override readonly code = 'AMBIGUOUS_IMAGE_NAME'
  readonly imageName: string
  /** Newest first. */
  readonly candidates: readonly ImageCandidate[]

  constructor(imageName: string, candidates: readonly ImageCandidate[]) {
    const listed = candidates.map(
      ({ id, createdAt = 'date unknown', sizeBytes }) =>
        `  ${id}  ${createdAt}  ${sizeBytes === undefined ? 'size unknown' : `${sizeBytes} bytes`}`,
    )
    super({
      reason: [`${candidates.length} images have the name ${imageName}: give the id of one.`, ...listed].join(
        '\n',
      ),
    })
    this.imageName = imageName
    this.candidates = candidates
  }
}
