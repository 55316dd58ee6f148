#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Is an image that a real dockerd built the same here, whatever its driver and ours?

usage: test_dockerd.py IMBREX PROBE [TEST...]
"""
import os
import shutil
import socket
import subprocess
import tarfile
import unittest

import dockerd
import odd
import peers
from peers import Case, Store

DOCKERFILE = """FROM scratch
COPY base /
COPY changed /etc/motd
COPY more /more/
COPY more /more/
COPY base/big /again/big
LABEL some=label
CMD ["/bin/probe", "ids"]
"""


def noise(size):
    return odd.noise(size)


def listing(tar_path):
    """What a flat export holds, without what an engine adds to every container."""
    added = {".dockerenv", "dev", "proc", "sys", "etc/hostname", "etc/hosts", "etc/resolv.conf",
             "etc/mtab", "dev/console", "dev/pts", "dev/shm"}
    with tarfile.open(tar_path) as tar:
        return {m.name.rstrip("/"): (m.type, m.mode & 0o7777, m.uid, m.gid, m.linkname,
                                     odd.sha256(tar.extractfile(m).read()) if m.isreg() else "")
                for m in tar if m.name.rstrip("/") not in added}


class Base(Case):
    engine_driver = None

    @classmethod
    def setUpClass(cls):
        if cls.engine_driver is None:
            raise unittest.SkipTest("the base of the others")
        m = cls.machine
        why = dockerd.why_not()
        if why:
            raise unittest.SkipTest(why)
        cls.daemon = dockerd.Dockerd(m.path("dockerd-" + cls.engine_driver), cls.engine_driver)
        try:
            cls.daemon.__enter__()
        except dockerd.Dockerd.Unavailable as e:
            raise unittest.SkipTest(str(e)) from None
        cls.addClassCleanup(cls.daemon.__exit__)
        context = m.path("context-" + cls.engine_driver)
        os.makedirs(context + "/base/bin")
        os.makedirs(context + "/base/etc")
        os.makedirs(context + "/more/sub")
        for name, data in (("base/big", noise(3 << 20)), ("base/etc/motd", b"old\n"),
                           ("changed", b"new, and longer\n"), ("more/sub/x", noise(100_000)), ("more/empty", b"")):
            with open(os.path.join(context, name), "wb") as f:
                f.write(data)
        with open(m.probe, "rb") as f, open(context + "/base/bin/probe", "wb") as to:
            to.write(f.read())
        os.chmod(context + "/base/bin/probe", 0o755)
        os.symlink("big", context + "/base/link")
        with open(context + "/Dockerfile", "w", encoding="utf-8") as f:
            # A step that changes nothing makes dockerd's vfs fail ("layer does not exist").
            f.write(DOCKERFILE if cls.engine_driver != "vfs" else
                    DOCKERFILE.replace("COPY more /more/\n", "", 1))
        cls.id = cls.daemon.ok("build", "-q", "-t", "test/image:1", context).partition(":")[2]
        with open(context + "/Dockerfile", "w", encoding="utf-8") as f:
            f.write("FROM test/image:1\nCOPY changed /sibling\n")
        cls.sibling = cls.daemon.ok("build", "-q", "-t", "test/sibling:1", context).partition(":")[2]
        cls.export = m.path(f"export-{cls.engine_driver}.tar")
        container = cls.daemon.ok("create", "test/image:1")
        cls.daemon.ok("export", "-o", cls.export, container)
        cls.daemon.ok("rm", container)
        cls.machine.env["DOCKER_HOST"] = cls.daemon.host

    def setUp(self):
        self.machine.env["DOCKER_HOST"] = self.daemon.host

    def store(self, driver):
        store = Store(self.machine, driver)
        self.addCleanup(store.end)
        return store

    def check(self, store, image, name):
        record = store.imbrex("inspect", name).json()[0]
        self.assertEqual(record["id"], image)
        layers = [x["id"] for x in store.imbrex("layers", "--json").json()]
        self.clean(store)
        return layers

    def check_tree(self, store):
        """As the engine's own flat export."""
        root = store.imbrex("mount", "test/image:1").last
        try:
            ours = self.machine.path("ours.tar")
            subprocess.run(["tar", "-C", root, "-cf", ours, "--format=pax", "--transform=s,^\\./,,",
                            "."], check=True)
            want, have = listing(self.export), listing(ours)
            have.pop(".", None)
            hard = [n for n in have if have[n][0] == tarfile.LNKTYPE]
            self.assertEqual(hard, [])
            self.assertEqual(have, want)
        finally:
            store.imbrex("umount", "test/image:1")

    def test_overlay(self):
        store = self.store("overlay")
        self.assertEqual(store.imbrex("pull", "-q", "dockerd://test/image:1").last, self.id)
        self.check(store, self.id, "test/image:1")
        self.check_tree(store)
        # podman finds it whole: its ids, its configuration, its layers.
        facts = store.podman("inspect", "--type", "image", "docker.io/test/image:1").json()[0]
        self.assertEqual((facts["Id"], facts["Config"]["Cmd"], facts["Labels"]),
                         (self.id, ["/bin/probe", "ids"], {"some": "label"}))
        r = store.podman("run", "--rm", "docker.io/test/image:1")
        self.assertEqual(r.out, "ids: 0:0\n")

    def test_vfs(self):
        store = self.store("vfs")
        self.assertEqual(store.imbrex("pull", "-q", "docker-daemon:test/image:1").last, self.id)
        self.check(store, self.id, "test/image:1")
        self.check_tree(store)

    def test_names_are_foretold(self):
        """In order or not: with the members' names understood, overlay keeps nothing aside."""
        store = self.store("overlay")
        self.machine.env["TMPDIR"] = self.machine.path("nowhere")
        try:
            store.imbrex("pull", "-q", "dockerd://test/image:1")
        finally:
            self.machine.env["TMPDIR"] = self.machine.path("tmp")
        self.clean(store)

    def test_only_the_missing_layer_is_unpacked(self):
        store = self.store("overlay")
        store.imbrex("pull", "-q", "dockerd://test/image:1")
        before = store.imbrex("layers", "--json").json()
        r = store.imbrex("pull", "--progress", "plain", "dockerd://test/sibling:1")
        self.assertEqual((r.last, r.err.count(": fetching")), (self.sibling, 1))
        self.assertEqual(len(store.imbrex("layers", "--json").json()), len(before) + 1)
        self.clean(store)

    def test_again_by_id_and_by_name(self):
        store = self.store("overlay")
        for source, names in (("dockerd://" + self.id[:12], []), ("dockerd://sha256:" + self.id, []),
                              ("dockerd://test/image:1", ["docker.io/test/image:1"])):
            self.assertEqual(store.imbrex("pull", "-q", source).last, self.id)
            self.assertEqual([i["names"] for i in store.imbrex("images", "--json").json()], [names])

    def test_saved_archive_gives_the_same(self):
        store, path = self.store("overlay"), self.machine.path("saved.tar")
        self.daemon.ok("save", "-o", path, "test/image:1")
        self.addCleanup(os.unlink, path)
        store.imbrex("pull", "-q", "dockerd://test/image:1")
        before = store.imbrex("layers", "--json").json()
        self.assertEqual(store.imbrex("pull", "-q", "docker-archive:" + path).last, self.id)
        p = peers.cat(path)
        self.assertEqual(store.imbrex("pull", "-q", "docker-archive:-", stdin=p.stdout).last, self.id)
        p.stdout.close()
        self.assertEqual(p.wait(), 0)
        self.assertEqual(store.imbrex("layers", "--json").json(), before)

    def test_image_that_is_not_there(self):
        r = self.machine.run(self.store("overlay").argv("imbrex", "pull", "-q", "dockerd://nope:1"))
        self.assertEqual((r.status, r.err), (1, f"imbrex: pull dockerd://nope:1: engine at {self.daemon.host}: "
                                             "no such image: nope:1: No such image: nope:1\n"))


