/** The percentage in a line that `qemu-img -p` prints: `    (12.34/100%)`. */
export function parseProgress(line: string): number | undefined {
  const percent = /\(\s*(\d{1,3}(?:\.\d+)?)\/100%\)/.exec(line)?.[1]
  return percent === undefined ? undefined : Math.min(100, Number(percent))
}
