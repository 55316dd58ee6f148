#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Does podman find in a store that imbrex filled what the image holds, whatever it came from?

usage: test_sources.py IMBREX PROBE [TEST...]
"""
import io
import json
import os
import tarfile
import urllib.request

import odd
import peers
from peers import Case, Store

NAME = "localhost/odd:1"
ACCEPT = ("application/vnd.oci.image.manifest.v1+json, "
          "application/vnd.docker.distribution.manifest.v2+json")


def saved_diff_ids(path):
    """Digests of the tars in an archive of `podman save`, in order; and what its config says."""
    with tarfile.open(path) as tar:
        def get(name):
            member = tar.getmember(name)
            while member.issym():
                member = tar.getmember(os.path.normpath(os.path.join(
                    os.path.dirname(member.name), member.linkname)))
            return tar.extractfile(member).read()

        def blob(d):
            return get("blobs/sha256/" + d["digest"][7:])

        if "index.json" in tar.getnames():
            manifest = json.loads(blob(json.loads(get("index.json"))["manifests"][0]))
            layers, config = map(blob, manifest["layers"]), blob(manifest["config"])
        else:
            manifest = json.loads(get("manifest.json"))[0]
            layers, config = map(get, manifest["Layers"]), get(manifest["Config"])
        return ([odd.sha256(odd.unpack(b)) for b in layers],
                json.loads(config)["rootfs"]["diff_ids"])


def pushed_diff_ids(host, repository, tag):
    def get(kind, what):
        request = urllib.request.Request(f"http://{host}/v2/{repository}/{kind}/{what}",
                                         headers={"Accept": ACCEPT})
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.read()

    layers = json.loads(get("manifests", tag))["layers"]
    return [odd.sha256(odd.unpack(get("blobs", d["digest"]))) for d in layers]


class Sources(Case):
    @classmethod
    def setUpClass(cls):
        m = cls.machine
        cls.image = odd.Image(odd.odd_layers(m.probe), Env=["COLOUR=blue"], Cmd=["/bin/probe", "ids"])
        cls.model = cls.image.model
        cls.layout = m.path("layout")
        cls.manifest = cls.image.write_layout(cls.layout, ("gzip", "gzip", None))
        cls.host = m.registry()

    def setUp(self):
        self.store = Store(self.machine)
        self.addCleanup(lambda: self.store.end())

    def flat(self):
        """All of the image as one directory."""
        root = self.machine.path("flat")
        if not os.path.exists(root):
            os.mkdir(root)
            odd.make_tree(self.model, root)
        return root

    def check_all(self, diff_ids=None, image=None, has_config=True, zstd=False):
        """What podman says of, and does with, the one image of the store."""
        store, machine = self.store, self.machine
        image = image or self.image.id
        listed = store.podman("images", "--no-trunc", "--format", "json").json()
        self.assertEqual([(i["Id"], i["Names"]) for i in listed], [(image, [NAME])])
        facts = store.podman("inspect", "--type", "image", NAME).json()[0]
        self.assertEqual(facts["Id"], image)
        diff_ids = diff_ids or facts["RootFS"]["Layers"]
        self.assertEqual(facts["RootFS"]["Layers"], diff_ids)
        self.assertEqual(facts["Architecture"], odd.ARCH)
        if has_config:
            self.assertEqual(facts["Config"]["Env"], ["COLOUR=blue"])

        root = store.podman("image", "mount", NAME).last
        self.same_tree(root, self.model)
        store.podman("image", "umount", NAME)

        r = store.podman("run", "--rm", NAME, "/bin/probe", "cat", "/etc/motd", "put", "/new", "ids")
        self.assertEqual(r.out.splitlines(), ["third", "/new: ok", "ids: 0:0"])

        # podman cannot put zstd layers into a docker-archive, whoever unpacked them.
        for kind in ("oci-archive", "docker-archive")[:1 if zstd else 2]:
            path = machine.path(f"{self._testMethodName}-{kind}.tar")
            store.podman("save", "-q", "--format", kind, "-o", path, NAME)
            layers, said = saved_diff_ids(path)
            self.assertEqual((kind, layers, said), (kind, diff_ids, diff_ids))
            os.unlink(path)
        repository = "pushed/" + self._testMethodName
        store.podman("push", "-q", "--tls-verify=false", NAME, f"docker://{self.host}/{repository}:1")
        self.assertEqual(pushed_diff_ids(self.host, repository, "1"), diff_ids)
        self.clean(store)

        store.podman("rmi", NAME)
        self.assertEqual(store.imbrex("images", "-q").out, "")
        self.assertEqual(store.imbrex("layers", "-q").out, "")
        self.clean(store)
        for d in (f"{store.driver}-images", f"{store.driver}-layers"):
            left = [n for n in os.listdir(os.path.join(store.root, d))
                    if not n.endswith((".json", ".lock")) and n != "tmp"]
            self.assertEqual(left, [], d)

    def pull(self, source, stdin=None):
        r = self.store.imbrex("pull", "-q", "--tls-verify=false", source, NAME, stdin=stdin)
        return r.last

    def check_pulled(self, source, stdin=None, zstd=False):
        self.assertEqual(self.pull(source, stdin), self.image.id)
        layers = self.store.imbrex("layers", "--json").json()
        self.assertEqual(sorted(x["id"] for x in layers), sorted(self.image.layer_ids()))
        self.check_all(self.image.diff_ids, zstd=zstd)

    def test_registry(self):
        self.machine.skopeo("copy", "-q", "--preserve-digests", "--dest-tls-verify=false",
                            f"oci:{self.layout}:latest", f"docker://{self.host}/odd/image:1")
        self.check_pulled(f"docker://{self.host}/odd/image:1")

    def test_registry_by_digest(self):
        self.machine.skopeo("copy", "-q", "--preserve-digests", "--dest-tls-verify=false",
                            f"oci:{self.layout}:latest", f"docker://{self.host}/odd/digest:1")
        self.check_pulled(f"docker://{self.host}/odd/digest@{self.manifest}")

    def test_oci(self):
        self.check_pulled(f"oci:{self.layout}:latest")

    def test_oci_archive(self):
        layout, archive = self.machine.path("zstd"), self.machine.path("zstd.tar")
        zstd = bool(peers.have("zstd"))
        self.image.write_layout(layout, ("zstd", "gzip", "zstd") if zstd else ("gzip",))
        with tarfile.open(archive, "w") as tar:
            tar.add(layout, ".")
        self.check_pulled(f"oci-archive:{archive}", zstd=zstd)

    def docker_archive(self):
        path = self.machine.path("docker.tar")
        if not os.path.exists(path):
            self.machine.skopeo("copy", "-q", f"oci:{self.layout}:latest", f"docker-archive:{path}:a:1")
        return path

    def test_docker_archive(self):
        self.check_pulled("docker-archive:" + self.docker_archive())

    def test_docker_archive_from_a_pipe(self):
        p = peers.cat(self.docker_archive())
        self.check_pulled("docker-archive:-", p.stdout)
        p.stdout.close()
        self.assertEqual(p.wait(), 0)

    def test_docker_archive_with_the_manifest_last(self):
        """As docker save 20.10 writes it: a folder for a layer, links for those seen before."""
        path, seen, names = self.machine.path("old.tar"), {}, []
        with tarfile.open(path, "w") as tar:
            def add(name, data):
                info = tarfile.TarInfo(name)
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))

            for i, data in enumerate(self.image.tars):
                names.append(f"{i:064x}/layer.tar")
                if data in seen:
                    info = tarfile.TarInfo(names[-1])
                    info.type, info.linkname = tarfile.SYMTYPE, "../" + seen[data]
                    tar.addfile(info)
                else:
                    seen[data] = names[-1]
                    add(names[-1], data)
                add(f"{i:064x}/VERSION", b"1.0")
            add(self.image.id + ".json", self.image.config)
            add("manifest.json", json.dumps([{"Config": self.image.id + ".json", "RepoTags": ["a:1"],
                                              "Layers": names}]).encode())
        with self.subTest("file"):
            self.check_pulled("docker-archive:" + path)
        with self.subTest("pipe"):
            p = peers.cat(path)
            self.check_pulled("docker-archive:-", p.stdout)
            p.stdout.close()
            self.assertEqual(p.wait(), 0)

    def test_dir(self):
        path = self.machine.path("skopeo-dir")
        self.machine.skopeo("copy", "-q", f"oci:{self.layout}:latest", f"dir:{path}")
        self.check_pulled("dir:" + path)

    def test_tar(self):
        flat = [("pax", self.model.entries())]
        path = self.machine.path("flat.tar")
        with open(path, "wb") as f:
            f.write(odd.write_tar(flat[0][1]))
        with open(path, "rb") as f:
            diff_id = odd.sha256(f.read())
        self.check_all([diff_id], self.pull("tar:" + path), has_config=False)

    def test_rootfs(self):
        self.check_all(None, self.pull("rootfs:" + self.flat()), has_config=False)

    def test_vfs(self):
        self.store = Store(self.machine, "vfs")
        self.check_pulled(f"oci:{self.layout}:latest")

    def test_removing_an_image_leaves_another_on_the_same_base_whole(self):
        base = self.image.layers[:2]
        small = odd.Image(base + [("pax", [odd.Entry("only-here", data=b"x")])])
        layout = self.machine.path("small")
        small.write_layout(layout)
        self.pull(f"oci:{self.layout}:latest")
        self.store.imbrex("pull", "-q", f"oci:{layout}:latest", "localhost/small:1")
        self.store.podman("rmi", NAME)
        root = self.store.podman("image", "mount", "localhost/small:1").last
        self.same_tree(root, small.model)
        self.store.podman("image", "umount", "localhost/small:1")
        self.clean(self.store)


if __name__ == "__main__":
    peers.main(__name__, ["podman", "runc", "skopeo", "docker-registry"])