class Overlay2(Base):
    engine_driver = "overlay2"


class Vfs(Base):
    engine_driver = "vfs"


class Authority:
    """Certificates of one's own: an authority's, and what it signs, below `folder`."""

    def __init__(self, folder):
        self.folder = folder
        os.makedirs(folder)
        self.openssl("req", "-x509", *self.NEW, "-days", "2", "-subj", "/CN=test authority",
                     "-keyout", folder + "/ca-key.pem", "-out", folder + "/ca.pem")

    NEW = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")

    @staticmethod
    def openssl(*args):
        subprocess.run(["openssl", *args], check=True, capture_output=True)

    def sign(self, folder, usage, names="IP:127.0.0.1"):
        """A folder as DOCKER_CERT_PATH names it: ca.pem, cert.pem, key.pem."""
        os.makedirs(folder)
        shutil.copy(self.folder + "/ca.pem", folder + "/ca.pem")
        with open(folder + "/ext", "w", encoding="ascii") as f:
            f.write(f"subjectAltName={names}\nextendedKeyUsage={usage}\n")
        self.openssl("req", *self.NEW, "-subj", "/CN=" + usage, "-keyout", folder + "/key.pem",
                     "-out", folder + "/csr")
        self.openssl("x509", "-req", "-in", folder + "/csr", "-CA", self.folder + "/ca.pem",
                     "-CAkey", self.folder + "/ca-key.pem", "-CAcreateserial", "-days", "2",
                     "-extfile", folder + "/ext", "-out", folder + "/cert.pem")
        return folder


