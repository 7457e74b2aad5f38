/** Builds the JavaScript of the package in the working directory; the types come from tsc. Run by its `build` script. */
import { readFileSync } from 'node:fs'
import path from 'node:path'
import { bundle, type Manifest } from './bundle-package.ts'

const directory = process.cwd()
const manifest = JSON.parse(readFileSync(path.join(directory, 'package.json'), 'utf8')) as Manifest
await bundle(directory, manifest)
