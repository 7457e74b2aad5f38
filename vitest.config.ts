import { defineConfig, type TestProjectInlineConfiguration } from 'vitest/config'

const packages = [
  'core',
  'io',
  'http',
  'disk',
  'host',
  'qemu-img',
  'format-policy',
  'glance-client',
  'vhd',
  'sources',
  'image-utils',
  'fleet',
  'cli',
]

/** `NAME:unit` needs nothing but Node; `NAME:integration` runs the real tools and services. */
function projects(name: string): TestProjectInlineConfiguration[] {
  const root = `packages/${name}`
  return [
    {
      extends: true,
      test: { name: `${name}:unit`, root, include: ['src/**/*.test.ts', 'test/unit/**/*.test.ts'] },
    },
    {
      extends: true,
      test: {
        name: `${name}:integration`,
        root,
        include: ['test/integration/**/*.test.ts'],
        testTimeout: 120_000,
        hookTimeout: 180_000,
      },
    },
  ]
}

export default defineConfig({
  resolve: { conditions: ['@disk-image/source', 'node', 'import', 'default'] },
  ssr: { resolve: { conditions: ['@disk-image/source', 'node', 'import', 'default'] } },
  test: {
    projects: [
      ...packages.flatMap(projects),
      {
        extends: true,
        test: { name: 'docs:unit', root: 'docs', include: ['test/unit/**/*.test.ts'] },
      },
      {
        extends: true,
        test: {
          name: 'docs:integration',
          root: 'docs',
          include: ['test/integration/**/*.test.ts'],
          testTimeout: 180_000,
          hookTimeout: 300_000,
        },
      },
      {
        extends: true,
        test: {
          name: 'examples:integration',
          root: 'docs/examples',
          include: ['*/example.test.ts'],
          testTimeout: 120_000,
          hookTimeout: 180_000,
        },
      },
      {
        extends: true,
        test: {
          name: 'tools:unit',
          root: 'tools',
          include: ['build/**/*.test.ts', 'checks/**/*.test.ts', 'testing/**/*.test.ts'],
        },
      },
      {
        extends: true,
        test: {
          name: 'tools:integration',
          root: 'tools',
          include: ['{bench,package}/integration/**/*.test.ts'],
          testTimeout: 180_000,
          hookTimeout: 180_000,
        },
      },
    ],
    execArgv: ['--conditions=@disk-image/source'],
    passWithNoTests: true,
    maxWorkers: 2,
    // Property tests take their time on a busy machine; a hang is still found.
    testTimeout: 30_000,
    // Real services on a shared machine: a second try is reported, and a test that needs it is to be mended.
    retry: process.env['CI'] === undefined ? 0 : 1,
  },
})
