#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Can another language drive the library: every noun, through ctypes, by the public headers alone?

usage: test_ctypes.py SOURCE LIBRARY overlay|vfs
"""
import ctypes
import io
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import unittest

SOURCE, LIBRARY, DRIVER = sys.argv[1:4]
sys.path.insert(0, SOURCE + "/examples")
import imbrex_store as api  # noqa: E402  pylint: disable=wrong-import-position

IN_LANE = "IMBREX_API_LANE"
ENOENT, EBUSY, EEXIST = -1003, -1009, -1004


def skip(reason):
    print("skipped:", reason)
    sys.exit(77)


def constants(header):
    """Members of the enums of a public header, by name."""
    with open(f"{SOURCE}/include/imbrex/{header}.h", encoding="utf-8") as f:
        text = re.sub(r"/\*.*?\*/", "", f.read(), flags=re.S)
    out = {}
    for body in re.findall(r"enum \w+\s*\{(.*?)\}", text, flags=re.S):
        value = -1
        for member in filter(None, (m.strip() for m in body.split(","))):
            name, _, given = (x.strip() for x in member.partition("="))
            value = eval(given) if given else value + 1  # pylint: disable=eval-used
            out[name] = value
    return out


def tar_fd(files):
    """A pipe's end is as good as a file: an fd from which a tar can be read."""
    f = tempfile.TemporaryFile()
    with tarfile.open(fileobj=f, mode="w") as t:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mtime = len(content), 1700000000
            t.addfile(entry, io.BytesIO(content))
    f.seek(0)
    return f


