#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Does the enroot face treat registries as enroot does: lines, settings, exit statuses? And what is
left of a command that is ended?

usage: test_network.py IMBREX [TEST...]

The registry is tests/registry/server.py, which misbehaves by name.
"""
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
import unittest

import fixture
from fixture import Case

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(TOP, "tests", "registry"))
import engine  # noqa: E402
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


def deaf_to_nothing():
    """Signals as a terminal's programs have them, whatever has started the tests."""
    for sig in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(sig, signal.SIG_DFL)


class Interrupted(Case):
    """Whoever ends an import, a load or a creation, nothing stays behind."""

    def setUp(self):
        super().setUp()
        self.digest, _ = fixture.layout(self.path("tmp", "layout"), fixture.LAYERS, fixture.CONFIG)
        self.places = [self.path(n) for n in ("work", "data", "tmp")]

    def left(self):
        """Names below the places, but for what was there; files of the cache are no matter here."""
        found = []
        for place in self.places:
            found += [n for n in os.listdir(place) if n not in ("layout", "run", "image.sqsh")]
        return found + [n for n in os.listdir(self.path("cache")) if n.startswith(".")]

    def start(self, *args, **env):
        return subprocess.Popen([self.program, *args], env=self.env(**env), cwd=self.work,
                                executable=self.program, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                stdin=subprocess.DEVNULL, text=True, preexec_fn=deaf_to_nothing)

    def stalled(self, *args):
        """A command that waits for a registry in the middle of a layer, its tree begun or not."""
        s = server.Server(server.load_layout(self.path("tmp", "layout")), {"stall": True})
        self.addCleanup(s.stop)
        p = self.start(*args, f"docker://{s.host}/team/app:1")
        self.wait_for(lambda: s.asked("/blobs/"), p)
        return p

    def wait_for(self, what, p):
        end = time.monotonic() + 60
        while not what():
            self.assertIsNone(p.poll())
            self.assertLess(time.monotonic(), end)
            os.sched_yield()

    def slow_image(self):
        """One whose extraction takes long enough to be met in the middle."""
        source = self.path("tmp", "src")
        os.makedirs(source)
        for n in range(2000):
            with open(f"{source}/{n}", "wb") as f:
                f.write(b"%d" % n * 1000)
        subprocess.run(["mksquashfs", source, self.path("work", "image.sqsh"), "-no-progress", "-quiet",
                        "-all-root", "-noI", "-noD", "-noF"], check=True, stdout=subprocess.PIPE)
        shutil.rmtree(source)

    def temporaries(self, place):
        found = []
        for d in os.listdir(place):
            if d.startswith(".imbrex-"):
                try:
                    found += [n for n in os.listdir(os.path.join(place, d)) if n.startswith("temp-dir-")]
                except FileNotFoundError:
                    pass
        return found

    def test_signals_while_a_registry_is_waited_for(self):
        for command in ("import", "load"):
            for sig in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                p = self.stalled(command)
                p.send_signal(sig)
                out, err = p.communicate(timeout=60)
                self.assertEqual((p.returncode, out), (-sig, ""), err)
                self.assertEqual(self.left(), [])

    def test_signals_while_a_tree_is_made(self):
        self.slow_image()
        for sig in (signal.SIGINT, signal.SIGTERM):
            p = self.start("create", "-n", "box", "image.sqsh")
            self.wait_for(lambda: self.temporaries(self.path("data")), p)
            p.send_signal(sig)
            p.communicate(timeout=60)
            self.assertEqual((p.returncode, self.left()), (-sig, []))
        # All of a terminal's processes at once, as ^C does it.
        p = subprocess.Popen([self.program, "create", "-n", "box", "image.sqsh"], env=self.env(),
                             cwd=self.work, executable=self.program, stderr=subprocess.DEVNULL,
                             start_new_session=True, preexec_fn=deaf_to_nothing)
        self.wait_for(lambda: self.temporaries(self.path("data")), p)
        os.killpg(p.pid, signal.SIGINT)
        self.assertEqual((p.wait(60), self.left()), (-signal.SIGINT, []))

    def test_after_a_kill_the_next_command_takes_away_what_is_left(self):
        self.slow_image()
        p = self.start("create", "-n", "box", "image.sqsh")
        self.wait_for(lambda: self.temporaries(self.path("data")), p)
        children = open(f"/proc/{p.pid}/task/{p.pid}/children", encoding="ascii").read().split()
        self.assertEqual(len(children), 1)
        p.kill()
        p.communicate(timeout=60)
        # The child goes with its parent; its lock says so.
        end = time.monotonic() + 60
        while os.path.exists(f"/proc/{children[0]}") and time.monotonic() < end and "Z" not in open(
                f"/proc/{children[0]}/stat", encoding="ascii").read().rpartition(")")[2][:3]:
            os.sched_yield()
        self.assertNotIn("box", os.listdir(self.path("data")))
        self.good("create", "-n", "box", "image.sqsh")
        self.assertEqual(self.left(), ["box"])
        self.assertEqual(len(os.listdir(self.path("data", "box"))), 2000)

    def test_what_is_ignored_stays_ignored(self):
        """As nohup(1) starts it."""
        self.slow_image()
        p = subprocess.Popen(["sh", "-c", 'trap "" HUP; exec "$0" create -n box image.sqsh', self.program],
                             env=self.env(), cwd=self.work, stderr=subprocess.DEVNULL)
        self.wait_for(lambda: self.temporaries(self.path("data")), p)
        p.send_signal(signal.SIGHUP)
        self.assertEqual((p.wait(60), self.left()), (0, ["box"]))

    def test_who_ignores_children_gets_a_status_all_the_same(self):
        self.slow_image()
        p = subprocess.Popen([self.program, "create", "-n", "box", "image.sqsh"], env=self.env(),
                             cwd=self.work, executable=self.program, stderr=subprocess.DEVNULL,
                             preexec_fn=lambda: signal.signal(signal.SIGCHLD, signal.SIG_IGN))
        self.assertEqual((p.wait(60), self.left()), (0, ["box"]))
        r = self.enroot("create", "-n", "box", "image.sqsh")
        self.assertEqual(r.status, 1)


