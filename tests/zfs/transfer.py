#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Containers as ZFS streams: into files and back, and between two pools through a real ssh.

usage: transfer.py IMBREX ENROOT-ZFS-MOUNT [Transfer.TEST...]

The store is the dataset IMBREX_ZFS; the other machine is this one, reached through sshd on a port of
its own, where a program called enroot works on a second pool. For the virtual machine only.
"""
import hashlib
import os
import shutil
import struct
import subprocess
import sys
import time
import unittest

STORE = os.environ.get("IMBREX_ZFS", "")
DATA = os.environ.get("IMBREX_ZFS_ROOT", "")
WORK = "/scratch/transfer"
PEER_POOL, PEER_DATA = "imbrexpeer", f"{WORK}/peer"
PEER = f"{PEER_POOL}/store"
PORT = 2222
URI = f"zfs://root@localhost:{PORT}"
GO_ON = "[INFO] Going on where the stream was cut...\n"
KEPT = "[INFO] What has come is kept for a day: the same command goes on\n"


def sh(*argv, **more):
    return subprocess.run(argv, check=True, stdout=subprocess.PIPE, text=True, **more).stdout


def zfs(*argv):
    return sh("zfs", *argv)


def send(*argv):
    return subprocess.run(["zfs", "send", *argv], check=True, stdout=subprocess.PIPE).stdout


def names(dataset):
    """All that lies below a dataset, without what is always there."""
    found = zfs("list", "-H", "-r", "-t", "all", "-o", "name", dataset).split()
    short = [n[len(dataset) + 1:] for n in found[1:]]
    return [n for n in short if n not in (".templates", ".transfers")]


def enroot(*argv, data=DATA, user=None, **env):
    """(status, what it said); coloured it is not, since nobody looks."""
    done = subprocess.run(
        [sys.argv_program, "enroot", *argv], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True, check=False, cwd=WORK,
        env={"PATH": os.environ["PATH"], "HOME": "/root", "ENROOT_STORAGE_BACKEND": "zfs",
             "ENROOT_DATA_PATH": data, "IMBREX_ENROOT_CONF_DIR": f"{WORK}/none",
             "ENROOT_CACHE_PATH": f"{WORK}/cache-{user}", **env},
        **({"user": user, "group": user, "extra_groups": []} if user else {}))
    return done.returncode, done.stdout


def script(name, text):
    path = f"{WORK}/{name}"
    with open(path, "w", encoding="ascii") as f:
        f.write("#!/bin/bash\n" + text)
    os.chmod(path, 0o755)
    return path


def start_sshd():
    os.makedirs("/run/sshd", exist_ok=True)
    os.makedirs("/root/.ssh", mode=0o700, exist_ok=True)
    for name in ("host", "user"):
        sh("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", f"{WORK}/{name}")
    with open("/root/.ssh/config", "w", encoding="ascii") as f:
        f.write(f"Host localhost\nIdentityFile {WORK}/user\nStrictHostKeyChecking no\n"
                "UserKnownHostsFile /dev/null\nLogLevel ERROR\n")
    os.chmod("/root/.ssh/config", 0o600)
    with open(f"{WORK}/sshd_config", "w", encoding="ascii") as f:
        f.write(f"Port {PORT}\nListenAddress 127.0.0.1\nHostKey {WORK}/host\nUsePAM no\n"
                f"PermitRootLogin yes\nStrictModes no\nAuthorizedKeysFile {WORK}/user.pub\n"
                f"PidFile {WORK}/sshd.pid\n")
    sh("/usr/sbin/sshd", "-f", f"{WORK}/sshd_config")
    for _ in range(200):
        if os.path.exists(f"{WORK}/sshd.pid"):
            break
        time.sleep(0.05)  # until it listens; nothing tells when
    with open(f"{WORK}/sshd.pid", encoding="ascii") as f:
        return int(f.read())


class Transfer(unittest.TestCase):
    maxDiff = None

    @classmethod
    def setUpClass(cls):
        shutil.rmtree(WORK, ignore_errors=True)
        os.makedirs(PEER_DATA)
        sh("ip", "link", "set", "lo", "up")
        cls.sshd = start_sshd()
        sh("truncate", "-s", "300M", f"{WORK}/disk")
        sh("zpool", "create", "-m", "none", PEER_POOL, f"{WORK}/disk")
        zfs("create", "-o", f"mountpoint={PEER_DATA}", PEER)
        peer = script("enroot", "export ENROOT_STORAGE_BACKEND=zfs HOME=/root "
                      f"ENROOT_DATA_PATH={PEER_DATA} IMBREX_ENROOT_CONF_DIR={WORK}/none\n"
                      f"exec {sys.argv_program} enroot \"$@\"\n")
        shutil.copy(peer, "/usr/local/bin/enroot")
        # As the fork is: it knows nothing of what others have.
        cls.fork = script("fork", 'case "$*" in *--zfs-have*|*--zfs-status*|*--zfs-resume*) '
                          f'echo Usage; exit 1;; esac\nexec {peer} "$@"\n')
        cls.cut = script("cut", 'case "$*" in\n*--zfs-send*) set -o pipefail; ssh "$@" | head -c '
                         '3000000;;\n*--zfs-recv*) head -c 3000000 | ssh "$@";;\n'
                         '*) ssh "$@";;\nesac\n')
        # What an image is made of: 6 MB that do not compress, and a few words.
        zfs("create", "-o", f"mountpoint={WORK}/src", f"{PEER_POOL}/src")
        with open(f"{WORK}/src/big", "wb") as f:
            f.write(os.urandom(6 << 20))
        with open(f"{WORK}/src/words", "w", encoding="ascii") as f:
            f.write("first\n")
        zfs("snapshot", f"{PEER_POOL}/src@pristine")
        cls.stream = send(f"{PEER_POOL}/src@pristine")
        with open(f"{WORK}/base.zfs", "wb") as f:
            f.write(cls.stream)
        cls.key = hashlib.sha256(cls.stream).hexdigest()

    @classmethod
    def tearDownClass(cls):
        os.kill(cls.sshd, 15)
        sh("zpool", "destroy", "-f", PEER_POOL)
        os.unlink("/usr/local/bin/enroot")
        shutil.rmtree(WORK)

    def tearDown(self):
        for store, data in ((STORE, DATA), (PEER, PEER_DATA)):
            children = zfs("list", "-H", "-r", "-d", "1", "-t", "filesystem", "-o", "name", store)
            for name in reversed(children.split()[1:]):
                subprocess.run(["zfs", "destroy", "-R", "-f", name], check=False,
                               stderr=subprocess.DEVNULL)
            for name in os.listdir(data):
                if os.path.isdir(f"{data}/{name}"):
                    shutil.rmtree(f"{data}/{name}")

    def ok(self, *argv, **more):
        status, said = enroot(*argv, **more)
        self.assertEqual(status, 0, said)
        self.assertNotIn("[ERROR]", said)
        return said

    def refused(self, message, *argv, **more):
        status, said = enroot(*argv, **more)
        self.assertEqual(status, 1, said)
        self.assertEqual(said.splitlines()[-1], "[ERROR] " + message)
        return said

    def words(self, name, data=DATA):
        with open(f"{data}/{name}/words", encoding="ascii") as f, \
                open(f"{data}/{name}/big", "rb") as big:
            self.assertEqual(len(big.read()), 6 << 20)
            return f.read()

    def write(self, name, text, data=DATA):
        with open(f"{data}/{name}/words", "w", encoding="ascii") as f:
            f.write(text)

    def test_files(self):
        # What a container holds now goes into a file, and comes out of it.
        self.ok("create", "base.zfs")
        self.assertEqual(self.words("base"), "first\n")
        self.assertEqual(sorted(names(STORE)), sorted(
            [f".templates/{self.key}", f".templates/{self.key}@pristine", "base"]))
        for p, value in (("setuid", "off"), ("devices", "off"), ("canmount", "noauto"),
                         ("origin", f"{STORE}/.templates/{self.key}@pristine")):
            self.assertEqual(zfs("get", "-H", "-o", "value", p, f"{STORE}/base"), value + "\n")
        self.write("base", "second\n")
        said = self.ok("export", "--format=zfs", "-o", "second.zfs", "base")
        self.assertEqual(said, "[INFO] Creating zfs send stream...\n")
        self.refused(f"File already exists: {WORK}/second.zfs", "export", "--format=zfs", "-o",
                     "second.zfs", "base")
        self.assertEqual([n for n in names(STORE) if "enroot-" in n], [])
        self.refused("Container already exists: base", "create", "base.zfs")
        # Told by what is in it: another name, and no copy of a template that is there.
        os.rename(f"{WORK}/second.zfs", f"{WORK}/second.sqsh")
        self.ok("create", "-n", "two", "second.sqsh")
        self.ok("create", "-n", "three", "base.zfs")
        self.ok("create", "--force", "-n", "three", "base.zfs",
                ENROOT_ZFS_MOUNT_OPTIONS="suid dev")
        self.assertEqual(zfs("get", "-H", "-o", "value", "setuid", f"{STORE}/three"), "on\n")
        self.assertEqual((self.words("two"), self.words("three")), ("second\n", "first\n"))
        self.assertEqual(len([n for n in names(STORE) if n.endswith("@pristine")]), 2)
        # One whose maker died is taken away by the next export, one of a stranger is not.
        boot = "00000000-0000-0000-0000-000000000000"
        zfs("snapshot", f"{STORE}/base@enroot-export-{boot}:1:2")
        zfs("snapshot", f"{STORE}/base@mine")
        self.ok("export", "--format=zfs", "-o", "third.zfs", "base")
        self.assertEqual([n for n in names(STORE) if n.startswith("base@")], ["base@mine"])
        zfs("destroy", f"{STORE}/base@mine")
        for name in ("second.sqsh", "third.zfs"):
            os.unlink(f"{WORK}/{name}")

    def test_refused_files(self):
        # Nothing is left of a stream that is not what it should be.
        zfs("clone", "-o", f"mountpoint={WORK}/clone", f"{PEER_POOL}/src@pristine",
            f"{PEER_POOL}/clone")
        zfs("snapshot", f"{PEER_POOL}/clone@x")
        damaged = bytearray(self.stream)
        damaged[len(damaged) // 2] ^= 1
        compound = ("ZFS stream: it carries properties or several datasets (zfs send -p, -R); only "
                    "the stream of one snapshot is taken")
        guid = zfs("get", "-Hp", "-o", "value", "guid", f"{PEER_POOL}/src@pristine").strip()
        for content, message in (
                (send("-p", f"{PEER_POOL}/src@pristine"), f"'{{}}': {compound}"),
                (send("-R", f"{PEER_POOL}/src@pristine"), f"'{{}}': {compound}"),
                (self.stream[:-100000],
                 f"'{{}}': ZFS stream: it is cut after {len(self.stream) - 100000} bytes"),
                (self.stream + b"x",
                 f"'{{}}': ZFS stream: bytes follow its end at byte {len(self.stream)}"),
                (send("-i", f"{PEER_POOL}/src@pristine", f"{PEER_POOL}/clone@x"),
                 f"'{{}}': ZFS stream: it is a difference to a snapshot (GUID {guid}) that is not "
                 "here"),
                (b"\0" * 4096, "Invalid image format: {}")):
            with open(f"{WORK}/bad.zfs", "wb") as f:
                f.write(content)
            self.refused(message.format(f"{WORK}/bad.zfs"), "create", "bad.zfs")
            self.assertEqual(names(STORE), [])
        with open(f"{WORK}/bad.zfs", "wb") as f:
            f.write(damaged)
        status, said = enroot("create", "bad.zfs")
        self.assertEqual(status, 1)
        self.assertRegex(said.splitlines()[-1], "checksum|invalid")
        self.assertEqual(names(STORE), [])
        zfs("destroy", "-r", f"{PEER_POOL}/clone")
        os.unlink(f"{WORK}/bad.zfs")

    def test_push(self):
        self.ok("create", "base.zfs")
        self.write("base", "second\n")
        self.ok("export", "-o", URI, "base")
        self.assertEqual(self.words("base", PEER_DATA), "second\n")
        said = self.refused(f"ssh transport failed for {URI}: Container already exists: base",
                            "export", "-o", URI, "base")
        self.assertNotIn("roken pipe", said)
        # Both have the template: only what was written since travels.
        self.ok("create", "-n", "other", "base.zfs", data=PEER_DATA)
        self.write("base", "third\n")
        self.ok("export", "-o", f"{URI}/third", "base")
        self.assertEqual(self.words("third", PEER_DATA), "third\n")
        self.assertIn(f"{PEER}/.templates/{self.key}@pristine\n",
                      zfs("list", "-H", "-r", "-o", "origin", f"{PEER}/.templates"))
        # Whoever does not know of differences gets all of it.
        self.ok("export", "-o", f"{URI}/fourth", "base", ENROOT_ZFS_REMOTE=self.fork)
        self.assertEqual(self.words("fourth", PEER_DATA), "third\n")
        # Of the push that was refused, since it might go on; it goes with the container.
        self.assertEqual(len([n for n in names(STORE) if "enroot-" in n]), 1)
        self.ok("remove", "--force", "base")

    def test_load(self):
        self.ok("create", "base.zfs", data=PEER_DATA)
        self.write("base", "second\n", PEER_DATA)
        self.ok("load", f"{URI}/base")
        self.assertEqual(self.words("base"), "second\n")
        self.ok("create", "-n", "other", "base.zfs")
        self.write("base", "third\n", PEER_DATA)
        self.ok("load", "-n", "third", f"{URI}/base")
        self.assertEqual(self.words("third"), "third\n")
        self.assertIn(f"{STORE}/.templates/{self.key}@pristine\n",
                      zfs("list", "-H", "-r", "-o", "origin", f"{STORE}/.templates"))
        self.ok("load", "-n", "fourth", f"{URI}/base", ENROOT_ZFS_REMOTE=self.fork)
        self.assertEqual(self.words("fourth"), "third\n")
        self.assertEqual([n for n in names(PEER) if "enroot-" in n], [])
        self.refused(f"ssh transport failed for {URI}/none: No such container: none", "load",
                     f"{URI}/none")
        self.refused("Container already exists: third", "load", "-n", "third", f"{URI}/base")
        # The file has the container's name.
        os.rename(f"{WORK}/base.zfs", f"{WORK}/kept.zfs")
        self.ok("import", f"{URI}/base")
        with open(f"{WORK}/base.zfs", "rb") as f:
            self.assertEqual(f.read(16)[:12], self.stream[:12])
        os.replace(f"{WORK}/kept.zfs", f"{WORK}/base.zfs")

    def test_import(self):
        self.ok("create", "base.zfs", data=PEER_DATA)
        self.ok("import", "-o", "x.zfs", f"{URI}/base")
        self.ok("create", "x.zfs")
        self.assertEqual(self.words("x"), "first\n")
        self.ok("import", "-o", "x.sqsh", f"{URI}/base")
        sh("unsquashfs", "-q", "-n", "-d", f"{WORK}/un", f"{WORK}/x.sqsh")
        with open(f"{WORK}/un/words", encoding="ascii") as f:
            self.assertEqual(f.read(), "first\n")
        self.refused(f"Receive from {URI}/base failed: ZFS stream: it is cut after 3000000 bytes",
                     "import", "-o", "y.zfs", f"{URI}/base",
                     ENROOT_SSH_PROGRAM=script("short", 'ssh "$@" | head -c 3000000\n'))
        self.assertFalse(os.path.exists(f"{WORK}/y.zfs"))
        shutil.rmtree(f"{WORK}/un")
        for name in ("x.zfs", "x.sqsh"):
            os.unlink(f"{WORK}/{name}")

    def test_load_goes_on(self):
        self.ok("create", "base.zfs", data=PEER_DATA)
        status, said = enroot("load", f"{URI}/base", ENROOT_SSH_PROGRAM=self.cut)
        self.assertEqual(status, 1)
        self.assertIn(KEPT, said)
        self.assertEqual(len(names(STORE)), 1)
        self.assertRegex(names(STORE)[0], r"^\.transfers/[0-9a-f]{40}$")
        self.assertEqual(len([n for n in names(PEER) if "@enroot-send-" in n]), 1)
        # Nobody sweeps it away.
        self.ok("create", "-n", "other", "base.zfs")
        said = self.ok("load", f"{URI}/base")
        self.assertIn(GO_ON, said)
        self.assertEqual(self.words("base"), "first\n")
        self.assertEqual([n for n in names(STORE) if ".transfers" in n], [])
        self.assertEqual([n for n in names(PEER) if "enroot-" in n], [])
        # Cut again; meanwhile the snapshot has gone over there: all of it, anew.
        status, said = enroot("load", "-n", "again", f"{URI}/base", ENROOT_SSH_PROGRAM=self.cut,
                              ENROOT_ZFS_REMOTE=self.fork)
        self.assertEqual(status, 1)
        for name in names(PEER):
            if "@enroot-send-" in name:
                zfs("destroy", f"{PEER}/{name}")
        said = self.ok("load", "-n", "again", f"{URI}/base")
        self.assertEqual(self.words("again"), "first\n")
        self.assertEqual([n for n in names(STORE) if ".transfers" in n], [])

    def test_push_goes_on(self):
        self.ok("create", "base.zfs")
        status, said = enroot("export", "-o", f"{URI}/there", "base", ENROOT_SSH_PROGRAM=self.cut)
        self.assertEqual(status, 1, said)
        self.assertEqual(len([n for n in names(STORE) if "@enroot-send-" in n]), 1)
        self.assertEqual(len(names(PEER)), 1)
        said = self.ok("export", "-o", f"{URI}/there", "base")
        self.assertIn(GO_ON, said)
        self.assertEqual(self.words("there", PEER_DATA), "first\n")
        self.assertEqual([n for n in names(STORE) if "enroot-" in n], [])
        self.assertEqual([n for n in names(PEER) if ".transfers" in n], [])

    def test_killed(self):
        # In the middle of a stream: the next command goes on, or begins again, at once.
        self.ok("create", "base.zfs", data=PEER_DATA)
        killer = script("killer", 'ssh "$@" | head -c 3000000\nkill -9 $PPID\n')
        status, _ = enroot("load", f"{URI}/base", ENROOT_SSH_PROGRAM=killer)
        self.assertEqual(status, -9)
        self.assertEqual([n for n in names(STORE) if not n.startswith(".transfers/")], [])
        self.ok("load", f"{URI}/base")
        self.assertEqual(self.words("base"), "first\n")
        self.assertEqual([n for n in names(STORE) if ".transfers" in n], [])
        # Whatever is left over there goes with the container.
        enroot("load", "-n", "x", f"{URI}/base", ENROOT_SSH_PROGRAM=killer)
        self.ok("remove", "--force", "base", data=PEER_DATA)

    def test_user(self):
        # A user with rights to datasets, and the mount helper: own streams, and nobody else's.
        uid, joe, data = 1000, f"{PEER_POOL}/joe", f"{WORK}/joe"
        capability = struct.pack("<5I", 0x02000000, 1 << 21, 0, 0, 0)
        helper = shutil.copy(sys.argv_helper, "/usr/local/bin/enroot-zfs-mount")
        os.setxattr(helper, "security.capability", capability)
        os.makedirs("/etc/enroot", exist_ok=True)
        with open("/etc/enroot/enroot.conf", "w", encoding="ascii") as f:
            f.write(f"ENROOT_DATA_PATH {data}\n")
        with open("/etc/passwd", "a", encoding="ascii") as f:
            f.write(f"imbrex-jim:x:{uid}:{uid}::/:/bin/sh\n")
        os.chmod("/dev/zfs", 0o666)
        os.chmod(WORK, 0o1777)
        os.chmod("/scratch", 0o755)
        zfs("create", "-o", f"mountpoint={data}", joe)
        os.chown(data, uid, uid)
        zfs("allow", "-u", "imbrex-jim", "create,mount,clone,destroy,snapshot,rename,canmount,"
            "userprop,send,receive", joe)
        zfs("clone", "-o", f"mountpoint={WORK}/mine", f"{PEER_POOL}/src@pristine",
            f"{PEER_POOL}/mine")
        os.chown(f"{WORK}/mine", uid, uid)
        for name in ("big", "words"):
            os.chown(f"{WORK}/mine/{name}", uid, uid)
        zfs("snapshot", f"{PEER_POOL}/mine@x")
        with open(f"{WORK}/mine.zfs", "wb") as f:
            f.write(send(f"{PEER_POOL}/mine@x"))
        as_joe = {"data": data, "user": uid, "HOME": data}
        self.ok("create", "mine.zfs", **as_joe)
        self.assertEqual(self.words("mine", data), "first\n")
        self.write("mine", "second\n", data)
        self.ok("export", "--format=zfs", "-o", "joe.zfs", "mine", **as_joe)
        self.ok("create", "joe.zfs", **as_joe)
        self.assertEqual(self.words("joe", data), "second\n")
        with open("/proc/self/mountinfo", encoding="ascii") as f:
            options = [line.split()[5] for line in f if f" {data}/joe " in line]
        self.assertTrue(options and "nosuid,nodev" in options[0], options)
        self.assertEqual([n for n in names(joe) if "enroot-" in n or ".transfers" in n], [])
        # Files of root in it: not this user's to have.
        status, said = enroot("create", "base.zfs", **as_joe)
        self.assertEqual(status, 1)
        self.assertIn(f"belongs to user 0, not to user {uid}", said)
        self.assertFalse([n for n in names(joe) if n == "base"])
        for name in ("mine", "joe"):
            self.ok("remove", "--force", name, **as_joe)
        self.assertFalse([n for n in names(joe) if not n.startswith(".")])
        zfs("destroy", "-r", f"{PEER_POOL}/mine")
        zfs("destroy", "-R", "-f", joe)
        os.unlink(helper)

    def test_names(self):
        # Nothing of a URI becomes an option or a command.
        for uri in ("zfs://-oProxyCommand=id/x", "zfs://host/a b", "zfs://host/a;id",
                    "zfs://host/$(id)", "zfs://us er@host/x", "zfs://host/-x", "zfs:///x",
                    "zfs://host:99999999/x", "zfs://host/..", "zfs://host/a/b"):
            self.refused(f"Invalid zfs:// URI: {uri}", "load", "-n", "x", uri)
        self.refused("--zfs-recv requires -n NAME", "import", "--zfs-recv")
        self.refused("No such container: x", "export", "--zfs-send",
                     "x")


if __name__ == "__main__":
    if not STORE or not os.path.exists("/run/vm"):
        print("skipped: it is for the virtual machine, below tests/vm/onzfs")
        sys.exit(77)
    for program in ("/usr/sbin/sshd", "/usr/bin/ssh", "/usr/bin/unsquashfs"):
        if not os.path.exists(program):
            print(f"skipped: {program} is not installed")
            sys.exit(77)
    sys.argv_program, sys.argv_helper = sys.argv.pop(1), sys.argv.pop(1)
    unittest.main(verbosity=2)
