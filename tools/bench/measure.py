#!/usr/bin/python3
"""Runs a command and prints, as one JSON object on standard error's last line, what its process tree took.

Exact: wall and CPU seconds, bytes read and written (the kernel adds those of every child that was waited
for), the largest single process. Sampled every 100 ms: the resident memory of the whole tree; more often, it
takes time from whoever keeps all processors busy. To 10 ms: how long the processors of the machine were not
idle, whoever kept them busy.
"""
import json
import os
import signal
import sys
import threading
import time

PAGE = os.sysconf('SC_PAGE_SIZE')
TICK = os.sysconf('SC_CLK_TCK')


def input_output():
    with open('/proc/self/io') as file:
        return {name: int(value) for name, value in (line.split(': ') for line in file)}


def machine_busy():
    """Seconds of all processors in which they were not idle: servers, the kernel's threads, other guests' too."""
    with open('/proc/stat') as file:
        user, nice, system, _idle, _iowait, irq, softirq, steal = map(int, file.readline().split()[1:9])
    return (user + nice + system + irq + softirq + steal) / TICK


def children_of(pid):
    found = []
    try:
        for task in os.listdir(f'/proc/{pid}/task'):
            with open(f'/proc/{pid}/task/{task}/children') as file:
                found += [int(child) for child in file.read().split()]
    except OSError:
        pass
    return found


def resident(pid):
    try:
        with open(f'/proc/{pid}/statm') as file:
            return int(file.read().split()[1]) * PAGE
    except (OSError, IndexError):
        return 0


def tree_resident(pid):
    return resident(pid) + sum(tree_resident(child) for child in children_of(pid))


def sample(pid, stop, peak):
    while not stop.wait(0.1):
        peak[0] = max(peak[0], tree_resident(pid))


def main(command):
    before = input_output()
    busy = machine_busy()
    start = time.monotonic()
    pid = os.posix_spawnp(command[0], command, os.environ, setsid=True)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: os.killpg(pid, signal.SIGKILL))
    stop, peak = threading.Event(), [0]
    sampler = threading.Thread(target=sample, args=(pid, stop, peak), daemon=True)
    sampler.start()
    _, status, usage = os.wait4(pid, 0)
    wall = time.monotonic() - start
    busy = machine_busy() - busy
    stop.set()
    sampler.join()
    after = input_output()
    largest = usage.ru_maxrss * 1024
    print(json.dumps({
        'exitCode': os.waitstatus_to_exitcode(status),
        'wallSeconds': round(wall, 4),
        'cpuSeconds': round(usage.ru_utime + usage.ru_stime, 4),
        'machineBusySeconds': round(busy, 2),
        'peakRssBytes': max(peak[0], largest),
        'largestProcessRssBytes': largest,
        'storageWrittenBytes': after['write_bytes'] - before['write_bytes'],
        'storageReadBytes': after['read_bytes'] - before['read_bytes'],
    }), file=sys.stderr, flush=True)


if __name__ == '__main__':
    main(sys.argv[1:])
