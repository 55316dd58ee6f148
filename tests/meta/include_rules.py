#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Does every module include only what docs/layers.txt allows it, and is that list as short as can be?

usage: include_rules.py SOURCE
"""
import re
import sys

import house

RULES = "docs/layers.txt"
SHOWN = "docs/ARCHITECTURE.md"
INCLUDE = re.compile(r'^\s*#\s*include\s+(["<])([^">]+)[">]', re.M)


def read_rules(tree):
    rules = {}
    for number, line in enumerate(tree.text(RULES).splitlines(), 1):
        line = line.split("#")[0].strip()
        if not line:
            continue
        module, colon, allowed = line.partition(":")
        if not colon:
            tree.problem(f"{RULES}:{number}", "is not MODULE: MODULE...")
            continue
        for other in allowed.split():
            if other not in rules:
                tree.problem(f"{RULES}:{number}", f"{module} may include {other}, which is not "
                             "listed above it: the layers would have a cycle")
        rules[module] = set(allowed.split())
    return rules


def check_file(tree, name, module, rules, used):
    text = tree.text(name)
    for match in INCLUDE.finditer(text):
        quote, target = match.groups()
        where = f"{name}:{text.count(chr(10), 0, match.start(1)) + 1}"
        top, slash, _ = target.partition("/")
        if quote == "<":
            if top == "imbrex" or top in rules and slash and tree.exists(f"src/{target}"):
                tree.problem(where, f"<{target}>: ours are included with quotes")
        elif not slash:
            if target != "config.h":
                tree.problem(where, f'"{target}" names no module: write "module/file.h"')
        elif top in ("imbrex", module):
            pass
        elif module is None:
            tree.problem(where, f'"{target}": a public header includes public headers only')
        elif top not in rules:
            tree.problem(where, f'"{target}" is of no module that {RULES} lists')
        elif top not in rules[module]:
            tree.problem(where, f'"{target}": {module} may not include {top} ({RULES})')
        else:
            used[module].add(top)


def check_shown(tree, rules):
    """The table of the architecture says the same."""
    rows = {m.group(1): set(m.group(2).split()) - {"nothing"}
            for m in re.finditer(r"^\| `(\w+)` \|.*\| ([\w ]+) \|$", tree.text(SHOWN), re.M)}
    for module in sorted(set(rules) | set(rows)):
        if rows.get(module) != rules.get(module):
            tree.problem(SHOWN, f"the row of {module} and {RULES} differ")


def main():
    tree = house.House(sys.argv[1])
    rules = read_rules(tree)
    used = {module: set() for module in rules}
    for name in tree.files(".c", ".h", under=("src/", "include/")):
        tree.checked += 1
        parts = name.split("/")
        module = parts[1] if parts[0] == "src" else None
        if module is not None and module not in rules:
            tree.problem(name, f"its module is not listed in {RULES}")
            continue
        check_file(tree, name, module, rules, used)
    check_shown(tree, rules)
    for module, allowed in rules.items():
        idle = allowed - used[module]
        if idle:
            tree.problem(RULES, f"{module} is allowed {' '.join(sorted(idle))}, which it does not "
                         "include: take it away")
    tree.finish("files")


main()
