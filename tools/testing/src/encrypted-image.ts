import { execa } from 'execa'
import { requireTool } from './require-tool.ts'

const mostTries = 20

/**
 * Runs a `qemu-img` that makes an encrypted image, until it does. It first measures how fast keys are derived, and
 * gives up where the kernel's clock for that did not move: on some machines every second time.
 */
export async function makeEncryptedImage(
  args: readonly string[],
  options: { readonly cwd?: string } = {},
): Promise<void> {
  const program = requireTool('qemu-img')
  for (let tries = 1; ; tries += 1) {
    const { failed, stderr } = await execa(program, args, { ...options, reject: false, stdin: 'ignore' })
    if (!failed) return
    if (!stderr.includes('Unable to get accurate CPU usage') || tries === mostTries) throw new Error(stderr)
  }
}
