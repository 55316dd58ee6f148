#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Stores of stores: additional ones, a second root for images, transient ones, dead ones.

usage: test_stores.py IMBREX overlay|vfs|btrfs

Beside the real containers-storage, where it is installed and knows of the thing.
"""
import glob
import hashlib
import io
import json
import os
import secrets
import shutil
import subprocess
import sys
import tarfile
import time
import unittest

IMBREX, DRIVER = os.path.abspath(sys.argv[1]), sys.argv[2]
IN_LANE = "IMBREX_STORES_LANE"
PEER = shutil.which("containers-storage")
NOBODY = 65534
HOME = {"overlay": "overlay", "vfs": "vfs/dir", "btrfs": "btrfs/subvolumes"}[DRIVER]
TREE = "diff" if DRIVER == "overlay" else ""  # of a layer, in its directory


def skip(reason):
    print("skipped:", reason)
    sys.exit(77)


def tar(*files):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as t:
        for name, text in files:
            entry = tarfile.TarInfo(name)
            entry.size, entry.mtime = len(text), 1700000000
            t.addfile(entry, io.BytesIO(text.encode()))
    return out.getvalue()


reads_others = unittest.skipIf(DRIVER == "btrfs", "the driver keeps all layers in one place")


def is_mounted(path):
    """Not os.path.ismount: every subvolume looks like a mount to it."""
    with open("/proc/self/mounts", encoding="utf-8") as f:
        return path in [line.split()[1] for line in f]


def snapshot(folder):
    """What a write would change."""
    found = {}
    for at, dirs, files in os.walk(folder):
        for name in dirs + files + ["."]:
            st = os.lstat(os.path.join(at, name))
            found[os.path.join(at, name)] = (st.st_ino, st.st_mode, st.st_uid, st.st_size,
                                             st.st_mtime_ns, st.st_ctime_ns, st.st_nlink)
    return found


def read(path):
    with open(path, "rb") as f:
        return f.read()


def read_json(path):
    return json.loads(read(path))


class Store:
    """One root, seen by imbrex, by its plumbing face, or by the real containers-storage."""

    def __init__(self, folder, name, *options):
        self.root, self.run, self.options = f"{folder}/{name}", f"{folder}/{name}.run", options
        self.folder = folder
        self.env = dict(os.environ, CONTAINERS_STORAGE_CONF="/dev/null", HOME=folder)

    def start(self, argv, **more):
        return subprocess.run(argv, env=self.env, capture_output=True, check=False, **more)

    def result(self, p, ok):
        if ok and p.returncode:
            raise AssertionError(f"{p.args}: {p.returncode}\n{p.stdout.decode()}{p.stderr.decode()}")
        return p.stdout.decode() if ok else (p.returncode, p.stdout.decode(), p.stderr.decode())

    def imbrex(self, *args, ok=True, before=(), options=None):
        options = self.options if options is None else options
        words = [IMBREX, "--root", self.root, "--runroot", self.run, "--driver", DRIVER,
                 "--progress", "none"]
        for key, value in options:
            words += ["--storage-opt", f"{key}={value}"] if key.islower() and "-" not in key \
                else ["--" + key] + ([value] if value else [])
        return self.result(self.start(list(before) + words + list(args)), ok)

    def plumbing(self, *args, ok=True, program=None, **more):
        words = [program or self.folder + "/containers-storage", "--graph", self.root,
                 "--run", self.run, "-s", DRIVER]
        for key, value in self.options:
            words += ["--storage-opt", f"{key}={value}"] if "-" not in key \
                else ["--" + key] + ([value] if value else [])
        return self.result(self.start(words + list(args), **more), ok)

    def peer(self, *args, **more):
        return self.plumbing(*args, program=PEER, **more)

    def first(self, *args, **more):
        return self.plumbing(*args, **more).splitlines()[0]

    def image(self, name, *layers, **more):
        """Ids of the layers, then of the image."""
        ids = []
        for data in layers:
            ids.append(self.first("import-layer", "-r", *ids[-1:], input=data, **more))
        ids.append(self.first("create-image", "-n", name, ids[-1], **more))
        return ids

    def records(self, kind):
        path = f"{self.root}/{DRIVER}-{kind}/{kind}.json"
        return read_json(path) if os.path.exists(path) and os.path.getsize(path) else []

    def names(self):
        return sorted(n for i in json.loads(self.imbrex("images", "--json")) for n in i["names"])

    def layers(self):
        return {x["id"]: x for x in json.loads(self.imbrex("layers", "--json"))}


class Configured(Store):
    """One that only its storage.conf tells about: peers take all of it or nothing."""

    def __init__(self, folder, name, *lines):
        super().__init__(folder, name)
        conf = f"{folder}/{name}.conf"
        with open(conf, "w", encoding="utf-8") as f:
            f.write("\n".join(("[storage]", f'driver = "{DRIVER}"', f'graphroot = "{self.root}"',
                               f'runroot = "{self.run}"', "[storage.options]", *lines, "")))
        self.env["CONTAINERS_STORAGE_CONF"] = conf

    def imbrex(self, *args, ok=True, before=(), options=None):
        return self.result(self.start([IMBREX, "--progress", "none", *args]), ok)

    def plumbing(self, *args, ok=True, program=None, **more):
        words = [program or self.folder + "/containers-storage", *args]
        return self.result(self.start(words, **more), ok)


class Stores(unittest.TestCase):
    def setUp(self):
        # podman makes a reference of the path of a layout: not every name of mkdtemp's is one.
        self.folder = f"/tmp/is-{secrets.token_hex(6)}"
        os.mkdir(self.folder)
        if DRIVER == "btrfs":  # is where the lane has made one
            place = os.environ["TMPDIR"] + "/" + os.path.basename(self.folder)
            os.mkdir(place)
            subprocess.run(["mount", "--bind", place, self.folder], check=True)
        os.chmod(self.folder, 0o755)
        os.symlink(IMBREX, self.folder + "/containers-storage")
        self.maxDiff = None

    def tearDown(self):
        with open("/proc/self/mounts", encoding="utf-8") as f:
            mounts = [line.split()[1] for line in f if line.split()[1].startswith(self.folder + "/")]
        for path in reversed(mounts):
            subprocess.run(["umount", "-l", path], check=False)
        if DRIVER == "btrfs":
            subprocess.run(["umount", self.folder], check=True)
        shutil.rmtree(self.folder)

    def read_only(self, folder):
        subprocess.run(["mount", "--bind", folder, folder], check=True)
        subprocess.run(["mount", "-o", "remount,ro,bind", folder], check=True)

    # ---- additional image stores ---------------------------------------------------------

    def additional(self):
        """A store that others stand on, and one that does; images a:1 of two layers, b:1."""
        below = Store(self.folder, "below")
        program = PEER or below.folder + "/containers-storage"
        self.ids = below.image("localhost/a:1", tar(("f", "one")), tar(("g", "two")),
                               program=program)
        self.base, self.top, self.a = self.ids
        self.b = below.first("create-image", "-n", "localhost/b:1", self.base, program=program)
        below.plumbing("set-image-data", "-f", "/dev/stdin", self.a, "manifest", input=b"text",
                       program=program)
        subprocess.run(["umount", below.root + "/overlay"], check=False, capture_output=True)
        return below, Store(self.folder, "above", ("imagestore", below.root))

    def use(self, s):
        """All that can be done with what is below."""
        self.assertEqual(s.names(), ["localhost/a:1", "localhost/b:1"])
        self.assertTrue(all(x["read_only"] for x in s.layers().values())
                        if "read_only" in next(iter(s.layers().values())) else True)
        self.assertEqual(json.loads(s.imbrex("inspect", "a:1"))[0]["id"], self.a)
        self.assertIn("Read Only: true", s.plumbing("image", "localhost/a:1"))
        self.assertIn("Read Only: true", s.plumbing("layer", self.top))
        path = s.imbrex("mount", "a:1").strip()
        self.assertEqual(sorted(os.listdir(path)), ["f", "g"])
        if DRIVER == "overlay":
            self.assertEqual(path, f"{s.run}/overlay/{self.top}/merged")
        s.imbrex("umount", "a:1")
        s.imbrex("create", "a:1", "--name", "c")
        path = s.imbrex("mount", "c").strip()
        with open(path + "/mine", "w", encoding="utf-8") as f:
            f.write("mine")
        with open(path + "/f", encoding="utf-8") as f:
            self.assertEqual(f.read(), "one")
        s.imbrex("umount", "c")
        self.assertEqual(s.imbrex("check").strip(), "")
        for refused in (["rmi", "b:1"],):
            status, _, err = s.imbrex(*refused, ok=False)
            self.assertEqual(status, 1)
            self.assertIn("lies in an additional store, which is only read", err)
        s.imbrex("tag", "b:1", "mine:2")
        self.assertEqual(s.names(), ["localhost/a:1", "localhost/b:1", "localhost/mine:2"])
        s.imbrex("untag", "b:1", "localhost/b:1")
        self.assertEqual(s.names(), ["localhost/a:1", "localhost/mine:2"])
        status, _, err = s.imbrex("inspect", "b:1", ok=False)
        self.assertEqual(status, 1, err)
        s.imbrex("tag", "a:1", "x:1")
        self.assertEqual(s.plumbing("get-image-data", "localhost/x:1", "manifest"), "text")
        s.imbrex("rm", "c")
        s.imbrex("rmi", "mine:2")
        self.assertEqual(s.names(), ["localhost/a:1", "localhost/b:1", "localhost/x:1"])

    @reads_others
    def test_additional(self):
        below, above = self.additional()
        before = snapshot(below.root)
        self.use(above)
        self.assertEqual(snapshot(below.root), before)

    @reads_others
    def test_additional_on_a_read_only_mount(self):
        below, above = self.additional()
        before = snapshot(below.root)
        self.read_only(below.root)
        self.use(above)
        self.assertEqual(snapshot(below.root), before)

    @reads_others
    def test_additional_without_locks(self):
        below, above = self.additional()
        for path in glob.glob(below.root + "/**/*.lock", recursive=True):
            os.unlink(path)
        before = snapshot(below.root)
        self.use(above)
        self.assertEqual(snapshot(below.root), before)

    @reads_others
    def test_additional_is_ourselves(self):
        below, _ = self.additional()
        twice = Store(self.folder, "below", ("imagestore", below.root))
        self.assertEqual(twice.names(), ["localhost/a:1", "localhost/b:1"])
        twice.imbrex("tag", "a:1", "x:1")

    @reads_others
    def test_additional_damaged(self):
        below, above = self.additional()
        path = f"{below.root}/{DRIVER}-images/images.json"
        with open(path, "w", encoding="utf-8") as f:
            f.write("[{")
        status, _, err = above.imbrex("images", ok=False)
        self.assertTrue(status == 0 or "additional image store" in err or "images.json" in err, err)

    @unittest.skipUnless(PEER and DRIVER == "overlay", "no peer")
    def test_additional_beside_the_peer(self):
        _, above = self.additional()
        c = above.first("create-container", "-n", "c", self.a)
        self.assertEqual(above.peer("image", "localhost/a:1"),
                         above.plumbing("image", "localhost/a:1"))
        path = above.peer("mount", c).strip()
        self.assertEqual(sorted(os.listdir(path)), ["f", "g"])
        self.assertIn(path, above.imbrex("mount", "c"))
        above.imbrex("umount", "c")
        above.peer("unmount", c)
        mine = above.first("create-container", "-n", "d", self.b, program=PEER)
        self.assertEqual(json.loads(above.imbrex("inspect", "d"))[0]["id"], mine)

    # ---- additional layer stores ---------------------------------------------------------

    def layout(self, chunked):
        """An OCI layout of two layers, of which those in `chunked` have a table of contents."""
        folder = self.folder + "/layout"
        blobs = folder + "/blobs/sha256"
        os.makedirs(blobs)

        def put(data):
            digest = hashlib.sha256(data).hexdigest()
            with open(f"{blobs}/{digest}", "wb") as f:
                f.write(data)
            return {"digest": "sha256:" + digest, "size": len(data)}

        layers = [put(tar(("f", "one"))), put(tar(("g", "two")))]
        oci = "application/vnd.oci.image."
        self.diff_ids = [x["digest"] for x in layers]
        self.tocs = ["sha256:" + hashlib.sha256(x["digest"].encode()).hexdigest() for x in layers]
        config = put(json.dumps({"architecture": "amd64", "os": "linux", "config": {"Env": ["A=b"]},
                                 "rootfs": {"type": "layers", "diff_ids": self.diff_ids}}).encode())
        for i, layer in enumerate(layers):
            layer["mediaType"] = oci + "layer.v1.tar"
            if i in chunked:
                layer["annotations"] = {
                    "io.github.containers.zstd-chunked.manifest-checksum": self.tocs[i]}
                os.unlink(blobs + "/" + layer["digest"][7:])  # cannot be fetched
        manifest = put(json.dumps({"schemaVersion": 2, "mediaType": oci + "manifest.v1+json",
                                   "config": dict(config, mediaType=oci + "config.v1+json"),
                                   "layers": layers}).encode())
        with open(folder + "/index.json", "w", encoding="utf-8") as f:
            json.dump({"schemaVersion": 2, "manifests": [
                dict(manifest, mediaType=oci + "manifest.v1+json",
                     annotations={"org.opencontainers.image.ref.name": "x"})]}, f)
        with open(folder + "/oci-layout", "w", encoding="utf-8") as f:
            f.write('{"imageLayoutVersion":"1.0.0"}')
        self.config_id = config["digest"][7:]
        return "oci:" + folder

    def lazy(self, i, name, text, toc=None):
        """A layer of an additional layer store, as plain directories."""
        path = f"{self.folder}/lazy/{self.tocs[i]}"
        os.makedirs(path + "/diff")
        for file, data in ((f"diff/{name}", text), ("blob", ""), ("info", json.dumps({
                "toc-digest": toc or self.tocs[i], "diff-size": 10240, "compression": 4,
                "id": "ignored", "compressed-size": 77}))):
            with open(f"{path}/{file}", "w", encoding="utf-8") as f:
                f.write(data)
        return path

    @unittest.skipUnless(DRIVER == "overlay", "overlay only")
    def test_additional_layers(self):
        source = self.layout({1})
        path = self.lazy(1, "g", "lazy")
        s = Store(self.folder, "g", ("additionallayerstore", self.folder + "/lazy"))
        image = s.imbrex("pull", source, "a:1").strip()
        base, top = s.records("layers")
        self.assertEqual(base["id"], self.diff_ids[0][7:])
        sha = lambda text: hashlib.sha256(text.encode()).hexdigest()
        self.assertEqual(top["id"], sha(f"{base['id']}+@TOC={self.tocs[1][7:]}"))
        self.assertEqual({k: top.get(k) for k in ("parent", "toc-digest", "compression",
                                                  "compressed-size", "diff-digest")},
                         {"parent": base["id"], "toc-digest": self.tocs[1], "compression": 4,
                          "compressed-size": 77, "diff-digest": None})
        self.assertNotEqual(image, self.config_id)
        at = f"{s.root}/overlay/{top['id']}"
        self.assertEqual(os.readlink(at + "/diff"), path + "/diff")
        self.assertEqual(read(at + "/additionallayer"), path.encode())
        self.assertEqual(sorted(os.listdir(path)), ["blob", "diff", "info"])
        for name in ("a:1", "c"):
            if name == "c":
                s.imbrex("create", "a:1", "--name", "c")
            tree = s.imbrex("mount", name).strip()
            self.assertEqual(sorted(os.listdir(tree)), ["f", "g"])
            self.assertEqual(read(tree + "/g"), b"lazy")
            s.imbrex("umount", name)
        self.assertEqual(json.loads(s.imbrex("inspect", "--document=config", "a:1"))["config"],
                         {"Env": ["A=b"]})
        self.assertEqual(s.imbrex("pull", source, "a:1").strip(), image)
        # What a record or a link says is not enough.
        status, _, err = s.imbrex("mount", "c", options=(), ok=False)
        self.assertEqual((status, "in no configured additional layer store" in err), (1, True), err)
        s.imbrex("rm", "c")
        s.imbrex("rmi", "a:1")
        self.assertEqual(s.records("layers"), [])
        self.assertEqual(read(path + "/diff/g"), b"lazy")

    @unittest.skipUnless(DRIVER == "overlay", "overlay only")
    def test_additional_layers_hostile(self):
        source = self.layout({1})
        self.lazy(1, "g", "lazy", toc=self.tocs[0])
        s = Store(self.folder, "g", ("additionallayerstore", self.folder + "/lazy"))
        status, _, err = s.imbrex("pull", source, "a:1", ok=False)
        self.assertEqual((status, "is not of the layer with the TOC" in err), (1, True), err)
        for value, text in (("relative", "is not an absolute path"),
                            (self.folder + "/lazy:odd", "'odd' is not 'ref'"),
                            (self.folder + "/none", "No such file")):
            status, _, err = s.imbrex("images", ok=False,
                                      options=(("additionallayerstore", value),))
            self.assertEqual((status, text in err), (1, True), err)
        layer = s.image("localhost/b:1", tar(("f", "one")))[0]
        at = f"{s.root}/overlay/{layer}"
        shutil.rmtree(at + "/diff")
        for pointer, link in (("/etc", "/etc/diff"), ("/etc", "/etc"),
                              (self.folder + "/lazy/../../etc", self.folder + "/lazy/../../etc/diff"),
                              (self.folder + "/lazy2/x", self.folder + "/lazy2/x/diff")):
            os.symlink(link, at + "/diff")
            with open(at + "/additionallayer", "w", encoding="utf-8") as f:
                f.write(pointer)
            status, _, err = s.imbrex("mount", "b:1", ok=False)
            self.assertEqual(status, 1, (pointer, link))
            self.assertTrue("in no configured" in err or "not a directory" in err, err)
            os.unlink(at + "/diff")

    # ---- a second root for images --------------------------------------------------------

    @reads_others
    def test_imagestore(self):
        first = Store(self.folder, "g")
        old = first.image("localhost/old:1", tar(("old", "old")))
        s = Store(self.folder, "g", ("image-store", self.folder + "/images"))
        images = self.folder + "/images"
        base, top, image = s.image("localhost/new:1", tar(("f", "one")), tar(("g", "two")))
        c = s.first("create-container", "-n", "c", image)
        upper = json.loads(s.plumbing("container", "-j", c))[0]["layer"]

        at = lambda root, kind: [x["id"] for x in read_json(f"{root}/{DRIVER}-{kind}/{kind}.json")]
        self.assertEqual(at(images, "layers"), [base, top])
        self.assertEqual(at(s.root, "layers"), [old[0], upper])
        self.assertEqual(at(images, "images"), [image])
        self.assertEqual(at(s.root, "images"), [old[1]])
        self.assertEqual(at(s.root, "containers"), [c])
        self.assertTrue(os.path.isdir(f"{images}/{HOME}/{top}"))
        self.assertFalse(os.path.exists(f"{s.root}/{HOME}/{top}"))
        self.assertTrue(os.path.isdir(f"{s.root}/{HOME}/{upper}"))
        self.assertTrue(os.path.exists(f"{s.root}/{DRIVER}-layers/{top}.tar-split.gz"))
        self.assertTrue(os.path.getsize(f"{images}/{DRIVER}-layers/layers.lock") > 0)
        if DRIVER == "overlay":
            with open(f"{images}/overlay/{top}/link", encoding="utf-8") as f:
                self.assertEqual(os.readlink(f"{images}/overlay/l/{f.read()}"), f"../{top}/diff")

        self.assertEqual(s.names(), ["localhost/new:1", "localhost/old:1"])
        path = s.imbrex("mount", "c").strip()
        self.assertEqual(sorted(os.listdir(path)), ["f", "g"])
        s.imbrex("umount", "c")
        path = s.imbrex("mount", "old:1").strip()
        self.assertEqual(os.listdir(path), ["old"])
        s.imbrex("umount", "old:1")
        self.assertEqual(s.imbrex("check").strip(), "")

        # Without the second root, what was there before is there still.
        self.assertEqual(first.names(), ["localhost/old:1"])

        before = read(f"{images}/{DRIVER}-layers/layers.lock")
        s.imbrex("rm", "c")
        self.assertNotEqual(read(f"{images}/{DRIVER}-layers/layers.lock"), before)
        s.imbrex("rmi", "new:1")
        self.assertEqual(at(images, "layers"), [])
        left = [x for x in os.listdir(f"{images}/{HOME}") if len(x) == 64]
        left += os.listdir(f"{images}/overlay/l") if DRIVER == "overlay" else []
        self.assertEqual(left, [])

    def split(self, *names):
        """Images of a root that then got a second one; each a layer of its own on a common one."""
        first = Store(self.folder, "g")
        made = {}
        common = first.first("import-layer", "-r", input=tar(("common", "x")))
        for name in names:
            top = first.first("import-layer", "-r", common, input=tar((name, name)))
            image = first.first("create-image", "-n", f"localhost/{name}:1", top)
            made[name] = (common, top, image)
            first.plumbing("set-image-data", made[name][2], "note", input=b"of " + name.encode())
        return first, made, Store(self.folder, "g", ("image-store", self.folder + "/images"))

    def ids(self, kind):
        return [x["id"] for x in read_json(f"{self.folder}/g/{DRIVER}-{kind}/{kind}.json")]

    @reads_others
    def test_images_of_the_first_root_are_removed(self):
        first, made, s = self.split("a", "b")
        common, top, image = made["a"]
        self.assertIn(image, s.imbrex("rmi", "a:1"))
        self.assertEqual(self.ids("images"), [made["b"][2]])
        self.assertEqual(self.ids("layers"), [common, made["b"][1]])
        self.assertFalse(os.path.exists(f"{s.root}/{HOME}/{top}"))
        self.assertFalse(os.path.exists(f"{s.root}/{DRIVER}-images/{image}"))
        self.assertEqual(s.imbrex("check").strip(), "")
        self.assertEqual(first.names(), ["localhost/b:1"])
        self.assertEqual(first.imbrex("check").strip(), "")
        s.plumbing("delete-image", made["b"][2])
        self.assertEqual((self.ids("images"), self.ids("layers")), ([], []))

    @reads_others
    def test_layers_of_the_first_root_are_not_taken_from_its_images(self):
        _, made, s = self.split("a")
        common, top, image = made["a"]
        for layer in (common, top):
            status, _, err = s.plumbing("delete-layer", layer, ok=False)
            self.assertEqual(status, 1)
            self.assertRegex(err, "layer has children|layer is in use by an image")
        alone = s.first("create-layer")
        s.plumbing("delete-layer", alone)
        self.assertEqual(self.ids("layers"), [common, top])
        c = s.first("create-container", "-n", "c", image)
        status, _, err = s.imbrex("rmi", "a:1", ok=False)
        self.assertEqual(status, 1)
        self.assertIn(f"is used by container {c}", err)
        s.imbrex("rmi", "-f", "a:1")
        self.assertEqual((self.ids("images"), self.ids("layers")), ([], []))

    @reads_others
    def test_one_of_several_names_of_an_image_of_the_first_root(self):
        first, made, s = self.split("a")
        first.imbrex("tag", "a:1", "localhost/z:1")
        s.imbrex("rmi", "z:1")
        self.assertEqual(s.names(), ["localhost/a:1"])
        # What changed is the copy beside the new images; both go together.
        self.assertEqual(first.names(), ["localhost/a:1", "localhost/z:1"])
        s.imbrex("rmi", "a:1")
        self.assertEqual((s.names(), first.names()), ([], []))
        self.assertEqual(self.ids("layers"), [])

    def test_indexes_that_no_table_needs_are_collected(self):
        s = Store(self.folder, "g")
        s.image("localhost/a:1", tar(("f", "one")))
        index = s.run + "/imbrex/index"
        os.makedirs(index, exist_ok=True)
        st = os.stat(f"{s.root}/{DRIVER}-layers")
        own = f"{DRIVER}-layers-{st.st_dev:x}-{st.st_ino:x}"
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as f:
            boot = bytes.fromhex(f.read().strip().replace("-", ""))
        # Magic, version, kind, sizes, counts; then the stamp, which begins with the boot.
        magic = (0x7865646e69627869).to_bytes(8, "little")
        head = lambda b: magic.ljust(320 - 232, b"\0") + b.ljust(232, b"\0")
        old = time.time() - 8 * 86400
        files = {own: (bytes(320), old), f"{DRIVER}-layers-1-1": (head(boot), None),
                 f"{DRIVER}-layers-1-2": (head(bytes(16)), None), "junk": (b"junk", None),
                 f"{DRIVER}-layers-1-3": (head(boot), old), ".tmp-a": (b"", None),
                 ".tmp-b": (b"", old)}
        for name, (data, when) in files.items():
            with open(f"{index}/{name}", "wb") as f:
                f.write(data)
            if when:
                os.utime(f"{index}/{name}", (when, when))
        os.mkdir(index + "/directory")
        # They are no damage.
        self.assertEqual(s.imbrex("check").strip(), "")
        strays = sorted([f"{DRIVER}-layers-1-2", f"{DRIVER}-layers-1-3", "junk", ".tmp-b"])
        told = [f"file imbrex/index/{x}: an index in the run root that no table needs"
                for x in strays]
        self.assertEqual(sorted(s.imbrex("gc", "--dry-run").splitlines()), told)
        self.assertTrue(os.path.exists(index + "/junk"))
        self.assertEqual(sorted(s.imbrex("gc").splitlines()), told)
        self.assertEqual(sorted(set(os.listdir(index)) - {own}),
                         sorted([".tmp-a", "directory", f"{DRIVER}-layers-1-1"]))
        self.assertEqual(s.imbrex("gc").strip(), "")

    @reads_others
    def test_garbage_beside_the_images_of_the_first_root(self):
        _, made, s = self.split("a")
        lost = f"{s.root}/{DRIVER}-images/{'e' * 64}"
        os.makedirs(lost)
        self.assertIn("no record names it", s.imbrex("gc"))
        self.assertFalse(os.path.exists(lost))
        self.assertTrue(os.path.exists(f"{s.root}/{DRIVER}-images/{made['a'][2]}"))

    @reads_others
    def test_a_wipe_takes_the_images_of_the_first_root(self):
        first, _, s = self.split("a", "b")
        s.image("localhost/new:1", tar(("f", "one")))
        s.plumbing("wipe")
        self.assertEqual((s.names(), first.names(), self.ids("layers")), ([], [], []))
        self.assertEqual([x for x in os.listdir(f"{s.root}/{DRIVER}-images") if len(x) == 64], [])

    def test_a_first_root_that_is_only_read_loses_nothing(self):
        _, made, s = self.split("a")
        status, _, err = s.imbrex("--read-only", "rmi", "a:1", ok=False)
        self.assertEqual(status, 1)
        self.assertIn("was opened read-only", err)
        self.assertEqual(self.ids("images"), [made["a"][2]])

    def test_imagestore_is_the_root(self):
        s = Store(self.folder, "g", ("image-store", self.folder + "/g"))
        status, _, err = s.imbrex("images", ok=False)
        self.assertEqual(status, 1)
        self.assertIn("imagestore and graphroot are both", err)

    # ---- a map for every layer -----------------------------------------------------------

    def three_layers(self):
        """An OCI layout with one image, and how many layers that has."""
        where = self.folder + "/three"
        os.makedirs(where + "/blobs/sha256")

        def blob(data, kind):
            data = data if isinstance(data, bytes) else json.dumps(data).encode()
            digest = hashlib.sha256(data).hexdigest()
            with open(f"{where}/blobs/sha256/{digest}", "wb") as f:
                f.write(data)
            return {"mediaType": f"application/vnd.oci.image.{kind}", "size": len(data),
                    "digest": "sha256:" + digest}

        layers = [blob(tar((name, name)), "layer.v1.tar") for name in ("one", "two", "three")]
        config = blob({"architecture": "amd64", "os": "linux", "config": {}, "rootfs": {
            "type": "layers", "diff_ids": [x["digest"] for x in layers]}}, "config.v1+json")
        manifest = blob({"schemaVersion": 2, "config": config, "layers": layers,
                         "mediaType": "application/vnd.oci.image.manifest.v1+json"},
                        "manifest.v1+json")
        for name, data in (("index.json", {"schemaVersion": 2, "manifests": [manifest]}),
                           ("oci-layout", {"imageLayoutVersion": "1.0.0"})):
            with open(f"{where}/{name}", "w", encoding="utf-8") as f:
                json.dump(data, f)
        return where, len(layers)

    def remapped(self, name, *words):
        """A store whose storage.conf says so, and whose kernel maps nothing."""
        s = Configured(self.folder, name, *words)
        s.env["_CONTAINERS_OVERLAY_DISABLE_IDMAP"] = "yes"
        # The peer does not know that word, but believes what it once found out.
        os.makedirs(s.run + "/overlay", exist_ok=True)
        with open(s.run + "/overlay/idmapped-lower-dir-false", "wb"):
            pass
        return s

    def maps(self, s):
        return [(x.get("uidmap"), x.get("gidmap")) for x in s.records("layers")]

    REMAP = ('remap-uids = "0:100000:65536"', 'remap-gids = "0:200000:65536"')
    MAP = ([{"container_id": 0, "host_id": 100000, "size": 65536}],
           [{"container_id": 0, "host_id": 200000, "size": 65536}])

    def test_layers_on_nothing_get_the_map_of_the_configuration(self):
        ours, theirs = self.remapped("g", *self.REMAP), self.remapped("p", *self.REMAP)
        for s, run in ((ours, ours.plumbing), (theirs, theirs.peer)):
            if s is theirs and not PEER:
                continue
            base = run("import-layer", input=tar(("f", "one"))).splitlines()[0]
            run("create-layer", base)
            run("create-layer", "--uidmap", "0:300000:10", "--gidmap", "0:300000:10")
            run("create-layer", "--hostuidmap", "--hostgidmap")
            other = [{"container_id": 0, "host_id": 300000, "size": 10}]
            self.assertEqual(self.maps(s), [self.MAP, self.MAP, (other, other), (None, None)])
            st = os.stat(os.path.join(s.root, HOME, base, TREE, "f"))
            self.assertEqual((st.st_uid, st.st_gid), (100000, 200000))
        self.assertEqual(ours.imbrex("check").strip(), "")
        config = json.loads(ours.plumbing("config"))
        self.assertEqual((config["uidmap"], config["gidmap"]), self.MAP)

    def test_what_is_pulled_gets_the_map_of_the_configuration(self):
        layout, layers = self.three_layers()
        s = self.remapped("g", *self.REMAP)
        s.imbrex("pull", "-q", "oci:" + layout)
        self.assertEqual(self.maps(s), [self.MAP] * layers)
        self.assertEqual(s.imbrex("check").strip(), "")
        podman = shutil.which("podman")
        if podman:
            peer = self.remapped("p", *self.REMAP)
            p = peer.start([podman, "--cgroup-manager", "cgroupfs", "--events-backend", "file",
                            "pull", "-q", "oci:" + layout])
            self.assertEqual(p.returncode, 0, p.stderr)
            self.assertEqual(self.maps(peer), self.maps(s))

    def test_what_stands_on_a_layer_without_a_map_gets_none(self):
        layout, layers = self.three_layers()
        plain = Store(self.folder, "g")
        plain.imbrex("pull", "-q", "oci:" + layout)
        records = plain.records("layers")
        image = plain.records("images")[0]["id"]
        plain.plumbing("create-image", "-n", "keep", records[0]["id"])
        plain.imbrex("rmi", "-f", image)
        s = self.remapped("g", *self.REMAP)
        s.imbrex("pull", "-q", "oci:" + layout)
        self.assertEqual(self.maps(s), [(None, None)] * layers)
        self.assertEqual(s.imbrex("check").strip(), "")

    def test_subordinate_ids_of_a_user_are_the_map(self):
        for name, first in (("subuid", 300000), ("subgid", 400000)):
            path = f"{self.folder}/{name}"
            with open(path, "w", encoding="utf-8") as f:
                f.write(f"someone:{first}:65536\n")
            subprocess.run(["mount", "--bind", path, "/etc/" + name], check=True)
            self.addCleanup(subprocess.run, ["umount", "/etc/" + name], check=False)
        for n, word in enumerate(("remap-user", "remap-group")):
            s = self.remapped(f"g{n}", f'{word} = "someone"')
            s.plumbing("create-layer")
            self.assertEqual(self.maps(s),
                             [([{"container_id": 0, "host_id": 300000, "size": 65536}],
                               [{"container_id": 0, "host_id": 400000, "size": 65536}])])

    def test_a_map_that_is_none_opens_no_store(self):
        for n, (words, text) in enumerate((
                ('remap-uids = "0:100000"', "remap-uids: '0:100000' is not made of threes"),
                ('remap-gids = "0:1:99999999999"', "remap-gids: "),
                ('remap-uids = "0:1:10,5:100:10"', "remap-uids, remap-gids: "),
                ('remap-user = "nobody-knows"', "remap-user: no subuid ranges found for user"))):
            s = self.remapped(f"g{n}", words)
            status, _, err = s.imbrex("images", ok=False)
            self.assertEqual(status, 1)
            self.assertIn(text, err)
            self.assertFalse(os.path.exists(s.root))

    # ---- transient and volatile ----------------------------------------------------------

    def test_transient(self):
        s = Store(self.folder, "g", ("transient-store", ""))
        lasting = Store(self.folder, "g")
        image = s.image("localhost/a:1", tar(("f", "one")))[-1]
        c = s.imbrex("create", "a:1", "--name", "c").strip()
        stored = f"{s.run}/{DRIVER}-containers/volatile-containers.json"
        self.assertEqual([x["id"] for x in read_json(stored)], [c])
        self.assertEqual(len(read_json(f"{s.run}/{DRIVER}-layers/volatile-layers.json")), 1)
        self.assertEqual(lasting.records("containers"), [])
        self.assertEqual(len(lasting.records("layers")), 1)
        self.assertTrue(os.path.getsize(f"{s.run}/{DRIVER}-containers/containers.lock") > 0)
        path = s.imbrex("mount", "c").strip()
        self.assertEqual(os.listdir(path), ["f"])
        s.imbrex("umount", "c")
        self.assertEqual(json.loads(s.imbrex("inspect", "c"))[0]["flags"].get("Volatile"), True)
        # The next boot.
        shutil.rmtree(s.run)
        self.assertEqual(json.loads(s.imbrex("ps", "--json")), [])
        self.assertEqual([x["id"] for x in json.loads(s.imbrex("images", "--json"))], [image])
        s.imbrex("gc")
        self.assertEqual(len([x for x in os.listdir(f"{s.root}/{HOME}") if len(x) == 64]), 1)
        s.imbrex("create", "a:1", "--name", "c")
        s.imbrex("rm", "c")
        self.assertEqual(read_json(stored), [])

    def test_volatile_records_of_newer_peers(self):
        s = Store(self.folder, "g")
        s.image("localhost/a:1", tar(("f", "one")))
        c = s.imbrex("create", "a:1", "--name", "c").strip()
        layer = json.loads(s.imbrex("inspect", "c"))[0]["layer"]
        for kind, keep in (("containers", lambda x: False), ("layers", lambda x: x["id"] != layer)):
            path = f"{s.root}/{DRIVER}-{kind}/"
            records = read_json(path + kind + ".json")
            for name, some in ((kind, [x for x in records if keep(x)]),
                               ("volatile-" + kind, [x for x in records if not keep(x)])):
                with open(f"{path}{name}.json", "w", encoding="utf-8") as f:
                    json.dump(some, f)
        self.assertEqual([x["id"] for x in json.loads(s.imbrex("ps", "--json"))], [c])
        path = s.imbrex("mount", "c").strip()
        self.assertEqual(os.listdir(path), ["f"])
        s.imbrex("umount", "c")
        s.imbrex("rm", "c")
        for kind in ("containers", "layers"):
            self.assertEqual(read_json(f"{s.root}/{DRIVER}-{kind}/volatile-{kind}.json"), [])

    # ---- reading without a trace ---------------------------------------------------------

    def dead(self):
        s = Store(self.folder, "g")
        s.image("localhost/a:1", tar(("f", "one")), tar(("g", "two")))
        s.imbrex("create", "a:1", "--name", "c")
        s.imbrex("mount", "c")
        for path in glob.glob(s.root + "/overlay/*/merged"):
            if is_mounted(path):
                subprocess.run(["umount", path], check=True)
        subprocess.run(["umount", s.root + "/overlay"], check=False, capture_output=True)
        # Its machine is gone: another path, another run root, somebody else's rights.
        os.rename(s.root, self.folder + "/moved")
        for at, dirs, files in os.walk(self.folder + "/moved"):
            dirs[:] = [x for x in dirs if x != "diff" and not (at.endswith("/" + HOME) and not TREE)]
            for name in dirs + files:
                if not os.path.islink(f"{at}/{name}"):
                    os.chmod(f"{at}/{name}", os.lstat(f"{at}/{name}").st_mode | 0o555)
        os.chmod(self.folder + "/moved", 0o755)
        dead = Store(self.folder, "moved", ("read-only", ""))
        dead.run = self.folder + "/no-run-root"
        return dead

    def look(self, s, before=()):
        run = lambda *args: s.imbrex(*args, before=before)
        self.assertEqual([x["names"] for x in json.loads(run("images", "--json"))],
                         [["localhost/a:1"]])
        self.assertEqual([x["names"] for x in json.loads(run("ps", "--json"))], [["c"]])
        self.assertEqual(len(json.loads(run("layers", "--json"))), 3)
        self.assertEqual(json.loads(run("inspect", "a:1"))[0]["names"], ["localhost/a:1"])
        self.assertEqual(run("check").strip(), "")
        self.assertFalse(os.path.exists(s.run))

    def test_dead(self):
        s = self.dead()
        before = snapshot(s.root)
        self.look(s)
        for verb in (["rm", "c"], ["rmi", "a:1"], ["create", "a:1"], ["tag", "a:1", "b:1"]):
            status, _, err = s.imbrex(*verb, ok=False)
            self.assertEqual((status, "was opened read-only" in err), (1, True), err)
        self.assertEqual(snapshot(s.root), before)

    def test_dead_without_locks_for_another_user(self):
        s = self.dead()
        user = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
        if DRIVER == "overlay":
            self.look(s, user)
        for path in glob.glob(s.root + "/**/*.lock", recursive=True):
            os.unlink(path)
        before = snapshot(s.root)
        self.look(s)
        self.assertEqual(snapshot(s.root), before)

    def test_dead_on_a_read_only_mount(self):
        s = self.dead()
        self.read_only(s.root)
        s.options = ()
        self.assertEqual(s.names(), ["localhost/a:1"])
        status, _, err = s.imbrex("rm", "c", ok=False)
        self.assertEqual((status, "is on a read-only file system" in err), (1, True), err)

    # ---- mounts --------------------------------------------------------------------------

    @unittest.skipUnless(DRIVER == "overlay", "nothing is mounted")
    def test_mounted_in_another_namespace(self):
        s = Store(self.folder, "g")
        s.image("localhost/a:1", tar(("f", "one")))
        s.imbrex("create", "a:1", "--name", "c")
        for fifo in ("up", "down"):
            os.mkfifo(f"{self.folder}/{fifo}")
        words = [IMBREX, "--root", s.root, "--runroot", s.run, "--driver", DRIVER, "mount", "c"]
        other = subprocess.Popen(
            ["unshare", "-m", "sh", "-c", '"$@" && echo > up; cat down', "sh"] + words, env=s.env,
            cwd=self.folder, stdout=subprocess.DEVNULL)
        with open(self.folder + "/up", encoding="utf-8") as f:
            f.read()
        for verb in (["mount", "c"], ["umount", "c"], ["rm", "--force", "c"]):
            status, _, err = s.imbrex(*verb, ok=False)
            self.assertEqual(
                (status, "is mounted in another mount namespace" in err), (1, True), err)
        with open(self.folder + "/down", "w", encoding="utf-8") as f:
            f.write("end")
        other.wait()
        # The books still say that it is mounted; they are not believed.
        s.imbrex("mount", "c")
        s.imbrex("umount", "c")
        s.imbrex("rm", "c")

    def test_counts(self):
        s = Store(self.folder, "g")
        layer, image = s.image("localhost/a:1", tar(("f", "one")))
        c = s.imbrex("create", "a:1", "--name", "c").strip()
        paths = {s.imbrex("mount", "c"), s.plumbing("mount", "c"), s.plumbing("mount", c)}
        self.assertEqual(len(paths), 1)
        self.assertEqual(s.plumbing("mounted", "c"), "c mounted\n")
        count = lambda: [x["count"] for x in read_json(
            f"{s.run}/{DRIVER}-layers/mountpoints.json")]
        self.assertEqual(count(), [3])
        s.imbrex("umount", "c")
        self.assertEqual(count(), [2])
        s.plumbing("unmount", "--force", "c")
        self.assertEqual(count(), [])
        self.assertEqual(s.plumbing("mounted", "c"), "")
        self.assertTrue(os.path.exists(s.plumbing("mount", layer).strip() + "/f"))
        s.plumbing("unmount", layer)
        status, out, err = s.plumbing("mount", image, ok=False)
        self.assertEqual((status, "layer not known" in err), (1, True), err)
        self.assertTrue(os.path.exists(s.plumbing("mount", "-r", image).strip() + "/f"))
        s.plumbing("unmount", image)
        self.assertEqual(count(), [])

    @unittest.skipUnless(DRIVER == "overlay", "nothing is mounted")
    def test_recorded_mount_options(self):
        s = Store(self.folder, "g")
        s.image("localhost/a:1", tar(("f", "one")))
        s.imbrex("create", "a:1", "--name", "c")
        path = f"{s.root}/{DRIVER}-containers/containers.json"
        records = read_json(path)
        records[0]["flags"]["MountOpts"] = ["nosuid", "noexec"]
        with open(path, "w", encoding="utf-8") as f:
            json.dump(records, f)
        tree = s.imbrex("mount", "c").strip()
        with open("/proc/self/mounts", encoding="utf-8") as f:
            words = next(line.split()[3] for line in f if line.split()[1] == tree).split(",")
        self.assertTrue({"nosuid", "noexec"} <= set(words), words)
        s.imbrex("umount", "c")

    # ---- the whole -----------------------------------------------------------------------

    def test_shutdown_and_wipe(self):
        s = Store(self.folder, "g")
        s.image("localhost/a:1", tar(("f", "one")))
        c = s.imbrex("create", "a:1", "--name", "c").strip()
        tree = s.imbrex("mount", "c").strip()
        if DRIVER == "overlay":
            status, _, err = s.plumbing("shutdown", ok=False)
            self.assertEqual((status, err.strip()), (
                1, "shutdown: a layer is mounted: layer is in use by a container"))
        s.plumbing("shutdown", "--force")
        self.assertFalse(is_mounted(tree))
        self.assertFalse(is_mounted(s.root + "/overlay"))
        self.assertTrue(os.path.getsize(s.root + "/storage.lock") == 64)
        self.assertEqual(s.plumbing("mounted", c), "")
        s.imbrex("mount", "c")
        s.plumbing("wipe")
        for kind in ("layers", "images", "containers"):
            self.assertEqual(s.records(kind), [])
        self.assertEqual([x for x in os.listdir(f"{s.root}/{HOME}") if len(x) == 64], [])
        self.assertEqual(s.imbrex("check").strip(), "")

    def test_config(self):
        conf = self.folder + "/storage.conf"
        with open(conf, "w", encoding="utf-8") as f:
            f.write("""[storage]
