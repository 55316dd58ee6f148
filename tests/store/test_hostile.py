#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A store that someone has tampered with: one clear message, and nothing outside of it touched.

usage: test_hostile.py IMBREX MAKE_LAYOUTS overlay|vfs [CASE...]

Every case copies a small honest store, damages it in one way, runs a few commands on it, and
compares what they say and how they exit. IMBREX_SHOW=1 prints what was said.
"""
import base64
import gzip
import hashlib
import json
import os
import re
import shutil
import stat
import subprocess
import sys
import tempfile
import threading
import time

IMBREX, MAKE_LAYOUTS, DRIVER = sys.argv[1:4]
ONLY = sys.argv[4:]
# Where drivers that keep whole trees have them.
HOME = {"vfs": "vfs/dir", "btrfs": "btrfs/subvolumes"}.get(DRIVER)
IN_LANE = "IMBREX_STORE_LANE"
SHOW = os.environ.get("IMBREX_SHOW")
SECONDS = 20
FAKE = "f" * 64


def skip(reason):
    print("skipped:", reason)
    sys.exit(77)


class Store:
    """Paths and records of one store; `top` and below are its image's layers."""

    def __init__(self, folder):
        self.folder = folder
        self.root, self.run_root = folder + "/root", folder + "/run"
        self.outside = folder + "/outside"
        self.env = dict(os.environ, CONTAINERS_STORAGE_CONF="/dev/null", HOME=folder)

    def learn(self):
        layers = json.loads(self.read("D-layers/layers.json"))
        self.image = json.loads(self.read("D-images/images.json"))[0]["id"]
        self.container, = json.loads(self.read("D-containers/containers.json"))
        self.upper = self.container["layer"]
        self.container = self.container["id"]
        self.base, self.middle, self.top = [x["id"] for x in layers if x["id"] != self.upper]

    def path(self, name):
        return os.path.join(self.root, name.replace("D-", DRIVER + "-", 1)
                            if name.startswith("D-") else name)

    def read(self, name):
        with open(self.path(name), encoding="utf-8") as f:
            return f.read()

    def write(self, name, data):
        path = self.path(name)
        if os.path.lexists(path) and not os.path.isfile(path) or os.path.islink(path):
            os.unlink(path)
        with open(path, "wb") as f:
            f.write(data if isinstance(data, bytes) else data.encode())

    def remove(self, name):
        path = self.path(name)
        if os.path.isdir(path) and not os.path.islink(path):
            shutil.rmtree(path)
        else:
            os.unlink(path)

    def link(self, name, target):
        if os.path.lexists(self.path(name)):
            self.remove(name)
        os.symlink(target, self.path(name))

    def fifo(self, name):
        if os.path.lexists(self.path(name)):
            self.remove(name)
        os.mkfifo(self.path(name))

    def records(self, kind, change):
        """change(list of records), or a new list from it."""
        name = f"D-{kind}/{kind}.json"
        records = json.loads(self.read(name))
        changed = change(records)
        self.write(name, json.dumps(records if changed is None else changed))

    def layer(self, records, which):
        return next(r for r in records if r["id"] == which)

    def mounts(self, text):
        folder = f"{self.run_root}/{DRIVER}-layers"
        os.makedirs(folder, exist_ok=True)
        with open(folder + "/mountpoints.json", "w", encoding="utf-8") as f:
            f.write(text)

    def split(self, layer):
        return f"D-layers/{layer}.tar-split.gz"

    def document(self, key):
        plain = re.fullmatch(r"[.0-9a-z]+", key)
        name = key if plain else "=" + base64.b64encode(key.encode()).decode()
        return f"D-images/{self.image}/{name}"

    def tree(self, layer):
        return f"overlay/{layer}/diff" if DRIVER == "overlay" else f"{HOME}/{layer}"

    def command(self, *args):
        words = [IMBREX, "--root", self.root, "--runroot", self.run_root]
        if "--driver" not in args:
            words += ["--driver", DRIVER]
        return subprocess.Popen(words + [str(a) for a in args], env=self.env,
                                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, text=True, errors="replace")


def snapshot(folder):
    """Everything that a change below `folder` would change; who only reads changes nothing."""
    seen = []
    for base, dirs, files in os.walk(folder):
        for name in [""] + sorted(dirs) + sorted(files):
            path = os.path.join(base, name)
            st = os.lstat(path)
            seen.append((path, st.st_ino, st.st_mode, st.st_uid, st.st_gid, st.st_size,
                         st.st_mtime_ns, st.st_ctime_ns, st.st_nlink))
    return seen


# ---- the cases: name, drivers, damage, [(command, exit status, text expected somewhere)]

CASES = []
BOTH, OVERLAY, VFS = ("overlay", "vfs", "btrfs"), ("overlay",), ("vfs", "btrfs")


