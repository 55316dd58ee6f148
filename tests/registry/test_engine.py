#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What becomes of an image that a Docker Engine sends: of each archive that engines write, in each
order, and of engines that lie, hang, die or speak something else?

usage: test_engine.py IMBREX [TEST...]
"""
import gzip
import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import unittest

import engine
from engine import Archive, Engine, Image, layer

IMBREX = os.path.abspath(sys.argv.pop(1)) if len(sys.argv) > 1 else None
TAG = "docker.io/test/image:1"
TARS = [layer("base"), layer("middle"), layer("top")]
IMAGE = Image(TARS)


class Case(unittest.TestCase):
    driver = "overlay"

    def setUp(self):
        self.dir = tempfile.mkdtemp(prefix="imbrex-engine-")
        self.addCleanup(self.remove)
        self.engine = Engine(self.dir + "/docker.sock")
        self.engine.__enter__()
        self.addCleanup(self.engine.__exit__)
        keep = ("PATH", "ASAN_OPTIONS", "UBSAN_OPTIONS", "LSAN_OPTIONS")
        self.env = {k: os.environ[k] for k in keep if k in os.environ}
        self.env.update(HOME=self.dir, DOCKER_HOST="unix://" + self.engine.path,
                        CONTAINERS_STORAGE_CONF="/dev/null")

    def remove(self):
        """With the mount that the overlay driver keeps on its home."""
        with open("/proc/self/mountinfo", encoding="utf-8") as f:
            mounts = [line.split()[4] for line in f if f" {self.dir}/" in line]
        for mount in reversed(mounts):
            subprocess.run(["umount", "-l", mount], check=True)
        shutil.rmtree(self.dir)

    def imbrex(self, *args, **env):
        return subprocess.run(
            [IMBREX, "--root", self.dir + "/root", "--runroot", self.dir + "/run", "--driver",
             self.driver, *args], env={**self.env, **env}, stdin=subprocess.DEVNULL,
            capture_output=True, text=True, timeout=100, check=False)

    def ok(self, *args, **env):
        r = self.imbrex(*args, **env)
        self.assertEqual((r.returncode, args), (0, args), r.stdout + r.stderr)
        return r.stdout

    def images(self):
        return json.loads(self.ok("images", "--json"))

    def layers(self):
        return sorted(x["id"] for x in json.loads(self.ok("layers", "--json")))

    def clean(self):
        r = self.imbrex("check")
        self.assertEqual((r.returncode, r.stdout, r.stderr), (0, "", ""))

    def pull(self, image=IMAGE, name=TAG, source=None, **env):
        r = self.imbrex("pull", "--progress", "plain", source or "dockerd://" + image.tag, **env)
        self.assertEqual(r.returncode, 0, r.stderr)
        self.assertEqual(r.stdout.strip(), image.id)
        self.assertIn((image.id, [name] if name else []),
                      [(i["id"], i["names"]) for i in self.images()])
        ids = image.layer_ids()
        self.assertEqual([i for i in ids if i not in self.layers()], [])
        self.clean()
        return r.stderr

    def refuse(self, message, *options, source=None, hint=None, status=1, **env):
        source = source or "dockerd://" + IMAGE.tag
        before = self.images(), self.layers()
        r = self.imbrex("pull", "-q", *options, source, **env)
        lines = r.stderr.splitlines()
        want = f"imbrex: pull {source}: {message}".replace(
            "ENGINE", "engine at unix://" + self.engine.path)
        self.assertEqual((r.returncode, r.stdout, lines[:1]), (status, "", [want]))
        self.assertEqual(lines[1:], ["hint: " + hint] if hint else [])
        self.assertEqual((self.images(), self.layers()), before)
        self.clean()


class Good(Case):
    def same_tree(self, image=IMAGE):
        root = self.ok("mount", image.tag).strip()
        try:
            for tar in image.tars:
                with tarfile.open(fileobj=io.BytesIO(tar)) as t:
                    for member in t:
                        with open(os.path.join(root, member.name), "rb") as f:
                            self.assertEqual(f.read(), t.extractfile(member).read())
        finally:
            self.ok("umount", image.tag)

    def check(self, archive, image=IMAGE, **inspect):
        self.engine.serve(image, archive, **inspect)
        self.pull(image)
        self.assertEqual(self.layers(), sorted(image.layer_ids()))
        self.same_tree(image)

    def test_docker_20(self):
        self.check(IMAGE.docker20())

    def test_docker_20_in_every_order(self):
        for order in ([0, 1, 2], [2, 1, 0], [1, 2, 0]):
            with self.subTest(order):
                self.check(IMAGE.docker20(order))
                self.ok("rmi", IMAGE.tag)
                self.assertEqual(self.layers(), [])

    def test_docker_20_with_equal_layers_as_links(self):
        image = Image([TARS[0], TARS[1], TARS[0], engine.empty_layer(), engine.empty_layer()])
        self.check(image.docker20(), image)

    def test_docker_20_with_names_that_nobody_foretells(self):
        """Another time zone in the daemon gives other names."""
        v1 = [f"{i:064x}" for i in range(3)]
        archive = Archive()
        for name, data in zip(v1, TARS):
            archive.add(name + "/layer.tar", data)
        archive.add(IMAGE.id + ".json", IMAGE.config)
        archive.add("manifest.json", IMAGE.saved([n + "/layer.tar" for n in v1], IMAGE.id + ".json"))
        self.check(archive)

    def test_docker_25(self):
        self.check(IMAGE.layout())

    def test_docker_25_in_every_order(self):
        for order in ([0, 1, 2], [2, 1, 0], [1, 2, 0]):
            with self.subTest(order):
                self.check(IMAGE.layout(order=order))
                self.ok("rmi", IMAGE.tag)

    def test_containerd_gzip(self):
        archive = IMAGE.containerd()
        self.check(archive, Id="sha256:" + IMAGE.manifest_id)

    @unittest.skipUnless(engine.has_zstd(), "no zstd")
    def test_containerd_zstd(self):
        archive = IMAGE.containerd(engine.zstd, "tar+zstd")
        self.check(archive, Id="sha256:" + IMAGE.manifest_id)

    def test_podman_service(self):
        self.check(IMAGE.podman())

    def test_docker_20_with_layers_packed(self):
        archive = IMAGE.docker20()
        for name, data in list((m[0], m[1]) for m in archive.members):
            if name.endswith("layer.tar"):
                archive.replace(name, gzip.compress(data))
        self.check(archive)

    def test_two_spellings_of_the_scheme(self):
        self.engine.serve(IMAGE, IMAGE.docker20())
        self.pull(source="docker-daemon:" + IMAGE.tag)

    def test_by_id_there_is_no_name(self):
        self.engine.serve(IMAGE, IMAGE.docker20())
        self.pull(name=None, source="dockerd://sha256:" + IMAGE.id)

    def test_what_the_engine_calls_it(self):
        """podman completes short names otherwise."""
        self.engine.serve(IMAGE, IMAGE.docker20(), RepoTags=["localhost/test/image:1"])
        self.pull(name="localhost/test/image:1")

    def test_what_is_here_is_not_sent_again(self):
        self.engine.serve(IMAGE, IMAGE.docker20())
        self.pull()
        del self.engine.requests[:]
        self.assertEqual(self.pull().count("already here"), 3)
        self.assertEqual(self.engine.requests, ["/images/test/image:1/json"])

    def test_layers_that_are_here_are_not_unpacked_again(self):
        """Also when they come as blobs whose names the engine has not told before."""
        sibling = Image([*TARS[:2], layer("other")], tag="test/sibling:1")
        for kind in ("docker20", "layout", "podman", "containerd"):
            with self.subTest(kind):
                for image in (IMAGE, sibling):
                    archive = getattr(image, kind)()
                    self.engine.serve(image, archive)
                self.pull()
                said = self.pull(sibling, "docker.io/test/sibling:1")
                self.assertEqual([(said.count(d[7:19] + ": fetching"), said.count(d[7:19] + ": already"))
                                  for d in sibling.diff_ids[:2]], [(0, 0 if kind == "containerd" else 1)] * 2)
                self.ok("rmi", sibling.tag, IMAGE.tag)
                self.assertEqual(self.layers(), [])

    def test_from_a_pipe(self):
        for kind in ("docker20", "layout", "podman", "containerd"):
            with self.subTest(kind):
                path = os.path.join(self.dir, "a.tar")
                with open(path, "wb") as f:
                    f.write(getattr(IMAGE, kind)().bytes())
                with subprocess.Popen(["cat", path], stdout=subprocess.PIPE) as cat:
                    r = subprocess.run(
                        [IMBREX, "--root", self.dir + "/root", "--runroot", self.dir + "/run",
                         "--driver", self.driver, "pull", "-q", "docker-archive:-", "test/image:1"],
                        env=self.env, stdin=cat.stdout, capture_output=True, text=True, check=False)
                self.assertEqual((r.stdout.strip(), r.stderr), (IMAGE.id, ""))
                self.assertEqual(self.layers(), sorted(IMAGE.layer_ids()))
                self.ok("rmi", "localhost/test/image:1")

    def no_spool(self):
        return {"TMPDIR": os.path.join(self.dir, "nowhere")}

    def test_nothing_in_order_is_spooled(self):
        self.engine.serve(IMAGE, IMAGE.docker20([0, 1, 2]))
        self.pull(**self.no_spool())

    def test_nothing_out_of_order_is_spooled(self):
        self.engine.serve(IMAGE, IMAGE.docker20([2, 0, 1]))
        self.pull(**self.no_spool())


class GoodVfs(Good):
    driver = "vfs"

    def test_nothing_out_of_order_is_spooled(self):
        """What comes before the layer below it must be."""
        self.engine.serve(IMAGE, IMAGE.docker20([2, 0, 1]))
        self.refuse(f"temporary file in '{self.dir}/nowhere': No such file or directory",
                    **self.no_spool())


class Bad(Case):
    def test_unknown_image(self):
        self.refuse("ENGINE: No such image: nope:1", source="dockerd://nope:1")

    def test_names_that_are_none(self):
        for name in ("a b", "../x", "x?y=z"):
            with self.subTest(name):
                r = self.imbrex("pull", "-q", "dockerd://" + name)
                self.assertEqual(r.returncode, 1)
                self.assertIn(f"'{name}'", r.stderr)
        self.assertEqual(self.engine.requests, [])

    def test_no_engine(self):
        self.env["DOCKER_HOST"] = f"unix://{self.dir}/none"
        self.refuse(f"engine at unix://{self.dir}/none: cannot connect: No such file or directory",
                    hint="is it running, and may you use its socket?")

    def test_no_http(self):
        def junk(h):
            h.wfile.write(b"SSH-2.0-OpenSSH_9.2\r\n\r\n")
            h.close_connection = True
        self.engine.faults["json"] = junk
        self.refuse("ENGINE: Received HTTP/0.9 when not allowed")

    def test_no_answer(self):
        def gone(h):
            h.close_connection = True
        self.engine.faults["json"] = gone
        self.refuse("ENGINE: connection lost after 0 bytes")

    def test_refused(self):
        self.engine.faults["json"] = lambda h: h.answer(403, b'{"message":"not for you"}')
        self.refuse("ENGINE: not for you")
        self.engine.faults["json"] = lambda h: h.answer(500, b"<html>")
        self.refuse("ENGINE: answers with HTTP status 500")

    def test_redirects_are_not_followed(self):
        def away(h):
            h.send_response(302)
            h.send_header("Location", "http://127.0.0.1:1/")
            h.send_header("Content-Length", "0")
            h.end_headers()
        self.engine.faults["json"] = away
        self.refuse("ENGINE: answers with HTTP status 302")

    def test_answers_that_are_none(self):
        about = f"ENGINE: what it says of image '{IMAGE.tag}': "
        for body, message in (
                (b"[]", "image.Id is missing"),
                (b'{"Id":7}', "image.Id: expected a string, found an integer"),
                (b'{"Id":"sha256:12"}', "digest 'sha256:12': 2 digits, but sha256 has 64"),
                (b'{"Id":"sha256:' + b"0" * 64 + b'","RootFS":{"Layers":["md5:1"]}}',
                 "digest 'md5:1': the algorithm is neither sha256 nor sha512"),
                (b'{"Id":"sha256:' + b"0" * 64 + b'","RootFS":{"Layers":[' +
                 b",".join([b'"x"'] * 501) + b"]}}", "501 layers, more than 500")):
            with self.subTest(body[:40]):
                self.engine.faults["json"] = lambda h, body=body: h.answer(200, body)
                self.refuse(about + message)

    def test_an_answer_without_end(self):
        def endless(h):
            h.send_response(200)
            h.send_header("Content-Length", str(1 << 40))
            h.end_headers()
            while True:
                h.wfile.write(b" " * 65536)
        self.engine.faults["json"] = endless
        self.refuse("ENGINE: document exceeds 8388608 bytes")

    def test_hangs_before_the_answer(self):
        self.engine.faults["json"] = lambda h: h.hang()
        self.refuse("ENGINE: no data for 1000 ms after 0 bytes", "--engine-timeout", "1")

    def test_hangs_in_the_middle(self):
        data = IMAGE.docker20().bytes()

        def half(h):
            h.answer(200, data[:300_000], len(data))
            h.hang()
        self.engine.serve(IMAGE, data)
        self.engine.faults["get"] = half
        self.refuse("ENGINE: no data for 1000 ms after 300000 bytes", "--engine-timeout", "1")

    def test_dies_in_the_middle(self):
        data = IMAGE.docker20().bytes()

        def half(h):
            h.answer(200, data[:300_000], len(data))
            h.close_connection = True

        def half_chunked(h):
            h.send_response(200)
            h.send_header("Transfer-Encoding", "chunked")
            h.end_headers()
            h.wfile.write(b"493E0\r\n" + data[:300_000] + b"\r\n")
            h.close_connection = True
        self.engine.serve(IMAGE, data)
        for fault in (half, half_chunked):
            self.engine.faults["get"] = fault
            self.refuse("ENGINE: connection lost after 300000 bytes")

    def test_gives_up_in_the_middle(self):
        """An error behind the headers can only be said in the stream."""
        archive = IMAGE.docker20().bytes()
        first = archive.index(b"layer.tar") // 512 * 512
        self.engine.serve(IMAGE, archive[:first] + b'{"message":"disk full"}' + bytes(489))
        self.refuse(f"archive: bad header checksum at byte {first}")

    def test_archive_without_end(self):
        data = IMAGE.docker20().bytes()

        def endless(h):
            h.send_response(200)
            h.send_header("Content-Length", str(1 << 40))
            h.end_headers()
            h.wfile.write(data)
            while True:
                h.wfile.write(bytes(65536))
        self.engine.serve(IMAGE, data)
        self.engine.faults["get"] = endless
        self.refuse("archive: more than 16777216 bytes behind its end")

    def broken(self, message, archive, hint=None, **inspect):
        self.engine.serve(IMAGE, archive, **inspect)
        self.refuse(message, hint=hint)

    def test_archive_that_is_none(self):
        self.broken("not a tar archive", b"x" * 4096)
        self.broken("not a tar archive", b"")
        self.broken(f"archive '{IMAGE.tag}': not an image archive: has no manifest.json and no oci-layout",
                    Archive().add("x/layer.tar", TARS[0]), "a root file system is read by tar:FILE")

    def test_cut_off_at_a_member(self):
        archive = IMAGE.docker20()
        archive.members = archive.members[:-1]
        self.broken(f"archive '{IMAGE.tag}': not an image archive: has no manifest.json and no oci-layout",
                    archive, "a root file system is read by tar:FILE")

    def test_cut_off_in_a_member(self):
        data = IMAGE.docker20().bytes()
        at = data.index(TARS[0]) + 1000
        self.broken(f"archive: cut short at byte {at} ({IMAGE.v1_names()[0]}/layer.tar)", data[:at])

    def test_size_that_lies(self):
        """A header announces less than its layer has: the next header is not one."""
        data = bytearray(IMAGE.docker20([0, 1, 2]).bytes())
        at = data.index(TARS[0]) - 512
        data[at + 124:at + 136] = b"%011o\0" % 1024
        data[at + 148:at + 156] = b" " * 8
        data[at + 148:at + 156] = b"%06o\0 " % sum(data[at:at + 512])
        self.engine.serve(IMAGE, bytes(data))
        r = self.imbrex("pull", "-q", "dockerd://" + IMAGE.tag)
        self.assertEqual((r.returncode, r.stdout, len(r.stderr.splitlines())), (1, "", 1))
        self.assertEqual((self.images(), self.layers()), ([], []))
        self.clean()

    def test_member_twice(self):
        archive = IMAGE.docker20()
        name = IMAGE.v1_names()[1] + "/layer.tar"
        archive.add(name, TARS[1])
        self.broken(f"member '{name}' is there twice", archive)

    def test_member_missing(self):
        archive = IMAGE.docker20()
        name = IMAGE.v1_names()[1] + "/layer.tar"
        archive.remove(name)
        self.broken(f"archive '{IMAGE.tag}': no member '{name}'", archive)

    def test_link_outside(self):
        name = IMAGE.v1_names()[1] + "/layer.tar"
        for target in ("../../etc/passwd", "/etc/passwd"):
            archive = IMAGE.docker20()
            archive.remove(name)
            archive.link(name, target)
            self.broken(f"archive '{IMAGE.tag}': member '{name}': link '{target}' leads outside the archive",
                        archive)

    def test_links_in_a_circle(self):
        archive = IMAGE.docker20()
        name = IMAGE.v1_names()[1] + "/layer.tar"
        archive.remove(name)
        archive.link(name, "layer.tar")
        self.broken(f"archive '{IMAGE.tag}': member '{name}': more than 16 links in a row", archive)

    def test_two_images(self):
        archive = IMAGE.docker20()
        saved = json.loads(archive.members[-1][1])
        archive.replace("manifest.json", json.dumps(saved * 2).encode())
        self.broken(f"archive '{IMAGE.tag}': holds 2 images: say which", archive,
                    "tags: test/image:1, test/image:1")

    def test_another_image(self):
        other = Image(TARS, Cmd=["/bin/false"])
        self.broken(f"the engine announced image sha256:{IMAGE.id} but sent sha256:{other.id}",
                    other.docker20())

    def test_another_layer(self):
        """Where the name says which layer it is."""
        archive, fake = IMAGE.docker20(), layer("fake")
        archive.replace(IMAGE.v1_names()[1] + "/layer.tar", fake)
        self.broken(f"content is {engine.digest(fake)} but {IMAGE.diff_ids[1]} was announced", archive)

    def test_another_blob(self):
        archive, fake = IMAGE.layout(), layer("fake")
        archive.replace("blobs/sha256/" + IMAGE.diff_ids[1][7:], fake)
        self.broken(f"content is {engine.digest(fake)} but {IMAGE.diff_ids[1]} was announced", archive)

    def test_another_layer_in_place_of_one_that_is_here(self):
        base = Image(TARS[:1], tag="test/base:1")
        self.engine.serve(base, base.docker20())
        self.pull(base, "docker.io/test/base:1")
        archive, fake = IMAGE.docker20(), layer("fake")
        archive.replace(IMAGE.v1_names()[0] + "/layer.tar", fake)
        self.broken(f"content is {engine.digest(fake)} but {IMAGE.diff_ids[0]} was announced", archive)

    def test_other_layers_than_announced(self):
        """The engine announces what is here, to have the image's own layers thrown away."""
        base = Image(TARS[:1], tag="test/base:1")
        self.engine.serve(base, base.layout())
        self.pull(base, "docker.io/test/base:1")
        other = Image([TARS[1], TARS[0]])
        self.engine.serve(other, other.layout(order=[1, 0]),
                          RootFS={"Type": "layers", "Layers": IMAGE.diff_ids[:1]})
        self.refuse(f"layer sha256:{IMAGE.diff_ids[0][7:19]} passed by unread: the image is not what was announced")

    def test_layers_in_another_order_than_announced(self):
        self.engine.serve(IMAGE, IMAGE.layout(), RootFS={"Layers": IMAGE.diff_ids[::-1]})
        self.refuse(f"layer content is {IMAGE.diff_ids[2]} but {IMAGE.diff_ids[0]} was announced")

    def test_configuration_that_is_not_its_name(self):
        archive = IMAGE.docker20()
        archive.replace(IMAGE.id + ".json", IMAGE.config + b" ")
        self.broken(f"archive '{IMAGE.tag}': configuration '{IMAGE.id}.json': content is "
                    f"{engine.digest(IMAGE.config + b' ')}", archive)

    def test_ends_while_unpacking_fails(self):
        """A layer that no file system takes."""
        bad = bytearray(layer("x" * 90))
        bad[148:156] = b"0000000\0"
        image = Image([bytes(bad) + b"\1" * 100_000], tag="test/bad:1")
        self.engine.serve(image, image.layout())
        r = self.imbrex("pull", "-q", "dockerd://test/bad:1")
        self.assertEqual((r.returncode, len(r.stderr.splitlines())), (1, 1), r.stderr)
        self.assertEqual((self.images(), self.layers()), ([], []))
        self.clean()


