/** Bytes of an image's start that a layout is parsed from; of a shorter file, all of them. */
export const layoutHeadBytes: number = 1024 ** 2
