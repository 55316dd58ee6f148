#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Do option tables, --help and man pages name the same options and verbs?

The tables are read from the fish completion, which is generated from them. The plumbing face has
tables of its own: what its usages show is held against its one man page, command by command.

usage: options.py SOURCE BUILD
"""
import os
import re
import shlex
import subprocess
import sys

import house


def output(program, *args):
    return subprocess.run([program, *args], stdout=subprocess.PIPE, text=True, check=True).stdout


def tables(program):
    """{verb: {"--name", "-n"}}; the verb None has the global options."""
    found = {None: set()}
    for line in output(program, "completion", "fish").splitlines():
        words = shlex.split(line)
        if not words or words[0] != "complete":
            continue
        condition = words[words.index("-n") + 1] if "-n" in words else ""
        verb = None
        if condition == "__fish_use_subcommand":
            found.setdefault(words[words.index("-a") + 1], set())
            continue
        if condition:
            verb = condition.split()[-1]
        options = found.setdefault(verb, set())
        if "-l" in words:
            options.add("--" + words[words.index("-l") + 1])
            if "-s" in words:
                options.add("-" + words[words.index("-s") + 1])
    return found


def help_options(text):
    """Options of the verb and, apart, the global ones."""
    own, rest = re.split(r"^(?:Global options|Options, before or after the verb):$", text,
                         maxsplit=1, flags=re.M)
    pattern = re.compile(r"^  (?:(-\w), |    )(--[a-z-]+)", re.M)
    return tuple({o for pair in pattern.findall(part) for o in pair if o} for part in (own, rest))


def page_options(text):
    section = re.search(r"^# OPTIONS\n(.*?)(?=^# )", text, re.M | re.S)
    found = set()
    for line in section.group(1).splitlines() if section else []:
        if line.startswith("*-"):
            found.update(re.findall(r"\*(--?[a-z-]+)\*", line))
    return found


def compare(tree, where, want, have):
    for option in sorted(want - have):
        tree.problem(where, f"option {option} is missing")
    for option in sorted(have - want):
        tree.problem(where, f"option {option} does not exist")


def check_order(tree, page, text):
    sections = re.findall(r"^# (.*)$", text, re.M)
    if sections[:3] != ["NAME", "SYNOPSIS", "EXAMPLES"]:
        tree.problem(page, "the first sections are not NAME, SYNOPSIS, EXAMPLES")
    for need in ("OPTIONS", "EXIT STATUS", "SEE ALSO"):
        if need not in sections:
            tree.problem(page, f"section {need} is missing")


def usage_flags(text):
    return {o for line in re.findall(r"^  (-\S.*?)(?:   |$)", text, re.M)
            for o in re.findall(r"(?:^|, )(--?[\w-]+)", line)}


def plumbing_page(text):
    """{name of a command: (flags that its entry names, all its names)}, flags of other sections."""
    entries = {}
    commands = re.search(r"^# COMMANDS\n(.*?)(?=^# )", text, re.M | re.S).group(1)
    for names, entry in re.findall(r"^(\*[a-z].*)\n((?:\t.*\n)+)", commands, re.M):
        names = re.findall(r"\*([a-z-]+)\*", names)
        entries[names[0]] = (page_flags(entry), names)
    sections = {name: page_flags(body) for name, body in
                re.findall(r"^# ([A-Z ]+)\n(.*?)(?=^# |\Z)", text, re.M | re.S)}
    for name, (flags, _) in entries.items():
        entry = re.search(rf"^\*{name}\*.*\n\t(.*)", commands, re.M).group(1)
        if "IDENTITY MAPS" in entry:
            flags |= sections["IDENTITY MAPS"]
    return entries, sections["OPTIONS"]


def page_flags(text):
    return set(re.findall(r"\*(--?[a-zA-Z][a-z0-9-]*)\*", text))


def check_plumbing(tree, program):
    page = "man/imbrex-storage.1.scd"
    check_order(tree, page, tree.text(page))
    entries, common = plumbing_page(tree.text(page))

    def usage(*args):
        return subprocess.run([program, "storage", *args, "--help"], stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, check=False).stdout
    whole = usage()
    compare(tree, page, usage_flags(whole) | {"-h"}, common)
    listed = set(re.findall(r"^  ([a-z][a-z-]+) +\w", whole.split("Options:")[0], re.M))
    compare(tree, page + ", commands", listed, set(entries))
    for name in sorted(listed & set(entries)):
        tree.checked += 1
        flags, names = entries[name]
        own = usage_flags(usage(name)) - usage_flags(whole)
        compare(tree, f"{page}, {name}", own, flags)
        for alias in names[1:]:
            tree.checked += 1
            if f"Usage: containers-storage {name} " not in usage(alias):
                tree.problem(page, f"{alias} is not {name}")


def check_enroot(tree, program):
    """Every option that a command's usage shows is in the page, and the reverse."""
    page = "man/imbrex-enroot.1.scd"
    text = tree.text(page)
    check_order(tree, page, text)
    shown = set()
    commands = re.findall(r"(?m)^    ([a-z]+) +\w", output(program, "enroot", "help"))
    for name in commands:
        shown |= set(re.findall(r"(?:^   |, )(--?[a-z][a-z-]*)(?=,|  )",
                                output(program, "enroot", name, "--help"), re.M))
        tree.checked += 1
        if f"*{name}*" not in text:
            tree.problem(page, f"command {name} is missing")
    compare(tree, page, shown | {"--help", "-h"},
            page_flags(re.search(r"^# OPTIONS\n(.*?)(?=^# )", text, re.M | re.S).group(1)))


