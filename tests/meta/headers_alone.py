#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Does every header compile alone: ours as gnu17, the public ones as C11, C17 and C++ too?

usage: headers_alone.py SOURCE BUILD
"""
import concurrent.futures
import os
import shlex
import shutil
import subprocess
import sys

import house

WARNINGS = ["-Wall", "-Wextra", "-Werror", "-Wno-unused-parameter",
            "-Wno-unused-function", "-Wno-unused-const-variable", "-fsyntax-only"]


def commands(tree, build, name):
    """(what, compiler call reading the source from stdin)"""
    include = ["-I" + tree.path("include")]
    cc = shlex.split(os.environ.get("CC", "cc"))
    if name.startswith("src/"):
        yield "gnu17", cc + ["-x", "c", "-std=gnu17", "-D_GNU_SOURCE", "-D_FILE_OFFSET_BITS=64",
                             "-I" + tree.path("src"), "-I" + build] + include + WARNINGS
        return
    for std in ("c11", "c17"):
        yield std, cc + ["-x", "c", "-std=" + std, "-Wpedantic"] + include + WARNINGS
    for cxx in ("g++", "clang++"):
        if shutil.which(cxx):
            yield "C++11", [cxx, "-x", "c++", "-std=c++11", "-Wpedantic"] + include + WARNINGS
            return


def compile_alone(tree, build, name):
    header = name.split("/", 1)[1]
    # Twice, for the include guard.
    source = f'#include "{header}"\n#include "{header}"\nextern int alone;\n'
    problems = []
    for what, command in commands(tree, build, name):
        done = subprocess.run(command + ["-"], input=source, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, check=False)
        if done.returncode != 0:
            problems.append(f"does not compile alone as {what}:\n{done.stdout}")
    return name, problems


def main():
    tree = house.House(sys.argv[1])
    if not shutil.which(shlex.split(os.environ.get("CC", "cc"))[0]):
        house.skip("there is no C compiler")
    names = tree.files(".h", under=("src/", "include/"))
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for name, problems in pool.map(lambda n: compile_alone(tree, sys.argv[2], n), names):
            tree.checked += 1
            for what in problems:
                tree.problem(name, what)
    tree.finish("headers")


main()