driver = "overlay"
graphroot = "/g"
runroot = "/r"
imagestore = "/i"
transient_store = true
[storage.options]
additionalimagestores = ["/a", "/b"]
disable-volatile = true
root-auto-userns-user = "joe"
auto-userns-min-size = 77
mountopt = "nodev"
[storage.options.pull_options]
use_hard_links = "<b>"
enable_partial_images = "true"
[storage.options.overlay]
mountopt = "nosuid"
mount_program = "/p"
[storage.options.vfs]
ignore_chown_errors = "false"
""")
        s = Store(self.folder, "g")
        # As containers-storage of the podman 6 era writes it.
        self.assertEqual(s.plumbing("config", conf), (
            '{"runroot":"/r","root":"/g","imagestore":"/i","driver":"overlay","driver-options":['
            '"imagestore=/a","imagestore=/b","mountopt=nodev","overlay.mount_program=/p",'
            '"overlay.mountopt=nosuid","vfs.ignore_chown_errors=false"],"root_auto_ns_user":"joe",'
            '"auto_userns_min_size":77,"PullOptions":{"enable_partial_images":"true",'
            '"use_hard_links":"\\u003cb\\u003e"},"disable-volatile":true,"transient_store":true}\n'))

    @unittest.skipUnless(PEER, "no peer")
    def test_a_reader_sees_whole_states(self):
        s = Store(self.folder, "g")
        image = s.image("localhost/a:1", tar(("f", "one")))[-1]
        words = [PEER, "--graph", s.root, "--run", s.run, "-s", DRIVER]
        script = ('for i in 1 2 3 4 5 6 7 8; do "$@" create-container -n c$i $IMAGE; '
                  '"$@" create-image -n localhost/i$i $LAYER; '
                  '"$@" delete-container c$i; "$@" delete-image localhost/i$i; done')
        env = dict(s.env, IMAGE=image, LAYER=s.records("images")[0]["layer"])
        writer = subprocess.Popen(["sh", "-ec", script, "sh"] + words, env=env,
                                  stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        n = 0
        while writer.poll() is None:
            status, out, err = s.imbrex("check", "--quick", ok=False)
            self.assertEqual((status, out), (0, ""), err)
            n += 1
        self.assertEqual(writer.returncode, 0, writer.stderr.read())
        writer.stderr.close()
        self.assertGreater(n, 3)


if __name__ == "__main__":
    if os.geteuid() != 0:
        skip("needs root")
    if IN_LANE not in os.environ:
        if subprocess.run(["unshare", "-m", "true"], check=False, capture_output=True).returncode:
            skip("needs a mount namespace")
        os.environ[IN_LANE] = "1"
        os.execvp("unshare", ["unshare", "-m", sys.executable, "-B"] + sys.argv)
    unittest.main(argv=sys.argv[:1] + sys.argv[3:], verbosity=1)
