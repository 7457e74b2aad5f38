import { printableJson, printableLines } from '@disk-image/core'
import { CommanderError } from 'commander'
import { type ExitCode, exitCodes } from './exit-code.ts'
import { type Failure, toFailure } from './failure.ts'
import type { Io } from './io.ts'
import { styleFor } from './output/style.ts'
import { alignFields } from './output/table.ts'
import { configPath, parseConfig, readConfigText } from './config/config-file.ts'
import { asksForHelp, buildProgram, configure, type ProgramOutcome } from './program.ts'
import type { GlobalFlags } from './session.ts'
import { UsageError } from './usage-error.ts'

/**
 * Runs the command. It never throws: an error is told on standard error, or with `--json` on standard output,
 * and becomes the exit code.
 *
 * @param argv the arguments, without node and the script
 */
export async function run(argv: readonly string[], io: Io): Promise<ExitCode> {
  const end = argv.indexOf('--')
  const words = end === -1 ? argv : argv.slice(0, end)
  let json = words.includes('--json')
  let verbose = words.some((word) => /^(--verbose|-[a-z]*v[a-z]*)$/.test(word))
  const outcome: { exitCode: ExitCode } = { exitCode: exitCodes.done }
  const shown: string[] = []
  const helpShown: string[] = []
  try {
    const output: ProgramOutcome = {
      write: (text) => shown.push(text),
      writeHelp: (text) => helpShown.push(text),
      end: (exitCode) => {
        outcome.exitCode = exitCode
      },
    }
    const isHelp = asksForHelp(argv)
    const text = isHelp ? undefined : readConfigText(io)
    // Whether a file's keys are right is only known with all commands.
    const program = buildProgram(io, output, text === undefined ? argv : [...argv, 'config'])
    if (!isHelp) {
      const { environment } = io
      const file = text && (await parseConfig(text, configPath(io) ?? '', program, environment['HOME']))
      configure(program, { environment, file: file === '' ? undefined : file })
      json ||= program.opts<GlobalFlags>().json === true
      verbose ||= program.opts<GlobalFlags>().verbose === true
    }
    await program.parseAsync(argv, { from: 'user' })
    return outcome.exitCode
  } catch (error) {
    if (error instanceof CommanderError && error.exitCode === 0) {
      const text = shown.join('')
      const name = error.code === 'commander.version' ? 'version' : 'help'
      io.stdout.write(json ? `${JSON.stringify({ [name]: text.trimEnd() })}\n` : text)
      return exitCodes.done
    }
    if (error instanceof CommanderError && error.code === 'commander.help' && !json) {
      io.stderr.write(helpShown.join(''))
      return exitCodes.usage
    }
    const told = error instanceof CommanderError ? usageOf(error) : error
    const failure = toFailure(told, io.signal)
    tell(failure, told, io, { json, verbose })
    return failure.exitCode
  }
}

/** What commander found wrong, in a sentence. */
function usageOf(error: CommanderError): UsageError {
  if (error.code === 'commander.help') return new UsageError('A command is missing. See: disk-image --help')
  const text = error.message.replace(/^error: /, '').replace(/^./, (first) => first.toUpperCase())
  return new UsageError(/[.?)]$/.test(text) ? text : `${text}.`)
}

function tell(
  failure: Failure,
  error: unknown,
  io: Io,
  { json, verbose }: { readonly json: boolean; readonly verbose: boolean },
): void {
  if (json) io.stdout.write(`${printableJson({ error: failure.error })}\n`)
  const style = styleFor(io.stderr, io.environment)
  const { message, code: _code, ...details } = failure.error
  const { rule, found, offset, accepted, reference } = details
  const lines = [
    `${style.bad('disk-image:')} ${printableLines(message)}`,
    ...alignFields(
      [
        ['rule', rule],
        ['found', found],
        ['at', offset === undefined ? undefined : `byte ${offset}`],
        ['accepted', accepted],
        ['see', reference],
      ],
      '  ',
    ),
    ...(failure.advice === undefined ? [] : [failure.advice]),
    ...(verbose ? stackOf(error) : []),
  ]
  if (!json || verbose) io.stderr.write(`${lines.join('\n')}\n`)
}

/** The stack, and those of the causes, of an error that is looked into. */
function stackOf(error: unknown): string[] {
  const lines: string[] = []
  let current: unknown = error
  for (let depth = 0; depth < 8 && current instanceof Error; depth += 1) {
    lines.push(`${depth === 0 ? '' : 'caused by '}${printableLines(current.stack ?? current.message)}`)
    current = current.cause
  }
  return lines
}
