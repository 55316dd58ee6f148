#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Does libimbrex.so export exactly the functions that include/imbrex declares, each documented?

usage: symbols.py SOURCE BUILD
"""
import os
import re
import shutil
import subprocess
import sys

import house


def library(build):
    for base, _, files in os.walk(build):
        for f in sorted(files):
            path = os.path.join(base, f)
            if re.fullmatch(r"libimbrex\.so(\.\d+)*", f) and not os.path.islink(path):
                return path
    return None


def declared(tree):
    functions = {}
    for name in tree.files(".h", under=("include/",)):
        text = tree.text(name)
        code = house.code_of(text)
        # Leaves types, function pointers and attributes out.
        code = re.sub(r"__attribute__\s*\(\(.*?\)\)", " ", code, flags=re.S)
        code = re.sub(r"\b(?:struct|enum)\s+\w+\s*\{[^{}]*(?:\{[^{}]*\}[^{}]*)*\}[^;]*;", " ", code)
        for match in re.finditer(r"\b(imbrex_\w+)\s*\(", code):
            if "typedef" in code[code.rfind(";", 0, match.start()) + 1:match.start()]:
                continue
            functions[match.group(1)] = name
    return functions


def main():
    tree = house.House(sys.argv[1])
    path = library(sys.argv[2])
    if not path:
        house.skip("libimbrex.so is not built here")
    if not shutil.which("nm"):
        house.skip("nm is not installed")
    out = subprocess.run(["nm", "--dynamic", "--defined-only", "--format=posix", path],
                         stdout=subprocess.PIPE, text=True, check=True).stdout
    exported = {line.split()[0].split("@")[0] for line in out.splitlines()
                if line.split()[1] not in ("A", "a")}
    functions = declared(tree)
    tree.checked = len(functions)
    for symbol in sorted(exported - set(functions)):
        tree.problem(os.path.basename(path), f"exports {symbol}, which no public header declares")
    for symbol in sorted(set(functions) - exported):
        tree.problem(functions[symbol], f"declares {symbol}, which the library does not export")
    tree.finish("functions")


main()
