#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Does imbrex list, mount, run, check and remove what podman, buildah and skopeo made?

usage: test_reverse.py IMBREX PROBE [TEST...]
"""
import os
import shutil

import odd
import peers
from peers import Case, Store

NAME = "localhost/odd:1"


def their_model(image):
    """Go reads an xattr without a value as one that is not there."""
    model = image.model
    for node in model.tree.values():
        node["xattrs"].pop("user.empty", None)
    return model


class Filled:
    """Each test on both drivers."""

    driver = None

    @classmethod
    def setUpClass(cls):
        m = cls.machine
        cls.image = odd.Image(odd.odd_layers(m.probe), Env=["COLOUR=blue"], Cmd=["/bin/probe", "ids"])
        cls.model = their_model(cls.image)
        cls.layout = m.path("layout-" + cls.driver)
        cls.image.write_layout(cls.layout, ("gzip", "gzip", None))

    def setUp(self):
        self.store = Store(self.machine, self.driver)
        self.addCleanup(self.store.end)

    # ---- what is asked of every image ----

    def one_image(self, name, image=None):
        """The store's only image; its record."""
        listed = self.store.imbrex("images", "--json").json()
        self.assertEqual(len(listed), 1, listed)
        self.assertIn(name, listed[0]["names"])
        if image:
            self.assertEqual(listed[0]["id"], image)
        record = self.store.imbrex("inspect", name).json()[0]
        self.assertEqual(record["id"], listed[0]["id"])
        theirs = self.store.podman("inspect", "--type", "image", name).json()[0]
        self.assertEqual(theirs["Id"], record["id"])
        config = self.store.imbrex("inspect", "--document", "config", name).json()
        self.assertEqual(config["rootfs"]["diff_ids"], theirs["RootFS"]["Layers"])
        self.assertEqual(odd.sha256(
            self.store.imbrex("inspect", "--document", "config", name).out.encode()),
            "sha256:" + record["id"])
        self.assertEqual(config.get("config", {}).get("Env"), theirs["Config"].get("Env"))
        self.layers_agree(theirs["RootFS"]["Layers"])
        return listed[0]

    def layers_agree(self, diff_ids):
        """`layers` tells the chain as containers-storage does."""
        have = {x["id"]: x for x in self.store.imbrex("layers", "--json").json()}
        want = {x["id"]: x for x in self.store.cs("layers", "-j").json()}
        self.assertEqual(sorted(have), sorted(want))
        for key, x in want.items():
            self.assertEqual(have[key]["parent"], x.get("parent", ""))
            self.assertEqual(have[key]["diff_digest"], x.get("diff-digest", ""))
            self.assertEqual(have[key]["diff_size_bytes"], x.get("diff-size", -1))
            self.assertFalse(have[key]["incomplete"])
        parents = {x["parent"]: x for x in have.values() if x["diff_digest"]}
        chain, at = [], ""
        while at in parents:
            chain.append(parents[at]["diff_digest"])
            at = parents[at]["id"]
        self.assertEqual(chain, diff_ids)

    def same_image_tree(self, name, model, ignore_ns=()):
        self.same_tree(self.store.imbrex("mount", name).last, model, ignore_ns)
        self.store.imbrex("umount", name)

    def removed(self, name):
        self.clean(self.store)
        self.store.imbrex("rmi", name)
        self.assertEqual(self.store.podman("images", "--format", "json").json(), [])
        self.assertIn(self.store.cs("layers", "-j").out.strip(), ("null", "[]"))
        home = os.path.join(self.store.root, *peers.HOMES[self.driver])
        self.assertEqual(os.listdir(home), [])
        self.clean(self.store)

    # ---- tests ----

    def test_podman_pull(self):
        self.store.podman("pull", "-q", f"oci:{self.layout}:latest")
        self.store.podman("tag", self.image.id, NAME)
        self.one_image(NAME, self.image.id)
        self.same_image_tree(NAME, self.model)
        p = self.machine.run(self.store.argv("imbrex", "run", NAME, "/bin/probe", "cat", "/etc/motd",
                                             "put", "/new", "exit", "7"))
        self.assertEqual((p.status, p.out), (7, "third\n/new: ok\n"), p)
        self.assertEqual(self.store.imbrex("ps", "-q").out, "")
        self.store.imbrex("untag", self.image.id)
        self.removed(self.image.id)

    def test_skopeo_copy(self):
        self.machine.skopeo("copy", "-q", f"oci:{self.layout}:latest", self.store.name(NAME))
        self.one_image(NAME, self.image.id)
        self.same_image_tree(NAME, self.model)
        self.removed(NAME)

    def test_podman_build(self):
        self.store.podman("pull", "-q", f"oci:{self.layout}:latest")
        self.store.podman("tag", self.image.id, "localhost/base:1")
        context = self.machine.path("context-" + self.driver)
        os.mkdir(context)
        with open(context + "/copied", "w", encoding="ascii") as f:
            f.write("copied\n")
        os.chmod(context + "/copied", 0o640)
        os.utime(context + "/copied", (1_500_000_000, 1_500_000_000))
        with open(context + "/Dockerfile", "w", encoding="ascii") as f:
            f.write('FROM localhost/base:1\nENV COLOUR=red\nCOPY copied /etc/copied\n'
                    'RUN ["/bin/probe", "put", "/etc/put"]\nCMD ["/bin/probe", "env"]\n')
        self.store.podman("build", "-q", "--isolation", "chroot", "--network", "host", "--layers",
                          "--format", "docker", "-t", "localhost/built:1", "-f",
                          context + "/Dockerfile", context)
        self.assertEqual(self.store.imbrex("ps", "-q").out, "")
        names = {n for i in self.store.imbrex("images", "--json").json() for n in i["names"]}
        self.assertLessEqual({"localhost/base:1", "localhost/built:1"}, names)
        r = self.store.imbrex("run", "localhost/built:1")
        self.assertIn("env: COLOUR=red", r.out.splitlines())
        root = self.store.imbrex("mount", "localhost/built:1").last
        tree = odd.walk(root)
        self.assertEqual(tree[b"etc/copied"]["mode"], 0o640)
        self.assertEqual(tree[b"etc/copied"]["ns"], 1_500_000_000 * 10 ** 9)
        self.assertIn(b"etc/put", tree)
        touched = [p for p in tree if p.split(b"/")[0] in (b"etc", b"proc", b"sys", b"dev", b"run")]
        for path in touched:
            del tree[path]
        model = their_model(self.image)
        for path in touched + [p for p in model.tree if p.split(b"/")[0] in (
                b"etc", b"proc", b"sys", b"dev", b"run")]:
            model.tree.pop(path, None)
        self.assertEqual(odd.differences(tree, model), [])
        self.store.imbrex("umount", "localhost/built:1")
        self.clean(self.store)
        # What podman's images stand on stays; all of it goes with --all.
        self.store.imbrex("rmi", "--all", "--force")
        self.assertEqual(self.store.podman("images", "-a", "--format", "json").json(), [])
        self.clean(self.store)

    def test_buildah_commit(self):
        c = self.store.buildah("from", "--pull-never", "scratch").last
        listed = self.store.imbrex("ps", "--json").json()
        self.assertEqual([x["names"] for x in listed], [[c]])
        root = self.store.buildah("mount", c).last
        self.assertEqual(self.store.imbrex("ps", "--json").json()[0]["mount_path"], root)
        odd.make_tree(self.model, root)
        self.store.buildah("umount", c)
        self.store.buildah("config", "--cmd", "/bin/probe ids", "--env", "COLOUR=green", c)
        self.store.buildah("commit", "-q", "--format", "oci", c, NAME)
        self.same_image_tree(NAME, self.model, ignore_ns=self.sub_second(self.model))
        # A container on it: copied into, committed again.
        second = self.store.buildah("from", "--pull-never", NAME).last
        with open(self.machine.path("file"), "w", encoding="ascii") as f:
            f.write("copied")
        self.store.buildah("copy", "-q", second, self.machine.path("file"), "/gone/copied")
        self.store.buildah("commit", "-q", "--rm", second, "localhost/second:1")
        self.assertIn(b"gone/copied", odd.walk(self.store.imbrex("mount", "localhost/second:1").last))
        self.store.imbrex("umount", "localhost/second:1")
        self.store.imbrex("rmi", "localhost/second:1")
        # buildah's container stands on nothing: "scratch" is no image.
        self.store.imbrex("rm", c)
        self.assertEqual(self.store.buildah("containers", "-q").out, "")
        self.one_image(NAME)
        r = self.store.imbrex("run", NAME)
        self.assertEqual(r.out, "ids: 0:0\n")
        self.removed(NAME)

    @staticmethod
    def sub_second(model):
        """containers-storage writes tars of changes with whole seconds."""
        return {p for p, n in model.tree.items() if n["ns"] % 10 ** 9}

    def test_containers_of_podman(self):
        self.store.podman("pull", "-q", f"oci:{self.layout}:latest")
        self.store.podman("tag", self.image.id, NAME)
        kept = self.store.podman("create", "--name", "kept", NAME).last
        fleeting = self.store.podman("create", "--rm", "--name", "fleeting", NAME).last
        listed = {x["id"]: x for x in self.store.imbrex("ps", "--json").json()}
        self.assertEqual(sorted(listed), sorted([kept, fleeting]))
        self.assertEqual(listed[kept]["names"], ["kept"])
        self.assertEqual(listed[kept]["image"], self.image.id)
        self.assertFalse(listed[kept]["volatile"])
        theirs = {c["id"]: c for c in self.store.cs("containers", "-j").json()}
        for key, c in theirs.items():
            self.assertEqual(listed[key]["layer"], c["layer"])
            self.assertEqual(listed[key]["volatile"], bool(c.get("flags", {}).get("Volatile")))
        self.assertTrue(listed[fleeting]["volatile"])
        # Mounted by podman, seen here; mounted here as well, counted; and the same tree.
        root = self.store.podman("mount", "kept").last
        self.assertEqual(self.store.imbrex("mount", "kept").last, root)
        self.same_tree(root, self.model)
        with open(root + "/written", "w", encoding="ascii") as f:
            f.write("by us")
        mounted = self.store.imbrex("mount", "--json").json()
        self.assertEqual([(m["id"], m["mount_path"], m["mount_count"]) for m in mounted],
                         [(kept, root, 2)])
        self.store.imbrex("umount", "kept")
        self.assertTrue(os.path.exists(root + "/written"))
        self.store.podman("umount", "kept")
        self.assertEqual(self.store.imbrex("mount", "--json").json(), [])
        r = self.machine.run(self.store.argv("imbrex", "rmi", self.image.id))
        self.assertEqual(r.status, 1, r)
        self.assertIn("is used by container", r.err)
        self.clean(self.store)
        self.store.podman("rm", "kept", "fleeting")
        self.assertEqual(self.store.imbrex("ps", "-q").out, "")
        self.store.imbrex("untag", self.image.id)
        self.removed(self.image.id)

    def test_containers_of_containers_storage(self):
        self.machine.skopeo("copy", "-q", f"oci:{self.layout}:latest", self.store.name(NAME))
        self.store.cs("create-container", "-n", "plain", NAME)
        r = self.machine.run(self.store.argv("containers-storage", "create-container", "-n", "fleeting",
                                             "--volatile", NAME))
        volatile = r.status == 0
        listed = {x["names"][0]: x for x in self.store.imbrex("ps", "--json").json()}
        self.assertEqual(sorted(listed), ["fleeting", "plain"] if volatile else ["plain"])
        self.assertFalse(listed["plain"]["volatile"])
        for name, c in listed.items():
            self.assertEqual(c["volatile"], name == "fleeting")
            root = self.store.imbrex("mount", name).last
            self.same_tree(root, self.model)
            shutil.rmtree(root + "/merge")
            os.mkdir(root + "/merge")
            self.store.imbrex("umount", name)
            theirs = self.store.cs("mount", name).last
            self.assertEqual(os.listdir(theirs + "/merge"), [])
            self.store.cs("unmount", name)
            self.store.imbrex("rm", name)
        self.assertIn(self.store.cs("containers", "-j").out.strip(), ("null", "[]"))
        self.removed(NAME)

    def test_containers_of_imbrex(self):
        """The other way round: podman and containers-storage on what we created."""
        self.store.imbrex("pull", "-q", f"oci:{self.layout}:latest", NAME)
        one = self.store.imbrex("create", "--name", "one", NAME).last
        two = self.store.imbrex("create", "--name", "two", "--volatile", NAME).last
        theirs = {c["id"]: c for c in self.store.cs("containers", "-j").json()}
        self.assertEqual(sorted(theirs), sorted([one, two]))
        self.assertTrue(theirs[two]["flags"]["Volatile"])
        self.assertEqual(theirs[one]["names"], ["one"])
        listed = self.store.podman("ps", "-a", "--external", "--no-trunc", "--format", "json").json()
        self.assertEqual(sorted(c["Id"] for c in listed), sorted([one, two]))
        root = self.store.cs("mount", one).last
        self.same_tree(root, self.image.model)
        self.assertEqual(self.store.imbrex("mount", "one").last, root)
        self.store.cs("unmount", one)
        self.store.imbrex("umount", "one")
        self.store.podman("rm", one)
        self.store.cs("delete-container", two)
        self.assertEqual(self.store.imbrex("ps", "-q").out, "")
        self.removed(NAME)


class Overlay(Filled, Case):
    driver = "overlay"


class Vfs(Filled, Case):
    driver = "vfs"


class Btrfs(Filled, Case):
    driver = "btrfs"


if __name__ == "__main__":
    peers.main(__name__, ["podman", "buildah", "skopeo", "runc", "containers-storage"])
