/**
 * A command that ends when its standard input does, with its whole process group, which must be its own. What runs
 * below a root helper isn't ours to tie to this process, and may not be signalled by it; what runs in a sandbox is
 * tied to its parent only some milliseconds after its start, and outlives one that is killed before. But the pipe to
 * both closes with this process, however that ends.
 *
 * @see https://github.com/containers/bubblewrap/issues/633
 *
 * The script is constant and takes the command as its parameters: nothing of it is ever read as shell.
 */
const script = `exec 3<&0 </dev/null
"$@" 3<&- &
child=$!
{ read -r _ <&3; kill -KILL 0; } >/dev/null 2>&1 &
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
