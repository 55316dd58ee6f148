#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Run the suites of the virtual machine, in it: one line for each test, one record for each suite.

usage: lane.py SUITES SOURCE BUILD RECORDS [NAME]...

SUITES is the table; only suites whose name begins with a NAME are run. RECORDS takes lines of JSON
as meson writes them to testlog.json, which tools/test-report reads.
"""
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time

SKIP = 77


class Suite:
    def __init__(self, line, where):
        name, seconds, command = line.split(None, 2)
        self.name, self.seconds = name, int(seconds)
        self.argv = [re.sub(r"\$([SB])\b", lambda m: where[m.group(1)], word)
                     for word in shlex.split(command)]

    def run(self):
        """Its record. What outlives it is killed: its process group, its mounts in namespaces."""
        started = time.monotonic()
        with subprocess.Popen(self.argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, start_new_session=True) as child:
            try:
                out, err = child.communicate(timeout=self.seconds)
                result = {0: "OK", SKIP: "SKIP"}.get(child.returncode, "FAIL")
            except subprocess.TimeoutExpired:
                os.killpg(child.pid, signal.SIGKILL)
                result = "TIMEOUT"
                try:
                    out, err = child.communicate(timeout=30)
                except subprocess.TimeoutExpired as late:  # something left the process group
                    out, err = late.stdout or b"", late.stderr or b""
        return {"name": self.name, "stdout": out.decode("utf-8", "replace"),
                "stderr": err.decode("utf-8", "replace"), "result": result,
                "returncode": child.returncode, "duration": time.monotonic() - started}


def suites(table, where, names):
    with open(table, encoding="utf-8") as f:
        lines = [line.strip() for line in f]
    found = [Suite(line, where) for line in lines if line and not line.startswith("#")]
    return [s for s in found if not names or s.name.startswith(tuple(names))]


def cases(text):
    """(word, name) of the tests in what cmocka or unittest printed; a failure is told twice."""
    found = {}
    for line in text.splitlines():
        m = re.match(r"\[\s+(OK|FAILED|SKIPPED)\s+\] ([a-z_]\w*)$", line)
        if m:
            found[m.group(2)] = m.group(1).lower()
        m = re.match(r"(?:.* )?(\w+) \([\w.]+\).* \.\.\. (ok|FAIL|ERROR|skipped)", line)
        if m:
            found[m.group(1)] = {"fail": "failed", "error": "failed"}.get(m.group(2).lower(),
                                                                          m.group(2).lower())
    return [(word, name) for name, word in found.items()]


def tell(record):
    for word, name in cases(record["stdout"] + "\n" + record["stderr"]):
        print(f"{word:8} {record['name']}: {name}")
    word = {"OK": "ok", "SKIP": "skipped"}.get(record["result"], "FAILED")
    print(f"{word:8} {record['name']} ({record['duration']:.1f} s)", flush=True)


def main():
    table, source, build, records = sys.argv[1:5]
    chosen = suites(table, {"S": source, "B": build}, sys.argv[5:])
    with open(records, "w", encoding="utf-8") as out:
        for suite in chosen:
            record = suite.run()
            tell(record)
            out.write(json.dumps(record) + "\n")
            out.flush()
    sys.exit(0)


main()
