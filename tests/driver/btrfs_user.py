#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Does btrfs work for an unprivileged user, whether he may destroy subvolumes or not?

usage: tests/loopfs [--options user_subvol_rm_allowed] btrfs tests/driver/btrfs_user.py IMBREX LAYOUTS
"""
import os
import shutil
import subprocess
import sys

IMBREX, LAYOUTS = (os.path.abspath(a) for a in sys.argv[1:3])
BASE = os.environ["IMBREX_LOOPFS"]
USER = 12345


def execute(*argv, status=0, **more):
    p = subprocess.run(argv, capture_output=True, text=True, check=False, **more)
    if p.returncode != status:
        sys.exit(f"{' '.join(argv)}: {p.returncode}\n{p.stdout}{p.stderr}")
    return p.stdout.strip(), p.stderr


def imbrex(*words, status=0):
    home = BASE + "/home"
    env = {"PATH": os.environ["PATH"], "HOME": home, "XDG_RUNTIME_DIR": home,
           "CONTAINERS_STORAGE_CONF": "/dev/null"}
    return execute(IMBREX, "--root", home + "/root", "--runroot", home + "/run", "--driver", "btrfs",
                   *words, status=status, env=env, user=USER, group=USER, extra_groups=[])


def subvolumes():
    return len(execute("btrfs", "subvolume", "list", BASE)[0].splitlines())


def expect(what, have, want):
    if have != want:
        sys.exit(f"{what}: {have!r} instead of {want!r}")


def main():
    if not shutil.which("btrfs"):
        print("skipped: btrfs is not installed")
        sys.exit(77)
    os.mkdir(BASE + "/home", 0o700)
    os.chown(BASE + "/home", USER, USER)
    execute(sys.executable, "-B", LAYOUTS, BASE + "/layouts")
    execute("chmod", "-R", "a+rX", BASE + "/layouts")
    imbrex("pull", "-q", f"oci:{BASE}/layouts:one", "one")
    imbrex("create", "--name", "box", "one")
    layers = subvolumes()
    expect("subvolumes of an image and a container", layers > 2, True)
    tree = imbrex("mount", "box")[0]
    with open(tree + "/written", "w", encoding="utf-8") as f:
        f.write("by root")
    os.chown(tree + "/written", USER, USER)
    imbrex("umount", "box")
    # One in it, which he may not destroy without the mount option.
    os.chmod(tree, 0o755)
    execute("btrfs", "subvolume", "create", tree + "/nested", user=USER, group=USER)
    expect("its own subvolume", subvolumes(), layers + 1)
    expect("check", imbrex("check"), ("", ""))
    # Limits are root's.
    said = imbrex("storage", "create-container", "--storage-opt", "size=1g", "localhost/one:latest",
                  status=1)[1]
    if "only root may use quotas of btrfs" not in said:
        sys.exit(f"a limit is refused otherwise: {said}")
    imbrex("rm", "box")
    imbrex("rmi", "one")
    expect("what is left", (subvolumes(), os.listdir(BASE + "/home/root/btrfs/subvolumes")), (0, []))
    expect("garbage", imbrex("gc"), ("", ""))


main()