class Test(unittest.TestCase):
    def setUp(self):
        self.dir = tempfile.mkdtemp(prefix="imbrex-api-")
        self.store = api.Store(LIBRARY, self.dir + "/root", self.dir + "/run", DRIVER)
        self.reasons = constants("error")

    def tearDown(self):
        self.store.close()
        subprocess.run(["umount", "-l", self.dir + "/root/overlay"], capture_output=True, check=False)
        shutil.rmtree(self.dir, ignore_errors=True)

    def refused(self, status, reason, call, *args, **more):
        with self.assertRaises(api.Failed) as caught:
            call(*args, **more)
        self.assertEqual((caught.exception.status, caught.exception.reason),
                         (status, self.reasons[f"IMBREX_REASON_{reason}"]), caught.exception)
        self.assertNotIn("\n", str(caught.exception))

    def test_the_structs_are_those_of_the_headers(self):
        """ctypes cannot read headers: a C compiler says how large each struct is."""
        structs = {"imbrex_error": api.Error, "imbrex_store_opts": api.StoreOpts,
                   "imbrex_id_map": api.IdMap, "imbrex_id_maps": api.IdMaps,
                   "imbrex_layer_opts": api.LayerOpts, "imbrex_image_opts": api.ImageOpts,
                   "imbrex_mount_opts": api.MountOpts, "imbrex_change": api.Change}
        lines = "".join(f'printf("{n} %zu\\n", sizeof(struct {n}));' for n in structs)
        source = self.dir + "/sizes.c"
        with open(source, "w", encoding="ascii") as f:
            f.write(f"#include <imbrex/imbrex.h>\n#include <stdio.h>\nint main(void){{{lines}}}")
        subprocess.run([os.environ.get("CC", "cc").split()[0], "-I", SOURCE + "/include", source,
                        "-o", self.dir + "/sizes"], check=True)
        out = subprocess.run([self.dir + "/sizes"], capture_output=True, text=True, check=True).stdout
        sizes = dict(line.split() for line in out.splitlines())
        self.assertEqual({n: ctypes.sizeof(s) for n, s in structs.items()},
                         {n: int(size) for n, size in sizes.items()})
        kinds = constants("object")
        self.assertEqual([kinds["IMBREX_KIND_" + k] for k in ("LAYER", "IMAGE", "CONTAINER", "ANY")],
                         [api.LAYER, api.IMAGE, api.CONTAINER, api.ANY])

    def test_from_a_tar_to_a_container_and_back(self):
        s = self.store
        with tar_fd({"keep": b"keep\n", "drop": b"drop\n"}) as f:
            base = s.layer(fd=f.fileno(), names=["base"])
            f.seek(0)
            original = f.read()
        self.assertEqual(s.find("base"), (base, api.LAYER))
        image = s.image(base, names=["example.org/i:1"], metadata="m")
        self.assertEqual(s.record("example.org/i:1")["metadata"], "m")
        container = s.container(image)
        tree = s.mount(container)
        with open(tree + "/keep", encoding="ascii") as f:
            self.assertEqual(f.read(), "keep\n")
        os.unlink(tree + "/drop")
        with open(tree + "/new", "w", encoding="ascii") as f:
            f.write("new")
        upper = s.record(container, api.CONTAINER)["layer"]
        self.assertEqual(s.changes(upper), [("D", "/drop"), ("A", "/new")])
        self.assertEqual(s.diff_size(upper), 3)
        with tempfile.TemporaryFile() as f:
            s.diff(upper, f.fileno())
            f.seek(0)
            with tarfile.open(fileobj=f) as t:
                self.assertEqual(sorted(t.getnames()), [".wh.drop", "new"])
        with tempfile.TemporaryFile() as f:
            s.diff(base, f.fileno())
            f.seek(0)
            self.assertEqual(f.read(), original)
        self.refused(EBUSY, "IMAGE_USED_BY_CONTAINER", s.delete, image)
        self.assertEqual(s.unmount(container), 0)
        s.delete(container)
        self.assertEqual(s.delete(image), [base])
        for kind in (api.LAYER, api.IMAGE, api.CONTAINER):
            self.assertEqual(s.records(kind), [])

    def test_why_is_told_by_number_and_in_words(self):
        s = self.store
        layer = s.layer(names=["taken"])
        child = s.layer(parent=layer)
        self.refused(EEXIST, "NAME_IN_USE", s.layer, names=["taken"])
        self.refused(EEXIST, "ID_IN_USE", s.layer, id=layer)
        self.refused(ENOENT, "LAYER_UNKNOWN", s.layer, parent="nobody")
        self.refused(EBUSY, "LAYER_HAS_CHILDREN", s.delete, layer)
        self.refused(ENOENT, "NOT_ANY", s.find, "nobody")
        s.delete(child)
        s.delete(layer)

    def test_documents_are_bytes(self):
        s = self.store
        image = s.image(None, names=["example.org/empty:1"])
        for content in (b"", b"\0\xff" * 10, b"{}"):
            s.set_data(api.IMAGE, image, "key-1", content)
            self.assertEqual(s.get_data(api.IMAGE, image, "key-1"), content)
        self.assertEqual(s.list("imbrex_data_list", ctypes.c_int(api.IMAGE), image.encode()),
                         ["key-1"])
        self.assertEqual(s.record(image)["big-data-sizes"], {"key-1": 2})
        self.refused(ENOENT, "DATA_UNKNOWN", s.get_data, api.IMAGE, image, "key-2")

    def test_ids_of_a_mapped_layer(self):
        s = self.store
        ids = [api.IdMap(0, 100000, 65536)]
        with tar_fd({"file": b"x"}) as f:
            layer = s.layer(fd=f.fileno(), uids=ids)
        # Where mounts can show other owners, content is kept as it came, and nothing is recorded.
        mapped = DRIVER == "vfs" or "uidmap" in s.record(layer)
        if mapped:
            self.assertEqual(s.record(layer)["uidmap"],
                             [{"container_id": 0, "host_id": 100000, "size": 65536}])
        tree = s.mount(layer, api.LAYER)
        self.assertEqual(os.stat(tree + "/file").st_uid, 100000 if mapped else 0)
        self.assertEqual(s.unmount(layer, api.LAYER), 0)


if __name__ == "__main__":
    if os.geteuid() != 0:
        skip("a store of the machine needs root")
    if IN_LANE not in os.environ:
        os.environ[IN_LANE] = "1"
        os.execvp("unshare", ["unshare", "-m", "--propagation", "private", sys.executable, "-B"]
                  + sys.argv)
    unittest.main(argv=sys.argv[:1])
