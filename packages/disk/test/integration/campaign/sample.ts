/** An image, in one file or several. */
export interface Sample {
  readonly what: string
  /** By name, the image first. */
  readonly files: ReadonlyMap<string, Buffer>
}

/** A folder for the files of one sample. */
export interface Scratch {
  file(name: string): string
}

export function imageOf({ files }: Sample): Buffer {
  const [image] = files.values()
  if (image === undefined) throw new Error('no image')
  return image
}
