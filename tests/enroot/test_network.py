#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Does the enroot face treat registries as enroot does: lines, settings, exit statuses?

usage: test_network.py IMBREX [TEST...]

The registry is tests/registry/server.py, which misbehaves by name.
"""
import os
import re
import shutil
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import unittest

import fixture
from fixture import Case

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(TOP, "tests", "registry"))
import server  # noqa: E402

IMBREX = os.path.abspath(sys.argv[1])
ONLY = sys.argv[2:]
QUERY = "[INFO] Querying registry for permission grant\n"
GRANTED = "[INFO] Permission granted\n"
FETCH = "[INFO] Fetching image manifest list\n[INFO] Fetching image manifest\n"
REST = ("[INFO] Downloading 3 missing layers...\n[INFO] Extracting image layers...\n"
        "[INFO] Converting whiteouts...\n[INFO] Creating squashfs filesystem...\n")
LOADED = REST.replace("Creating squashfs", "Loading container root")
SECRETS = (server.PASSWORD, server.TOKEN)


class Network(Case):
    def setUp(self):
        super().setUp()
        self.digest, _ = fixture.layout(self.path("tmp", "layout"), fixture.LAYERS, fixture.CONFIG)
        self.image = server.load_layout(self.path("tmp", "layout"))

    def serve(self, faults=None, tls=None):
        s = server.Server(self.image, faults, tls)
        self.addCleanup(s.stop)
        return s

    def uri(self, s, rest="team/app:1"):
        return f"docker://{s.host}/{rest}"

    def credentials(self, *lines):
        with open(self.path("conf", ".credentials"), "w", encoding="ascii") as f:
            f.write("".join(line + "\n" for line in lines))

    # ---- what is said --------------------------------------------------------------------

    def test_without_authorization_permission_is_granted(self):
        s = self.serve()
        self.check(["import", self.uri(s)], 0, "", QUERY + GRANTED + FETCH + REST)
        self.check(["import", "-o", "2", self.uri(s)], 0, "", QUERY + GRANTED + FETCH + REST.replace(
            "Downloading 3 missing layers...", "Found all layers in cache"))
        self.check(["load", self.uri(s)], 0, "", QUERY + GRANTED + FETCH + LOADED.replace(
            "Downloading 3 missing layers...", "Found all layers in cache"))

    def test_an_anonymous_token_is_an_authentication(self):
        s = self.serve({"401-token": True})
        said = QUERY + "[INFO] Authenticating with user: <anonymous>\n[INFO] Authentication succeeded\n"
        self.check(["import", self.uri(s)], 0, "", said + FETCH + REST)
        self.check(["digest", self.uri(s)], 0, self.digest + "\n", said)
        self.assertEqual(s.asked("/token")[0][2].get("Authorization"), None)

    def test_users_come_from_the_uri_or_the_credentials(self):
        said = (QUERY + f"[INFO] Authenticating with user: {server.USER}\n"
                "[INFO] Authentication succeeded\n")
        for faults in ({"401-token": True, "token-needs-login": True}, {"basic": True}):
            s = self.serve(faults)
            self.credentials(f"machine 127.0.0.1 login {server.USER} password {server.PASSWORD}")
            self.check(["digest", self.uri(s)], 0, self.digest + "\n", said)
            self.check(["digest", f"docker://{server.USER}@{s.host}#team/app:1"], 0, self.digest + "\n",
                       said)
            r = self.good("import", "-o", "x", self.uri(s))
            self.assertEqual(r.err, said + FETCH + REST.replace("Downloading 3 missing layers...", {
                True: "Found all layers in cache", False: "Downloading 3 missing layers..."}[
                    "basic" in faults]))
            os.unlink(self.path("work", "x"))
            self.credentials(f"machine 127.0.0.1 login {server.USER} password wrong")
            r = self.enroot("digest", self.uri(s))
            self.assertEqual((r.status, r.out), (1, ""))
            self.assertRegex(r.err, "^" + re.escape(QUERY) + r"\[INFO\] Authenticating with user: "
                             + server.USER + r"\n(\[INFO\] Authentication succeeded\n)?\[ERROR\] URL http://[^ ]+/v2/team/app/manifests/1 "
                             r"returned error code: 401 Unauthorized\n\[INFO\] ")
            for secret in SECRETS:
                self.assertNotIn(secret, r.err)

    def test_refusals_are_told_with_url_and_status(self):
        for fault, status, text in (("manifest-403", 403, "Forbidden"), ("manifest-404", 404, "Not Found"),
                                    ("manifest-405", 405, "Method Not Allowed"),
                                    ("manifest-500", 500, "Internal Server Error"),
                                    ("manifest-503", 503, "Service Unavailable")):
            s = self.serve({fault: True})
            for args in (["import", self.uri(s)], ["load", self.uri(s)], ["digest", self.uri(s)]):
                r = self.enroot(*args)
                self.assertEqual((r.status, r.out), (1, ""), r)
                self.assertTrue(r.err.startswith(
                    QUERY + f"[ERROR] URL {s.url}/v2/team/app/manifests/1 returned error code: "
                    f"{status} {text}\n[INFO] "), r)
                self.assertEqual(r.err.count("[ERROR]"), 1, r)
        self.assertEqual(os.listdir(self.work) + os.listdir(self.path("data")), [])
        self.assertEqual([n for n in os.listdir(self.path("tmp")) if n != "layout"], ["run"])

    def test_backend_store_says_the_same(self):
        conf = self.path("etc", "storage.conf")
        with open(conf, "w", encoding="ascii") as f:
            f.write(f'[storage]\ndriver = "vfs"\ngraphroot = "{self.root}/data/graph"\n'
                    f'runroot = "{self.root}/tmp/runroot"\n')
        env = {"ENROOT_STORAGE_BACKEND": "store", "CONTAINERS_STORAGE_CONF": conf,
               "XDG_RUNTIME_DIR": self.path("tmp")}
        s = self.serve()
        self.check(["import", self.uri(s)], 0, "", QUERY + GRANTED + FETCH +
                   "[INFO] Downloading 3 missing layers...\n", env=env)
        self.check(["import", "-o", "2", self.uri(s)], 0, "", QUERY + GRANTED + FETCH +
                   "[INFO] Found all layers in cache\n", env=env)
        self.check(["create", "team+app+1.sqsh"], 0, env=env)
        s = self.serve({"manifest-404": True})
        r = self.enroot("import", "-o", "3", self.uri(s), env=env)
        self.assertEqual(r.status, 1)
        self.assertIn(f"[ERROR] URL {s.url}/v2/team/app/manifests/1 returned error code: 404 Not Found\n",
                      r.err)
        r = self.enroot("import", "-o", "3", f"docker://127.0.0.1:{fixture.free_port()}/a:1", env=env)
        self.assertEqual(r.status, 7, r)

    # ---- exit statuses -------------------------------------------------------------------

    def failing(self, status, message, *args, **env):
        r = self.enroot(*args, env=env)
        self.assertEqual((r.status, r.out, r.err.count("[ERROR]")), (status, "", 1), r)
        self.assertRegex(r.err, message)

    def test_nobody_there_is_7_and_no_such_name_6(self):
        port = fixture.free_port()
        for command in ("import", "load", "digest"):
            self.failing(7, r"cannot connect: Connection refused", command,
                         f"docker://127.0.0.1:{port}/team/app:1")
            self.failing(6, r"host name not found", command, "docker://nowhere.invalid/team/app:1")

    def test_a_connection_that_does_not_come_is_28(self):
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            s.listen(0)
            host, waiting = s.getsockname(), []
            self.addCleanup(lambda: [w.close() for w in waiting])
            while len(waiting) < 100:  # until the kernel takes no more
                waiting.append(socket.socket())
                waiting[-1].settimeout(0.2)
                try:
                    waiting[-1].connect(host)
                except OSError:
                    break
            self.failing(28, "no connection within 1000 ms", "digest", f"docker://127.0.0.1:{host[1]}/a:1",
                         ENROOT_CONNECT_TIMEOUT="1")

    def test_a_transfer_that_takes_too_long_is_28(self):
        s = self.serve({"stall": True, "all-blobs": True})
        self.failing(28, r" sha256:\w+: .*answer not complete after 1\d\d\d ms", "import", self.uri(s),
                     ENROOT_TRANSFER_TIMEOUT="1", ENROOT_MAX_CONNECTIONS="1")
        self.assertEqual(os.listdir(self.work), [])

    def certificate(self):
        key, cert = self.path("tmp", "key"), self.path("tmp", "cert")
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
                        "-nodes", "-days", "2", "-subj", "/CN=test", "-addext", "subjectAltName=IP:127.0.0.1",
                        "-keyout", key, "-out", cert], check=True, capture_output=True)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(cert, key)
        return context, cert

    def test_certificates_nobody_knows_are_60_and_can_be_made_known(self):
        if not shutil.which("openssl"):
            self.skipTest("openssl is not installed")
        context, cert = self.certificate()
        s = self.serve(tls=context)
        self.failing(60, "TLS certificate not accepted", "digest", self.uri(s), ENROOT_ALLOW_HTTP="")
        self.check(["digest", self.uri(s)], 0, self.digest + "\n", QUERY + GRANTED,
                   env={"ENROOT_ALLOW_HTTP": "", "SSL_CERT_FILE": cert})
        # From a file of the administrator, too.
        with open(self.path("etc", "enroot.conf"), "w", encoding="ascii") as f:
            f.write(f"SSL_CERT_FILE {cert}\n")
        self.check(["digest", self.uri(s)], 0, self.digest + "\n", QUERY + GRANTED,
                   env={"ENROOT_ALLOW_HTTP": ""})
        plain = self.serve()
        self.failing(35, "TLS failed", "digest", self.uri(plain), ENROOT_ALLOW_HTTP="no")

    # ---- settings ------------------------------------------------------------------------

    def test_retries_are_as_many_as_were_asked_for(self):
        for retries, status in ((None, 1), ("1", 1), ("2", 0)):
            s = self.serve({"manifest-503": 2, "retry-after": 0})
            env = {} if retries is None else {"ENROOT_TRANSFER_RETRIES": retries}
            r = self.enroot("digest", self.uri(s), env=env)
            self.assertEqual(r.status, status, r)
            self.assertEqual(len(s.asked("/manifests/")), int(retries or 0) + 1)

    def in_flight(self, connections, together):
        """The most blobs that were asked for at a time; the first `together` wait for each other."""
        state = {"now": 0, "most": 0, "seen": 0}
        lock, barrier = threading.Lock(), threading.Barrier(together)

        class Counting(server.Handler):
            def blob(self, name):
                if name not in layers:
                    return super().blob(name)
                with lock:
                    state["now"] += 1
                    state["seen"] += 1
                    state["most"] = max(state["most"], state["now"])
                    waits = state["seen"] <= together
                try:
                    if waits:
                        barrier.wait(30)
                    return super().blob(name)
                finally:
                    with lock:
                        state["now"] -= 1

        s = self.serve()
        layers = {d["digest"] for _, text in list(self.image.manifests.values())[:1]
                  for d in server.json.loads(text)["layers"]}
        s.RequestHandlerClass = Counting
        self.good("import", "-o", f"{connections}.sqsh", self.uri(s), env={
            "ENROOT_MAX_CONNECTIONS": connections, "ENROOT_CACHE_PATH": self.path("tmp", "c" + connections)})
        return state["most"]

    def test_connections_are_bounded(self):
        self.assertEqual(self.in_flight("1", 1), 1)
        self.assertEqual(self.in_flight("2", 2), 2)
        self.assertEqual(self.in_flight("10", 3), 3)
        self.assertEqual(self.in_flight("0", 3), 3)

    # ---- digest --------------------------------------------------------------------------

    def test_a_digest_fetches_nothing_but_an_index(self):
        s = self.serve()
        self.check(["digest", self.uri(s)], 0, self.digest + "\n", QUERY + GRANTED)
        self.assertEqual([e[:2] for e in s.asked("")], [("HEAD", "/v2/team/app/manifests/1")])
        entry = {"mediaType": server.MANIFEST, "digest": self.digest,
                 "size": len(self.image.manifests[self.digest][1])}
        other = self.image.make("x", "other")
        self.image.make_index("both", [("linux/arm64", other), ("linux/amd64", entry)])
        for arch, digest in (("x86_64", self.digest), ("aarch64", other["digest"])):
            s = self.serve()
            self.check(["digest", "-a", arch, self.uri(s, "team/app:both")], 0, digest + "\n",
                       QUERY + GRANTED)
            self.assertEqual([e[:2] for e in s.asked("")], [
                ("HEAD", "/v2/team/app/manifests/both"), ("GET", "/v2/team/app/manifests/both"),
                ("HEAD", f"/v2/team/app/manifests/{digest}")])
        self.failing(1, r"no image for platform|linux/ppc64le", "digest", "-a", "ppc64le",
                     self.uri(self.serve(), "team/app:both"))

    def test_another_architecture_is_a_warning(self):
        r = self.good("import", "-a", "aarch64", self.uri(self.serve()))
        self.assertIn("[WARN] Image architecture doesn't match the requested one: amd64 != arm64\n", r.err)


def main():
    with tempfile.TemporaryDirectory(prefix="imbrex-link-") as links:
        Case.program = os.path.join(links, "enroot")
        os.symlink(IMBREX, Case.program)
        names = unittest.defaultTestLoader.getTestCaseNames(Network)
        suite = unittest.TestSuite(Network(n) for n in names if not ONLY or n in ONLY)
        sys.exit(not unittest.TextTestRunner(verbosity=2).run(suite).wasSuccessful())


main()
