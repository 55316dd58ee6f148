#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Does tests/loopfs pass statuses on, and leave nothing behind, however its command ends?

usage: loopfs.py SOURCE
"""
import os
import signal
import subprocess
import sys
import tempfile
import time

import house


def loopfs(tree, *words, **more):
    return subprocess.Popen([os.path.join(tree.root, "tests/loopfs"), "--size", "64M", "ext4", *words],
                            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, **more)


def state_of(device, place):
    """What still holds `device`; the file of another run below it is none of our business."""
    with open("/proc/self/mountinfo", encoding="utf-8") as f:
        if f" {place}/" in f.read():
            return "is mounted outside the namespace"
    try:
        with open(f"/sys/block/{os.path.basename(device)}/loop/backing_file", encoding="utf-8") as f:
            return "is still attached" if f.read().startswith(place + "/") else None
    except OSError:
        return None


def held(device, place):
    """The kernel takes a namespace apart after its last process has ended, when it has time."""
    until = time.monotonic() + 20
    state = state_of(device, place)
    while state and time.monotonic() < until:
        time.sleep(0.02)
        state = state_of(device, place)
    return state


def run(tree, what, script, want, then=None):
    """One command below a fresh file system; `then` happens while it runs."""
    tree.checked += 1
    with tempfile.TemporaryDirectory() as place:
        child = loopfs(tree, "sh", "-c", f'echo "$IMBREX_LOOPDEV"; {script}',
                       env={**os.environ, "TMPDIR": place})
        device = child.stdout.readline().strip()
        if device.startswith("skipped"):
            child.wait()
            house.skip(device.split(": ", 1)[1])
        if then:
            then(child)
        status = child.wait(timeout=30)
        child.stdout.read()
        if status != want:
            tree.problem(what, f"status {status} in place of {want}")
        left = os.listdir(place)
        if left and want != -signal.SIGKILL:
            tree.problem(what, f"{left} is left")
        state = held(device, place)
        if state:
            tree.problem(what, f"{device} {state}")


def main():
    tree = house.House(sys.argv[1])
    run(tree, "a command that fails", "touch $TMPDIR/file; exit 3", 3)
    run(tree, "a command that leaves mounts", 'mkdir "$TMPDIR/m"; mount -t tmpfs m "$TMPDIR/m"', 0)
    run(tree, "a signal to the tool", "exec sleep 30", 143, lambda c: c.terminate())

    run(tree, "a tool that is killed", "while [ -e /proc/$PPID ]; do sleep 0.05; done",
        -signal.SIGKILL, lambda c: c.kill())
    tree.finish("ways to end")


main()
