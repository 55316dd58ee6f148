#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Does every limit say why it is what it is, is it used, and does every text name real limits?

usage: limits.py SOURCE
"""
import re
import sys

import house

LIMITS = "src/base/limits.h"


def main():
    tree = house.House(sys.argv[1])
    names = set()
    commented = False
    for number, line in enumerate(tree.text(LIMITS).splitlines(), 1):
        match = re.match(r"#define (LIMIT_\w+) ", line)
        if match:
            names.add(match.group(1))
            if not commented:
                tree.problem(f"{LIMITS}:{number}", f"{match.group(1)} does not say why")
        elif line.endswith("*/"):
            commented = True
        elif not line.strip():
            commented = False
    used = set()
    for name in tree.files(".c", ".h", ".md", ".scd", under=("src/", "tests/", "docs/", "man/")):
        if name == LIMITS:
            continue
        for limit in set(re.findall(r"\bLIMIT_[A-Z0-9_]*[A-Z0-9]\b(?!\*)", tree.text(name))):
            if limit not in names:
                tree.problem(name, f"names {limit}, which {LIMITS} does not have")
            if name.startswith("src/"):
                used.add(limit)
    for limit in sorted(names - used):
        tree.problem(LIMITS, f"{limit} is not used by any source")
    tree.checked = len(names)
    tree.finish("limits")


main()
