#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Are calls, words and forms that the house does not use absent from the sources?

usage: banned.py SOURCE
"""
import re
import sys

import house

# Everywhere in our C, tests as well.
CALLS = {
    "sprintf": "snprintf or struct str",
    "vsprintf": "vsnprintf or struct str",
    "strcpy": "memcpy with a length, or struct str",
    "stpcpy": "memcpy with a length, or struct str",
    "strcat": "struct str",
    "strtok": "strchrnul or strsep",
    "strtok_r": "strchrnul or strsep",
    "gets": "getline",
    "alloca": "the heap",
    "atoi": "strtol with its errors",
    "basename": "strrchr",
    "dirname": "strrchr",
    "popen": "os/proc.h",
    "tmpnam": "mkstemp",
    "tempnam": "mkstemp",
    "mktemp": "mkstemp",
}
# In src/ as well.
LIBRARY_CALLS = {
    "strncpy": "memcpy with a length, or struct str",
    "strncat": "struct str",
    "atol": "a parser that reports errors",
    "atoll": "a parser that reports errors",
    "atof": "a parser that reports errors",
    "system": "os/proc.h",
    "printf": "nothing: the library does not print",
    "puts": "nothing: the library does not print",
    "putchar": "nothing: the library does not print",
    "perror": "fail_errno",
    "exit": "an error status",
    "abort": "an error status, or assert for our own mistakes",
    "chdir": "file descriptors",
    "fchdir": "file descriptors",
    "umask": "fchmod after creation",
    "setenv": "the environment of the child",
    "unsetenv": "the environment of the child",
    "putenv": "the environment of the child",
    "setlocale": "nothing: the library leaves the process as it is",
    "signal": "nothing: the library leaves the process as it is",
    "gethostbyname": "libcurl",
    "rand": "getrandom",
    "srand": "getrandom",
    "strerror": "fail_errno (strerror is not thread safe)",
    "localtime": "localtime_r",
    "gmtime": "gmtime_r",
    "getpwnam": "getpwnam_r",
    "getpwuid": "getpwuid_r",
    "getgrnam": "getgrnam_r",
    "getgrgid": "getgrgid_r",
}
# Where a call is right after all, by the start of the file's name.
ALLOWED = {
    # A child that was forked to make a mount.
    "src/os/mountfd.c": {"chdir"},
    # Needs a process with one thread; the rest happens in its children.
    "src/run/": {"umask", "chdir", "fchdir", "exit", "signal", "setenv", "getpwuid"},
    # Called before any thread exists.
    "src/store/rootless.c": {"getpwuid"},
    # A program of its own.
    "src/zfsmount/": {"umask"},
    # The command line owns its process.
    "src/cli/": {"printf", "puts", "putchar", "exit", "perror", "umask", "chdir", "setlocale",
                 "signal", "setenv", "unsetenv"},
}
# A while over an iterator may assign.
ASSIGNMENT = re.compile(r"\bif\s*\(\s*\(?\s*\w+\s*=[^=]")
WORDS = re.compile(r"(?<!`)\b(TODO|FIXME|XXX|HACK)\b(?!\(#\d+\))")
SPDX = "SPDX-License-Identifier: Apache-2.0"
COMMENT_SUFFIXES = (".c", ".h", ".py", ".sh", ".build", ".md", ".scd", ".txt", ".1", ".5")


def line_of(text, position):
    return text.count("\n", 0, position) + 1


def check_calls(tree, name, code, calls, allowed):
    for match in re.finditer(r"(?<![\w.>])(\w+)\s*\(", code):
        call = match.group(1)
        if call in calls and call not in allowed:
            before = code[:match.start()].rstrip()[-8:]
            if before.endswith(("*", "int", "void", "char")) and not before.endswith("return"):
                continue  # a declaration of something else
            tree.problem(f"{name}:{line_of(code, match.start())}",
                         f"{call}() is not used here; use {calls[call]}")


def check_c(tree, name):
    text = tree.text(name)
    code = house.code_of(text)
    calls = dict(CALLS)
    if name.startswith("src/"):
        calls.update(LIBRARY_CALLS)
    allowed = {call for prefix, some in ALLOWED.items() if name.startswith(prefix)
               for call in some}
    check_calls(tree, name, code, calls, allowed)
    for match in ASSIGNMENT.finditer(code):
        tree.problem(f"{name}:{line_of(code, match.start())}", "an assignment inside a condition")
    if not text.startswith(f"/* {SPDX} */\n"):
        tree.problem(f"{name}:1", "the first line is not the SPDX line")
    for line in house.line_comments(text):
        tree.problem(f"{name}:{line}", "a // comment")


def main():
    tree = house.House(sys.argv[1])
    for name in tree.files(".c", ".h"):
        check_c(tree, name)
    for name in tree.files():
        if name == "tests/meta/banned.py" or not name.endswith(COMMENT_SUFFIXES):
            continue
        tree.checked += 1
        text = tree.text(name)
        for match in WORDS.finditer(text):
            tree.problem(f"{name}:{line_of(text, match.start())}",
                         f"{match.group(1)} without the number of an issue")
        if name.endswith((".py", ".sh")) and SPDX not in text[:200]:
            tree.problem(name, "has no SPDX line")
        if not text.endswith("\n") and text:
            tree.problem(name, "does not end with a newline")
        for number, line in enumerate(text.splitlines(), 1):
            if line != line.rstrip() and not name.endswith(".md"):
                tree.problem(f"{name}:{number}", "white space at the end of the line")
    tree.finish("files")


main()
