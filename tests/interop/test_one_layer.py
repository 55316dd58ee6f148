#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Does the same image cost one set of layers, wherever it comes from and whichever came first?

usage: test_one_layer.py IMBREX PROBE [TEST...]
"""
import os
import unittest

import dockerd
import odd
import peers
from peers import Case, Store


def usage(store):
    """What the layers take: files and blocks below the driver's directory, and tar-split files."""
    files = blocks = 0
    splits = {}
    for folder, _, names in os.walk(os.path.join(store.root, store.driver)):
        for name in names:
            files += 1
            blocks += os.lstat(os.path.join(folder, name)).st_blocks
    records = os.path.join(store.root, store.driver + "-layers")
    for name in os.listdir(records):
        if name.endswith(".tar-split.gz"):
            with open(os.path.join(records, name), "rb") as f:
                splits[name] = f.read()
    return files, blocks, splits


class OneLayer(Case):
    @classmethod
    def setUpClass(cls):
        m = cls.machine
        layers = [("pax", [odd.Entry("etc", "dir"), odd.Entry("etc/motd", data=b"first\n"),
                           odd.Entry("big", data=odd.noise(300_000))]),
                  ("gnu", [odd.Entry("etc/motd", data=b"second\n"), odd.Entry("more", data=odd.noise(90_000))]),
                  ("pax", [odd.Entry("etc/.wh.motd"), odd.Entry("link", "symlink", 0o777, link="big")])]
        cls.image = odd.Image(layers, Cmd=["/bin/sh"])
        host = m.registry()
        cls.sources = {}
        for kind in ("gzip", "zstd"):
            if kind == "zstd" and not peers.have("zstd"):
                continue
            layout = m.path("layout-" + kind)
            cls.image.write_layout(layout, (kind,))
            m.skopeo("copy", "-q", "--preserve-digests", "--dest-tls-verify=false", f"oci:{layout}:latest",
                     f"docker://{host}/one/{kind}:1")
            cls.sources["docker-" + kind] = f"docker://{host}/one/{kind}:1"
        layout = m.path("layout-gzip")
        archive = m.path("oci.tar")
        m.ok(["tar", "-C", layout, "-cf", archive, "."])
        cls.sources["oci-archive"] = "oci-archive:" + archive
        saved = m.path("docker.tar")
        m.skopeo("copy", "-q", f"oci:{layout}:latest", f"docker-archive:{saved}:one:1")
        cls.sources["docker-archive"] = "docker-archive:" + saved
        cls.podman = Store(m)
        image = cls.podman.podman("pull", "-q", f"oci:{layout}:latest").last
        cls.podman.podman("tag", image, "localhost/one:1")
        cls.sources["podman"] = cls.podman.name("localhost/one:1")
        why = dockerd.why_not()
        if not why:
            daemon = dockerd.Dockerd(m.path("dockerd"))
            try:
                daemon.__enter__()
                cls.addClassCleanup(daemon.__exit__)
                daemon.ok("load", "-q", "-i", saved)
                m.env["DOCKER_HOST"] = daemon.host
                cls.sources["dockerd"] = "dockerd://one:1"
            except dockerd.Dockerd.Unavailable as e:
                why = str(e)
        if why:
            print("without dockerd:", why)

    @classmethod
    def tearDownClass(cls):
        cls.podman.end()

    def pairs(self, driver):
        first_usage = None
        for first in self.sources:
            for second in self.sources:
                if first == second:
                    continue
                with self.subTest(f"{driver}: {first}, then {second}"):
                    store = Store(self.machine, driver)
                    try:
                        first_usage = self.pair(store, first, second, first_usage)
                    finally:
                        store.end()

    def pair(self, store, first, second, expected):
        def pull(kind):
            r = store.imbrex("pull", "-q", "--tls-verify=false", self.sources[kind], "localhost/one:" + kind)
            self.assertEqual(r.last, self.image.id)

        pull(first)
        before, layers = usage(store), store.imbrex("layers", "--json").json()
        self.assertEqual(sorted(x["id"] for x in layers), sorted(self.image.layer_ids()))
        self.assertEqual([x["diff_digest"] for x in layers], self.image.diff_ids)
        pull(second)
        self.assertEqual(usage(store), before)
        # A blob digest is kept if its bytes came by, and for what they were.
        after = store.imbrex("layers", "--json").json()
        self.assertEqual([(x["id"], x["compressed_digest"]) for x in after],
                         [(x["id"], x["compressed_digest"]) for x in layers])
        images = store.imbrex("images", "--json").json()
        self.assertEqual([(i["id"], sorted(i["names"])) for i in images],
                         [(self.image.id, sorted(["localhost/one:" + first, "localhost/one:" + second]))])
        self.clean(store)
        self.assertEqual(before, expected or before, "another source, another size")
        return before

    def test_overlay(self):
        self.pairs("overlay")

    def test_vfs(self):
        self.pairs("vfs")


if __name__ == "__main__":
    peers.main(__name__, ["podman", "runc", "skopeo", "docker-registry"])