def case(*steps, drivers=BOTH):
    def add(damage):
        CASES.append((damage.__name__, drivers, damage, steps))
        return damage
    return add


def step(words, status, *texts):
    return words.split(), status, texts


DAMAGED = "hint: the file is damaged; nothing was changed"
WARNED = "warning: the store is damaged: "


# layers.json

@case(step("images", 0, WARNED, "D-layers/layers.json: byte ", "the text ends"),
      step("layers", 0, WARNED), step("tag one:1 two:1", 0),  # needs no layers
      step("rmi -f one:1", 1, "the text ends", DAMAGED), step("check", 1, "the text ends"),
      step("gc", 1, DAMAGED))
def layers_cut_short(s):
    s.write("D-layers/layers.json", s.read("D-layers/layers.json")[:300])


@case(step("layers", 0, WARNED, "layers.json: byte 0: "), step("create one:1", 1, "byte 0: "))
def layers_no_json(s):
    s.write("D-layers/layers.json", b"\x7fELF\0\0\0" * 100)


@case(step("layers", 0, WARNED, "layers.json: byte 0: "), step("pull x", 1), step("gc", 1, DAMAGED))
def layers_no_list(s):
    s.write("D-layers/layers.json", '{"id":"x"}')


@case(step("layers", 0, WARNED, "layers.json: byte ", "64"), step("create one:1", 1, WARNED),
      step("gc", 1, DAMAGED))
def layers_nested_deep(s):
    s.write("D-layers/layers.json", '[{"id":"x","flags":' + "[" * 200000 + "]" * 200000 + "}]")


@case(step("layers", 0), step("mount one:1", 1, f"mount one:1: layer ", "is not in the store"),
      step("check", 1, "its layer ", "is missing", "the file is empty, as after a power cut"),
      step("gc", 0), step("check", 1, "its layer "))
def layers_empty_file(s):
    s.write("D-layers/layers.json", "")


@case(step("layers", 1, "layers.json: ", "536870912"))
def layers_too_big(s):
    with open(s.path("D-layers/layers.json"), "r+b") as f:
        f.truncate(600 << 20)


@case(step("layers", 1, "layers.json"), step("rmi -f one:1", 1, "layers.json"))
def layers_a_link_out(s):
    with open(s.outside + "/layers.json", "w", encoding="utf-8") as f:
        f.write(s.read("D-layers/layers.json"))
    s.link("D-layers/layers.json", s.outside + "/layers.json")


@case(step("layers", 1, "layers.json", "regular file"), step("create one:1", 1, "layers.json"))
def layers_a_fifo(s):
    s.fifo("D-layers/layers.json")


@case(step("layers", 1, "layers.json"))
def layers_a_directory(s):
    s.remove("D-layers/layers.json")
    os.mkdir(s.path("D-layers/layers.json"))


@case(step("layers --json", 0), step("check", 1, "the id cannot be a layer's"),
      step("check --repair", 1, "the id cannot be a layer's"), step("gc", 0),
      step("images", 0), step("df", 0))
def layer_id_leads_out(s):
    for bad in ("../../outside", "..", "/", "../../../outside/dir", "a/b", "l", "", "\0x"):
        s.records("layers", lambda r, bad=bad: r.append(
            {"id": bad, "created": "2020-01-01T00:00:00Z"}))


@case(step("check", 1, "the id cannot be a layer's"), step("rm c", 0), step("images", 0))
def container_layer_leads_out(s):
    s.records("layers", lambda r: r.append({"id": "../../outside",
                                            "created": "2020-01-01T00:00:00Z"}))
    s.records("containers", lambda r: r[0].update(layer="../../outside"))


@case(step("create --name d one:1", 0), step("layers", 0))
def incomplete_layer_leads_out(s):
    s.records("layers", lambda r: r.append(
        {"id": "../../outside", "created": "2020-01-01T00:00:00Z", "flags": {"incomplete": True}}))


@case(step("check", 1, "is recorded twice"), step("images", 0), step("rmi -f one:1", 0))
def layer_recorded_twice(s):
    s.records("layers", lambda r: r.append(dict(s.layer(r, s.top))))


@case(step("images", 0), step("layers --tree", 0), step("history one:1", 0), step("df", 0),
      step("check", 1, "more than 500 layers are below it, or a circle"),
      step("rmi -f one:1", 0), step("gc", 0))
def layers_in_a_circle(s):
    s.records("layers", lambda r: s.layer(r, s.base).update(parent=s.top))


@case(step("images", 0), step("layers --tree", 0),
      step("check", 1, "more than 500 layers are below it, or a circle"), step("rmi -f one:1", 0))
def layer_its_own_parent(s):
    s.records("layers", lambda r: s.layer(r, s.top).update(parent=s.top))


@case(step("check", 1, f"its parent {FAKE} is missing"), step("images", 0),
      step("history one:1", 0), step("layers --tree", 0))
