#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Does every text of ours that names a file of ours name one that exists?

usage: links.py SOURCE
"""
import fnmatch
import os
import re
import sys

import house

# [text](target), and names with a folder in front, such as docs/run.md or src/os/lock.c.
LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")
NAMED = re.compile(r"(?<![\w/.<-])((?:docs|src|tests|tools|include/imbrex|man|bench)/[\w./*-]*\w\.\w+)\b")


def main():
    tree = house.House(sys.argv[1])
    everything = tree.files(data=True)
    for name in tree.files(".md", ".c", ".h", ".py", ".build", ".scd", ".txt", ".sh"):
        tree.checked += 1
        text = tree.text(name)
        found = []
        if name.endswith(".md"):
            found += [(m, os.path.normpath(os.path.join(os.path.dirname(name), m.group(1))))
                      for m in LINK.finditer(text) if "://" not in m.group(1)]
        found += [(m, m.group(1)) for m in NAMED.finditer(text)]
        for match, target in found:
            if "NAME" in target or target.startswith("docs/containers-"):
                continue
            if not tree.exists(target) and not fnmatch.filter(everything, target):
                tree.problem(f"{name}:{text.count(chr(10), 0, match.start()) + 1}",
                             f"names {target}, which does not exist")
    tree.finish("files")


main()
