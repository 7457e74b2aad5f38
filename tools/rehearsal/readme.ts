/** What a README tells a stranger to do. */
export interface Instructions {
  /** What `npm install` is told under "Install". */
  readonly install: readonly string[]
  /** The code blocks under "Use". */
  readonly examples: readonly { readonly language: string; readonly code: string }[]
}

function section(text: string, heading: string): string {
  const start = text.search(new RegExp(`^## ${heading}\\b`, 'm'))
  if (start === -1) return ''
  const rest = text.slice(start + 1)
  const end = rest.search(/^## /m)
  return end === -1 ? rest : rest.slice(0, end)
}

/** The packages of the first `npm install`, and the code blocks under "Use". */
export function readInstructions(readme: string): Instructions {
  const [, words = ''] = /^npm install (.*)$/m.exec(section(readme, 'Install')) ?? []
  const blocks = section(readme, 'Use').matchAll(/^```(\w+)\n([\s\S]*?)^```$/gm)
  return {
    install: words
      .replace(/\s#.*$/, '')
      .split(/\s+/)
      .filter((word) => word !== '' && !word.startsWith('-')),
    examples: [...blocks].map(([, language = '', code = '']) => ({ language, code })),
  }
}
