/**
 * The package graph, the effects at the rim and the circles, as rules for dependency-cruiser: it reads every import.
 * What is declared but not used, and used but not declared, knip says.
 */
import { builtinModules } from 'node:module'

/** Who may import whom: a floor, then a star. A path narrows it to a folder of that package. */
const mayImport = {
  core: [],
  io: ['core'],
  http: ['core', 'io'],
  disk: ['core', 'io'],
  host: ['core', 'io'],
  'qemu-img': ['core'],
  'format-policy': ['core', 'disk/src/layouts'],
  'glance-client': ['core', 'io', 'http'],
  vhd: ['core', 'io', 'disk'],
  sources: ['core', 'io', 'http'],
  'image-utils': [
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
  ],
  fleet: [
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
  ],
  cli: [
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
  ],
}

/** Modules with an effect: what they do, who alone may import them, what others do instead. */
const effects = [
  ['processes', 'execa child_process cluster', 'host/', 'only host starts processes; take a ProcessRunner'],
  [
    'network',
    'undici http https http2 net tls dgram',
    'http/',
    'only http talks to the network; take a client of it, or an ImageService',
  ],
  ['queue', 'bullmq ioredis', 'fleet/', 'only fleet knows the queue'],
  ['archives', 'tar', 'none/', "archives are read by disk's TarReader; npm's tar only makes them, in tests"],
  [
    'telemetry',
    '@opentelemetry/api',
    '(image-utils/src/telemetry/|fleet/src/worker/metrics)',
    'only the telemetry of the facade and the metrics of the fleet know OpenTelemetry; take a Telemetry',
  ],
  [
    'threads',
    'worker_threads',
    '(io|disk)/|host/src/volume/guarded-handle|fleet/src/lease/renew',
    'threads hash, decode, write under a right, and renew leases; take a pool',
  ],
  [
    'environment',
    'process module',
    'cli/',
    'a library takes what it needs as a parameter, and imports by name',
  ],
]

/** What runs where Node.js is not, a browser included, with all that it reaches. */
const anywhere = '^packages/(core/src|format-policy/src|disk/src/layouts)[./]'

/** Packages whose files still stand in circles. Nothing may be added. */
const filesInCircles = '(http|glance-client)'

/** What is not shipped, below a package's folder. */
const ofTests = '((test|bench)/|.*\\.(test|test-d|bench)\\.ts$)'
const test = `^packages/[^/]+/${ofTests}`

/** Modules by their name, whether Node.js or another package has them. */
const modules = (names) => `(^|/node_modules/)(node:)?(${names.replaceAll(' ', '|')})(/|$)`

/** A package by its imports in what is shipped, and in its tests, which may have the others' test helpers too. */
function graphRules([name, others]) {
  const allowed = [name, ...others].map((other) => (other.includes('/') ? `${other}[./]` : `${other}/src/`))
  const comment = `${name} may import only: ${others.join(', ') || 'nobody'}`
  const from = `^packages/${name}/`
  return [
    {
      name: `graph-${name}`,
      severity: 'error',
      comment,
      from: { path: from, pathNot: test },
      to: { path: '^(packages|tools|docs)/', pathNot: `^packages/(${allowed.join('|')})` },
    },
    {
      name: `graph-${name}-tests`,
      severity: 'error',
      comment: `${comment}; its tests use those, @disk-image/testing and their test helpers`,
      from: { path: from + ofTests },
      to: {
        path: '^(packages|tools|docs)/',
        pathNot: `^(packages/(${name}/|${allowed.join('|')}|(${others.join('|')})/test/helpers)|tools/testing/)`,
      },
    },
  ]
}

export default {
  forbidden: [
    ...Object.entries(mayImport).flatMap(graphRules),
    {
      name: 'graph-unknown-package',
      severity: 'error',
      comment: 'put the package into the graph of .dependency-cruiser.js',
      from: { path: '^packages/', pathNot: `^packages/(${Object.keys(mayImport).join('|')})/` },
      to: {},
    },
    ...effects.map(([what, names, where, comment]) => ({
      name: `only-${what}`,
      severity: 'error',
      comment,
      from: { path: '^packages/', pathNot: `^packages/${where}|${test}` },
      to: { path: modules(names) },
    })),
    {
      name: 'runs-anywhere',
      severity: 'error',
      comment: 'this package runs where Node.js is not, and so must all that it imports',
      from: { path: anywhere, pathNot: test },
      to: {
        path: `^(node:)?(${builtinModules.map((name) => name.replace('node:', '')).join('|')})$`,
        reachable: true,
      },
    },
    {
      name: 'folder-without-openstack',
      severity: 'error',
      comment: 'a folder of images needs no OpenStack client, nor anything that needs one',
      from: { path: '^packages/image-utils/src/directory/', pathNot: test },
      to: { path: '^packages/glance-client/', reachable: true },
    },
    {
      name: 'not-of-tests',
      severity: 'error',
      comment: 'what is shipped imports no tool of the tests, and no test',
      from: { path: '^packages/', pathNot: test },
      to: { dependencyTypes: ['npm-dev'] },
    },
    {
      name: 'resolves',
      severity: 'error',
      comment: 'no such module is installed, or no such file is there',
      from: { path: '^packages/' },
      to: { couldNotResolve: true },
    },
    {
      name: 'no-circle-of-folders',
      severity: 'error',
      comment: 'two folders that need each other are one, or have a third beneath them',
      scope: 'folder',
      from: { path: '^packages/[^/]+/src' },
      to: { circular: true },
    },
    {
      name: 'no-circle-of-files',
      severity: 'error',
      comment: 'what both need, types too, belongs into one of them or beneath them',
      from: { path: '^packages/[^/]+/src', pathNot: `^packages/${filesInCircles}/` },
      to: { circular: true },
    },
  ],
  options: {
    doNotFollow: { path: 'node_modules|/dist/' },
    exclude: { path: '/(dist|fixtures|vectors)/|^packages/[^/]+/api/' },
    tsPreCompilationDeps: true,
    detectProcessBuiltinModuleCalls: true,
    combinedDependencies: true,
    enhancedResolveOptions: {
      exportsFields: ['exports'],
      conditionNames: ['@disk-image/source', 'node', 'import', 'types', 'default'],
    },
  },
}
