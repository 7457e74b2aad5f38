/** What a `qemu-img convert` command line does, whatever its words and their order. */
export interface ConversionEffect {
  readonly prefix: readonly string[]
  readonly source: string | undefined
  readonly sourceKey: string | undefined
  readonly destination: string | undefined
  readonly destinationKey: string | undefined
  readonly format: string | undefined
  readonly options: readonly string[]
  readonly directIo: boolean
  readonly everything: boolean
  readonly compressed: boolean
}

const withValue = new Set(['-f', '-O', '-o', '-t', '-T', '-S', '-m', '-r', '-l', '--object'])

/** Reads the words. An option list without doubled commas (the original's) is taken as it was meant. */
export function effectOf(argv: readonly string[]): ConversionEffect {
  const start = argv.indexOf('qemu-img')
  const words = argv.slice(start + 2)
  const values = new Map<string, string[]>()
  const names: string[] = []
  const flags = new Set<string>()
  for (let index = 0; index < words.length; index += 1) {
    const word = words[index] ?? ''
    if (withValue.has(word)) {
      index += 1
      values.set(word, [...(values.get(word) ?? []), words[index] ?? ''])
    } else if (word.startsWith('-')) flags.add(word)
    else names.push(word)
  }
  const secrets = new Map(
    (values.get('--object') ?? []).map((text) => [/id=(\w+)/.exec(text)?.[1], fileOf(text, 'file=')]),
  )
  const options = (values.get('-o') ?? []).flatMap((list) => list.split(','))
  const [source, destination] = names
  const keyOf = (text: string | undefined): string | undefined =>
    secrets.get(/key-secret=(\w+)/.exec(text ?? '')?.[1])
  return {
    prefix: argv.slice(0, start),
    source: flags.has('--image-opts') ? fileOf(source ?? '', 'file.filename=') : source,
    sourceKey: keyOf(source),
    destination,
    destinationKey: keyOf(options.join()),
    format: values.get('-O')?.[0],
    options: options.filter((option) => !/^(?:key-secret|encrypt)/.test(option)).toSorted(),
    directIo: values.get('-t')?.[0] === 'none',
    everything: values.get('-S')?.[0] === '0',
    compressed: flags.has('-c'),
  }
}

function fileOf(list: string, name: string): string {
  return list.slice(list.indexOf(name) + name.length).replaceAll(',,', ',')
}
