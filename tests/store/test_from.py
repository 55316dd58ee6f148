#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""check --repair --from: what is damaged comes from a registry or from another store, and no more.

usage: test_from.py IMBREX MAKE_LAYOUTS overlay|vfs|btrfs [CASE...]

The registry is docker-registry on the loopback; what it was asked for stands in its log. The other
stores are read in place: every inode of theirs must be afterwards what it was before.
"""
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

import test_damage as damage

IMBREX, DRIVER = damage.IMBREX, damage.DRIVER
OTHER = "vfs" if DRIVER != "vfs" else "overlay"
CASES = []


def case(f):
    CASES.append(f)
    return f


def equal(is_, wanted, what):
    if is_ != wanted:
        raise AssertionError(f"{what}: {is_!r}, not {wanted!r}")


class Registry:
    def __init__(self, folder, layout):
        self.log = folder + "/registry.log"
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            self.address = f"127.0.0.1:{s.getsockname()[1]}"
        with open(folder + "/registry.yml", "w", encoding="utf-8") as f:
            f.write(f"version: 0.1\nlog: {{level: error}}\n"
                    f"storage: {{filesystem: {{rootdirectory: {folder}/registry}}}}\n"
                    f"http: {{addr: {self.address}}}\n")
        self.conf = folder + "/registries.conf"
        with open(self.conf, "w", encoding="utf-8") as f:
            f.write(f'[[registry]]\nlocation = "{self.address}"\ninsecure = true\n')
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(
                ["docker-registry", "serve", folder + "/registry.yml"], stdout=log, stderr=log,
                stdin=subprocess.DEVNULL)
        self.wait()
        policy = folder + "/policy.json"
        with open(policy, "w", encoding="utf-8") as f:
            json.dump({"default": [{"type": "insecureAcceptAnything"}]}, f)
        for tag in ("one", "two"):
            subprocess.run(["skopeo", "--policy", policy, "copy", "-q", "--format", "oci",
                            "--dest-tls-verify=false", f"oci:{layout}:{tag}",
                            f"docker://{self.address}/team/{tag}:1"], check=True)

    def wait(self):
        end = time.monotonic() + 20
        host, port = self.address.split(":")
        while True:
            try:
                socket.create_connection((host, int(port))).close()
                return
            except OSError:
                if time.monotonic() > end or self.process.poll() is not None:
                    raise
                os.sched_yield()

    def end(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait()

    def source(self, tag):
        return f"docker://{self.address}/team/{tag}:1"

    def forget(self):
        os.truncate(self.log, 0)

    def asked(self):
        """(kind, name) of every GET since: ("blobs", digest) or ("manifests", tag)."""
        with open(self.log, encoding="utf-8", errors="replace") as f:
            return re.findall(r'"GET /v2/team/\w+/(blobs|manifests)/(\S+) HTTP', f.read())

    def blobs(self):
        return sorted(name for kind, name in self.asked() if kind == "blobs")


class Setting:
    """A store to damage, and where to mend it from."""

    def __init__(self, folder, base, registry):
        self.folder, self.registry = folder, registry
        self.s = damage.Store(folder + "/x", base.layout)
        if registry:
            self.s.env["CONTAINERS_REGISTRIES_CONF"] = registry.conf
        self.s.learn()

    def spoil(self, layer, path):
        with open(self.s.path(self.s.tree(layer, path)), "r+b") as f:
            f.write(b"other")

    def lose(self, layer, path):
        """Damage that nothing here can mend: whole layers have the bytes of those below, too."""
        self.spoil(layer, path)
        if DRIVER != "overlay":
            shutil.rmtree(self.s.path(self.s.home(self.s.upper)))
            self.s.imbrex("rm", "-f", "c")

    def mend(self, source):
        for p in self.s.check("--repair", "--from", source):
            if not p["repaired"]:
                raise AssertionError(f"not repaired: {p}")
        equal(self.s.check(), [], "afterwards")

    def layout(self):
        """Digests of the configuration and the layers of image `one`."""
        s = self.s
        manifest = json.loads(s.read(s.document("manifest")))
        return manifest["config"]["digest"], [x["digest"] for x in manifest["layers"]]

    def other(self, driver=DRIVER, tag="one", name="other"):
        """Another store with one image."""
        root, run = f"{self.folder}/{name}/root", f"{self.folder}/{name}/run"
        p = subprocess.run([IMBREX, "--root", root, "--runroot", run, "--driver", driver, "pull",
                            "-q", f"oci:{self.s.layout}:{tag}"], env=self.s.env,
                           capture_output=True, text=True, check=False)
        if p.returncode:
            raise AssertionError(p.stderr)
        damage.unmount_below(self.folder)
        return root, run


def inodes(root):
    """Everything of a tree that a write would change."""
    found = {}
    for at, dirs, files in os.walk(root):
        for name in [".", *dirs, *files]:
            path = os.path.normpath(os.path.join(at, name))
            st = os.lstat(path)
            found[path] = (st.st_ino, st.st_size, st.st_mtime_ns, st.st_ctime_ns, st.st_mode)
    return found


# ---- a registry

def from_registry(f):
    if shutil.which("docker-registry") and shutil.which("skopeo"):
        CASES.append(f)
    f.needs_registry = True
    return f


@from_registry
def one_layer_is_damaged_and_one_layer_is_fetched(x):
    x.lose(x.s.top, "/etc/one")
    config, layers = x.layout()
    x.registry.forget()
    x.mend(x.registry.source("one"))
    equal(x.registry.blobs(), sorted([config, layers[2]]), "what was fetched")
    equal(len([a for a in x.registry.asked() if a[0] == "manifests"]), 1, "manifests")


@from_registry
def a_layer_that_is_gone_is_fetched_and_no_other(x):
    shutil.rmtree(x.s.path(x.s.home(x.s.two)))
    x.s.imbrex("rmi", "-f", "one:1")
    x.registry.forget()
    x.mend(x.registry.source("two"))
    manifest = json.loads(x.s.read(x.s.document("manifest", x.s.other)))
    equal(x.registry.blobs(), sorted([manifest["config"]["digest"],
                                      manifest["layers"][2]["digest"]]), "what was fetched")


@from_registry
def a_document_that_is_gone_is_fetched_alone(x):
    config, _ = x.layout()
    x.s.remove(x.s.document(config))
    x.registry.forget()
    x.mend(x.registry.source("one"))
    equal(x.registry.blobs(), [config], "what was fetched")


@from_registry
def what_can_be_mended_here_asks_nobody(x):
    os.chmod(x.s.path(x.s.tree(x.s.top, "/etc/one")), 0o600)
    x.registry.forget()
    x.mend(x.registry.source("one"))
    equal(x.registry.asked(), [], "what was asked for")


@from_registry
def a_store_that_is_whole_asks_nobody(x):
    x.registry.forget()
    equal(x.s.check("--repair", "--from", x.registry.source("one")), [], "problems")
    equal(x.registry.asked(), [], "what was asked for")


@from_registry
def a_dry_run_fetches_no_layer(x):
    x.lose(x.s.top, "/etc/one")
    _, layers = x.layout()
    x.registry.forget()
    told = x.s.check("--repair", "--dry-run", "--from", x.registry.source("one"))
    equal({p["repaired"] for p in told}, {False}, "repaired")
    equal(set(x.registry.blobs()) & set(layers), set(), "layers that were fetched")
    if not any("or fetch it" in p["action"] for p in told):
        raise AssertionError(told)


@from_registry
def another_image_of_the_registry_has_not_got_the_layer(x):
    x.lose(x.s.top, "/etc/one")
    told = x.s.check("--repair", "--from", x.registry.source("two"))
    if not any(not p["repaired"] and "nor at the source" in p["action"] for p in told):
        raise AssertionError(told)


@from_registry
def a_registry_that_is_not_there_is_told(x):
    x.lose(x.s.top, "/etc/one")
    told = x.s.check("--repair", "--from", x.registry.source("one").replace("/one:", "/none:"))
    if not any(not p["repaired"] and "not found" in p["action"] for p in told):
        raise AssertionError(told)


# ---- another store

def mend_from_other(x, source, root):
    before = inodes(os.path.dirname(root))
    x.mend(source)
    equal(inodes(os.path.dirname(root)), before, "the other store")


@case
def bytes_come_from_another_store(x):
    root, _ = x.other()
    x.lose(x.s.top, "/etc/one")
    x.spoil(x.s.base, "/bin/sh")
    mend_from_other(x, root, root)


@case
def the_other_store_may_have_another_driver(x):
    root, run = x.other(OTHER)
    x.lose(x.s.top, "/etc/one")
    mend_from_other(x, f"containers-storage:[{OTHER}@{root}+{run}]localhost/one:1", root)


@case
def the_brackets_need_no_more_than_a_root(x):
    root, _ = x.other()
    x.lose(x.s.top, "/etc/one")
    mend_from_other(x, f"containers-storage:[{root}]", root)


@case
def documents_come_from_another_store(x):
    root, _ = x.other()
    config, _ = x.layout()
    x.s.remove(x.s.document(config))
    x.s.remove(x.s.document("manifest"))
    for p in x.s.json("D-images/images.json")[0]["big-data-names"]:
        if p.startswith("manifest-"):
            x.s.remove(x.s.document(p))
    mend_from_other(x, root, root)


@case
def a_layer_whose_directory_is_gone_comes_from_another_store(x):
    root, _ = x.other(tag="two")
    shutil.rmtree(x.s.path(x.s.home(x.s.two)))
    mend_from_other(x, root, root)


@case
def the_other_store_may_lie_on_a_read_only_file_system(x):
    root, _ = x.other()
    x.lose(x.s.top, "/etc/one")
    subprocess.run(["mount", "--bind", root, root], check=True)
    subprocess.run(["mount", "-o", "remount,bind,ro", root], check=True)
    try:
        mend_from_other(x, root, root)
    finally:
        subprocess.run(["umount", root], check=True)


@case
def the_other_store_may_be_that_of_another_program(x):
    if not shutil.which("skopeo"):
        return
    root, run = x.folder + "/peer/root", x.folder + "/peer/run"
    policy = x.folder + "/policy-of-peer.json"
    with open(policy, "w", encoding="utf-8") as f:
        json.dump({"default": [{"type": "insecureAcceptAnything"}]}, f)
    subprocess.run(["skopeo", "--policy", policy, "copy", "-q", f"oci:{x.s.layout}:one",
                    f"containers-storage:[{DRIVER}@{root}+{run}]x:1"], check=True)
    damage.unmount_below(x.folder)
    x.lose(x.s.top, "/etc/one")
    mend_from_other(x, root, root)


def refused(x, source, words):
    x.lose(x.s.top, "/etc/one")
    told = x.s.check("--repair", "--from", source)
    if not any(not p["repaired"] and words in p["action"] for p in told):
        raise AssertionError(f"'{words}' is not what was said: {told}")


@case
def another_store_without_the_layer(x):
    root, _ = x.other(tag="two")
    refused(x, root, f"the store at {root} has no layer sha256:")


@case
def another_store_that_is_damaged_too(x):
    root, _ = x.other()
    where = f"{root}/{x.s.tree(x.s.top)}"
    with open(where + "/etc/one", "r+b") as f:
        f.write(b"again")
    refused(x, root, "the source failed: ")


@case
def another_store_whose_tar_split_file_is_gone(x):
    root, _ = x.other()
    os.unlink(f"{root}/{DRIVER}-layers/{x.s.top}.tar-split.gz")
    refused(x, root, "but neither whole nor with its tar-split file")


@case
def the_store_itself_is_no_other_store(x):
    refused(x, x.s.root, "that is the store that is to be repaired")


@case
def a_root_is_told_as_a_whole_path(x):
    refused(x, "containers-storage:[vfs@some/where]", "roots are absolute paths")


@case
def a_store_that_is_not_there_is_told(x):
    refused(x, "containers-storage:[/nowhere/at/all]", "/nowhere/at/all")


def main():
    if os.geteuid() != 0:
        damage.skip("a store of the machine needs root")
    if damage.IN_LANE not in os.environ:
        os.environ[damage.IN_LANE] = "1"
        os.execvp("unshare", ["unshare", "-m", "--propagation", "private", sys.executable, "-B",
                              *sys.argv])
    folder = tempfile.mkdtemp(prefix="imbrex-from-", dir=os.environ.get("IMBREX_LOOPFS", "/var/tmp"))
    registry = None
    failed = ran = 0
    try:
        base = damage.prepare(folder + "/base")
        if shutil.which("docker-registry") and shutil.which("skopeo"):
            registry = Registry(folder, base.layout)
        else:
            print("without a registry: docker-registry or skopeo is not installed")
        for test in CASES:
            if damage.ONLY and test.__name__ not in damage.ONLY:
                continue
            place = folder + "/case"
            os.makedirs(place)
            subprocess.run(["cp", "-a", base.folder, place + "/x"], check=True)
            ran += 1
            try:
                test(Setting(place, base, registry))
            except AssertionError as e:
                failed += 1
                print(f"FAILED {test.__name__}: {e}")
            damage.unmount_below(folder)
            shutil.rmtree(place)
    finally:
        if registry:
            registry.end()
        damage.unmount_below(folder)
        shutil.rmtree(folder)
    print(f"{ran} cases, {failed} failed")
    sys.exit(failed > 0 or ran == 0)


if __name__ == "__main__":
    main()
