#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Every kind of damage: found, told in words, repaired or refused with the reason, nothing lost.

usage: test_damage.py IMBREX MAKE_LAYOUTS overlay|vfs [CASE...]

Each case copies an honest store (two images on common layers, a container with a file of its own),
damages it in one way, and says what check must find (kind and words), what repair makes of it, and
what is left. Afterwards every container must start from where it was: its files are compared.
IMBREX_SHOW=1 prints what was said.
"""
import base64
import glob
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time

IMBREX, MAKE_LAYOUTS, DRIVER = os.path.abspath(sys.argv[1]), sys.argv[2], sys.argv[3]
ONLY = sys.argv[4:]
IN_LANE = "IMBREX_STORE_LANE"
SHOW = os.environ.get("IMBREX_SHOW")
FAKE = "f" * 64
OVERLAY, VFS, BOTH = ("overlay",), ("vfs", "btrfs"), ("overlay", "vfs", "btrfs")
# Where drivers that keep whole trees have them.
HOME = {"vfs": "vfs/dir", "btrfs": "btrfs/subvolumes"}.get(DRIVER)


def skip(reason):
    print("skipped:", reason)
    sys.exit(77)


class Store:
    """One store; top, middle and base are the layers of image `one`."""

    def __init__(self, folder, layout, root="root"):
        self.folder, self.layout = folder, layout
        self.root, self.run_root = f"{folder}/{root}", f"{folder}/run"
        self.env = dict(os.environ, CONTAINERS_STORAGE_CONF="/dev/null", HOME=folder)
        self.options = []

    def imbrex(self, *args, status=None):
        words = [IMBREX, "--root", self.root, "--runroot", self.run_root, "--driver", DRIVER]
        p = subprocess.run(words + self.options + [str(a) for a in args], env=self.env, text=True,
                           stdin=subprocess.DEVNULL, capture_output=True, timeout=60, check=False,
                           errors="replace")
        if SHOW:
            print(f"    {' '.join(map(str, args))[:150]} -> {p.returncode}")
            for line in (p.stdout + p.stderr).splitlines()[:14]:
                print("      " + re.sub("[0-9a-f]{64}", lambda m: m[0][:6], line)[:230])
        if p.returncode < 0 or "Sanitizer" in p.stderr:
            raise AssertionError(f"{args}: crashed: {p.stderr}")
        if status is not None and p.returncode != status:
            raise AssertionError(f"{args}: status {p.returncode}: {p.stdout}{p.stderr}")
        return p

    def check(self, *args):
        p = self.imbrex("check", "--json", *args)
        if p.returncode not in (0, 1) or not p.stdout:
            raise AssertionError(f"check {args}: {p.stderr}")
        return json.loads(p.stdout)

    def learn(self):
        images = {x["names"][0].split("/")[-1]: x for x in self.json("D-images/images.json")
                  if x.get("names")}
        self.image, self.other = images["one:1"]["id"], images["two:1"]["id"]
        layers = {x["id"]: x for x in self.json("D-layers/layers.json")}
        self.top = images["one:1"]["layer"]
        self.middle = layers[self.top]["parent"]
        self.base = layers[self.middle]["parent"]
        self.two = images["two:1"]["layer"]
        self.container = self.json("D-containers/containers.json")[0]["id"]
        self.upper = self.json("D-containers/containers.json")[0]["layer"]

    def path(self, name):
        return os.path.join(self.root, name.replace("D-", DRIVER + "-", 1)
                            if name.startswith("D-") else name)

    def read(self, name):
        with open(self.path(name), "rb") as f:
            return f.read()

    def json(self, name):
        return json.loads(self.read(name))

    def write(self, name, data):
        with open(self.path(name), "wb") as f:
            f.write(data if isinstance(data, bytes) else data.encode())

    def remove(self, name):
        path = self.path(name)
        if os.path.isdir(path) and not os.path.islink(path):
            shutil.rmtree(path)
        else:
            os.unlink(path)

    def records(self, kind, change):
        name = f"D-{kind}/{kind}.json"
        records = self.json(name)
        changed = change(records)
        self.write(name, json.dumps(records if changed is None else changed,
                                    separators=(",", ":")))

    def set(self, kind, which, **values):
        def change(records):
            for r in records:
                if r["id"] == which:
                    r.update({k.replace("_", "-"): v for k, v in values.items()})
        self.records(kind, change)

    def drop(self, kind, *which):
        self.records(kind, lambda rs: [r for r in rs if r["id"] not in which])

    def home(self, layer):
        return f"overlay/{layer}" if DRIVER == "overlay" else f"{HOME}/{layer}"

    def tree(self, layer, path=""):
        return (f"overlay/{layer}/diff" if DRIVER == "overlay" else f"{HOME}/{layer}") + path

    def split(self, layer):
        return f"D-layers/{layer}.tar-split.gz"

    def document(self, key, image=None):
        name = key if re.fullmatch("[.0-9a-z]+", key) else "=" + base64.b64encode(
            key.encode()).decode()
        return f"D-images/{image or self.image}/{name}"

    def mounts(self, text):
        os.makedirs(f"{self.run_root}/{DRIVER}-layers", exist_ok=True)
        with open(f"{self.run_root}/{DRIVER}-layers/mountpoints.json", "w", encoding="utf-8") as f:
            f.write(text)


# ---- what a container shows: nothing of it may be lost

def tree_of(folder):
    seen = {}
    for base, dirs, files in os.walk(folder):
        for name in dirs + files:
            path = os.path.join(base, name)
            st = os.lstat(path)
            data = ""
            if os.path.islink(path):
                data = os.readlink(path)
            elif os.path.isfile(path):
                with open(path, "rb") as f:
                    data = hashlib.sha256(f.read()).hexdigest()
            seen[os.path.relpath(path, folder)] = (st.st_mode, st.st_uid, st.st_gid, data)
    return seen


def shown(s, name="c"):
    where = s.imbrex("mount", name, status=0).stdout.strip()
    seen = tree_of(where)
    s.imbrex("umount", name, status=0)
    return seen


# ---- the cases

CASES = []


class Case:
    def __init__(self, damage, drivers, found, repair, left, after, lost):
        self.name, self.damage, self.drivers = damage.__name__, damage, drivers
        self.found, self.repair, self.left, self.after, self.lost = found, repair, left, after, lost


def case(*found, drivers=BOTH, repair=("--repair",), left=(), after=None, lost=False):
    """found: (kind, words) that check must tell; left: the same, after the repair; lost: the
    container cannot come back without help."""
    def add(damage):
        CASES.append(Case(damage, drivers, found, repair, left, after, lost))
        return damage
    return add


FROM = ("--repair", "--from", "@SOURCE")


# tables

@case(("table-unreadable", "byte 700: "))
def layers_table_cut(s):
    s.write("D-layers/layers.json", s.read("D-layers/layers.json")[:700])


@case(("table-unreadable", "byte 0"))
def layers_table_garbage(s):
    s.write("D-layers/layers.json", os.urandom(4000))


@case(("table-unreadable", "is empty"), ("image-layer-missing", "its layer"),
      ("container-layer-missing", "its layer"))
def layers_table_empty(s):
    s.write("D-layers/layers.json", "")


@case(("image-layer-missing", "its layer"), ("container-layer-missing", "its layer"))
def layers_table_gone(s):
    s.remove("D-layers/layers.json")


@case(("table-unreadable", "in part"))
def images_table_cut(s):
    text = s.read("D-images/images.json")
    s.write("D-images/images.json", text[:text.rindex(b'"big-data-sizes"') + 40])


@case(("table-unreadable", "is empty"), ("container-image-missing", "its image"))
def images_table_empty(s):
    s.write("D-images/images.json", "")


@case(("table-unreadable", "in part"))
def containers_table_cut(s):
    text = s.read("D-containers/containers.json")
    s.write("D-containers/containers.json", text[:text.index(b'"created"')])


@case(("table-unreadable", "is empty"), after="rescued")
def containers_table_empty(s):
    s.write("D-containers/containers.json", "")


@case(("record-unreadable", "'17' is no record"), left=[("record-unreadable", "kept as it is")])
def element_that_is_no_record(s):
    s.records("layers", lambda rs: [17] + rs)


@case(("record-unreadable", "'17' is no record"), repair=("--repair", "--force"))
def element_that_is_no_record_by_force(s):
    s.records("images", lambda rs: rs + [17])


@case(("record-unreadable", "cannot be an image's"),
      left=[("record-unreadable", "--force takes the record out")])
def id_that_leads_out(s):
    s.records("images", lambda rs: rs.append(
        {"id": "../../x", "created": "2020-01-01T00:00:00Z"}))


@case(("record-unreadable", "cannot be an image's"), repair=("--repair", "--force"))
def id_that_leads_out_by_force(s):
    id_that_leads_out(s)


@case(("record-twice", "recorded twice"))
def layer_twice(s):
    s.records("layers", lambda rs: rs + [dict(next(r for r in rs if r["id"] == s.middle))])


@case(("record-twice", "its name"))
def name_twice(s):
    s.set("images", s.other, names=["localhost/two:1", "localhost/one:1"])


@case(("record-unreadable", "is no digest"))
def image_digest_malformed(s):
    s.set("images", s.image, digest="sha256:xyz")


@case(("record-unreadable", "is no digest"))
def layer_digest_malformed(s):
    s.set("layers", s.middle, diff_digest="sha256:xyz")


@case(("content-digest", "its bytes are"))
def layer_digest_wrong(s):
    s.set("layers", s.middle, diff_digest="sha256:" + FAKE)


@case(("content-size", "bytes, but 5 are recorded"))
def layer_size_wrong(s):
    s.set("layers", s.middle, diff_size=5)


# layers

@case(("parent-missing", "its parent"), ("image-layer-missing", "its layer"))
def record_of_base_gone(s):
    s.drop("layers", s.base)


@case(("image-layer-missing", "its layer"))
def record_of_top_gone(s):
    s.drop("layers", s.two)


@case(("container-layer-missing", "its layer"))
def record_of_container_layer_gone(s):
    s.drop("layers", s.upper)


@case(("parent-loop", "or a circle"))
def parents_in_a_circle(s):
    s.set("layers", s.base, parent=s.top)


@case(("layer-unaccounted", "no record names it"))
def layer_unaccounted(s):
    os.makedirs(s.path(s.tree(FAKE)))


@case(("layer-unreferenced", "no image needs it"))
def layer_unreferenced(s):
    p = s.imbrex("storage", "create-layer", "-i", FAKE)
    if p.returncode:
        s.records("layers", lambda rs: rs.append({"id": FAKE, "created": ""}))
        os.makedirs(s.path(s.tree(FAKE)))
    s.set("layers", FAKE, created="2020-01-01T00:00:00Z")


@case(("layer-incomplete", "its writer died"))
def layer_incomplete(s):
    s.records("layers", lambda rs: rs.append({"id": FAKE, "created": "2020-01-01T00:00:00Z",
                                              "flags": {"incomplete": True}}))
    os.makedirs(s.path(s.tree(FAKE)))


@case(("layer-data-missing", "'chunked' is missing"))
def layer_document_missing(s):
    s.set("layers", s.middle, big_data_names=["chunked"])


@case(("layer-missing", "its content is missing"),
      left=[("layer-missing", "--from SOURCE can bring")], lost=True)
def directory_of_top_gone(s):
    s.remove(s.home(s.top))


@case(("layer-missing", "its content is missing"), repair=FROM)
def directory_of_top_fetched(s):
    s.remove(s.home(s.top))


@case(("layer-missing", "its content is missing"), repair=FROM)
def directory_of_base_fetched(s):
    s.remove(s.home(s.base))


@case(("image-layer-missing", "its layer"), ("parent-missing", "its parent"), repair=FROM)
def record_and_directory_fetched(s):
    s.drop("layers", s.top)
    s.remove(s.home(s.top))


@case(("layer-missing", "its content is missing"), repair=("--repair", "--force"), lost=True,
      after="removed")
def directory_of_base_gone_by_force(s):
    s.remove(s.home(s.base))


@case(("layer-missing", "its content is missing"), left=[("layer-missing", "no image's layer")],
      lost=True)
def directory_of_container_gone(s):
    s.remove(s.home(s.upper))


# overlay's own files

@case(("link", "'lower' does not name parent"), drivers=OVERLAY)
def lower_lost(s):
    s.remove(f"overlay/{s.top}/lower")


@case(("link", "file 'lower' has"), drivers=OVERLAY)
def lower_garbage(s):
    s.write(f"overlay/{s.middle}/lower", "../../etc")


@case(("link", "'lower' does not name parent"), drivers=OVERLAY)
def lower_empty(s):
    s.write(f"overlay/{s.upper}/lower", "")


@case(("link", "open 'link'"), drivers=OVERLAY)
def link_file_lost(s):
    s.remove(f"overlay/{s.middle}/link")


@case(("link", "file 'link' has ''"), drivers=OVERLAY)
def link_file_empty(s):
    s.write(f"overlay/{s.base}/link", "")


@case(("link", "there is no 'l/"), drivers=OVERLAY)
def short_link_lost(s):
    s.remove("overlay/l/" + s.read(f"overlay/{s.base}/link").decode())


@case(("link", "leads to layer"), drivers=OVERLAY)
def short_link_of_another(s):
    name = s.path("overlay/l/" + s.read(f"overlay/{s.base}/link").decode())
    os.unlink(name)
    os.symlink(f"../{s.top}/diff", name)


@case(("link", ""), drivers=OVERLAY)
def all_names_lost(s):
    shutil.rmtree(s.path("overlay/l"))
    os.mkdir(s.path("overlay/l"))
    for layer in (s.base, s.middle, s.top, s.two, s.upper):
        s.remove(f"overlay/{layer}/link")
        if layer != s.base:
            s.remove(f"overlay/{layer}/lower")


@case(("leftover", "which is gone"), drivers=OVERLAY)
def short_link_stale(s):
    os.symlink(f"../{FAKE}/diff", s.path("overlay/l/" + "A" * 26))


@case(("directory", "there is no directory 'work'"), ("directory", "'merged' is not a directory"),
      drivers=OVERLAY)
def mount_directories_lost(s):
    shutil.rmtree(s.path(f"overlay/{s.upper}/work"))
    shutil.rmtree(s.path(f"overlay/{s.upper}/merged"))
    s.write(f"overlay/{s.upper}/merged", "")


@case(drivers=OVERLAY)
def mount_point_of_old_releases(s):
    os.rmdir(s.path(f"overlay/{s.upper}/merged"))


@case(("directory", "there is no directory 'empty'"), drivers=OVERLAY)
def empty_directory_lost(s):
    shutil.rmtree(s.path(f"overlay/{s.base}/empty"))


@case(("directory", "can be changed by others"), drivers=OVERLAY)
def layer_directory_open(s):
    os.chmod(s.path(f"overlay/{s.base}"), 0o777)


@case(("directory", "can be changed by others"))
def table_directory_open(s):
    os.chmod(s.path("D-layers"), 0o777)


@case(("layer-missing", "no directory 'diff'"), drivers=OVERLAY, repair=FROM)
def diff_lost_fetched(s):
    shutil.rmtree(s.path(f"overlay/{s.middle}/diff"))


# content

def spoil(s, layer, path, data=b"x"):
    name = s.path(s.tree(layer, path))
    times = os.stat(name)
    with open(name, "r+b") as f:
        f.write(data)
    os.utime(name, ns=(times.st_atime_ns, times.st_mtime_ns))


@case(("content-digest", "'etc/one' does not match"),
      left=[("content-digest", "--from SOURCE can bring")], lost=True, drivers=OVERLAY)
def file_spoiled(s):
    spoil(s, s.top, "/etc/one")


@case(("content-digest", "'etc/one' does not match"), drivers=VFS)
def file_restored_from_the_container(s):
    spoil(s, s.top, "/etc/one")


@case(("content-digest", "'etc/one' does not match"), repair=FROM)
def file_spoiled_fetched(s):
    spoil(s, s.top, "/etc/one")


@case(("content-missing", "'/etc/one': a file is missing"), repair=FROM)
def file_gone_fetched(s):
    s.remove(s.tree(s.top, "/etc/one"))


@case(("content-digest", "'opt/new' does not match"))
def file_restored_from_another_layer(s):
    """The same bytes lie in the base of another image."""
    layer = s.path("layout-sibling")
    make_sibling(s, layer)
    spoil(s, s.middle, "/opt/new", b"NEW")


@case(("content-digest", "does not match"), drivers=VFS)
def file_of_base_restored_from_copies(s):
    spoil(s, s.base, "/etc/passwd")


@case(("content-modified", "mode is 0600, not 0644"))
def mode_changed(s):
    os.chmod(s.path(s.tree(s.top, "/etc/one")), 0o600)


@case(("content-modified", "owner is 7:8, not 0:0"))
def owner_changed(s):
    os.chown(s.path(s.tree(s.middle, "/opt/new")), 7, 8)


@case(("content-modified", "xattr 'user.kind' is missing"))
def xattr_lost(s):
    os.removexattr(s.path(s.tree(s.base, "/var/tagged")), "user.kind")


@case(("content-modified", "xattr 'user.more' is new"))
def xattr_added(s):
    os.setxattr(s.path(s.tree(s.base, "/var/tagged")), "user.more", b"1")


@case(("content-modified", "leads to 'dash', not to 'sh'"))
def symlink_changed(s):
    name = s.path(s.tree(s.base, "/bin/bash"))
    os.unlink(name)
    os.symlink("dash", name)


@case(("content-missing", "a fifo is missing"))
def fifo_gone(s):
    s.remove(s.tree(s.base, "/var/pipe"))


@case(("content-modified", "is a directory, not a fifo"))
def type_changed(s):
    s.remove(s.tree(s.base, "/var/pipe"))
    os.mkdir(s.path(s.tree(s.base, "/var/pipe")))


@case(("content-modified", "a file that the layer never had"))
def file_added(s):
    s.write(s.tree(s.top, "/etc/evil"), "evil")


@case(("content-missing", "a whiteout is missing"), drivers=OVERLAY)
def whiteout_gone(s):
    s.remove(s.tree(s.middle, "/var/gone"))


@case(("content-modified", "does not hide what is below it"), drivers=OVERLAY)
def opaque_mark_gone(s):
    os.removexattr(s.path(s.tree(s.middle, "/opt")), "trusted.overlay.opaque")


@case(("tarsplit-missing", "the tar-split file is missing"), repair=FROM)
def split_gone_fetched(s):
    s.remove(s.split(s.middle))


@case(("tarsplit-missing", "the tar-split file is missing"),
      left=[("tarsplit-missing", "--from SOURCE can bring")])
def split_gone(s):
    s.remove(s.split(s.middle))


@case(("tarsplit-unreadable", "gzip"), repair=FROM)
def split_garbage_fetched(s):
    s.write(s.split(s.base), "garbage")


@case(("tarsplit-unreadable", ""), repair=FROM)
def split_cut_fetched(s):
    s.write(s.split(s.top), s.read(s.split(s.top))[:200])


@case(("content-digest", "'etc/one' does not match"), left=[("content-digest", "in use")],
      repair=FROM, lost=True)
def in_use_is_left_alone(s):
    s.imbrex("mount", "c", status=0)
    if DRIVER != "overlay":
        s.mounts(json.dumps([{"id": s.top, "path": s.path(s.home(s.top)), "count": 1}]))
    spoil(s, s.top, "/etc/one")


# images

@case(("image-data-missing", "document 'manifest' is missing"))
def manifest_gone(s):
    s.remove(s.document("manifest"))


@case(("image-data-size", "bytes, not"))
def manifest_spoiled(s):
    s.write(s.document("manifest"), "{}")


@case(("image-data-missing", "is missing"), repair=FROM)
def config_gone_fetched(s):
    s.remove(s.document("sha256:" + s.image))


@case(("image-data-missing", "is missing"),
      left=[("image-data-missing", "--from SOURCE can bring")])
def config_gone(s):
    s.remove(s.document("sha256:" + s.image))


@case(("image-data-digest", "is not sha256:"), repair=FROM)
def config_spoiled_fetched(s):
    name = s.document("sha256:" + s.image)
    s.write(name, s.read(name).replace(b"linux", b"sunos"))


@case(("image-data-size", "bytes, not 1"))
def document_size_wrong(s):
    s.records("images", lambda rs: [r["big-data-sizes"].update(manifest=1) for r in rs] and None)


@case(("image-data-missing", "is missing"))
def signature_gone(s):
    name = glob.glob(s.path(f"D-images/{s.image}/=c2lnbmF0dXJl*"))[0]
    os.unlink(name)


@case(("container-image-missing", "its image"))
def image_record_gone(s):
    s.drop("images", s.image)


@case(("container-image-missing", "its image"), left=[("container-image-missing", "working without")])
def image_record_and_documents_gone(s):
    s.drop("images", s.image)
    shutil.rmtree(s.path(f"D-images/{s.image}"))


@case(("container-data-missing", "document 'x' is missing"),
      left=[("container-data-missing", "only who stored it has it")])
def container_document_gone(s):
    s.set("containers", s.container, big_data_names=["x"], big_data_sizes={"x": 5})


# leftovers

@case(("leftover", "left by a writer that died"))
def temporary_files(s):
    s.write("D-layers/.tmp-layers.json123", "x")
    s.write("D-images/.tmp-images.json123", "x")
    if DRIVER == "overlay":
        s.write(f"overlay/{s.top}/.tmp-link123", "x")


@case(("leftover", "its owner died"))
def temporary_directories(s):
    for root in ("D-layers/tmp", DRIVER + "/tempdirs"):
        os.makedirs(s.path(root + "/temp-dir-1/0-addition"))
        s.write(root + "/lock-1", "")
        # A lock alone may be one that somebody is about to take, but not for hours.
        s.write(root + "/lock-2", "")
        os.utime(s.path(root + "/lock-2"), (10**9, 10**9))


@case(("leftover", "its owner died"), drivers=OVERLAY)
def staging_directory(s):
    os.makedirs(s.path("overlay/staging/123/dir"))
    s.write("overlay/staging/123/staging.lock", "")


@case(("leftover", "left by a probe"), drivers=OVERLAY)
def probe_directory(s):
    os.makedirs(s.path("overlay/compat123/merged"))


@case(("leftover", "no record names it"))
def documents_of_nobody(s):
    os.makedirs(s.path(f"D-images/{FAKE}"))
    s.write(s.split(FAKE), "x")


@case(("mounts", "where nothing is mounted"), drivers=OVERLAY)
def mounts_that_are_none(s):
    s.mounts(json.dumps([{"id": s.upper, "path": s.path(f"overlay/{s.upper}/merged"),
                          "count": 2}]))


@case(("mounts", "of a layer that is not there"))
def mounts_of_nobody(s):
    s.mounts(json.dumps([{"id": FAKE, "path": "/x", "count": 1}]))


@case(("mounts", "mountpoints.json"))
def mounts_unreadable(s):
    s.mounts("[{")


# no false alarms

@case()
def directory_times_changed(s):
    for path in ("/etc", "/var", "/opt", ""):
        for layer in (s.base, s.middle):
            if os.path.isdir(s.path(s.tree(layer, path))):
                os.utime(s.path(s.tree(layer, path)), (1, 1))


@case()
def stub_files_and_mount_points(s):
    for layer in (s.base, s.top):
        s.write(s.tree(layer, "/etc/hosts"), "")
        os.makedirs(s.path(s.tree(layer, "/run/secrets/x")))
        s.write(s.tree(layer, "/run/.containerenv"), "")


@case()
def young_layer_without_image(s):
    os.makedirs(s.path(s.tree(FAKE)))
    if DRIVER == "overlay":
        for name in ("work", "merged", "empty"):
            os.mkdir(s.path(f"overlay/{FAKE}/{name}"))
        s.write(f"overlay/{FAKE}/link", "B" * 26)
        os.symlink(f"../{FAKE}/diff", s.path("overlay/l/" + "B" * 26))
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    s.records("layers", lambda rs: rs.append({"id": FAKE, "created": now}))


# ---- running them

def make_sibling(s, layout):
    """An image whose layer has a file with the bytes of /opt/new under another name."""
    sys.path.insert(0, os.path.dirname(os.path.abspath(MAKE_LAYOUTS)))
    import make_layouts as m  # pylint: disable=import-outside-toplevel,import-error
    blobs = layout + "/blobs/sha256"
    os.makedirs(blobs)

    def put(kind, data):
        name = hashlib.sha256(data).hexdigest()
        with open(f"{blobs}/{name}", "wb") as f:
            f.write(data)
        return {"mediaType": kind, "digest": "sha256:" + name, "size": len(data)}

    tar = m.tar(m.node("copied", data=b"new"))
    layer = put(m.KIND + "layer.v1.tar", tar)
    config = put(m.KIND + "config.v1+json", json.dumps({
        "architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": [
            layer["digest"]]}}).encode())
    manifest = put(m.KIND + "manifest.v1+json", json.dumps({
        "schemaVersion": 2, "mediaType": m.KIND + "manifest.v1+json", "config": config,
        "layers": [layer]}).encode())
    manifest["annotations"] = {"org.opencontainers.image.ref.name": "s"}
    with open(layout + "/index.json", "w", encoding="utf-8") as f:
        json.dump({"schemaVersion": 2, "manifests": [manifest]}, f)
    with open(layout + "/oci-layout", "w", encoding="utf-8") as f:
        f.write('{"imageLayoutVersion":"1.0.0"}')
    s.imbrex("pull", "-q", f"oci:{layout}:s", status=0)
    shutil.rmtree(layout)


def has(problems, kind, words, left=False):
    return any(p["kind"] == kind and words in p["problem"] + " " + (p["action"] if left else "")
               and not (left and p["repaired"]) for p in problems)


def wrong_finds(case_, problems):
    if not case_.found:
        return [f"reported: {p}" for p in problems]
    return [f"not found: {kind}, '{words}'" for kind, words in case_.found
            if not has(problems, kind, words)]


def fingerprint(folder):
    seen = []
    for base, dirs, files in os.walk(folder):
        for name in sorted(dirs + files):
            path = os.path.join(base, name)
            st = os.lstat(path)
            if not re.search(r"\.lock$|\.index|/tempdirs|/tmp(/|$)|/merged", path):
                seen.append((path, st.st_mode, st.st_size, st.st_mtime_ns
                             if not os.path.isdir(path) else 0))
    return sorted(seen)


def wrong_repair(case_, s, problems):
    wrong = []
    words = [w.replace("@SOURCE", f"oci:{s.layout}:one") for w in case_.repair]
    before = fingerprint(s.root)
    dry = s.check("--dry-run", *words)
    if fingerprint(s.root) != before:
        wrong.append("--dry-run changed something")
    for p in dry:
        if not p["action"] and not p["repaired"]:
            wrong.append(f"--dry-run says nothing of what it would do: {p}")
    done = s.check(*words)
    left = [p for p in done if not p["repaired"]]
    for kind, text in case_.left:
        if not has(left, kind, text, left=True):
            wrong.append(f"not refused: {kind}, '{text}'")
    for p in left:
        if not any(p["kind"] == kind for kind, _ in case_.left):
            wrong.append(f"left: {p}")
    if not case_.left:
        wrong += [f"found again: {p}" for p in s.check()]
    if any(p["id"] and p["kind"] not in [q["kind"] for q in problems] and not p["repaired"]
           for p in done):
        wrong.append("repair made it worse")
    return wrong


def wrong_containers(case_, s, honest):
    s.imbrex("umount", "--all", "c")
    if case_.after == "removed":
        if s.json("D-containers/containers.json"):
            return ["the container was not removed by force"]
        return []
    if case_.lost:
        names = [x["id"] for x in s.json("D-containers/containers.json")]
        return [] if s.container in names else ["the container's record is gone"]
    name = "c"
    if case_.after == "rescued":
        records = s.json("D-containers/containers.json")
        if len(records) != 1 or records[0]["layer"] != s.upper:
            return [f"not rescued: {records}"]
        name = records[0]["names"][0]
    seen = shown(s, name)
    stubs = ("run", "etc/hosts")
    different = [k for k in set(seen) | set(honest) if seen.get(k) != honest.get(k)
                 and not k.startswith(stubs)]
    return [f"the container differs: {sorted(different)[:5]}"] if different else []


def run_case(case_, base, folder, honest):
    subprocess.run(["cp", "-a", base.folder, folder], check=True)
    s = Store(folder, base.layout)
    s.learn()
    case_.damage(s)
    try:
        problems = s.check()
        wrong = wrong_finds(case_, problems)
        if case_.found:
            wrong += wrong_repair(case_, s, problems)
        wrong += wrong_containers(case_, s, honest)
        s.imbrex("gc", status=0)
        if s.imbrex("gc", status=0).stdout:
            wrong.append("gc finds something again")
    except AssertionError as e:
        wrong = [str(e)]
    return wrong


def additional_store(base, folder):
    """What is damaged in a store that is only read is told as such, and left."""
    subprocess.run(["cp", "-a", base.folder, folder + ".ro"], check=True)
    ro = Store(folder + ".ro", base.layout)
    ro.learn()
    s = Store(folder, base.layout)
    os.makedirs(folder)
    s.options = ["--storage-opt", f"{DRIVER}.imagestore={ro.root}"]
    s.imbrex("create", "--name", "c", "one:1", status=0)
    wrong = [f"reported: {p}" for p in s.check()]
    spoil(ro, ro.top, "/etc/one")
    ro.remove(ro.document("manifest"))
    before = fingerprint(ro.root)
    for words in ((), ("--repair", "--force", "--from", f"oci:{s.layout}:one")):
        found = s.check(*words)
        for kind in ("content-digest", "image-data-missing"):
            if not any(p["kind"] == kind and p["read-only"] and not p["repaired"] for p in found):
                wrong.append(f"{kind} is not told of the read-only store: {found}")
        if any(p["repaired"] for p in found):
            wrong.append(f"something was repaired: {found}")
    if fingerprint(ro.root) != before:
        wrong.append("the additional store was changed")
    s.imbrex("mount", "c", status=0)
    s.imbrex("umount", "c", status=0)
    shutil.rmtree(folder + ".ro")
    return wrong


def verify_verb(base, folder):
    subprocess.run(["cp", "-a", base.folder, folder], check=True)
    s = Store(folder, base.layout)
    s.learn()
    wrong = []
    for name in ("one:1", "two:1", "c", s.base):
        s.imbrex("verify", name, status=0)
    spoil(s, s.top, "/etc/one")
    for name, status in (("one:1", 1), ("two:1", 0), ("c", 1), (s.base, 0), (s.top, 1),
                         ("nobody", 1)):
        p = s.imbrex("verify", name)
        if p.returncode != status or (status and name != "nobody" and "etc/one" not in p.stdout):
            wrong.append(f"verify {name}: {p}")
    return wrong


def words_for_people(base, folder):
    """The arrow says what would be done; a repair says what it did."""
    subprocess.run(["cp", "-a", base.folder, folder], check=True)
    s = Store(folder, base.layout)
    s.learn()
    os.chmod(s.path(s.tree(s.top, "/etc/one")), 0o600)
    wrong = []
    p = s.imbrex("check", status=1)
    if f"layer {s.top}: '/etc/one': mode is 0600, not 0644 -> make it again" not in p.stdout:
        wrong.append(p.stdout)
    p = s.imbrex("check", "--repair", status=0)
    if "not 0644 (repaired) -> made again" not in p.stdout:
        wrong.append(p.stdout)
    s.imbrex("check", "--force", status=2)
    s.imbrex("check", "--from", "oci:x", status=2)
    return wrong


def unmount_below(folder):
    with open("/proc/self/mounts", encoding="utf-8") as f:
        points = [line.split()[1] for line in f]
    for point in reversed([p for p in points if p.startswith(folder + "/")]):
        subprocess.run(["umount", "-l", point], check=False)


def prepare(folder):
    os.makedirs(folder)
    layout = os.path.dirname(folder) + "/layout"
    subprocess.run([sys.executable, MAKE_LAYOUTS, layout], check=True)
    s = Store(folder, layout)
    for words in (["pull", "-q", f"oci:{layout}:one", "one:1"],
                  ["pull", "-q", f"oci:{layout}:two", "two:1"],
                  ["create", "--name", "c", "one:1"]):
        p = s.imbrex(*words)
        if p.returncode:
            if "not supported" in p.stderr or "overlay" in p.stderr:
                skip(f"{DRIVER} does not work here: {p.stderr.strip()}")
            sys.exit(f"{words}: {p.stdout}{p.stderr}")
    where = s.imbrex("mount", "c", status=0).stdout.strip()
    with open(where + "/etc/mine", "w", encoding="utf-8") as f:
        f.write("the container's own\n")
    os.unlink(where + "/opt/new")
    s.imbrex("umount", "c", status=0)
    unmount_below(folder)
    s.learn()
    return s


def main():
    if os.geteuid() != 0:
        skip("a store of the machine needs root")
    if IN_LANE not in os.environ:
        os.environ[IN_LANE] = "1"
        os.execvp("unshare", ["unshare", "-m", "--propagation", "private", sys.executable, "-B"]
                  + sys.argv)
    folder = tempfile.mkdtemp(prefix="imbrex-damage-", dir=os.environ.get("IMBREX_LOOPFS", "/var/tmp"))
    failed = ran = 0
    try:
        base = prepare(folder + "/base")
        honest = shown(base)
        unmount_below(folder)
        others = [(f.__name__, f) for f in (additional_store, verify_verb, words_for_people)
                  if DRIVER != "btrfs" or f is not additional_store]  # it has none
        tests = [(c.name, lambda b, x, c=c: run_case(c, b, x, honest)) for c in CASES
                 if DRIVER in c.drivers]
        for name, test in tests + others:
            if ONLY and name not in ONLY:
                continue
            if SHOW:
                print(name)
            wrong = test(base, folder + "/x")
            unmount_below(folder)
            shutil.rmtree(folder + "/x")
            ran += 1
            failed += bool(wrong)
            for text in wrong:
                print(f"FAILED {name}: {text}")
    finally:
        unmount_below(folder)
        shutil.rmtree(folder)
    print(f"{ran} cases, {failed} failed")
    sys.exit(failed > 0 or ran == 0)


if __name__ == "__main__":
    main()
