import { chmod, mkdir, writeFile } from 'node:fs/promises'
import { expect, test } from 'vitest'
import { requireTool } from '@disk-image/testing'
import { commandLine } from '../helpers/command.ts'
import { openWorkbench } from '../helpers/run-command.ts'
import { openTerminal } from '../helpers/tmux.ts'

test.each([
  ['bash', ['--norc', '--noprofile'], 'source <(disk-image completion bash)'],
  ['zsh', ['-f'], 'autoload -Uz compinit && compinit -u -D && source <(disk-image completion zsh)'],
  ['fish', ['--no-config'], 'disk-image completion fish | source'],
])(
  '%s completes commands, options, values, files, images and clouds',
  async (shell, flags, setUp) => {
    await using bench = await openWorkbench()
    const words = commandLine([]).map((word) => `'${word}'`)
    await mkdir(bench.path('bin'))
    await writeFile(bench.path('bin/disk-image'), `#!/bin/sh\nexec ${words.join(' ')} "$@"\n`)
    await chmod(bench.path('bin/disk-image'), 0o755)
    await writeFile(bench.path('clouds.yaml'), 'clouds: { production: {}, "$(touch evil)": {} }\n')
    await writeFile(bench.path('diskette.raw'), 'x'.repeat(512))
    for (const name of ['ubuntu-24', '$(touch evil)']) {
      await bench.run(['image', 'create', '--name', name, '--disk-format', 'raw', '--file', 'diskette.raw'])
    }
    const environment = { PATH: `${bench.path('bin')}:${process.env['PATH']}`, PS1: '$ ' }
    await using terminal = await openTerminal([requireTool(shell), ...flags], {
      folder: bench.folder,
      columns: 100,
      environment,
    })
    await terminal.type(`${setUp}; echo re''ady`, 'Enter')
    await expect.poll(() => terminal.shown(), { timeout: 20_000 }).toMatch(/^ready$/m)
    for (const [typed, shown] of [
      ['disk-image vhd coal', 'disk-image vhd coalesce '],
      ['disk-image fetch --verify str', 'disk-image fetch --verify strict '],
      ['disk-image vhd flatten --ig', 'disk-image vhd flatten --ignore-ids '],
      ['disk-image inspect diske', 'disk-image inspect diskette.raw '],
      ['disk-image image list --cloud pro', 'disk-image image list --cloud production '],
      ['disk-image fetch ubu', 'disk-image fetch ubuntu-24 '],
    ] as const) {
      await terminal.type('-l', typed)
      await terminal.type('Tab')
      // The cursor stands behind the blank that ends the word.
      await terminal.type('-l', '#')
      await expect.poll(() => terminal.shown(), { timeout: 10_000 }).toContain(`${shown}#`)
      await terminal.type('C-u')
    }
  },
  120_000,
)
