/** A link in a process of its own, so that it doesn't share a thread with what is measured: options as JSON. */
import { openLink, type LinkOptions } from './slow-link.ts'

const link = await openLink(JSON.parse(process.argv[2] ?? '{}') as LinkOptions)
console.log(`http://127.0.0.1:${link.port}`)
process.stdin.resume()
process.stdin.on('end', () => {
  console.log(JSON.stringify({ cuts: link.cuts }))
  process.exit(0)
})
