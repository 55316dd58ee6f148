#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Copies of layers under other owners: what check tells of damage to them, and what repair does.

usage: test_copies.py IMBREX MAKE_LAYOUTS overlay|vfs|btrfs [CASE...]

Each case copies an honest store (an image, a container under an identity map on a copy of its top
layer), damages the copy in one way, and says what becomes of it. A container that can be kept must
show afterwards, owners included, what it showed before.
"""
import os
import shutil
import subprocess
import sys
import tempfile

import test_damage as damage

IMBREX, DRIVER = damage.IMBREX, damage.DRIVER
MAPS = ["--uidmap", "0:100000:65536", "--gidmap", "0:200000:65536"]
CASES = []


class Store(damage.Store):
    def __init__(self, folder, layout):
        super().__init__(folder, layout)
        self.env["_CONTAINERS_OVERLAY_DISABLE_IDMAP"] = "yes"

    def storage(self, *args, status=0, stdin=b""):
        words = [IMBREX, "storage", "--graph", self.root, "--run", self.run_root,
                 "--storage-driver", DRIVER, *args]
        p = subprocess.run(words, env=self.env, input=stdin, capture_output=True, timeout=60,
                           check=False)
        if p.returncode != status:
            raise AssertionError(f"{args}: {p.returncode}: {p.stdout!r} {p.stderr!r}")
        return p.stdout.decode()

    def learn(self):
        images = {x["names"][0].split("/")[-1]: x for x in self.json("D-images/images.json")}
        self.image = images["one:1"]["id"]
        self.top = images["one:1"]["layer"]
        self.copy, = images["one:1"]["mapped-layers"]
        self.upper = self.json("D-containers/containers.json")[0]["layer"]

    def shown(self):
        """Name, owner, mode and content of everything that the container shows."""
        where = self.storage("mount", "c").splitlines()[0]
        found = {}
        for at, dirs, files in os.walk(where):
            for name in dirs + files:
                path = os.path.join(at, name)
                st = os.lstat(path)
                data = os.readlink(path) if os.path.islink(path) else ""
                if os.path.isfile(path) and not data:
                    with open(path, "rb") as f:
                        data = f.read()
                found[os.path.relpath(path, where)] = (st.st_uid, st.st_gid, st.st_mode, data)
        self.storage("unmount", "c")
        damage.unmount_below(self.folder)
        return found

    def copied(self, path=""):
        """Where a copy keeps what it changed."""
        return (f"overlay/{self.copy}/diff1" if DRIVER == "overlay"
                else self.tree(self.copy)) + path

    def layer(self, which):
        return next(x for x in self.json("D-layers/layers.json") if x["id"] == which)


def case(*drivers):
    def mark(f):
        if DRIVER in (drivers or (DRIVER,)):
            CASES.append(f)
        return f
    return mark


def equal(is_, wanted, what):
    if is_ != wanted:
        raise AssertionError(f"{what}: {is_!r}, not {wanted!r}")


def mended(s, action, honest, *kinds):
    """All of it is found, announced, mended and gone, and the container shows what it did."""
    told = s.check()
    if not told:
        raise AssertionError("nothing was found")
    for kind in kinds:
        if kind not in {p["kind"] for p in told}:
            raise AssertionError(f"no {kind} among {told}")
    if not any(action in p["action"] for p in told):
        raise AssertionError(f"'{action}' is not announced: {told}")
    for p in s.check("--repair"):
        if not p["repaired"]:
            raise AssertionError(f"not repaired: {p}")
    equal(s.check(), [], "afterwards")
    equal(s.shown(), honest, "what the container shows")
    equal(s.check(), [], "after it was mounted")


def refused(s, words, repaired_of=()):
    """Repair says why it does not mend the copy, and leaves everything as it is."""
    before = s.layer(s.copy)
    told = s.check("--repair")
    left = [p for p in told if not p["repaired"] and p["id"] == s.copy]
    if not left or not all(words in p["action"] for p in left):
        raise AssertionError(f"'{words}' is not what was said: {told}")
    equal(s.layer(s.copy), before, "the record of the copy")
    for which in repaired_of:
        if not any(p["id"] == which and p["repaired"] for p in told):
            raise AssertionError(f"{which} was not repaired: {told}")


AGAIN = "of which it is a copy"
LINKS = "make its links and directories again"


@case()
def an_owner_that_was_changed(s, honest):
    os.chown(s.path(s.copied("/etc/one")), 7, 7)
    mended(s, AGAIN, honest, "content-modified")


@case()
def a_file_that_is_gone(s, honest):
    os.unlink(s.path(s.copied("/etc/one")))
    # overlay: what is below shows through, under its own owners.
    mended(s, AGAIN, honest)


@case()
def a_file_with_other_bytes(s, honest):
    with open(s.path(s.copied("/etc/one")), "r+b") as f:
        f.write(b"other")
    mended(s, AGAIN, honest, "content-digest")


@case()
def a_file_of_a_layer_below_under_other_owners(s, honest):
    os.chown(s.path(s.copied("/var/tagged")), 7, 7)
    mended(s, AGAIN, honest, "content-modified")


@case("overlay")
def everything_that_was_copied_is_gone(s, honest):
    shutil.rmtree(s.path(s.copied()))
    mended(s, AGAIN, honest)


@case()
def the_directory_of_the_copy_is_gone(s, honest):
    shutil.rmtree(s.path(s.home(s.copy)))
    mended(s, AGAIN, honest, "layer-missing")


@case()
def the_tar_split_file_is_gone(s, honest):
    os.unlink(s.path(s.split(s.copy)))
    mended(s, AGAIN, honest, "tarsplit-missing")
    equal(s.read(s.split(s.copy)), s.read(s.split(s.top)), "the tar-split file")


@case()
def the_tar_split_file_is_cut_short(s, honest):
    s.write(s.split(s.copy), s.read(s.split(s.copy))[:40])
    mended(s, AGAIN, honest, "tarsplit-unreadable")


@case()
def another_size_is_recorded(s, honest):
    s.set("layers", s.copy, diff_size=12345)
    mended(s, AGAIN, honest, "content-size")
    equal(s.layer(s.copy)["diff-size"], s.layer(s.top)["diff-size"], "the size")


@case("overlay")
def link_is_gone(s, honest):
    os.unlink(s.path(s.home(s.copy) + "/link"))
    mended(s, LINKS, honest, "link")


@case("overlay")
def the_name_in_l_is_gone(s, honest):
    os.unlink(s.path("overlay/l/" + s.read(s.home(s.copy) + "/link").decode()))
    mended(s, LINKS, honest, "link")


@case("overlay")
def lower_is_gone(s, honest):
    lower = s.read(s.home(s.copy) + "/lower")
    os.unlink(s.path(s.home(s.copy) + "/lower"))
    mended(s, LINKS, honest, "link")
    equal(s.read(s.home(s.copy) + "/lower"), lower, "lower")


@case("overlay")
def lower_names_the_parent_of_the_template(s, honest):
    s.write(s.home(s.copy) + "/lower", s.read(s.home(s.top) + "/lower"))
    mended(s, LINKS, honest, "link")


@case("overlay")
def the_lower_of_the_container_is_gone(s, honest):
    os.unlink(s.path(s.home(s.upper) + "/lower"))
    mended(s, LINKS, honest, "link")


@case()
def template_and_copy_are_damaged(s, honest):
    for path in (s.copied("/etc/one"), s.tree(s.top, "/etc/one")):
        os.chown(s.path(path), 7, 7)
    mended(s, "which comes first", honest, "content-modified")


@case()
def template_and_copy_have_lost_the_same_bytes(s, honest):
    lost = [s.copied("/etc/one"), s.tree(s.top, "/etc/one")]
    if DRIVER != "overlay":
        # The container's layer holds the bytes, too, and would give them.
        shutil.rmtree(s.path(s.home(s.upper)))
        s.storage("delete-container", "c")
    for path in lost:
        with open(s.path(path), "r+b") as f:
            f.write(b"other")
    refused(s, "repair that one, --from SOURCE if its bytes are lost")
    for p in s.check("--repair", "--from", f"oci:{s.layout}:one"):
        if not p["repaired"]:
            raise AssertionError(f"not repaired: {p}")
    equal(s.check(), [], "afterwards")
    if DRIVER == "overlay":
        equal(s.shown(), honest, "what the container shows")


@case()
def a_copy_with_content_of_its_own_is_left_alone(s, honest):
    more = s.folder + "/more"
    os.makedirs(more)
    for name in ("first", "second"):
        with open(f"{more}/{name}", "w", encoding="utf-8") as f:
            f.write(name)
    made = subprocess.run(["tar", "c", "-C", more, "first", "second"], check=True,
                          capture_output=True)
    s.storage("applydiff", s.copy, stdin=made.stdout)
    equal(s.check(), [], "after it got content")
    os.unlink(s.path((s.home(s.copy) + "/diff" if DRIVER == "overlay" else s.home(s.copy))
                     + "/first"))
    refused(s, "remove it with what stands on it, the next container gets a new copy")


@case("overlay")
def a_copy_that_no_image_lists_is_not_cut_off(s, honest):
    s.records("images", lambda rs: [{k: v for k, v in r.items() if k != "mapped-layers"}
                                    for r in rs])
    equal([p for p in s.check() if p["id"] == s.copy and p["kind"] == "link"], [], "with lower")
    os.unlink(s.path(s.home(s.copy) + "/lower"))
    refused(s, "neither 'lower' nor an image says of which: remove it")
    equal(os.path.exists(s.path(s.home(s.copy) + "/lower")), False, "a lower was made up")


@case()
def a_copy_that_is_mounted_is_left_alone(s, honest):
    s.storage("mount", "c")
    os.chown(s.path(s.copied("/etc/one")), 7, 7)
    refused(s, "in use: left alone; unmount what stands on it and try again")
    s.storage("unmount", "c")
    damage.unmount_below(s.folder)
    mended(s, AGAIN, honest, "content-modified")


def prepare(folder):
    os.makedirs(folder)
    layout = os.path.dirname(folder) + "/layout"
    subprocess.run([sys.executable, damage.MAKE_LAYOUTS, layout], check=True)
    s = Store(folder, layout)
    p = s.imbrex("pull", "-q", f"oci:{layout}:one", "one:1")
    if p.returncode:
        damage.skip(f"{DRIVER} does not work here: {p.stderr.strip()}")
    s.storage("create-container", "-n", "c", *MAPS, "localhost/one:1")
    s.learn()
    where = s.storage("mount", "c").splitlines()[0]
    with open(where + "/etc/mine", "w", encoding="utf-8") as f:
        f.write("the container's own\n")
    os.chown(where + "/etc/mine", 100005, 200005)
    s.storage("unmount", "c")
    damage.unmount_below(folder)
    return s


def main():
    if os.geteuid() != 0:
        damage.skip("owners are changed by root only")
    if damage.IN_LANE not in os.environ:
        os.environ[damage.IN_LANE] = "1"
        os.execvp("unshare", ["unshare", "-m", "--propagation", "private", sys.executable, "-B",
                              *sys.argv])
    folder = tempfile.mkdtemp(prefix="imbrex-copies-", dir=os.environ.get("IMBREX_LOOPFS", "/var/tmp"))
    failed = ran = 0
    try:
        base = prepare(folder + "/base")
        honest = base.shown()
        equal((honest["etc/one"][:2], honest["etc/mine"][:2]),
              ((100000, 200000), (100005, 200005)), "owners")
        for test in CASES:
            if damage.ONLY and test.__name__ not in damage.ONLY:
                continue
            subprocess.run(["cp", "-a", base.folder, folder + "/x"], check=True)
            s = Store(folder + "/x", base.layout)
            s.learn()
            ran += 1
            try:
                test(s, honest)
            except AssertionError as e:
                failed += 1
                print(f"FAILED {test.__name__}: {e}")
            damage.unmount_below(folder)
            shutil.rmtree(folder + "/x")
    finally:
        damage.unmount_below(folder)
        shutil.rmtree(folder)
    print(f"{ran} cases, {failed} failed")
    sys.exit(failed > 0 or ran == 0)


if __name__ == "__main__":
    main()
