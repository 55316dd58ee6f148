#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A user who may not mount mounts the own datasets by enroot-zfs-mount, and no others, nowhere else.

usage: mount_helper.py ENROOT-ZFS-MOUNT

Below the dataset IMBREX_ZFS, whose directory is the data path; writes /etc/enroot, so it is for the
virtual machine only.
"""
import os
import shutil
import struct
import subprocess
import sys
import tempfile
import unittest

UID, USER = 1000, "imbrex-joe"
CONFIG = "/etc/enroot/enroot.conf"
STORE = os.environ.get("IMBREX_ZFS", "")
DATA = os.environ.get("IMBREX_ZFS_ROOT", "")
POOL = STORE.split("/", maxsplit=1)[0]
# VFS_CAP_REVISION_2, permitted CAP_SYS_ADMIN and not in effect: linux/capability.h.
CAPABILITY = struct.pack("<5I", 0x02000000, 1 << 21, 0, 0, 0)


def run(*argv, user=True, env=None):
    """(status, stderr), as the user; stdout of all of this has nothing to say."""
    done = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False,
                          env=env or {"LC_ALL": "C", "PATH": os.environ["PATH"]},
                          **({"user": UID, "group": UID, "extra_groups": []} if user else {}))
    return done.returncode, done.stderr.strip()


def zfs(*argv):
    return subprocess.run(["zfs", *argv], check=True, stdout=subprocess.PIPE, text=True).stdout


def mounts(dataset):
    """{mount point: options of the mount} of a dataset."""
    with open("/proc/self/mountinfo", encoding="utf-8") as f:
        lines = [line.split() for line in f]
    return {w[4]: w[5].split(",") for w in lines if w[w.index("-") + 2] == dataset}


class MountHelper(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.temp = tempfile.mkdtemp(dir="/scratch")
        os.chmod(cls.temp, 0o755)
        cls.plain = shutil.copy(sys.argv_program, f"{cls.temp}/plain")
        cls.helper = shutil.copy(sys.argv_program, f"{cls.temp}/enroot-zfs-mount")
        os.setxattr(cls.helper, "security.capability", CAPABILITY)
        os.makedirs(os.path.dirname(CONFIG), exist_ok=True)
        with open(CONFIG, "w", encoding="ascii") as f:
            f.write(f'ENROOT_RUNTIME_PATH /run/x\nENROOT_DATA_PATH "{DATA}"\n')
        os.chmod(CONFIG, 0o644)
        with open("/etc/passwd", "a", encoding="ascii") as f:
            f.write(f"{USER}:x:{UID}:{UID}::/:/bin/sh\n")
        os.chmod("/dev/zfs", 0o666)
        os.chmod(os.path.dirname(DATA), 0o755)
        os.chmod(DATA, 0o1777)
        zfs("allow", "-u", USER, "create,mount,destroy,canmount,mountpoint", STORE)

    @classmethod
    def tearDownClass(cls):
        zfs("unallow", "-r", "-u", USER, STORE)
        os.chmod(DATA, 0o755)
        os.unlink(CONFIG)
        shutil.rmtree(cls.temp)

    def own(self, name, *options):
        """A new dataset of the user."""
        status, said = run("zfs", "create", "-u", *options, f"{STORE}/{name}")
        self.assertEqual((status, said), (0, ""))
        self.addCleanup(self.clean, name)
        return f"{STORE}/{name}"

    @staticmethod
    def clean(name):
        zfs("destroy", "-f", f"{STORE}/{name}")
        if os.path.isdir(f"{DATA}/{name}"):
            os.rmdir(f"{DATA}/{name}")

    def refused(self, message, *argv, program=None):
        self.assertEqual(run(program or self.helper, *argv), (1, f"enroot-zfs-mount: {message}"))

    def test_own_dataset(self):
        mine = self.own("mine")
        marker = f"{self.temp}/marker"
        fake = f"{self.temp}/bin"
        os.mkdir(fake)
        with open(f"{fake}/zfs", "w", encoding="ascii") as f:
            f.write(f"#!/bin/sh\n: >{marker}\n")
        os.chmod(f"{fake}/zfs", 0o755)
        # Another zfs(8), another data path: neither is asked.
        env = {"PATH": fake, "ENROOT_DATA_PATH": "/tmp", "LD_PRELOAD": "/nonexistent.so"}
        self.assertEqual(run(self.helper, mine, env=env), (0, ""))
        self.assertFalse(os.path.exists(marker))
        found = mounts(mine)
        self.assertEqual(list(found), [f"{DATA}/mine"])
        self.assertLessEqual({"nosuid", "nodev", "rw"}, set(found[f"{DATA}/mine"]))
        self.assertEqual(run("touch", f"{DATA}/mine/file"), (0, ""))
        # Again: it is there already, and once only.
        self.assertEqual(run(self.helper, mine), (0, ""))
        self.assertEqual(len(mounts(mine)), 1)
        self.assertEqual(run(self.helper, "--unmount", mine), (0, ""))
        self.assertEqual(mounts(mine), {})
        self.assertEqual(run(self.helper, "--unmount", mine), (0, ""))
        # Below another one, where the directory is not there yet.
        deep = self.own("deep", "-o", f"mountpoint={DATA}/mine-not/deep")
        self.addCleanup(os.rmdir, f"{DATA}/mine-not")
        self.assertEqual(run(self.helper, deep), (0, ""))
        self.assertEqual(list(mounts(deep)), [f"{DATA}/mine-not/deep"])
        self.assertEqual(run(self.helper, "--unmount", deep), (0, ""))
        os.rmdir(f"{DATA}/mine-not/deep")

    def test_busy(self):
        mine = self.own("busy")
        self.assertEqual(run(self.helper, mine), (0, ""))
        with open(f"{DATA}/busy/file", "w", encoding="ascii"):
            self.refused("unmount 'busy': Device or resource busy", "--unmount", mine)
        self.assertEqual(run(self.helper, "--unmount", mine), (0, ""))

    def test_foreign_dataset(self):
        zfs("create", "-u", f"{STORE}/foreign")
        self.addCleanup(self.clean, "foreign")
        said = f"dataset {STORE}/foreign belongs to user 0, not to user {UID}"
        self.refused(said, f"{STORE}/foreign")
        self.assertEqual(mounts(f"{STORE}/foreign"), {})
        # Mounted by its owner, it is not this user's to unmount.
        self.assertEqual(run(self.helper, f"{STORE}/foreign", user=False), (0, ""))
        self.refused(said, "--unmount", f"{STORE}/foreign")
        self.assertEqual(list(mounts(f"{STORE}/foreign")), [f"{DATA}/foreign"])
        self.assertEqual(run(self.helper, "--unmount", f"{STORE}/foreign", user=False), (0, ""))

    def test_foreign_directory(self):
        # What somebody else has is not hidden behind a mount.
        os.mkdir(f"{DATA}/taken", 0o755)
        mine = self.own("taken")
        self.refused(f"directory {DATA}/taken belongs to user 0, not to user {UID}", mine)

    def test_elsewhere(self):
        mine = self.own("elsewhere")
        for place, said in (
                ("/mnt/x", f"mountpoint /mnt/x is not under {DATA}"),
                (f"{DATA}x/y", f"mountpoint {DATA}x/y is not under {DATA}"),
                (DATA, f"mountpoint {DATA} is not under {DATA}"),
                ("legacy", f"could not get mountpoint of {mine} (is it set to a path?)")):
            zfs("set", "-u", f"mountpoint={place}", mine)
            self.refused(said, mine)
        zfs("set", "-u", f"mountpoint={DATA}/elsewhere", mine)
        zfs("set", "canmount=off", mine)
        self.refused(f"dataset {mine} has canmount=off", mine)

    def test_links(self):
        mine = self.own("link")
        os.symlink("/etc", f"{DATA}/link")
        self.addCleanup(os.unlink, f"{DATA}/link")
        status, said = run(self.helper, mine)
        self.assertEqual(status, 1)
        self.assertIn("create directory 'link'", said)
        self.assertEqual(mounts(mine), {})
        zfs("set", "-u", f"mountpoint={DATA}/link/imbrex", mine)
        status, said = run(self.helper, mine)
        self.assertEqual(status, 1)
        self.assertFalse(os.path.exists("/etc/imbrex"))

    def test_names(self):
        for name in (f"{STORE}/../x", f"{STORE}/a@b", f"{STORE}/a;id", f"{STORE}/$(id)"):
            status, said = run(self.helper, name)
            self.assertEqual(status, 1)
            self.assertIn("is no name of a ZFS dataset", said)
        zfs("create", "-u", f"{POOL}/outside")
        self.addCleanup(zfs, "destroy", f"{POOL}/outside")
        self.refused(f"dataset {POOL}/outside is not under {STORE}", f"{POOL}/outside")
        self.refused(f"dataset {STORE} is not under {STORE}", STORE)
        status, said = run(self.helper, f"{STORE}/missing")
        self.assertEqual(status, 1)
        self.assertIn("does not exist", said)
        self.assertEqual(run(self.helper)[0], 2)
        self.assertEqual(run(self.helper, "--unmount", "a", "b")[0], 2)

    def test_privileges(self):
        mine = self.own("plain")
        self.refused("it has no capability to mount\nhint: as root: setcap cap_sys_admin+p "
                     "PATH-OF-THIS-PROGRAM", mine, program=self.plain)
        os.chmod(CONFIG, 0o666)
        self.addCleanup(os.chmod, CONFIG, 0o644)
        self.refused(f"{CONFIG}: it must be a file that only root can change (owner 0, mode 0644)",
                     mine)


if __name__ == "__main__":
    if not STORE or not os.path.exists("/run/vm"):
        print("skipped: it is for the virtual machine, below tests/vm/onzfs")
        sys.exit(77)
    sys.argv_program = sys.argv.pop(1)
    unittest.main(verbosity=2)