def check_verb(tree, program, verb, tables_):
    page = f"man/{program_name(program)}-{verb}.1.scd"
    text = output(program, verb, "--help")
    own, common = help_options(text)
    compare(tree, f"{verb} --help", tables_[verb], own)
    compare(tree, f"{verb} --help, global options", tables_[None], common)
    if text != output(program, "help", verb):
        tree.problem(f"help {verb}", f"differs from {verb} --help")
    if not tree.exists(page):
        tree.problem(page, "the man page is missing")
        return
    check_order(tree, page, tree.text(page))
    compare(tree, page, tables_[verb], page_options(tree.text(page)))
    for name in re.findall(r"imbrex-([a-z]+)\(1\)", tree.text(page)):
        if name not in tables_:
            tree.problem(page, f"refers to imbrex-{name}(1), which does not exist")


def program_name(program):
    return os.path.basename(program)


def driver_options(tree, name):
    """Keys that the source of a driver takes; those that are only refused need no words."""
    found = set()
    for source in tree.files(".c", under=(f"src/driver/{name}",)):
        for table in re.findall(r"struct option_key \w+_keys\[\] = \{(.*?)^\};", tree.text(source),
                                re.M | re.S):
            found |= {key for key, fn in re.findall(r'\{ "(\w+)", (\w+),', table)
                      if not fn.startswith("refuse")}
    return found


def check_drivers(tree):
    """Every driver's page, held against the driver's own table of options."""
    pages = tree.files(".7.scd", under=("man/imbrex-driver-",))
    for page in pages:
        tree.checked += 1
        name = page[len("man/imbrex-driver-"):-len(".7.scd")]
        text = tree.text(page)
        sections = re.findall(r"^# ([A-Z ]+)$", text, re.M)
        want = ["NAME", "SYNOPSIS", "DESCRIPTION", "IMPLEMENTATION", "LAYOUT", "RUN TIME",
                "CONFIGURATION", "LIMITS", "DEBUGGING", "RECOVERY BY HAND", "SEE ALSO"]
        if sections != want:
            tree.problem(page, f"its sections are not {', '.join(want)}")
            continue
        words = re.search(r"^# CONFIGURATION\n(.*?)(?=^# LIMITS)", text, re.M | re.S).group(1)
        have = {key for line in re.findall(r"^\*\w+\*.*$", words, re.M)
                for key in re.findall(r"\*(\w+)\*", line)}
        compare(tree, page, driver_options(tree, name), have)
        if page[len("man/"):-len(".scd")] not in tree.text("man/meson.build"):
            tree.problem(page, "man/meson.build does not name it")


def main():
    tree = house.House(sys.argv[1])
    program = os.path.join(sys.argv[2], "imbrex")
    if not os.path.exists(program):
        house.skip("the program is not built")
    found = tables(program)
    text = output(program, "--help")
    page = "man/imbrex.1.scd"
    compare(tree, "--help", found[None], help_options(text)[1])
    compare(tree, page, found[None], page_options(tree.text(page)))
    verbs = set(found) - {None}
    listed = set(re.findall(r"^  ([a-z]+) +\w", text, re.M))
    compare(tree, "--help, verbs", verbs, listed)
    compare(tree, page + ", verbs", verbs,
            set(re.findall(r"imbrex-([a-z]+)\(1\)\.$", tree.text(page), re.M)))
    pages = {n[len("man/imbrex-"):-len(".1.scd")] for n in tree.files(".1.scd", under=("man/",))
             if n.startswith("man/imbrex-")}
    compare(tree, "man", verbs, pages)
    for verb in sorted(verbs - {"storage", "enroot"}):
        tree.checked += 1
        check_verb(tree, program, verb, found)
    check_plumbing(tree, program)
    check_drivers(tree)
    check_enroot(tree, program)
    tree.finish("verbs")


main()