class Where(Case):
    """Which engine is asked."""

    def context(self, name, **endpoint):
        folder = os.path.join(self.dir, ".docker/contexts/meta", engine.hexdigest(name.encode()))
        os.makedirs(folder)
        with open(folder + "/meta.json", "w", encoding="utf-8") as f:
            json.dump({"Name": name, "Endpoints": {"docker": endpoint}}, f)

    def setUp(self):
        super().setUp()
        del self.env["DOCKER_HOST"]
        self.engine.serve(IMAGE, IMAGE.docker20())
        self.url = "unix://" + self.engine.path

    def config(self, text):
        os.makedirs(self.dir + "/.docker", exist_ok=True)
        with open(self.dir + "/.docker/config.json", "w", encoding="utf-8") as f:
            f.write(text)

    def test_context_of_the_configuration(self):
        self.context("work", Host=self.url)
        self.config('{"currentContext":"work"}')
        self.pull()

    def test_context_of_the_environment(self):
        self.context("work", Host=self.url)
        self.config('{"currentContext":"other"}')
        self.pull(DOCKER_CONTEXT="work")

    def test_host_wins(self):
        self.config('{"currentContext":"work"}')
        self.pull(DOCKER_HOST=self.url, DOCKER_CONTEXT="none")

    def test_configuration_elsewhere(self):
        self.context("work", Host=self.url)
        os.rename(self.dir + "/.docker", self.dir + "/elsewhere")
        self.pull(DOCKER_CONTEXT="work", DOCKER_CONFIG=self.dir + "/elsewhere")

    def test_context_that_is_not_there(self):
        self.refuse("docker context 'work': does not exist", DOCKER_CONTEXT="work",
                    hint="docker context ls")

    def test_context_that_is_no_name(self):
        self.refuse("docker context '../x': not a name of one", DOCKER_CONTEXT="../x")

    def test_damaged_files(self):
        self.config("{")
        self.refuse(f"'{self.dir}/.docker/config.json': config.json: byte 1: "
                    "expected a key, found the end of the text")

    def test_hosts_that_make_no_sense(self):
        for host, message, hint in (
                ("unix://x", "not an absolute path", None),
                ("unix:///" + "x" * 120, "a socket's path has at most 107 bytes", None),
                ("gopher://x", "unknown scheme", "known are unix:///PATH and tcp://HOST[:PORT]"),
                ("npipe:////./pipe/x", "not a kind of socket that is known", None),
                ("tcp://", "no host", None)):
            with self.subTest(host):
                self.refuse(f"engine '{host}': {message}", hint=hint, DOCKER_HOST=host)

    def test_tls_without_authority(self):
        self.refuse(f"engine 'tcp://127.0.0.1:1': no certificate authority '{self.dir}/ca.pem'",
                    DOCKER_HOST="tcp://127.0.0.1:1", DOCKER_TLS_VERIFY="1", DOCKER_CERT_PATH=self.dir)


if __name__ == "__main__":
    if os.geteuid() != 0:
        print("skipped: needs root")
        sys.exit(77)
    unittest.main(verbosity=2)
