#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The enroot face on ZFS: templates of images and files, layer by layer or flat, containers of them.

usage: enroot.py IMBREX [TEST...]

Below the dataset IMBREX_ZFS, which is mounted at IMBREX_ZFS_ROOT: that is the data path.
"""
import hashlib
import os
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, "..", "enroot"), os.path.join(HERE, "..", "registry")]
import engine  # noqa: E402
import fixture  # noqa: E402
from fixture import tar  # noqa: E402

IMBREX = os.path.abspath(sys.argv[1])
STORE, ROOT = os.environ.get("IMBREX_ZFS"), os.environ.get("IMBREX_ZFS_ROOT")
# TMPDIR is on the data path, which these tests sweep.
tempfile.tempdir = "/scratch" if os.path.isdir("/scratch") else "/tmp"
D = fixture.D
BASE = [tar(("etc", D, 0o755), ("etc/passwd", b"root\n"), ("bin", D, 0o755), ("bin/su", b"su", 0o4755),
            ("bin/sh", fixture.H, 0o4755, "bin/su"), ("a", D, 0o755), ("a/one", b"1"), ("gone", b"x")),
        tar(("a", D, 0o755), ("a/.wh..wh..opq", b""), ("a/two", b"2"), (".wh.gone", b""))]
OTHER = tar(("other", b"base"))
TOP_A = tar(("top", b"A"), ("a", D, 0o755), ("a/.wh.two", b""))
TOP_B = tar(("top", b"B"))
EMPTY = tar()


def zfs(*args):
    return subprocess.run(["zfs", *args], check=True, stdout=subprocess.PIPE, text=True,
                          env={**os.environ, "LC_ALL": "C"}).stdout


def chain(tars):
    """Chain IDs, base first."""
    ids = []
    for t in tars:
        diff = "sha256:" + hashlib.sha256(t).hexdigest()
        ids.append(diff if not ids else "sha256:" + hashlib.sha256(
            f"{ids[-1]} {diff}".encode()).hexdigest())
    return [i[7:] for i in ids]


def tree(root):
    """{path: (mode, what it holds, seconds of files)}"""
    return {k: (v[0], v[2], None if v[0].startswith("0o40") else v[1])
            for k, v in fixture.tree(root)[0].items()}


class Zfs(fixture.Case):
    @classmethod
    def setUpClass(cls):
        cls.base = tempfile.mkdtemp(prefix="imbrex-registry-")
        os.chmod(cls.base, 0o755)
        cls.registry = fixture.Registry(cls.base)
        cls.images = {}
        for name, layers in (("a", BASE + [TOP_A]), ("b", BASE + [TOP_B]),
                             ("c", [OTHER, TOP_A]), ("e", [EMPTY, BASE[0], EMPTY, TOP_B, EMPTY])):
            digest, config = fixture.layout(f"{cls.base}/{name}", layers, fixture.CONFIG)
            cls.registry.push(f"{cls.base}/{name}", f"team/{name}:1")
            cls.images[name] = (digest, config[7:], layers)

    @classmethod
    def tearDownClass(cls):
        cls.registry.stop()
        shutil.rmtree(cls.base)

    def setUp(self):
        super().setUp()
        self.addCleanup(self.wipe)

    def wipe(self):
        # With what was cloned from it: the next one may be gone by then.
        for name in zfs("list", "-H", "-r", "-d", "1", "-o", "name", STORE).split()[1:]:
            subprocess.run(["zfs", "destroy", "-R", "-f", name], check=False,
                           stderr=subprocess.DEVNULL)
        self.assertEqual(self.datasets(), {})
        for name in os.listdir(ROOT):
            path = os.path.join(ROOT, name)
            if os.path.isdir(path):
                shutil.rmtree(path)
            else:
                os.unlink(path)

    def env(self, **more):
        return super().env(**{"ENROOT_STORAGE_BACKEND": "zfs", "ENROOT_DATA_PATH": ROOT, **more})

    def uri(self, name):
        return f"docker://{self.registry.host}/team/{name}:1"

    def datasets(self):
        """{name below the store's: origin}"""
        rows = zfs("list", "-H", "-r", "-o", "name,origin", STORE).strip().split("\n")
        strip = len(STORE) + 1
        return {n[strip:]: o[strip:] if o != "-" else None
                for n, o in (r.split("\t") for r in rows) if n != STORE}

    def layers(self):
        return {k[len(".layers/"):]: v and v[len(".layers/"):]
                for k, v in self.datasets().items() if k.startswith(".layers/")}

    def prop(self, name, prop):
        return zfs("get", "-H", "-o", "value", prop, f"{STORE}/{name}").strip()

    def same_as_dir(self, name, uri, env=None):
        """The container holds what the backend of plain directories makes of the image."""
        plain = {"ENROOT_STORAGE_BACKEND": "dir", "ENROOT_DATA_PATH": self.path("data")}
        self.good("load", "-f", "-n", "plain", uri, env={**plain, **(env or {})})
        self.assertEqual(tree(f"{ROOT}/{name}"), tree(self.path("data", "plain")))

    def pulled(self, r):
        """Lines without those that every query of a registry prints."""
        return [x[7:] for x in r.err.splitlines() if not re.search(
            "Querying|grant|Authent|Fetching image manifest|Download|Found all", x)]

    # ---- flat ---------------------------------------------------------------------------

    def test_an_image_becomes_a_template_and_containers_of_it(self):
        digest, key, _ = self.images["a"]
        for value in (None, "", "Y", "yes", "1"):
            env = {} if value is None else {"ENROOT_ZFS_LAYER_CHAIN": value}
            r = self.good("import", "-o", f"a{value}.sqsh", self.uri("a"), env=env)
            if value is None:
                self.assertEqual(self.pulled(r), ["Extracting image layers...",
                                                  "Converting whiteouts..."])
                with open(self.path("work", "aNone.sqsh"), encoding="ascii") as f:
                    lines = f.read().split("\n")
                self.assertEqual(lines[:5], [
                    "enroot-zfs-image:v1", "image-config-sha256=" + key,
                    "manifest-digest=" + digest, "arch=amd64", "uri=" + self.uri("a")])
                self.assertRegex(lines[5], r"^imported=\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$")
                self.assertEqual(lines[6:], [""])
            else:
                self.assertEqual(self.pulled(r), [f"Reusing cached template {key[:12]}"])
            self.assertEqual(self.datasets(), {".templates": None, f".templates/{key}": None})
        template = f".templates/{key}"
        for prop, want in (("readonly", "on"), ("enroot:uri", self.uri("a")), ("enroot:arch", "amd64"),
                           ("enroot:manifest-digest", digest)):
            self.assertEqual(self.prop(template, prop), want)
        self.assertRegex(self.prop(template, "enroot:last_used"), r"^\d{10}$")
        self.assertRegex(self.prop(template, "enroot:imported"), r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$")
        # Nothing stays mounted that nobody uses.
        with open("/proc/self/mounts", encoding="utf-8") as f:
            self.assertNotIn(key, f.read())
        self.good("create", "-n", "one", "aNone.sqsh")
        self.good("create", "-n", "two", "aNone.sqsh")
        self.check(["create", "-n", "two", "aNone.sqsh"], 1, "",
                   "[ERROR] Container already exists: two\n")
        with open(f"{ROOT}/one/mine", "w", encoding="ascii") as f:
            f.write("mine")
        self.assertFalse(os.path.exists(f"{ROOT}/two/mine"))
        self.same_as_dir("two", self.uri("a"))
        self.assertEqual(self.datasets()["one"], template + "@pristine")
        self.assertEqual(self.prop("one", "canmount"), "noauto")
        self.check(["list"], 0, "one\ntwo\n")
        # As after a restart of the machine.
        subprocess.run(["umount", f"{ROOT}/one"], check=True)
        self.good("export", "one")
        out = self.path("tmp", "out")
        subprocess.run(["unsquashfs", "-n", "-d", out, self.path("work", "one.sqsh")],
                       stdout=subprocess.PIPE, check=True)
        with open(f"{out}/mine", encoding="ascii") as f:
            self.assertEqual(f.read(), "mine")
        # A template of a file, by its content.
        r = self.good("create", "-n", "three", "one.sqsh")
        self.assertEqual(self.pulled(r), ["Extracting squashfs filesystem into ZFS template..."])
        shutil.copy(self.path("work", "one.sqsh"), self.path("work", "copy.sqsh"))
        self.assertEqual(self.good("create", "-n", "four", "copy.sqsh").err, "")
        self.assertTrue(os.path.exists(f"{ROOT}/four/mine"))
        self.check(["remove", "two"], 0, "", stdin="n\n")
        self.check(["remove", "two"], 0, "", stdin="y\n")
        self.good("remove", "-f", "one", "three", "four")
        self.check(["remove", "-f", "two"], 1, "", "[ERROR] No such container: two\n")
        self.check(["export", "two"], 1, "", "[ERROR] No such container: two\n")
        self.check(["list"], 0, "")
        self.good("load", "-n", "five", self.uri("a"))
        self.check(["list"], 0, "five\n")
        # Not one of the enroot that this dataset is for.
        self.check(["load", self.uri("a")], 1, "",
                   "[ERROR] ENROOT_DATA_PATH ({root}/data) is not a ZFS dataset mountpoint\n",
                   env={"ENROOT_DATA_PATH": self.path("data")})

    def test_the_recipes_of_the_man_page_work(self):
        page = os.path.join(HERE, "..", "..", "man", "imbrex-zfs-templates.7.scd")
        with open(page, encoding="utf-8") as f:
            text = f.read().split("# RECOVERY BY HAND", 1)[1]
        known = dict(b.split(".\n", 1)
                     for b in re.findall(r"(?m)^```\n# (.*\n(?:.*\n)*?)```$", text))
        key, mnt = self.images["a"][1], self.path("tmp", "mnt")
        os.mkdir(mnt)

        def do(title):
            p = subprocess.run(
                ["sh", "-euc", known.pop(title)], cwd=self.work, check=False,
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                env={**os.environ, "STORE": STORE, "KEY": key, "NAME": "box", "mnt": mnt})
            self.assertEqual(p.returncode, 0, p.stdout)
            return p.stdout

        self.good("load", "-n", "box", self.uri("a"))
        self.assertIn(f"{STORE}/box", do("List templates, when they were used, and what is cloned "
                                         "from them"))
        self.assertIn(key + "@pristine", do("See what stands on what"))
        subprocess.run(["umount", f"{ROOT}/box"], check=True)
        do("Read a container's files")
        self.assertTrue(os.path.exists(self.path("work", "box.tar")))
        self.good("remove", "-f", "box")
        do("Destroy a template that nothing uses; its image is imported again when it is wanted")
        # The fork's, which nobody but a person may call dead.
        zfs("create", "-u", f"{STORE}/.templates/{key}.tmp")
        do("Destroy what the fork left under construction when its process died")
        self.good("load", "-n", "box", self.uri("a"))
        self.assertEqual(known, {})

    # ---- chains -------------------------------------------------------------------------

    CHAIN = {"ENROOT_ZFS_LAYER_CHAIN": "y"}

    def test_images_with_a_common_base_share_its_layers(self):
        for name in "ab":
            r = self.good("import", "-o", f"{name}.sqsh", self.uri(name), env=self.CHAIN)
            ids = chain(self.images[name][2])
            built = [f"Building layer {i[:12]}..." for i in (ids if name == "a" else ids[2:])]
            self.assertEqual([x for x in self.pulled(r) if x.startswith("Building")], built)
        a, b = chain(self.images["a"][2]), chain(self.images["b"][2])
        self.assertEqual(a[:2], b[:2])
        # The Y.
        self.assertEqual(self.layers(), {a[0]: None, a[1]: a[0] + "@done", a[2]: a[1] + "@done",
                                         b[2]: a[1] + "@done"})
        found = self.datasets()
        for name, ids in (("a", a), ("b", b)):
            key = self.images[name][1]
            self.assertEqual(found[f".templates/{key}"], f".layers/{ids[2]}@done")
            self.good("create", "-n", name, f"{name}.sqsh")
            self.same_as_dir(name, self.uri(name))
        self.assertEqual(self.prop(f".layers/{a[1]}", "readonly"), "on")
        self.assertRegex(self.prop(f".layers/{a[1]}", "enroot:layer-digest"), "^sha256:[0-9a-f]{64}$")
        # The template is gone; all its layers are not, though nothing is kept for its age.
        guids = zfs("list", "-H", "-r", "-t", "snapshot", "-o", "name,guid", f"{STORE}/.layers")
        key = self.images["a"][1]
        self.good("remove", "-f", "a")
        zfs("destroy", "-r", f"{STORE}/.templates/{key}")
        shutil.rmtree(self.path("cache"))
        r = self.good("create", "-n", "a", "a.sqsh",
                      env={**self.CHAIN, "ENROOT_TEMPLATE_WARM_SECONDS": "0"})
        self.assertIn(f"[INFO] Template {key[:12]} evicted; re-pulling from {self.uri('a')}\n", r.err)
        self.assertNotIn("Building layer", r.err)
        self.assertNotIn("missing layers", r.err)
        self.assertEqual(guids, zfs("list", "-H", "-r", "-t", "snapshot", "-o", "name,guid",
                                    f"{STORE}/.layers"))
        self.same_as_dir("a", self.uri("a"))
        # A template that was made of layers serves who wants none, and the other way round.
        self.good("remove", "-f", "a", "b")
        r = self.good("import", "-o", "flat.sqsh", self.uri("a"))
        self.assertEqual(self.pulled(r), [f"Reusing cached template {key[:12]}"])

    def test_imports_at_once_build_each_layer_once(self):
        running = [subprocess.Popen([self.program, "import", "-o", f"{n}{i}.sqsh", self.uri(n)],
                                    env=self.env(**self.CHAIN), cwd=self.work, text=True,
                                    stdin=subprocess.DEVNULL, stderr=subprocess.PIPE)
                   for i in range(2) for n in "ab"]
        said = [p.communicate()[1] for p in running]
        self.assertEqual([p.returncode for p in running], [0] * 4, said)
        built = re.findall(r"(?m)^\[INFO\] Building layer (\w{12})\.\.\.$", "".join(said))
        ids = set(chain(self.images["a"][2]) + chain(self.images["b"][2]))
        self.assertEqual(sorted(built), sorted(i[:12] for i in ids))
        self.assertEqual(set(self.layers()), ids)
        self.assertEqual([n for n in self.datasets() if n.endswith(".tmp")], [])

    def test_equal_layers_on_other_bases_and_empty_ones_come_out_right(self):
        for name in "ace":
            self.good("load", "-n", name, self.uri(name), env=self.CHAIN)
            self.same_as_dir(name, self.uri(name))
        wanted = {i for name in "ace" for i in chain(self.images[name][2])}
        self.assertEqual(set(self.layers()), wanted)
        self.assertEqual(len(wanted), 3 + 2 + 5)

    def test_a_tag_that_moved_is_refused(self):
        self.registry.push(f"{self.base}/a", "team/moving:1")
        self.good("import", "-o", "m.sqsh", self.uri("moving"), env=self.CHAIN)
        self.registry.push(f"{self.base}/b", "team/moving:1")
        old, new = self.images["a"][1], self.images["b"][1]
        before = self.datasets()
        # It is here: no question is asked.
        self.good("create", "-n", "x", "m.sqsh")
        self.good("remove", "-f", "x")
        zfs("destroy", "-r", f"{STORE}/.templates/{old}")
        r = self.enroot("create", "-n", "x", "m.sqsh")
        self.assertEqual(r.status, 1)
        self.assertEqual(r.err.splitlines()[-1],
                         f"[ERROR] Pointer {os.path.realpath(self.work)}/m.sqsh references "
                         f"image-config-sha256 {old}, but URI now resolves to {new}. Delete and "
                         "re-import.")
        del before[f".templates/{old}"]
        self.assertEqual(self.datasets(), before)

    # ---- engines ------------------------------------------------------------------------

    def engine_image(self, tars):
        return engine.Image(tars, WorkingDir="/srv", Env=["A=b"])

    def test_an_engine_s_image_goes_layer_by_layer_as_it_arrives(self):
        tars = [EMPTY, BASE[0], EMPTY, engine.layer("large", 300000), TOP_B, EMPTY]
        image = self.engine_image(tars)
        ids = chain(tars)
        uri = f"dockerd://{image.tag}"
        for number, archive in enumerate((image.docker20(), image.docker20(order=[5, 3, 4, 1, 2, 0]),
                                          image.containerd())):
            with engine.Engine(self.path("tmp", f"{number}.sock")) as e:
                env = {"DOCKER_HOST": "unix://" + e.path}
                e.serve(image, archive)
                r = self.good("import", "-o", f"{number}.sqsh", uri, env={**env, **self.CHAIN})
                self.assertEqual(r.err.splitlines(), [
                    "[INFO] Fetching image", "[INFO] Extracting image content...",
                    *(f"[INFO] Building layer {i[:12]}..." for i in ids)])
                self.assertEqual(set(self.layers()), set(ids))
                with open(self.path("work", f"{number}.sqsh"), encoding="ascii") as f:
                    lines = f.read().split("\n")
                self.assertEqual(lines[1:4], ["image-config-sha256=" + image.id, "arch=amd64",
                                              "uri=" + uri])
                self.good("create", "-n", "box", f"{number}.sqsh")
                self.same_as_dir("box", uri, env)
                if number:
                    self.wipe()
                    continue
                # Here: the engine is asked what it is, and for nothing more.
                e.requests.clear()
                r = self.good("import", "-o", "again.sqsh", uri, env={**env, **self.CHAIN})
                self.assertEqual(self.pulled(r), ["Fetching image",
                                                  f"Reusing cached template {image.id[:12]}"])
                self.assertFalse([q for q in e.requests if "/get" in str(q)])
                # Its layers are here: the archive passes, nothing is built.
                self.good("remove", "-f", "box")
                zfs("destroy", "-r", f"{STORE}/.templates/{image.id}")
                r = self.good("create", "-n", "box", f"{number}.sqsh", env={**env, **self.CHAIN})
                self.assertNotIn("Building", r.err)
                self.good("remove", "-f", "box")
                # And flat.
                zfs("destroy", "-r", f"{STORE}/.templates/{image.id}")
                zfs("destroy", "-r", f"{STORE}/.layers")
                r = self.good("create", "-n", "box", f"{number}.sqsh", env=env)
                self.assertNotIn("Building", r.err)
                self.assertNotIn(".layers", self.datasets())
                self.same_as_dir("box", uri, env)
                # Another image under that name.
                other = self.engine_image([TOP_A])
                e.serve(other, other.docker20())
                zfs("destroy", "-R", "-f", f"{STORE}/.templates/{image.id}")
                r = self.enroot("create", "-n", "box", f"{number}.sqsh", env={**env, **self.CHAIN})
                self.assertEqual(r.status, 1)
                self.assertIn(f"but URI now resolves to {other.id}. Delete and re-import.", r.err)
            self.wipe()

    def test_an_engine_that_lies_or_dies_leaves_nothing_half_done(self):
        tars = [BASE[0], engine.layer("large", 300000), TOP_B]
        image = self.engine_image(tars)
        whole = image.docker20().bytes()
        wrong = self.engine_image(tars[:2] + [TOP_A])
        for archive in (whole[:len(whole) // 2], wrong.docker20().bytes()):
            with engine.Engine(self.path("tmp", "e.sock")) as e:
                e.serve(image, archive)
                r = self.enroot("import", "-o", "x.sqsh", f"dockerd://{image.tag}",
                                env={"DOCKER_HOST": "unix://" + e.path, **self.CHAIN})
            self.assertEqual(r.status, 1)
            self.assertEqual(len([x for x in r.err.splitlines() if x.startswith("[ERROR]")]), 1, r)
            self.assertFalse(os.path.exists(self.path("work", "x.sqsh")))
            found = self.datasets()
            self.assertEqual([n for n in found if n.startswith(".templates/") or ".tmp" in n], [])
            # What is complete is right, and stays for the next time.
            self.assertLessEqual(set(self.layers()), set(chain(tars)))

    def test_an_image_of_podman_s_store(self):
        conf = self.path("etc", "storage.conf")
        with open(conf, "w", encoding="ascii") as f:
            f.write(f'[storage]\ndriver = "vfs"\ngraphroot = "{self.root}/graph"\n'
                    f'runroot = "{self.root}/runroot"\n')
        env = {"CONTAINERS_STORAGE_CONF": conf, "XDG_RUNTIME_DIR": self.path("tmp")}
        policy = self.path("etc", "policy.json")
        with open(policy, "w", encoding="ascii") as f:
            f.write('{"default":[{"type":"insecureAcceptAnything"}]}')
        subprocess.run(["podman", "pull", "-q", "--signature-policy", policy, f"oci:{self.base}/b:1"],
                       check=True, stdout=subprocess.PIPE, env={**os.environ, **env})
        key = self.images["b"][1]
        subprocess.run(["podman", "tag", key, "localhost/b:1"], check=True,
                       env={**os.environ, **env})
        self.good("import", "-o", "b.sqsh", "podman://localhost/b:1", env={**env, **self.CHAIN})
        self.assertEqual(set(self.layers()), set(chain(self.images["b"][2])))
        with open(self.path("work", "b.sqsh"), encoding="ascii") as f:
            text = f.read()
        self.assertIn(f"image-config-sha256={key}\n", text)
        self.assertNotIn("manifest-digest", text)
        # The registry's image is the same one: nothing is fetched.
        r = self.good("import", "-o", "r.sqsh", self.uri("b"), env=self.CHAIN)
        self.assertEqual(self.pulled(r), [f"Reusing cached template {key[:12]}"])
        self.good("create", "-n", "box", "b.sqsh")
        self.same_as_dir("box", "podman://localhost/b:1", env)


class User(Zfs):
    """To whom the administrator has delegated the store, with the mount helper."""
    lane = "user"
    NAME = "imbrex-enroot"
    # VFS_CAP_REVISION_2, permitted CAP_SYS_ADMIN and not in effect: linux/capability.h.
    CAPABILITY = struct.pack("<5I", 0x02000000, 1 << 21, 0, 0, 0)

    def test_a_user_imports_and_makes_containers(self):
        with open("/etc/passwd", "a", encoding="ascii") as f:
            f.write(f"{self.NAME}:x:{fixture.USER}:{fixture.USER}::/:/bin/sh\n")
        os.chmod("/dev/zfs", 0o666)
        for path in (ROOT, os.path.dirname(ROOT)):
            os.chmod(path, 0o755)
        os.chown(ROOT, fixture.USER, fixture.USER)
        os.makedirs("/etc/enroot", exist_ok=True)
        with open("/etc/enroot/enroot.conf", "w", encoding="ascii") as f:
            f.write(f"ENROOT_DATA_PATH {ROOT}\n")
        os.chmod("/etc/enroot/enroot.conf", 0o644)
        zfs("allow", "-u", self.NAME,
            "create,mount,clone,destroy,snapshot,rename,canmount,readonly,userprop", STORE)
        r = self.enroot("load", "-n", "box", self.uri("a"))
        self.assertEqual(r.status, 1)
        self.assertIn("enroot-zfs-mount is not installed", r.err)
        self.wipe()
        at = "/usr/local/bin/enroot-zfs-mount"
        shutil.copy(os.path.join(os.path.dirname(IMBREX), "enroot-zfs-mount"), at)
        os.setxattr(at, "security.capability", self.CAPABILITY)
        for env in ({}, self.CHAIN):
            self.good("import", "-o", "a.sqsh", self.uri("a"), env=env)
            self.assertEqual(".layers" in self.datasets(), bool(env))
            self.good("create", "-n", "one", "a.sqsh", env=env)
            self.same_as_dir("one", self.uri("a"))
            self.assertEqual(os.stat(f"{ROOT}/one/top").st_uid, fixture.USER)
            with open("/proc/self/mounts", encoding="utf-8") as f:
                mounts = [line.split() for line in f if line.startswith(STORE + "/")]
            self.assertEqual([m[0][len(STORE) + 1:] for m in mounts if "." not in m[0]], ["one"])
            self.assertEqual([m for m in mounts if ".tmp" in m[0] or re.search("[0-9a-f]{64}", m[0])],
                             [])
            self.good("export", "-o", "one.sqsh", "one")
            self.good("remove", "-f", "one")
            self.check(["list"], 0, "")
            # What is cold goes, by who may destroy it.
            r = self.good("create", "-n", "two", "one.sqsh",
                          env={**env, "ENROOT_TEMPLATE_WARM_SECONDS": "0"})
            self.assertIn(f"Evicting template {self.images['a'][1]}", r.err)
            self.good("remove", "-f", "two")
            os.unlink(self.path("work", "a.sqsh"))
            os.unlink(self.path("work", "one.sqsh"))
            self.wipe()
        zfs("unallow", "-u", self.NAME, STORE)
        os.chown(ROOT, 0, 0)


def main():
    if not STORE:
        print("skipped: no ZFS dataset is given (tests/vm/onzfs)")
        sys.exit(77)
    fixture.need("docker-registry", "skopeo", "unsquashfs", "podman", "zfs")
    with tempfile.TemporaryDirectory(prefix="imbrex-link-") as links:
        os.chmod(links, 0o755)
        Zfs.program = os.path.join(links, "enroot")
        os.symlink(IMBREX, Zfs.program)
        loader = unittest.defaultTestLoader
        names = sys.argv[2:] or loader.getTestCaseNames(Zfs)
        suite = unittest.TestSuite(Zfs(n) for n in names if hasattr(Zfs, n))
        own = set(loader.getTestCaseNames(User)) - set(loader.getTestCaseNames(Zfs))
        suite.addTests(User(n) for n in own if n in names or not sys.argv[2:])
        sys.exit(not unittest.TextTestRunner(verbosity=2).run(suite).wasSuccessful())


main()