def layer_parent_missing(s):
    s.records("layers", lambda r: s.layer(r, s.base).update(parent=FAKE))


@case(step("check", 1, "diff-digest 'sha256:xyz' is no digest"), step("images", 0),
      step("layers", 0))
def layer_digest_malformed(s):
    s.records("layers", lambda r: s.layer(r, s.top).update({"diff-digest": "sha256:xyz"}))


@case(step("images", 0), step("images --json", 0), step("df", 0), step("layers", 0))
def layer_sizes_absurd(s):
    s.records("layers", lambda r: [x.update({"diff-size": 2 ** 63 - 1, "compressed-size": -5})
                                   for x in r] and None)


@case(step("images", 0), step("layers --json", 0), step("check", 0))
def layer_fields_of_other_types(s):
    s.records("layers", lambda r: s.layer(r, s.middle).update(
        names="x", created=5, flags=[], uidset="0", compression={}, metadata=["x"]) and None)


@case(
      step("check", 1, "its content is missing"), step("mount one:1", 1, "no directory in"),
      step("rmi -f one:1", 0))
def layer_content_missing(s):
    s.remove(f"overlay/{s.top}" if DRIVER == "overlay" else f"{HOME}/{s.top}")


@case(step("layers --json", 0), step("tag one:1 two:1", 0), step("create --name d one:1", 0),
      step("check", 0), step("inspect one:1", 0, "from-the-future"))
def members_of_the_future(s):
    for kind in ("layers", "images", "containers"):
        s.records(kind, lambda r: [x.update({"from-the-future": {"a": [1, {}]}})
                                   for x in r] and None)


# images.json and documents

@case(step("images", 0, WARNED, "images.json: byte ", "the text ends"),
      step("tag one:1 two:1", 1, DAMAGED), step("ps", 0), step("mount c", 0), step("umount c", 0))
def images_cut_short(s):
    s.write("D-images/images.json", s.read("D-images/images.json")[:-20])


@case(step("images", 0), step("check", 1, "the id cannot be an image's"),
      step("inspect --document=manifest bad:1", 1, "is no id"), step("rmi bad:1", 0))
def image_id_leads_out(s):
    s.records("images", lambda r: r.append(
        {"id": "../../outside", "names": ["localhost/bad:1"], "big-data-names": ["manifest"],
         "created": "2020-01-01T00:00:00Z"}))
    with open(s.outside + "/manifest", "w", encoding="utf-8") as f:
        f.write("secret")


@case(step("images", 0), step("check", 1, "document '/etc/passwd' is missing"),
      step("rmi -f one:1", 0), step("check", 0))
def document_key_leads_out(s):
    s.records("images", lambda r: r[0]["big-data-names"].extend(
        ["..", "../../../outside/file", "/etc/passwd", "", "a/", "x" * 5000]) and None)


@case(step("inspect --document=manifest one:1", 1, "document 'manifest'"),
      step("check", 1, "document 'manifest' is missing"))
def document_a_link_out(s):
    s.link(s.document("manifest"), s.outside + "/file")


@case(step("inspect --document=manifest one:1", 1, "regular file"),
      step("check", 1, "document 'manifest' is missing"))
def document_a_fifo(s):
    s.fifo(s.document("manifest"))


@case(step("run one:1 /x", 125, "sha256:", "8388608 bytes"),
      step("check", 1, "bytes, not"))
def config_too_big(s):
    with open(s.path(s.document("sha256:" + s.image)), "r+b") as f:
        f.truncate(9 << 20)


@case(step("run one:1 /x", 125, "config: byte 0: "), step("history one:1", 1, "config: byte 0: "),
      step("check", 1, "bytes, not"))
def config_no_json(s):
    s.write(s.document("sha256:" + s.image), "garbage")


@case(step("check", 1, "document 'manifest' has ", "bytes, not"))
def document_size_differs(s):
    s.write(s.document("manifest"), "{}")


@case(step("images", 0), step("create two:1", 1, FAKE), step("check", 1, f"its layer {FAKE} is missing"),
      step("mount two:1", 1, f"layer {FAKE} is not in the store"), step("rmi two:1", 0))
def image_layer_missing(s):
    s.records("images", lambda r: r.append(
        {"id": FAKE, "names": ["localhost/two:1"], "layer": FAKE,
         "created": "2020-01-01T00:00:00Z"}))


@case(step("images", 0), step("images --json", 0), step("check", 0))
def image_fields_of_other_types(s):
    s.records("images", lambda r: r[0].update(
        {"names": {"a": 1}, "digest": 5, "layer": [], "big-data-sizes": [], "created": {}}) and None)


@case(step("images", 0), step("inspect one:1", 0), step("tag one:1 a:1", 0))
def image_names_hostile(s):
    s.records("images", lambda r: r[0]["names"].extend(
        ["\x1b[31mred", "a\nb", "../x", "", "x" * 4000, "\udcff"]) and None)


