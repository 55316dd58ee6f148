#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Is the tree free of what belongs to one machine: its paths, its package mirrors, its proxies?

usage: places.py SOURCE
"""
import os
import re
import shutil
import subprocess
import sys
import urllib.parse

import house

# Folders that are one machine's. Written so that this file does not match.
PATHS = re.compile(r"(?<![\w.$}/-])/(?:wor[k]|User[s])/[\w.-]+")
PUBLIC = ("debian.org", "localhost")


def hosts_of_this_machine():
    """Hosts this machine fetches from, unless they are the public ones."""
    urls = [v for k, v in os.environ.items() if k.lower() in ("http_proxy", "https_proxy",
                                                              "all_proxy")]
    if shutil.which("apt-get"):
        urls += subprocess.run(["apt-get", "indextargets", "--format", "$(REPO_URI)"],
                               stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
                               check=False).stdout.split()
    if shutil.which("apt-config"):
        urls += re.findall(r'"(https?://[^"]+)"', subprocess.run(
            ["apt-config", "dump"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
            check=False).stdout)
    hosts = {urllib.parse.urlsplit(u).hostname for u in urls}
    return sorted(h for h in hosts if h and not h.endswith(PUBLIC) and not h.startswith("127."))


def main():
    tree = house.House(sys.argv[1])
    hosts = hosts_of_this_machine()
    for name in tree.files(data=True):
        tree.checked += 1
        text = tree.text(name)
        binary = "\0" in text
        for host in hosts:
            if host in text:
                tree.problem(name, "names a package mirror or proxy of this machine")
        if binary or "/corpus/" in name:
            continue
        if len(tree.root) > len("/tmp/x") and tree.root in text:
            tree.problem(name, f"names {tree.root}, where this tree happens to lie")
        for match in PATHS.finditer(text):
            tree.problem(f"{name}:{text.count(chr(10), 0, match.start()) + 1}",
                         f"{match.group()} is a path of one machine")
    tree.finish("files")


main()