class Tls(Case):
    """A dockerd that listens on TCP and asks for certificates."""

    @classmethod
    def setUpClass(cls):
        why = dockerd.why_not() or (None if shutil.which("openssl") else "no openssl")
        if why:
            raise unittest.SkipTest(why)
        cls.folder = cls.machine.path("tls")
        authority = Authority(cls.folder + "/authority")
        server = authority.sign(cls.folder + "/server", "serverAuth")
        cls.client = authority.sign(cls.folder + "/client", "clientAuth")
        cls.stranger = Authority(cls.folder + "/other").sign(cls.folder + "/stranger", "clientAuth")
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            cls.port = s.getsockname()[1]
        cls.host = f"tcp://127.0.0.1:{cls.port}"
        cls.daemon = dockerd.Dockerd(cls.folder + "/dockerd", "overlay2", [
            "-H", cls.host, "--tlsverify", "--tlscacert", server + "/ca.pem",
            "--tlscert", server + "/cert.pem", "--tlskey", server + "/key.pem"])
        try:
            cls.daemon.__enter__()
        except dockerd.Dockerd.Unavailable as e:
            raise unittest.SkipTest(str(e)) from None
        cls.addClassCleanup(cls.daemon.__exit__)
        os.makedirs(cls.folder + "/context")
        with open(cls.folder + "/context/file", "w", encoding="ascii") as f:
            f.write("content\n")
        with open(cls.folder + "/context/Dockerfile", "w", encoding="ascii") as f:
            f.write("FROM scratch\nCOPY file /etc/file\nCMD [\"/x\"]\n")
        cls.id = cls.daemon.ok("build", "-q", "-t", "tls:1", cls.folder + "/context").partition(":")[2]

    def setUp(self):
        self.saved = dict(self.machine.env)
        self.addCleanup(self.restore)
        self.machine.env.pop("DOCKER_HOST", None)
        self.store = Store(self.machine, "overlay")
        self.addCleanup(self.store.end)

    def restore(self):
        self.machine.env.clear()
        self.machine.env.update(self.saved)

    def pull(self, **env):
        self.machine.env.update(env)
        return self.machine.run(self.store.argv("imbrex", "pull", "-q", "dockerd://tls:1"))

    def good(self, **env):
        r = self.pull(**env)
        self.assertEqual((r.status, r.last), (0, self.id), r)
        self.clean(self.store)

    def bad(self, message, **env):
        r = self.pull(**env)
        self.assertEqual((r.status, r.out), (1, ""), r)
        self.assertRegex(r.err, message)
        self.assertEqual(self.store.imbrex("images", "-q").out + self.store.imbrex("layers", "-q").out, "")

    def test_the_environment_names_host_and_certificates(self):
        self.good(DOCKER_HOST=self.host, DOCKER_TLS_VERIFY="1", DOCKER_CERT_PATH=self.client)

    def test_certificates_lie_in_the_configuration_folder_too(self):
        self.good(DOCKER_HOST=self.host, DOCKER_TLS_VERIFY="1", DOCKER_CONFIG=self.client)

    def test_https_is_tls_without_a_word(self):
        self.good(DOCKER_HOST=self.host.replace("tcp", "https"), DOCKER_TLS_VERIFY="1",
                  DOCKER_CERT_PATH=self.client)

    def test_without_verification_any_server_will_do(self):
        """DOCKER_TLS alone: the stranger's authority has not signed the server."""
        os.makedirs(self.folder + "/mixed", exist_ok=True)
        for name in ("cert.pem", "key.pem"):
            shutil.copy(f"{self.client}/{name}", self.folder + "/mixed")
        shutil.copy(self.stranger + "/ca.pem", self.folder + "/mixed")
        self.bad("TLS certificate not accepted", DOCKER_HOST=self.host, DOCKER_TLS_VERIFY="1",
                 DOCKER_CERT_PATH=self.folder + "/mixed")
        del self.machine.env["DOCKER_TLS_VERIFY"]
        self.good(DOCKER_TLS="1")

    def test_servers_of_another_name_are_refused(self):
        self.bad(rf"engine at tcp://localhost:{self.port}: TLS certificate not accepted: ",
                 DOCKER_HOST=f"tcp://localhost:{self.port}", DOCKER_TLS_VERIFY="1",
                 DOCKER_CERT_PATH=self.client)

    def test_clients_that_the_engine_does_not_know_are_told(self):
        os.makedirs(self.folder + "/alone", exist_ok=True)
        shutil.copy(self.client + "/ca.pem", self.folder + "/alone")
        unknown = shutil.copytree(self.stranger, self.folder + "/unknown")
        shutil.copy(self.client + "/ca.pem", unknown)
        for folder in (self.folder + "/alone", unknown):
            self.bad(r"engine at tcp://127\.0\.0\.1:\d+: .*(certificate|TLS|connection lost)",
                     DOCKER_HOST=self.host, DOCKER_TLS_VERIFY="1", DOCKER_CERT_PATH=folder)

    def test_plain_words_to_a_tls_engine_are_refused(self):
        self.bad(r"engine at tcp://127\.0\.0\.1:\d+: answers with HTTP status 400\nhint: it speaks TLS: "
                 "set DOCKER_TLS_VERIFY=1 and DOCKER_CERT_PATH\n$", DOCKER_HOST=self.host)

    def test_contexts_of_the_docker_program(self):
        config = self.folder + "/config"
        env = {**os.environ, "DOCKER_CONFIG": config}
        for name in ("DOCKER_HOST", "DOCKER_CONTEXT"):
            env.pop(name, None)
        subprocess.run([self.daemon.client, "context", "create", "remote", "--docker",
                        f"host={self.host},ca={self.client}/ca.pem,cert={self.client}/cert.pem,"
                        f"key={self.client}/key.pem"], env=env, check=True, capture_output=True)
        self.good(DOCKER_CONFIG=config, DOCKER_CONTEXT="remote")
        self.store.imbrex("rmi", "tls:1")
        del self.machine.env["DOCKER_CONTEXT"]
        subprocess.run([self.daemon.client, "context", "use", "remote"], env=env, check=True,
                       capture_output=True)
        self.good()
        self.store.imbrex("rmi", "tls:1")
        self.bad("docker context 'nowhere'", DOCKER_CONTEXT="nowhere")

    def test_enroot_takes_the_same_road(self):
        work = self.folder + "/work"
        os.makedirs(work + "/temp")
        self.machine.env.update(DOCKER_HOST=self.host, DOCKER_TLS_VERIFY="1", DOCKER_CERT_PATH=self.client)
        places = [f"ENROOT_{n}_PATH={work}/{n.lower()}" for n in ("DATA", "CACHE", "CONFIG", "TEMP", "RUNTIME")]
        r = self.machine.ok(["env", "-C", work, *places, self.machine.imbrex, "enroot", "load", "-n", "box",
                             "dockerd://tls:1"])
        self.assertEqual(r.err.splitlines()[0], "[INFO] Fetching image")
        with open(work + "/data/box/etc/file", encoding="ascii") as f:
            self.assertEqual(f.read(), "content\n")


if __name__ == "__main__":
    peers.main(__name__, ["podman", "runc"])