# containers.json

@case(step("ps", 0, WARNED, "containers.json: byte "), step("images", 0),
      step("create one:1", 1, DAMAGED), step("rmi -f one:1", 1, DAMAGED), step("gc", 1, DAMAGED))
def containers_cut_short(s):
    s.write("D-containers/containers.json", s.read("D-containers/containers.json")[:50])


@case(step("ps", 0), step("check", 1, f"its image {FAKE} is missing"), step("rm c", 0))
def container_image_missing(s):
    s.records("containers", lambda r: r[0].update(image=FAKE))


@case(step("ps", 0), step("check", 1, f"its layer {FAKE} is missing"),
      step("mount c", 1, f"layer {FAKE} is not in the store"), step("rm c", 0), step("ps -q", 0))
def container_layer_missing(s):
    s.records("containers", lambda r: r[0].update(layer=FAKE))


@case(step("ps", 0), step("check", 1, "the id cannot be a container's"), step("rm bad", 0))
def container_id_leads_out(s):
    s.records("containers", lambda r: r.append(
        {"id": "../../outside", "names": ["bad"], "image": s.image, "layer": "../../outside",
         "created": "2020-01-01T00:00:00Z"}))


@case(step("rm c", 0), step("images", 0), step("mount one:1", 0), step("umount one:1", 0))
def container_layer_is_the_images(s):
    s.records("containers", lambda r: r[0].update(layer=s.top))


# mountpoints.json

@case(step("ps", 1, "mountpoints.json", "byte "), step("mount c", 1, "mountpoints.json"))
def mounts_no_json(s):
    s.mounts("[{")


@case(step("mount c", 0, "@ROOT"), step("ps", 0), step("umount c", 0), step("rm -f c", 0))
def mounts_elsewhere(s):
    s.mounts(json.dumps([{"id": s.upper, "path": "/", "count": 1},
                         {"id": s.top, "path": "/proc", "count": 1}]))


@case(step("rm -f c", 0), step("images", 0))
def mounts_elsewhere_removed(s):
    s.mounts(json.dumps([{"id": s.upper, "path": "/proc", "count": 1}]))


@case(step("ps", 0), step("mount c", 0), step("umount c", 0),
      step("check", 1, "of a layer that is not there"))
def mounts_of_strangers(s):
    s.mounts(json.dumps([{"id": "../../outside", "path": s.outside, "count": 1},
                         {"id": FAKE, "path": s.outside, "count": 2 ** 40},
                         {"id": s.top, "path": "", "count": -1},
                         {"id": "", "path": "x", "count": 1}]))


@case(step("mount c", None), step("umount --all c", 0), step("rm -f c", 0))
def mounts_counted_to_the_limit(s):
    s.mounts(json.dumps([{"id": s.upper, "path": s.path(f"overlay/{s.upper}/merged")
                          if DRIVER == "overlay" else s.path(f"{HOME}/{s.upper}"),
                          "count": 2 ** 31 - 1}]))


# locks

@case(step("images", 1, "layers.lock"), step("create one:1", 1, "layers.lock"))
def lock_a_fifo(s):
    s.fifo("D-layers/layers.lock")


@case(step("images", 1, "images.lock"), step("tag one:1 x:1", 1, "images.lock"))
def lock_a_link_out(s):
    s.link("D-images/images.lock", s.outside + "/file")


@case(step("images", 1, "storage.lock"))
def graph_lock_a_directory(s):
    s.remove("storage.lock")
    os.mkdir(s.path("storage.lock"))


@case(step("images", 0), step("tag one:1 x:1", 0), step("check", 0))
def lock_stamps_garbage(s):
    for name in ("D-layers/layers.lock", "D-images/images.lock", "D-containers/containers.lock"):
        s.write(name, os.urandom(5000))


# directories

@case(step("images", 1, "D-layers"), step("rmi -f one:1", 1, "D-layers"))
def table_directory_a_link_out(s):
    shutil.move(s.path("D-layers"), s.outside + "/layers")
    s.link("D-layers", s.outside + "/layers")


@case(step("images", 1, "root"))
def root_a_file(s):
    shutil.rmtree(s.root)
    with open(s.root, "w", encoding="utf-8") as f:
        f.write("x")


@case(step("gc", 0, "temp-dir-3: cannot be looked at: open lock file 'lock-3': ",
           "temp-dir-2: its owner died"), step("check", 1, "cannot be looked at"),
      step("gc", 0, "cannot be looked at"))
def temporary_directories_lead_out(s):
    for root in ("D-layers/tmp", DRIVER + "/tempdirs"):
        os.makedirs(s.path(root), exist_ok=True)
        s.link(root + "/temp-dir-1", s.outside)
        s.write(root + "/lock-1", "")
        os.mkdir(s.path(root + "/temp-dir-2"))
        s.link(root + "/temp-dir-2/0-x", s.outside)
        s.link(root + "/lock-3", s.outside + "/file")


