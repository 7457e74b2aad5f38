/** Calls `onIdle` when fewer than the least bytes came during the idle time; time spent paused does not count. */
export interface IdleWatch {
  count(bytes: number): void
  pause(): void
  resume(): void
  stop(): void
}

/** Looks four times per idle time, so that an idle connection is noticed within one and a quarter of it. */
export function watchIdle(idleMs: number, minimumBytesPerSecond: number, onIdle: () => void): IdleWatch {
  const periods = 4
  const least = Math.max(1, (minimumBytesPerSecond * idleMs) / 1000)
  let samples: number[] = []
  let bytes = 0
  let paused = false
  const timer = setInterval(() => {
    if (paused) return
    samples.push(bytes)
    bytes = 0
    if (samples.length < periods) return
    if (samples.reduce((sum, sample) => sum + sample, 0) < least) onIdle()
    samples.shift()
  }, idleMs / periods)
  return {
    count: (more) => {
      bytes += more
    },
    pause: () => {
      paused = true
    },
    resume: () => {
      paused = false
      samples = []
    },
    stop: () => clearInterval(timer),
  }
}
