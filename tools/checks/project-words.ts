import { readFileSync } from 'node:fs'
import path from 'node:path'
import { runAsProgram, type Problem } from './report.ts'
import { listProjectFiles } from './workspace.ts'

/** What a file that others read must not contain, and why. */
const forbidden: readonly { readonly pattern: RegExp; readonly what: string }[] = [
  { pattern: /\/(?:work|farm)\/[a-z.]/, what: 'a path of one machine' },
  {
    pattern: /\/(?:home|Users)\/(?!user\b|you\b|USER\b)[a-z][\w-]*\//,
    what: 'the home folder of one person',
  },
  { pattern: /\.\.\/shared\//, what: 'a path outside the repository' },
  { pattern: /^(?:<{7}|>{7}) /m, what: 'the mark of a merge that was not finished' },
  { pattern: /\b(?:it|test|describe)\.only\(/, what: 'a test that hides the others' },
]

/** Files that hold such words on purpose, or are no text. */
const exempt = [/^tools\/checks\/project-words(\.test)?\.ts$/, /^pnpm-lock\.yaml$/, /\/(vectors|fixtures)\//]

/** Problems of one text. */
export function checkWords(where: string, text: string): Problem[] {
  return forbidden.flatMap(({ pattern, what }) => {
    const found = pattern.exec(text)
    if (found === null) return []
    const line = text.slice(0, found.index).split('\n').length
    return [{ where: `${where}:${line}`, what: `contains ${what}: ${found[0].trim()}` }]
  })
}

/** Every file under version control, or new and not ignored, speaks of the project alone. */
export function checkProjectWords(root: string): Problem[] {
  return listProjectFiles(root)
    .filter((file) => !exempt.some((pattern) => pattern.test(file)))
    .flatMap((file) => {
      const bytes = readFileSync(path.join(root, file))
      return bytes.includes(0) ? [] : checkWords(file, bytes.toString('utf8'))
    })
}

runAsProgram(import.meta.url, 'project words', checkProjectWords)
