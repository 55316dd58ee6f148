#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Do imbrex and podman keep to limits of containers on one store, each by a project of its own?

usage: test_quota.py IMBREX PROBE [TEST...]

Below `tests/loopfs --options prjquota xfs`; elsewhere skipped.
"""
import array
import errno
import fcntl
import json
import os
import re
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "..", "rootless")]
import lane  # noqa: E402  (it knows how to write an image)
import peers  # noqa: E402

FS_IOC_FSGETXATTR = 0x801C581F
MIB = 1 << 20
PLACE = os.environ.get("IMBREX_LOOPFS", "/")  # where peers.py puts its machine
IMAGE = "localhost/small:1"


def project(path):
    """The project that an inode carries."""
    fd = os.open(path, os.O_RDONLY)
    try:
        data = array.array("I", [0] * 7)
        fcntl.ioctl(fd, FS_IOC_FSGETXATTR, data)
        return data[3]
    finally:
        os.close(fd)


def all_limits():
    """{project: hard limit in KiB} of all projects that have one."""
    out = subprocess.run(["xfs_quota", "-x", "-c", "report -p -n -N", PLACE], check=True,
                         capture_output=True, text=True).stdout
    rows = [line.split() for line in out.splitlines() if line.startswith("#")]
    return {int(r[0][1:]): int(r[3]) for r in rows if int(r[3])}


def fill(root, most=64):
    """MiB that fit."""
    n = 0
    with open(os.path.join(root, "fill"), "wb", buffering=0) as f:
        try:
            while n < most:
                f.write(os.urandom(MIB))
                os.fsync(f.fileno())
                n += 1
        except OSError as e:
            if e.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
    return n


class Quota(peers.Case):
    @classmethod
    def is_wanted(cls, name):
        return True

    def setUp(self):
        self.store = peers.Store(self.machine)
        self.before = all_limits()
        layout = self.machine.path(f"layout{self.machine.stores}")
        lane.write_layout(layout, [[lane.entry("etc", "dir", mode=0o755),
                                    lane.entry("etc/file", data=b"x" * 100000)]])
        self.store.imbrex("pull", "oci:" + layout, "small:1")

    def tearDown(self):
        self.store.end()

    def limits(self):
        return {k: v for k, v in all_limits().items() if k not in self.before}

    def layer(self, container):
        return self.store.imbrex("inspect", container).json()[0]["layer"]

    def directory(self, container):
        return os.path.join(self.store.root, "overlay", self.layer(container))

    def mounted(self, program, container):
        """MiB that fit into the container, mounted by that program, and unmounted again."""
        root = getattr(self.store, program)("mount", container).last
        n = fill(root)
        getattr(self.store, program)("umount", container)
        return n

    def test_both_limit_containers_of_one_store(self):
        ours = self.store.imbrex("create", "--storage-opt", "size=8M", IMAGE).last
        theirs = self.store.podman("create", "--storage-opt", "size=12M", IMAGE, "true").last
        after = self.store.imbrex("create", "--storage-opt", "size=16M", IMAGE).last
        numbers = [project(self.directory(c)) for c in (ours, theirs, after)]
        self.assertEqual(len(set(numbers)), 3, numbers)
        self.assertNotIn(0, numbers)
        # podman counts up from the largest number it finds.
        self.assertEqual(numbers[1], numbers[0] + 1)
        self.assertEqual(self.limits(), dict(zip(numbers, (8192, 12288, 16384))))
        told = [self.store.imbrex("inspect", c).json()[0]["limits"]["bytes"] for c in
                (ours, theirs, after)]
        self.assertEqual(told, [8 * MIB, 12 * MIB, 16 * MIB])
        df = self.store.imbrex("df", "-v", "--json").json()["objects"]
        self.assertEqual({o["id"]: o["limit_bytes"] for o in df if o["kind"] == "container"},
                         dict(zip((ours, theirs, after), told)))
        # Each in the other's hands as well.
        self.assertIn(self.mounted("podman", ours), range(5, 9))
        self.assertIn(self.mounted("imbrex", theirs), range(8, 13))
        self.assertIn(self.mounted("imbrex", after), range(12, 17))
        self.store.podman("rm", ours)
        self.store.imbrex("rm", theirs)
        self.store.imbrex("rm", after)
        self.assertNotIn(numbers[1], self.limits())
        self.assertNotIn(numbers[2], self.limits())
        self.clean(self.store)

    def test_a_full_container_can_be_used_and_removed(self):
        for who in ("imbrex", "podman"):
            words = ["true"] if who == "podman" else []
            box = getattr(self.store, who)("create", "--storage-opt", "size=4M", IMAGE,
                                           *words).last
            self.mounted("imbrex", box)
            root = self.store.imbrex("mount", box).last
            with open(os.path.join(root, "etc/file"), "rb") as f:
                self.assertEqual(f.read(), b"x" * 100000)
            self.store.imbrex("umount", box)
            self.store.imbrex("rm", box)
        self.assertEqual(self.limits(), {})
        self.clean(self.store)

    def test_the_configured_limit_is_for_all_containers(self):
        conf = self.machine.write("limited.conf", f"""[storage]
driver = "overlay"
graphroot = "{self.store.root}"
runroot = "{self.store.runroot}"
[storage.options.overlay]
size = "8M"
inodes = "500"
""")
        box = self.machine.ok([self.machine.imbrex, "--config", conf, "create", IMAGE]).last
        self.assertEqual(self.limits(), {project(self.directory(box)): 8192})
        less = self.machine.ok([self.machine.imbrex, "--config", conf, "create", "--storage-opt",
                                "size=4M", IMAGE]).last
        self.assertEqual(self.limits()[project(self.directory(less))], 4096)
        self.assertIn(self.mounted("imbrex", box), range(5, 9))
        told = self.store.imbrex("inspect", box).json()[0]["limits"]
        self.assertEqual((told["bytes"], told["inodes"]), (8 * MIB, 500))
        self.assertIn(told["used_bytes"], range(5 * MIB, 8 * MIB + 1))
        self.assertIn(told["used_inodes"], range(3, 10))
        # A layer of the image carries none.
        image = json.loads(self.store.imbrex("inspect", IMAGE).out)[0]["layer"]
        self.assertEqual(project(os.path.join(self.store.root, "overlay", image)), 0)

    def test_a_program_hits_the_limit(self):
        r = self.machine.run(self.store.argv("imbrex", "run", "--storage-opt", "size=4M", "--keep",
                                             "--name", "box", IMAGE, "/none"))
        self.assertEqual(r.status, 127, r)
        self.assertEqual(self.limits()[project(self.directory("box"))], 4096)

    def test_words_that_are_no_limits_are_refused(self):
        for option, message in (("size=many", "option size: 'many' is not a size"),
                                ("colour=red", "layer option 'colour' is unknown")):
            r = self.machine.run(self.store.argv("imbrex", "create", "--storage-opt", option,
                                                 IMAGE))
            self.assertEqual(r.status, 1)
            self.assertTrue(re.search(re.escape(message), r.err), r)
        self.assertEqual(self.store.imbrex("ps", "--json").json(), [])
        self.clean(self.store)


def quotas_here():
    state = subprocess.run(["xfs_quota", "-x", "-c", "state -p", PLACE], check=False,
                           capture_output=True, text=True).stdout
    return "Enforcement: ON" in state


if __name__ == "__main__":
    if not peers.have("xfs_quota") or not quotas_here():
        peers.skip_all(f"'{PLACE}' is not on XFS with project quotas")
    peers.main(__name__, ["podman", "runc"])
