#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What do the checkers of other projects say about our sources?

usage: tools.py SOURCE clang-format|codespell|mandoc|python|shellcheck
"""
import ast
import re
import shutil
import subprocess
import sys

import house

# Words that are right here: names of APIs, formats and test data.
SPELLED = ["crate", "fpr", "inout", "nd", "ot", "readd", "sav", "te", "ths", "uint", "ue", "whats"]


def need(program):
    if not shutil.which(program):
        house.skip(f"{program} is not installed")


def run(tree, command, **more):
    return subprocess.run(command, cwd=tree.root, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, errors="replace", check=False,
                          **more)


def clang_format(tree):
    need("clang-format")
    version = run(tree, ["clang-format", "--version"]).stdout
    major = re.search(r"version (\d+)", version)
    if not major or major.group(1) != "14":
        house.skip("clang-format is not version 14, whose style this is")
    names = tree.files(".c", ".h")
    tree.checked = len(names)
    out = run(tree, ["clang-format", "--dry-run", "--Werror"] + names).stdout
    bad = sorted(set(re.findall(r"^([^:\n]+):\d+:\d+: error", out, re.M)))
    for name in bad:
        first = re.search(re.escape(name) + r":(\d+):", out).group(1)
        tree.problem(f"{name}:{first}", "is not formatted: make format")


def codespell(tree):
    need("codespell")
    names = tree.files()
    tree.checked = len(names)
    done = run(tree, ["codespell", "-L", ",".join(SPELLED), "--"] + names)
    for line in done.stdout.splitlines():
        if "==>" in line:
            tree.problem(*line.split(": ", 1))


def mandoc(tree):
    need("scdoc")
    need("mandoc")
    names = tree.files(".scd", under=("man/",))
    if not names:
        house.skip("there are no man pages")
    for name in names:
        tree.checked += 1
        page = run(tree, ["scdoc"], input=tree.text(name))
        if page.returncode != 0:
            tree.problem(name, page.stdout.strip())
            continue
        lint = run(tree, ["mandoc", "-T", "lint", "-W", "warning"], input=page.stdout)
        for line in lint.stdout.splitlines():
            # scdoc leaves the date out where it cannot be told, and is generous with paragraphs.
            if "missing date" not in line and "skipping paragraph macro" not in line:
                tree.problem(name, line)


def python(tree):
    names = sorted(set(tree.files(".py") + tree.scripts("python3")))
    for name in names:
        tree.checked += 1
        try:
            ast.parse(tree.text(name), name)
        except SyntaxError as error:
            tree.problem(f"{name}:{error.lineno}", error.msg)


def shellcheck(tree):
    need("shellcheck")
    names = sorted(set(tree.files(".sh") + tree.scripts("sh")))
    tree.checked = len(names)
    done = run(tree, ["shellcheck", "--format=gcc", "--"] + names)
    for line in done.stdout.splitlines():
        tree.problem(*line.split(" ", 1))


CHECKS = {"clang-format": clang_format, "codespell": codespell, "mandoc": mandoc,
          "python": python, "shellcheck": shellcheck}


def main():
    tree = house.House(sys.argv[1])
    CHECKS[sys.argv[2]](tree)
    tree.finish("files")


main()
