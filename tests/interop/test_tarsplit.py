#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Do layers come out of the store byte for byte as they went in, whoever put them there?

usage: test_tarsplit.py IMBREX PROBE [TEST...]
"""
import glob
import os
import tarfile

import odd
import peers
from peers import Case, Store

HERE = os.path.dirname(os.path.abspath(__file__))
VECTORS = os.path.join(HERE, "../format/tar/vectors")
# containers-storage records the size field of a header that no payload follows, and cannot put
# such a tar together again (../format/tar/ORIGIN.md).
ONLY_OURS = {"dir-size/hand", "hardlink-size/hand"}


def corpus(probe):
    """name -> tar: the layers of the odd image, and odd tars."""
    image = odd.Image(odd.odd_layers(probe))
    out = {f"odd-{i}": tar for i, tar in enumerate(image.tars)}
    for path in sorted(glob.glob(VECTORS + "/*/*.tar")):
        with open(path, "rb") as f:
            out[os.path.relpath(path, VECTORS)[:-4]] = f.read()
    whole = image.tars[0]
    out["trailing-zeros"] = whole + bytes(3 * 512)
    out["trailing-noise"] = whole + odd.noise(100_003)
    out["many"] = odd.write_tar([odd.Entry(f"d{i % 7}/f{i}", data=b"%d" % i) for i in range(3000)])
    return out


class TarSplit(Case):
    @classmethod
    def setUpClass(cls):
        cls.tars = corpus(cls.machine.probe)

    def store(self, driver):
        store = Store(self.machine, driver)
        self.addCleanup(store.end)
        return store

    def tar_file(self, data):
        path = self.machine.path("one.tar")
        with open(path, "wb") as f:
            f.write(data)
        return path

    def diff(self, store, layer):
        path = self.machine.path("diff.tar")
        if os.path.exists(path):
            os.unlink(path)
        # Before the command: behind it, overlay's default options would be given to vfs.
        r = self.machine.run(store.argv("containers-storage", "diff", "-u", "-f", path, layer))
        if r.status:
            return repr(r)
        with open(path, "rb") as f:
            return odd.sha256(f.read())

    def layers(self, store):
        return {x["id"]: x for x in store.imbrex("layers", "--json").json()}

    def ours_are_theirs(self, driver):
        """Each tar as a source of its own: exported by containers-storage."""
        store = self.store(driver)
        for name, data in self.tars.items():
            if driver == "vfs" and not name.startswith(("odd", "trailing")):
                continue
            with self.subTest(name):
                image = store.imbrex("pull", "-q", "tar:" + self.tar_file(data), "localhost/x:1").last
                layer, = self.layers(store).values()
                self.assertEqual(layer["diff_digest"], odd.sha256(data))
                self.assertEqual(layer["diff_size_bytes"], len(data))
                if name not in ONLY_OURS:
                    self.assertEqual(self.diff(store, layer["id"]), odd.sha256(data))
                self.clean(store)
            store.imbrex("rmi", image)

    def test_ours_are_theirs_overlay(self):
        self.ours_are_theirs("overlay")

    def test_ours_are_theirs_vfs(self):
        self.ours_are_theirs("vfs")

    def test_ours_are_theirs_btrfs(self):
        self.ours_are_theirs("btrfs")

    def test_podman_saves_all_in_one_image(self):
        """From an OCI layout, compressed in turn; most layers know nothing of those below."""
        names = [n for n in self.tars if n not in ONLY_OURS]
        image = odd.Image.of_tars([self.tars[n] for n in names])
        layout = self.machine.path("all")
        image.write_layout(layout, ("gzip", None))
        for driver in ("overlay", "vfs"):
            with self.subTest(driver):
                store = self.store(driver)
                store.imbrex("pull", "-q", f"oci:{layout}:latest", "localhost/all:1")
                self.clean(store)
                archive = self.machine.path("all.tar")
                store.podman("save", "-q", "--format", "oci-archive", "-o", archive, "localhost/all:1")
                self.assertEqual(self.saved(archive), dict(zip(image.diff_ids, names)).keys())
                os.unlink(archive)

    @staticmethod
    def saved(archive):
        """Digests of the tars in an archive, unpacked."""
        found = set()
        with tarfile.open(archive) as tar:
            for member in tar.getmembers():
                if member.isreg() and member.name.startswith("blobs/"):
                    data = tar.extractfile(member).read()
                    if not data.startswith(b"{"):
                        found.add(odd.sha256(odd.unpack(data)))
        return found

    def theirs_are_ours(self, driver):
        """Imported by containers-storage: put together again and compared by our check."""
        store = self.store(driver)
        for i, (name, data) in enumerate(self.tars.items()):
            if name in ONLY_OURS or (driver == "vfs" and not name.startswith(("odd", "trailing"))):
                continue
            layer = f"{i + 1:064x}"
            store.cs("import-layer", "-r", "-i", layer, "-f", self.tar_file(data))
            store.cs("create-image", "-n", f"localhost/l{i}:1", layer)
            with self.subTest(name):
                self.assertEqual(self.layers(store)[layer]["diff_digest"], odd.sha256(data))
        self.clean(store)

    def test_theirs_are_ours_overlay(self):
        self.theirs_are_ours("overlay")

    def test_theirs_are_ours_vfs(self):
        self.theirs_are_ours("vfs")

    def test_theirs_are_ours_btrfs(self):
        self.theirs_are_ours("btrfs")

    def test_podman_loads_and_we_check(self):
        names = [n for n in self.tars if n.startswith("odd")]
        image = odd.Image.of_tars([self.tars[n] for n in names])
        layout = self.machine.path("loaded")
        image.write_layout(layout, ("gzip", None))
        store = self.store("overlay")
        store.podman("pull", "-q", f"oci:{layout}:latest")
        self.assertEqual(sorted(x["diff_digest"] for x in self.layers(store).values()),
                         sorted(image.diff_ids))
        self.clean(store)

    def test_our_check_sees_a_changed_byte(self):
        """The above can fail."""
        store = self.store("overlay")
        store.cs("import-layer", "-r", "-i", "a" * 64, "-f", self.tar_file(self.tars["odd-0"]))
        store.cs("create-image", "-n", "localhost/a:1", "a" * 64)
        with open(f"{store.root}/overlay/{'a' * 64}/diff/noise", "r+b") as f:
            f.seek(500_000)
            f.write(b"?!")
        r = self.machine.run(store.argv("imbrex", "check"))
        self.assertEqual(r.status, 1, r)
        self.assertIn("noise", r.out)


if __name__ == "__main__":
    peers.main(__name__, ["podman", "containers-storage"])
