/**
 * A command that ends when its standard input does. What runs below a root helper isn't ours to tie to this
 * process, and may not be signalled by it: but the pipe to it closes with this process, however that ends.
 *
 * The script is constant and takes the command as its parameters: nothing of it is ever read as shell.
 */
const script = `exec 3<&0 </dev/null
"$@" 3<&- &
child=$!
{ read -r _ <&3; kill -KILL "$child"; } >/dev/null 2>&1 &
watcher=$!
exec 3<&-
wait "$child"
status=$?
kill "$watcher" 2>/dev/null
exit "$status"`

/** What goes before a command so that it ends with its standard input. */
export function watchdogCommand(shell: string): readonly string[] {
  return [shell, '-c', script, 'watchdog']
}
