# SPDX-License-Identifier: Apache-2.0
"""Three layers on each other, made through mounts as a build makes them, and what must be said of
each: the lists are written down here, not computed."""
import os
import shutil

LAYERS = ("lower", "middle", "upper")

# As `changes` prints them, sorted by path.
CHANGES = {
    "lower": ['Add "/away"', 'Add "/away/deep"', 'Add "/away/deep/file"', 'Add "/dir"',
              'Add "/dir/goes"', 'Add "/dir/stays"', 'Add "/empty"', 'Add "/file"', 'Add "/hard1"',
              'Add "/hard2"', 'Add "/link"', 'Add "/quiet"', 'Add "/quiet/file"'],
    "middle": ['Delete "/away"', 'Modify "/dir"', 'Add "/dir/comes"', 'Delete "/dir/goes"',
               'Delete "/empty"', 'Modify "/file"', 'Add "/new"', 'Add "/new/sub"',
               'Add "/new/sub/file"'],
    "upper": ['Add "/away"', 'Add "/away/other"', 'Modify "/dir"', 'Add "/dir/more"',
              'Modify "/dir/stays"', 'Add "/empty"', 'Delete "/link"'],
}
# As a tar names them, sorted.
MEMBERS = {
    "lower": ["away/", "away/deep/", "away/deep/file", "dir/", "dir/goes", "dir/stays", "empty/",
              "file", "hard1", "hard2", "link", "quiet/", "quiet/file"],
    "middle": [".wh.away", ".wh.empty", "dir/", "dir/.wh.goes", "dir/comes", "file", "new/",
               "new/sub/", "new/sub/file"],
    "upper": [".wh.link", "away/", "away/other", "dir/", "dir/more", "dir/stays", "empty"],
}


def sort_changes(lines):
    return sorted(lines, key=lambda line: line.split(" ", 1)[1])


def make_lower(case, root):
    for name in ("away", "away/deep", "dir", "empty", "quiet"):
        os.mkdir(os.path.join(root, name))
    for name in ("away/deep/file", "dir/goes", "dir/stays", "file", "hard1", "quiet/file"):
        case.write(root, name, data=name.encode() * 10)
    os.link(root + "/hard1", root + "/hard2")
    os.symlink("file", root + "/link")


def make_middle(case, root):
    shutil.rmtree(root + "/away")
    os.rmdir(root + "/empty")
    os.unlink(root + "/dir/goes")
    case.write(root, "dir/comes")
    case.write(root, "file", data=b"changed", mtime=5)
    os.makedirs(root + "/new/sub")
    case.write(root, "new/sub/file")


def make_upper(case, root):
    os.mkdir(root + "/away")
    case.write(root, "away/other")
    os.chmod(root + "/dir/stays", 0o600)
    case.write(root, "dir/more")
    os.unlink(root + "/link")
    case.write(root, "empty", data=b"now a file")


def make(case, store, made=None):
    """The three layers, by their names as ids."""
    parent = ""
    for name, fill in zip(LAYERS, (make_lower, make_middle, make_upper)):
        store.layer("-i", name, parent)
        fill(case, store.mount(name))
        store.umount(name)
        parent = name
        if made:
            made(name)