class Hostile(Case):
    """Archives of an engine that lie: one error, and nothing to be seen of them."""

    def setUp(self):
        super().setUp()
        tars = [engine.layer(n, 20_000) for n in ("base", "middle", "top")]
        self.image = engine.Image(tars)
        self.tars = tars

    def mutations(self):
        image, tars = self.image, self.tars
        name = image.v1_names()[1] + "/layer.tar"

        def old(change):
            archive = image.docker20()
            change(archive)
            return archive

        def instead(target):
            return lambda a: (a.remove(name), a.link(name, target))

        def two(archive):
            saved = server.json.loads(archive.members[-1][1])
            archive.replace("manifest.json", server.json.dumps(saved * 2).encode())

        yield "none", b"x" * 4096, "not a tar archive"
        yield "a root file system", engine.Archive().add("x/layer.tar", tars[0]), "has no manifest.json"
        yield "no manifest", old(lambda a: a.members.pop()), "has no manifest.json"
        yield "cut", image.docker20().bytes()[:30_000], "cut short at byte|connection lost"
        yield "doubled", old(lambda a: a.add(name, tars[1])), "is there twice"
        yield "missing", old(lambda a: a.remove(name)), f"no member '{name}'"
        yield "link outside", old(instead("../../etc/passwd")), "leads outside the archive"
        yield "absolute link", old(instead("/etc/passwd")), "leads outside the archive"
        yield "circle", old(instead("layer.tar")), "more than 16 links in a row"
        yield "two images", old(two), "holds 2 images"
        yield "another image", engine.Image(tars, Cmd=["/bin/false"]).docker20(), \
            "the engine announced image|content is"
        yield "another layer", old(lambda a: a.replace(name, engine.layer("fake", 20_000))), "content is sha256:"
        blobs = image.layout()
        blobs.replace("blobs/sha256/" + image.diff_ids[1][7:], engine.layer("fake", 20_000))
        yield "another blob", blobs, "content is sha256:"
        yield "configuration", old(lambda a: a.replace(image.id + ".json", image.config + b" ")), \
            "content is sha256:"
        lie = bytearray(image.docker20([0, 1, 2]).bytes())
        at = lie.index(tars[0]) - 512
        lie[at + 124:at + 136] = b"%011o\0" % 1024
        lie[at + 148:at + 156] = b" " * 8
        lie[at + 148:at + 156] = b"%06o\0 " % sum(lie[at:at + 512])
        yield "size", bytes(lie), "archive|header|tar"

    def refused(self, why, message, uri, env):
        for command in ("import", "load"):
            r = self.enroot(command, uri, env=env)
            self.assertEqual((r.status, r.out, r.err.count("[ERROR]")), (1, "", 1), (why, r))
            self.assertRegex(r.err, message, why)
            self.assertEqual(os.listdir(self.work) + os.listdir(self.path("data")) + [
                n for n in os.listdir(self.path("tmp")) if n not in ("run", "sock")], [], why)

    def test_each_gives_one_error_and_leaves_nothing(self):
        env = {"DOCKER_HOST": "unix://" + self.path("tmp", "sock")}
        uri = "dockerd://" + self.image.tag
        for why, archive, message in self.mutations():
            with engine.Engine(self.path("tmp", "sock")) as e:
                e.serve(self.image, archive)
                self.refused(why, message, uri, env)
        data = self.image.docker20().bytes()
        for fault, how, message in (
                ("get", lambda h: (h.answer(200, data[:30_000], len(data)),
                                   setattr(h, "close_connection", True)), "connection lost after 30000 bytes"),
                ("get", lambda h: h.answer(500, b'{"message":"disk full"}'), "disk full"),
                ("json", lambda h: h.answer(200, b"[]"), "image.Id is missing"),
                ("json", lambda h: h.answer(403, b'{"message":"not for you"}'), "not for you")):
            with engine.Engine(self.path("tmp", "sock")) as e:
                e.serve(self.image, data)
                e.faults[fault] = how
                self.refused(message, message, uri, env)
        with engine.Engine(self.path("tmp", "sock")) as e:
            e.serve(self.image, data)
            self.refused("unknown", "No such image: nope:1", "dockerd://nope:1", env)
            # And the honest one, in every order of its layers, is the same file.
            files = set()
            for order in ((0, 1, 2), (2, 0, 1), (1, 2, 0)):
                e.serve(self.image, self.image.docker20(list(order)))
                self.good("import", "-o", "x", uri, env=env)
                with open(self.path("work", "x"), "rb") as f:
                    files.add(f.read())
                os.unlink(self.path("work", "x"))
            self.assertEqual(len(files), 1)


def main():
    with tempfile.TemporaryDirectory(prefix="imbrex-link-") as links:
        Case.program = os.path.join(links, "enroot")
        os.symlink(IMBREX, Case.program)
        names = unittest.defaultTestLoader.getTestCaseNames
        suite = unittest.TestSuite(c(n) for c in (Network, Interrupted, Hostile) for n in names(c)
                                   if not ONLY or n in ONLY or c.__name__ in ONLY)
        sys.exit(not unittest.TextTestRunner(verbosity=2).run(suite).wasSuccessful())


main()
