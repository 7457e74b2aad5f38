/** What a package is made of. */
export interface NewPackage {
  /** The folder's name: `token-bucket`. */
  readonly folder: string
  readonly description: string
}

/** `token-bucket` as a sentence's word. */
function words(folder: string): string {
  return folder.replaceAll('-', ' ')
}

function manifest({ folder, description }: NewPackage, model: Readonly<Record<string, unknown>>): object {
  const { name: _name, version: _version, dependencies, devDependencies: _tests, ...shared } = model
  const { '@disk-image/core': core } = dependencies as Readonly<Record<string, string>>
  return {
    name: `@disk-image/${folder}`,
    version: '0.0.0',
    ...shared,
    description,
    repository: { ...(shared['repository'] as object), directory: `packages/${folder}` },
    dependencies: { '@disk-image/core': core },
  }
}

const tsconfig = {
  extends: '../../tools/tsconfig/node.json',
  compilerOptions: { rootDir: 'src', outDir: 'dist', tsBuildInfoFile: 'dist/.tsbuildinfo' },
  include: ['src'],
  exclude: ['src/**/*.test.ts'],
  references: [{ path: '../core' }],
}

const index = "export { countSectors } from './count-sectors.ts'\n"

const source = `import { InvalidError } from '@disk-image/core'

/** Bytes of a sector, in every format that these packages know. */
const sectorBytes = 512

/**
 * How many sectors a disk of so many bytes has. The first function of a new package: replace it.
 *
 * @throws {InvalidError} for what is no size, or ends within a sector
 */
export function countSectors(sizeBytes: number): number {
  if (!Number.isSafeInteger(sizeBytes) || sizeBytes < 0 || sizeBytes % sectorBytes !== 0) {
    throw new InvalidError({ reason: \`A disk has whole sectors of \${sectorBytes} bytes; \${sizeBytes} is no size.\` })
  }
  return sizeBytes / sectorBytes
}
`

const test = `import { expect, test } from 'vitest'
import { countSectors } from './count-sectors.ts'

test('a disk has whole sectors', () => {
  expect(countSectors(0)).toBe(0)
  expect(countSectors(1024 ** 3)).toBe(2_097_152)
})

test.each([-512, 1, 513, Number.NaN, 2 ** 60])('%d is no size', (sizeBytes) => {
  expect(() => countSectors(sizeBytes)).toThrow('whole sectors of 512 bytes')
})
`

function readme({ folder, description }: NewPackage): string {
  return `# @disk-image/${folder}

${description}.

## When to use it

- Say in one line each what somebody wants to do who needs this package.
- Name what it does for them that they would otherwise write themselves, and get wrong.
- Stay concrete: formats, tools, standards, limits.

Not the right package: say what it does not do, and which package does.

## Install

\`\`\`sh
npm install @disk-image/${folder}
\`\`\`

## Use

\`\`\`ts
import { countSectors } from '@disk-image/${folder}'

console.log(countSectors(1024 ** 3))
\`\`\`

Further examples follow, each complete:

\`\`\`ts
import { ImageError } from '@disk-image/core'
import { countSectors } from '@disk-image/${folder}'

try {
  countSectors(513)
} catch (error) {
  if (!ImageError.is(error)) throw error
  console.log(error.code, error.message)
}
\`\`\`

The first example has at most twelve lines and runs as it is: \`pnpm rehearse\` installs the published package into an
empty project, compiles the example strictly, and runs it.

## API

One heading for each export, with its signature: what it takes, in which unit, what it gives back, which errors it
throws, what happens after an abort.

### countSectors(sizeBytes)

How many sectors of 512 bytes a disk of so many bytes has. \`InvalidError\` for what is no size, or ends within a
sector.

### Errors

Every error thrown on purpose is an \`ImageError\` with a stable \`code\` and a \`kind\`: match on these, never on a
message. An abort rejects with the signal's own reason.

| code      | kind      | when                                         |
| --------- | --------- | -------------------------------------------- |
| \`INVALID\` | \`invalid\` | a parameter is wrong; the reason says which  |

### Options

| option | default | what it does                                                                 |
| ------ | ------- | ---------------------------------------------------------------------------- |
| none   |         | a function that takes options lists them here, with unit, default and limits |

## Design

What a reader of the code should know first: where the data comes from, what is checked before what, which part holds
state and for how long. Link the decision records that stand behind it.

- Bytes from outside are bounded before anything is allocated for them.
- Nothing is read from the environment, and no state is kept in a module.
- What acts on the host is a port of \`@disk-image/core\`, taken as a parameter.

## Security

What an attacker may control, what is checked, and what is left to the caller. Here: one number, which is checked.

## Compatibility

Node.js 22.19, 24.11 or 26 and newer. Versions follow semantic versioning; before 1.0.0 a minor version may break.

## Related packages

\`@disk-image/core\` holds the ports and errors, \`@disk-image/image-utils\` puts the packages together.

## Licence

Apache-2.0
`
}

/** The files of a new package, by their path from the repository; every check passes on them as they are. */
export function newPackageFiles(
  unit: NewPackage,
  model: Readonly<Record<string, unknown>>,
  licence: string,
): Readonly<Record<string, string>> {
  const base = `packages/${unit.folder}`
  const json = (value: object): string => `${JSON.stringify(value, undefined, 2)}\n`
  return {
    [`${base}/package.json`]: json(manifest(unit, model)),
    [`${base}/tsconfig.json`]: json(tsconfig),
    [`${base}/LICENSE`]: licence,
    [`${base}/README.md`]: readme(unit),
    [`${base}/src/index.ts`]: index,
    [`${base}/src/count-sectors.ts`]: source,
    [`${base}/src/count-sectors.test.ts`]: test,
    [`.changeset/${unit.folder}-first.md`]: `---\n'@disk-image/${unit.folder}': minor\n---\n\nThe first version: ${words(unit.folder)}.\n`,
  }
}
