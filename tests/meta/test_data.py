#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Has every fuzz target a corpus, and has every vector and golden file an origin?

usage: test_data.py SOURCE
"""
import os
import re
import sys

import house

FOLDERS = ("vectors", "expect", "goldens")


def fuzz_targets(tree):
    listed = re.search(r"fuzz_targets = \[(.*?)\]", tree.text("tests/fuzz/meson.build"), re.S)
    listed = set(re.findall(r"'(\w+)'", listed.group(1)))
    sources = {os.path.basename(n)[len("fuzz_"):-len(".c")]
               for n in tree.files(".c", under=("tests/fuzz/fuzz_",))}
    corpora = {}
    for name in tree.files(under=("tests/fuzz/corpus/",), data=True):
        corpora.setdefault(name.split("/")[3], []).append(name)
    for target in sorted(listed | sources | set(corpora)):
        tree.checked += 1
        where = f"fuzz target {target}"
        if target not in sources:
            tree.problem(where, f"tests/fuzz/fuzz_{target}.c does not exist")
        if target not in listed:
            tree.problem(where, "is not listed in tests/fuzz/meson.build")
        if len(corpora.get(target, [])) < 3:
            tree.problem(where, f"tests/fuzz/corpus/{target} has fewer than three inputs")


def origins(tree):
    folders = set()
    for name in tree.files(under=("tests/",), data=True):
        parts = name.split("/")
        for word in FOLDERS:
            if word in parts[:-1]:
                folders.add("/".join(parts[:parts.index(word)]))
    for folder in sorted(folders):
        tree.checked += 1
        origin = f"{folder}/ORIGIN.md"
        if not tree.exists(origin):
            tree.problem(folder, "has no ORIGIN.md that says where its vectors come from")


def main():
    tree = house.House(sys.argv[1])
    fuzz_targets(tree)
    origins(tree)
    tree.finish("sets of test data")


main()
