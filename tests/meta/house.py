# SPDX-License-Identifier: Apache-2.0
"""What the tests of this folder share: which files there are, and how a result is reported."""
import os
import subprocess
import sys

SKIP = 77
# Captured from real programs or made to be odd: input, not our text.
DATA = ("tests/fuzz/corpus/", "/vectors/", "/expect/", "/goldens/")


class House:
    """The source tree at `root`, and the problems found in it."""

    def __init__(self, root):
        self.root = os.path.abspath(root)
        self.problems = []
        self.checked = 0

    def path(self, name):
        return os.path.join(self.root, name)

    def files(self, *suffixes, under=("",), data=False):
        """Names of our files, sorted: tracked by git or about to be; without test data."""
        names = self.listing()
        return sorted(n for n in names
                      if (not suffixes or n.endswith(suffixes)) and n.startswith(tuple(under)) and
                      (data or not any(d in n for d in DATA)) and os.path.isfile(self.path(n)))

    def listing(self):
        git = None
        if os.path.exists(self.path(".git")):
            git = subprocess.run(
                ["git", "-c", "safe.directory=*", "-C", self.root, "ls-files", "-z", "--cached",
                 "--others", "--exclude-standard"], stdout=subprocess.PIPE, check=False)
        if git and git.returncode == 0:
            return [n.decode("utf-8", "surrogateescape") for n in git.stdout.split(b"\0") if n]
        names = []
        for base, dirs, files in os.walk(self.root):
            dirs[:] = [d for d in dirs if d not in (".git", "__pycache__") and
                       not d.startswith("build")]
            names += [os.path.relpath(os.path.join(base, f), self.root) for f in files]
        return names

    def scripts(self, interpreter):
        """Files of any name whose first line names `interpreter`."""
        result = []
        for name in self.files():
            with open(self.path(name), "rb") as f:
                first = f.readline(200)
            if first.startswith(b"#!") and interpreter.encode() in first:
                result.append(name)
        return result

    def exists(self, name):
        return os.path.exists(self.path(name))

    def text(self, name):
        with open(self.path(name), encoding="utf-8", errors="surrogateescape") as f:
            return f.read()

    def problem(self, where, what):
        self.problems.append(f"{where}: {what}")

    def finish(self, what):
        """Exit: 0 if all of the `what` that were looked at are well."""
        for line in self.problems:
            print(line)
        if self.problems:
            sys.exit(f"{len(self.problems)} problems in {self.checked} {what}")
        if not self.checked:
            sys.exit(f"there are no {what} to check: the test looks in the wrong place")
        print(f"{self.checked} {what} are well")
        sys.exit(0)


def skip(reason):
    print(f"skipped: {reason}")
    sys.exit(SKIP)


def line_comments(text):
    """Numbers of the lines that have a // comment."""
    found = []
    code_of(text, found)
    return found


def code_of(text, found_line_comments=None):
    """C text with comments, strings and characters blanked, lines kept."""
    out = []
    i, n = 0, len(text)
    while i < n:
        two = text[i:i + 2]
        if two == "/*":
            end = text.find("*/", i + 2)
            end = n if end < 0 else end + 2
        elif two == "//":
            end = text.find("\n", i)
            end = n if end < 0 else end
            if found_line_comments is not None:
                found_line_comments.append(text.count("\n", 0, i) + 1)
        elif text[i] in "\"'":
            end = i + 1
            while end < n and text[end] != text[i] and text[end] != "\n":
                end += 2 if text[end] == "\\" else 1
            end = min(end + 1, n)
        else:
            out.append(text[i])
            i += 1
            continue
        out.append("".join("\n" if c == "\n" else " " for c in text[i:end]))
        i = end
    return "".join(out)