@case(step("gc", 0, "D-layers/tmp: cannot be looked at"), step("images", 0))
def temporary_root_leads_out(s):
    os.makedirs(s.outside + "/temp-dir-1")
    s.link("D-layers/tmp", s.outside)


@case(step("gc", 0, "no record names it", "left by a writer that died"),
      step("check", 0))
def orphans_lead_out(s):
    s.link(f"overlay/{FAKE}" if DRIVER == "overlay" else f"{HOME}/{FAKE}", s.outside)
    s.link(f"D-images/{FAKE}", s.outside)
    s.link(f"D-layers/{FAKE}.tar-split.gz", s.outside + "/file")
    s.link("D-containers/.tmp-containers.json1", s.outside + "/file")


@case(step("images --driver @OTHER", 1, "is a store of the driver"))
def other_driver_beside(s):
    os.makedirs(s.path("btrfs/subvolumes"), exist_ok=True)


# tar-split and content

@case(step("check", 1, "the tar-split file is missing"), step("mount one:1", 0),
      step("umount one:1", 0))
def split_missing(s):
    s.remove(s.split(s.middle))


@case(step("check", 1, "layer @MIDDLE", "gzip"))
def split_no_gzip(s):
    s.write(s.split(s.middle), "garbage" * 100)


@case(step("check", 1, "layer @BASE"))
def split_cut_short(s):
    with open(s.path(s.split(s.base)), "r+b") as f:
        f.truncate(os.fstat(f.fileno()).st_size // 2)


@case(step("check", 1, "layer @TOP"))
def split_lines_no_json(s):
    s.write(s.split(s.top), gzip.compress(b'{"type":2,"payload":"AA==","position":0}\nxx\n'))


@case(step("check", 1, "layer @TOP"))
def split_names_lead_out(s):
    names = ["../../../../outside/file", "/etc/hostname", "etc/../../../../outside/file"]
    for i, name in enumerate(names):
        s.write(s.split([s.top, s.middle, s.base][i]), gzip.compress(json.dumps(
            {"type": 1, "name": name, "size": 6, "payload": "AAAAAAAAAAA=",
             "position": 0}).encode() + b"\n"))


@case(step("check", 1, "layer @TOP: the tar-split file is missing"))
def split_a_fifo(s):
    s.fifo(s.split(s.top))


@case(step("check", 1, "layer @BASE"))
def split_a_link_out(s):
    shutil.copy(s.path(s.split(s.base)), s.outside + "/split")
    s.link(s.split(s.base), s.outside + "/split")


@case(step("check", 1, "layer @TOP"))
def split_expands_without_end(s):
    line = json.dumps({"type": 2, "payload": base64.b64encode(bytes(3 << 20)).decode(),
                       "position": 0}).encode() + b"\n"
    with gzip.open(s.path(s.split(s.top)), "wb", 1) as f:
        for _ in range(100):
            f.write(line)


@case(step("check", 1, "layer @TOP", "one"))
def content_changed(s):
    with open(s.path(s.tree(s.top) + "/etc/one"), "r+b") as f:
        f.write(b"x")


@case(step("check", 1, "layer @TOP", "one"))
def content_a_link_out(s):
    s.link(s.tree(s.top) + "/etc/one", s.outside + "/file")


@case(step("check", 1, "layer @TOP", "one"))
def content_a_fifo(s):
    s.fifo(s.tree(s.top) + "/etc/one")


@case(step("check", 1, "layer @TOP"))
def content_directory_a_link_out(s):
    shutil.move(s.path(s.tree(s.top) + "/etc"), s.outside + "/etc")
    s.link(s.tree(s.top) + "/etc", s.outside + "/etc")


# overlay's own files

def middle_link(s):
    return s.read(f"overlay/{s.middle}/link")


@case(step("check", 1, "file 'link' has '../../outside'"), step("create one:1", 0),
      drivers=OVERLAY)
def link_file_leads_out(s):
    s.write(f"overlay/{s.middle}/link", "../../outside")


@case(step("check", 1, "open 'link'"), step("mount one:1", 0), step("umount one:1", 0),
      step("create --name d one:1", 0), step("check", 0), drivers=OVERLAY)
def link_files_lost(s):
    for layer in (s.base, s.middle, s.top, s.upper):
        s.remove(f"overlay/{layer}/link")


@case(step("check", 1, "l/"), step("mount c", 0), step("umount c", 0), step("check", 0),
      drivers=OVERLAY)
def short_links_lost(s):
    for name in os.listdir(s.path("overlay/l")):
        s.remove("overlay/l/" + name)


@case(step("mount one:1", 1, "file 'lower' has '../../outside'"), step("create one:1", 1, "lower"),
      step("check", 1, "file 'lower' has"), drivers=OVERLAY)
def lower_leads_out(s):
    s.write(f"overlay/{s.top}/lower", "../../outside:l/" + middle_link(s))


@case(step("mount one:1", 1, "file 'lower' has '/etc'"), drivers=OVERLAY)
def lower_absolute(s):
    s.write(f"overlay/{s.top}/lower", "/etc")


@case(step("mount one:1", 1, "no layer has the link 'l/AAAAAAAAAAAAAAAAAAAAAAAAAA'"),
      step("check", 1, "'lower' does not name parent"), drivers=OVERLAY)
def lower_names_nothing(s):
    s.write(f"overlay/{s.top}/lower", "l/" + "A" * 26)


@case(step("mount one:1", 1, "600 layers below it, limit is 500"), drivers=OVERLAY)
def lower_too_long(s):
    s.write(f"overlay/{s.top}/lower", ":".join(["l/" + middle_link(s)] * 600))


@case(step("mount one:1", 1, "lower"), drivers=OVERLAY)
def lower_huge(s):
    with open(s.path(f"overlay/{s.top}/lower"), "r+b") as f:
        f.truncate(100 << 20)


@case(step("mount one:1", 1, "lower", "regular file"), drivers=OVERLAY)
def lower_a_fifo(s):
    s.fifo(f"overlay/{s.top}/lower")


@case(step("mount one:1", 1, "leads to '../../../outside/diff'"),
      step("check", 1, "leads to"), drivers=OVERLAY)
def short_link_leads_out(s):
    os.mkdir(s.outside + "/diff")
    s.link("overlay/l/" + middle_link(s), "../../../outside/diff")


@case(step("mount one:1", 1, "leads to '/etc'"), drivers=OVERLAY)
def short_link_absolute(s):
    s.link("overlay/l/" + middle_link(s), "/etc")


@case(step("mount one:1", 1, "leads to '../..'"), drivers=OVERLAY)
def short_link_upwards(s):
    s.link("overlay/l/" + middle_link(s), "../..")


@case(step("mount one:1", 1, "is not a symbolic link"), step("umount one:1", 1, "is not mounted"),
      drivers=OVERLAY)
def short_link_a_file(s):
    s.remove("overlay/l/" + middle_link(s))
    s.write("overlay/l/" + middle_link(s), "x")


@case(step("mount one:1", 1, "is not a directory"), step("check", 1, "is not a directory"),
      step("rmi -f one:1", 0), drivers=OVERLAY)
def layer_directory_a_link_out(s):
    shutil.move(s.path("overlay/" + s.top), s.outside + "/top")
    s.link("overlay/" + s.top, s.outside + "/top")


@case(step("mount one:1", 1, "diff"), step("rmi -f one:1", 0),
      drivers=OVERLAY)
def diff_a_link_out(s):
    shutil.move(s.path(f"overlay/{s.middle}/diff"), s.outside + "/diff")
    s.link(f"overlay/{s.middle}/diff", s.outside + "/diff")


@case(step("mount c", 1, "diff"), step("rm -f c", 0), drivers=OVERLAY)
def upper_a_link_out(s):
    s.link(f"overlay/{s.upper}/diff", s.outside)


@case(step("mount c", 1, "work"), step("rm -f c", 0), drivers=OVERLAY)
def work_a_link_out(s):
    s.link(f"overlay/{s.upper}/work", s.outside)


@case(step("mount c", 1, "merged"), step("rm -f c", 0), drivers=OVERLAY)
def merged_a_link_out(s):
    s.link(f"overlay/{s.upper}/merged", s.outside)


@case(step("check", 1, "'lower' does not name parent @MIDDLE"), drivers=OVERLAY)
def lower_lost(s):
    s.remove(f"overlay/{s.top}/lower")


# vfs's own

@case(step("mount one:1", 1, "not a directory"), step("rmi -f one:1", 0), drivers=VFS)
def vfs_layer_a_link_out(s):
    shutil.move(s.path(HOME + "/" + s.top), s.outside + "/top")
    s.link(HOME + "/" + s.top, s.outside + "/top")


# more of locks

@case(step("ps", 1, "containers.lock"), step("rm -f c", 1, "containers.lock"))
def containers_lock_a_fifo(s):
    s.fifo("D-containers/containers.lock")


@case(step("create one:1", 1, "images.lock"), step("images", 1, "images.lock"))
def images_lock_a_directory(s):
    s.remove("D-images/images.lock")
    os.mkdir(s.path("D-images/images.lock"))


@case(step("images", 1, "layers.lock"), step("gc", 1, "layers.lock"))
def layers_lock_a_device(s):
    s.remove("D-layers/layers.lock")
    os.mknod(s.path("D-layers/layers.lock"), 0o600 | stat.S_IFCHR, os.makedev(1, 5))


@case(step("mount c", 1, "mountpoints.lock"), step("rm -f c", 1, "mountpoints.lock"))
def mounts_lock_a_link_out(s):
    path = f"{s.run_root}/{DRIVER}-layers/mountpoints.lock"
    os.makedirs(os.path.dirname(path), exist_ok=True)
    if os.path.lexists(path):
        os.unlink(path)
    os.symlink(s.outside + "/file", path)


# more of files and their members

@case(step("images", 1, "images.json"), step("tag one:1 x:1", 1, "images.json"))
def images_a_device_without_end(s):
    s.remove("D-images/images.json")
    os.mknod(s.path("D-images/images.json"), 0o600 | stat.S_IFCHR, os.makedev(1, 5))


@case(step("create --name d one:1", 0), step("tag one:1 two:1", 0), step("rm d", 0),
      step("check", 0))
def members_of_strangers_huge(s):
    huge = {"x" * 1000: "y" * 1000000, "numbers": list(range(100000)),
            "deep": json.loads("[" * 50 + "]" * 50), "": {"": None}}
    for kind in ("layers", "images", "containers"):
        s.records(kind, lambda r: r[0].update(huge))


@case(step("images", 0), step("layers", 0), step("check", 0))
def members_of_strangers_many(s):
    s.records("layers", lambda r: r[0].update({f"k{i}": i for i in range(50000)}))


@case(step("layers --json", 0), step("images --json", 0), step("create one:1", 0))
def names_with_control_characters(s):
    s.records("layers", lambda r: r[0].update(
        names=["a\nb", "\x1b[2J", "\u202e", "x" * 70000], metadata="\0\x1b]0;x\7"))
    s.records("images", lambda r: r[0]["names"].append("evil/\x1b[31m:\r\n"))


@case(step("images", 0), step("check", 0), step("create one:1", 0))
def numbers_that_are_none(s):
    text = s.read("D-layers/layers.json")
    s.write("D-layers/layers.json", re.sub(
        r'"diff-size":\s*\d+', '"diff-size":99999999999999999999999999', text))


@case(step("images", None, "layers.json"), step("gc", 1, "layers.json"))
def text_that_is_no_unicode(s):
    s.write("D-layers/layers.json", b'[{"id":"\xff\xfe' + b"\xc0\x80" * 20 + b'","created":1')


# owners and rights

@case(step("images", 0), step("tag one:1 two:1", 0), step("check", 0))
def tables_of_somebody_else(s):
    for kind in ("layers", "images", "containers"):
        os.chown(s.path(f"D-{kind}/{kind}.json"), 65534, 65534)
        os.chmod(s.path(f"D-{kind}/{kind}.json"), 0)


@case(step("check", 1, "layer @TOP", "owner"), step("mount one:1", 0), step("umount one:1", 0),
      step("check --repair", 0), step("check", 0))
def content_of_somebody_else(s):
    os.lchown(s.path(s.tree(s.top) + "/etc/one"), 65534, 65534)


@case(step("check", 1, "can be changed by others"), step("check --repair", 0), step("check", 0))
def table_directories_open_to_all(s):
    for kind in ("layers", "images", "containers"):
        os.chmod(s.path(f"D-{kind}"), 0o777)


# file systems

@case(step("images", 0, "one"), step("layers", 0), step("check", 0),
      step("tag one:1 x:1", 1, "on a read-only file system"),
      step("create one:1", 1, "on a read-only file system"),
      step("rmi -f one:1", 1, "on a read-only file system"), step("images", 0, "one"))
def file_system_is_read_only(s):
    subprocess.run(["mount", "--bind", s.root, s.root], check=True)
    subprocess.run(["mount", "-o", "remount,bind,ro", s.root], check=True)


@case(step("tag one:1 x:1", 1, "D-images"), step("images", 1, "images.lock"),
      step("rmi -f one:1", 1, "images.lock"))
def table_directory_is_read_only(s):
    path = s.path("D-images")
    subprocess.run(["mount", "--bind", path, path], check=True)
    subprocess.run(["mount", "-o", "remount,bind,ro", path], check=True)


@case(step("images", 0), step("check", 1, "one"), step("mount one:1", None),
      step("umount one:1", None))
def content_directory_is_another_file_system(s):
    subprocess.run(["mount", "-t", "tmpfs", "none", s.path(s.tree(s.top))], check=True)


# directories of documents

@case(step("inspect --document=manifest one:1", 1), step("tag one:1 x:1", 0),
      step("check", 1, "document 'manifest'"), step("rmi -f one:1", 0))
def image_directory_a_link_out(s):
    path = f"D-images/{s.image}"
    shutil.move(s.path(path), s.outside + "/image")
    s.link(path, s.outside + "/image")


@case(step("rm -f c", 0), step("ps", 0))
def container_directory_a_link_out(s):
    c = json.loads(s.read("D-containers/containers.json"))[0]["id"]
    if os.path.lexists(s.path(f"D-containers/{c}")):
        s.remove(f"D-containers/{c}")
    s.link(f"D-containers/{c}", s.outside + "/dir")


# ---- running them

def expand(text, s):
    return (text.replace("D-", DRIVER + "-").replace("@MIDDLE", s.middle)
            .replace("@BASE", s.base).replace("@TOP", s.top)
            .replace("@ROOT", s.path("overlay/" + s.upper if DRIVER == "overlay"
                                     else HOME + "/" + s.upper)))


def run_step(s, words, status, texts, limit_kb):
    words = ["vfs" if DRIVER == "overlay" and w == "@OTHER" else
             "overlay" if w == "@OTHER" else w for w in words]
    began = time.monotonic()
    p = s.command(*words)
    timer = threading.Timer(SECONDS, p.kill)
    timer.start()
    with p.stdout, p.stderr:
        err = []
        reader = threading.Thread(target=lambda: err.append(p.stderr.read()))
        reader.start()
        out = p.stdout.read()
        reader.join()
    err = err[0]
    _, status_word, usage = os.wait4(p.pid, 0)
    p.returncode = os.waitstatus_to_exitcode(status_word)
    timer.cancel()
    wrong = []
    said = out + err
    if SHOW:
        print(f"    {' '.join(words)} -> {p.returncode}\n" + "".join(
            "      " + line[:220] + "\n" for line in said.splitlines()[:8]), end="")
    if status is not None and p.returncode != status:
        wrong.append(f"status {p.returncode}, not {status}")
    if p.returncode < 0 or "Sanitizer" in said or "runtime error" in said:
        wrong.append(f"crashed with {p.returncode}")
    for text in texts:
        if expand(text, s) not in said:
            wrong.append(f"does not say '{expand(text, s)}'")
    if p.returncode == 1 and words[0] != "check" and len(
            [x for x in err.splitlines() if not x.startswith("hint: ")
             and ": warning: " not in x]) != 1:
        wrong.append("not one line of message")
    if time.monotonic() - began > SECONDS / 2:
        wrong.append("slow")
    if limit_kb and usage.ru_maxrss > limit_kb:
        wrong.append(f"used {usage.ru_maxrss} kB of memory")
    return [f"{' '.join(words)}: {w}\n{said}" for w in wrong]


def run_case(base, folder, name, damage, steps, limit_kb):
    subprocess.run(["cp", "-a", base, folder], check=True)
    s = Store(folder)
    s.learn()
    damage(s)
    before = snapshot(s.outside)
    wrong = []
    for words, status, texts in steps:
        wrong += run_step(s, words, status, texts, limit_kb)
    if snapshot(s.outside) != before:
        wrong.append("something outside of the store was changed")
    return wrong


def unmount_below(folder):
    with open("/proc/self/mounts", encoding="utf-8") as f:
        points = [line.split()[1] for line in f]
    for point in reversed([p for p in points if p.startswith(folder + "/")]):
        subprocess.run(["umount", "-l", point], check=False)


def prepare(folder):
    os.makedirs(folder + "/outside/dir")
    for name in ("file", "dir/file"):
        with open(f"{folder}/outside/{name}", "w", encoding="utf-8") as f:
            f.write("secret\n")
    subprocess.run([sys.executable, MAKE_LAYOUTS, folder + "/layout"], check=True)
    s = Store(folder)
    for words in (["pull", "-q", f"oci:{folder}/layout:one", "one:1"],
                  ["create", "--name", "c", "one:1"]):
        p = s.command(*words)
        out, err = p.communicate()
        if p.returncode:
            if "not supported" in err or "overlay" in err:
                skip(f"{DRIVER} does not work here: {err.strip()}")
            sys.exit(f"{words}: {out}{err}")
    shutil.rmtree(folder + "/layout")
    unmount_below(folder)


def main():
    if os.geteuid() != 0:
        skip("a store of the machine needs root")
    if IN_LANE not in os.environ:
        os.environ[IN_LANE] = "1"
        os.execvp("unshare", ["unshare", "-m", "--propagation", "private", sys.executable, "-B"]
                  + sys.argv)
    folder = tempfile.mkdtemp(prefix="imbrex-hostile-")
    # A sanitizer's memory is not ours. (A child begins with the size of this script.)
    with open(IMBREX, "rb") as f:
        limit_kb = None if b"__asan_init" in f.read() else 96 * 1024
    failed = ran = 0
    try:
        prepare(folder + "/base")
        for name, drivers, damage, steps in CASES:
            if DRIVER not in drivers or (ONLY and name not in ONLY):
                continue
            if SHOW:
                print(name)
            wrong = run_case(folder + "/base", folder + "/x", name, damage, steps, limit_kb)
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
