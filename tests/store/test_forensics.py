#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Whose is this path, and who pays for which bytes?

usage: test_forensics.py IMBREX overlay|vfs|btrfs
"""
import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile

IMBREX, DRIVER = sys.argv[1:3]
IN_LANE = "IMBREX_STORE_LANE"
failed = 0


def skip(reason):
    print("skipped:", reason)
    sys.exit(77)


def tar(path, files):
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as t:
        for name, size in files:
            entry = tarfile.TarInfo(name)
            if name.endswith("/"):
                entry.type, entry.mode = tarfile.DIRTYPE, 0o755
            entry.size, entry.mtime = size, 1700000000
            t.addfile(entry, io.BytesIO(b"x" * size))


def layout(folder, layers, tag):
    """An OCI layout of plain tar layers."""
    blobs = folder + "/blobs/sha256"
    os.makedirs(blobs)

    def put(data):
        digest = hashlib.sha256(data).hexdigest()
        with open(f"{blobs}/{digest}", "wb") as f:
            f.write(data)
        return {"digest": "sha256:" + digest, "size": len(data)}

    found = []
    for files in layers:
        path = folder + "/layer.tar"
        tar(path, files)
        with open(path, "rb") as f:
            found.append(dict(put(f.read()), mediaType="application/vnd.oci.image.layer.v1.tar"))
    config = put(json.dumps({"architecture": "amd64", "os": "linux", "config": {}, "rootfs": {
        "type": "layers", "diff_ids": [x["digest"] for x in found]}}).encode())
    manifest = put(json.dumps({
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": dict(config, mediaType="application/vnd.oci.image.config.v1+json"),
        "layers": found}).encode())
    with open(folder + "/index.json", "w", encoding="utf-8") as f:
        json.dump({"schemaVersion": 2, "manifests": [
            dict(manifest, mediaType="application/vnd.oci.image.manifest.v1+json",
                 annotations={"org.opencontainers.image.ref.name": tag})]}, f)
    with open(folder + "/oci-layout", "w", encoding="utf-8") as f:
        f.write('{"imageLayoutVersion":"1.0.0"}')
    os.unlink(folder + "/layer.tar")
    return folder


class Lane:
    def __init__(self, folder):
        self.folder = folder
        self.root = folder + "/root"
        self.env = dict(os.environ, CONTAINERS_STORAGE_CONF="/dev/null", HOME=folder)

    def run(self, *args, ok=True):
        p = subprocess.run([IMBREX, "--root", self.root, "--runroot", self.folder + "/run",
                            "--driver", DRIVER, "--progress", "none"] + list(args), env=self.env,
                           capture_output=True, text=True, check=False)
        if ok and p.returncode:
            sys.exit(f"imbrex {' '.join(args)}: {p.stderr}")
        return p.stdout.strip() if ok else p

    def where(self, path):
        return json.loads(self.run("inspect", "--where", path))[0]


def expect(what, have, want):
    global failed
    if have != want:
        failed += 1
        print(f"FAILED {what}: {have!r}, not {want!r}")


def test(lane):
    base = [("etc/", 0), ("etc/os-release", 100), ("both", 10)]
    one = lane.run("pull", "oci:" + layout(lane.folder + "/1", [base, [("both", 20)]], "x"), "one:1")
    two = lane.run("pull", "oci:" + layout(lane.folder + "/2", [base, [("two", 5000)]], "x"), "two:1")
    ctr = lane.run("create", "one:1", "--name", "c")
    records = json.loads(lane.run("layers", "--json"))
    upper = json.loads(lane.run("inspect", "c"))[0]["layer"]
    shared = next(x["id"] for x in records if not x["parent"])
    top = json.loads(lane.run("inspect", "one:1"))[0]["layer"]
    tree = lane.run("mount", "c")
    with open(tree + "/mine", "w", encoding="utf-8") as f:
        f.write("mine")

    for name, layer, images, containers in [
            ("etc/os-release", shared, [one, two], [ctr]), ("both", top, [one], [ctr]),
            ("mine", upper, [], [ctr])]:
        w = lane.where(f"{tree}/{name}")
        expect(f"layer of {name}", w["layer"], layer)
        expect(f"images of {name}", sorted(w["images"]), sorted(images))
        expect(f"containers of {name}", w["containers"], containers)
        expect(f"place of {name}", w["inside"], "/" + name)
        expect(f"role of {name}", w["role"], "mount")

    homes = {"overlay": f"{lane.root}/overlay/{shared}/diff", "vfs": f"{lane.root}/vfs/dir/{shared}",
             "btrfs": f"{lane.root}/btrfs/subvolumes/{shared}"}
    w = lane.where(homes[DRIVER] + "/etc/os-release")
    expect("content", (w["role"], w["layer"], w["inside"]), ("content", shared, "/etc/os-release"))
    # The same through a link, from another directory.
    os.symlink(lane.root, lane.folder + "/alias")
    expect("through a link", lane.where(homes[DRIVER].replace("/root", "/alias")
                                        + "/etc/os-release")["layer"], shared)
    layers, images = f"{lane.root}/{DRIVER}-layers", f"{lane.root}/{DRIVER}-images"
    for path, role, key, want in [
            (f"{layers}/layers.json", "record", "layer", ""),
            (f"{layers}/layers.lock", "lock", "layer", ""),
            (f"{layers}/{shared}.tar-split.gz", "tar-split", "layer", shared),
            (f"{images}/{two}/manifest", "document", "images", [two]),
            (f"{lane.root}/{DRIVER}", "directory", "layer", ""),
            (f"{lane.root}/storage.lock", "lock", "layer", "")]:
        w = lane.where(path)
        expect(path, (w["role"], w[key]), (role, want))
    if DRIVER == "overlay":
        link = next(x for x in os.listdir(lane.root + "/overlay/l")
                    if shared in os.readlink(f"{lane.root}/overlay/l/{x}"))
        w = lane.where(f"{lane.root}/overlay/l/{link}")
        expect("a short link", (w["role"], w["layer"]), ("link", shared))
        os.mkdir(f"{lane.root}/overlay/{'f' * 64}")
        w = lane.where(f"{lane.root}/overlay/{'f' * 64}")
        expect("an orphan", "no record names that layer" in w["why"], True)
        os.rmdir(f"{lane.root}/overlay/{'f' * 64}")
    p = lane.run("inspect", "--where", lane.folder + "/1", ok=False)
    expect("a stranger's path", (p.returncode, p.stderr.strip()), (
        1, f"imbrex: '{lane.folder}/1' is neither in the store nor in one of its mounts"))
    p = lane.run("inspect", "--where", lane.folder + "/nothing", ok=False)
    expect("no path", p.stderr.strip(),
           f"imbrex: look at '{lane.folder}/nothing': No such file or directory")
    lane.run("umount", "c")
    disk_use(lane, {"one": one, "two": two, "c": ctr}, records, upper, shared)


def disk_use(lane, ids, records, upper, shared):
    sizes = {x["id"]: x["diff_size_bytes"] for x in records if x["id"] != upper}
    df = json.loads(lane.run("df", "-v", "--json"))
    rows = {x["id"]: x for x in df["objects"]}
    expect("all layers", df["layers_bytes"], sum(sizes.values()))
    expect("shared layers", df["shared_bytes"], sizes[shared])
    expect("layers of one image", df["unique_bytes"], sum(sizes.values()) - sizes[shared])
    expect("rows", sorted(rows), sorted(ids.values()))
    two = rows[ids["two"]]
    expect("an image", two["total_bytes"], two["shared_bytes"] + two["unique_bytes"])
    expect("what an image shares", two["shared_bytes"], sizes[shared])
    expect("reclaimable", df["reclaimable_bytes"], two["unique_bytes"])
    expect("in use", (rows[ids["one"]]["in_use"], two["in_use"], rows[ids["c"]]["in_use"]),
           (True, False, False))
    lane.run("rmi", "two:1")
    after = json.loads(lane.run("df", "--json"))
    expect("what came back", df["layers_bytes"] - after["layers_bytes"], two["unique_bytes"])
    expect("nothing is shared any more", after["shared_bytes"], 0)


def main():
    if os.geteuid() != 0:
        skip("a store of the machine needs root")
    if IN_LANE not in os.environ:
        os.environ[IN_LANE] = "1"
        os.execvp("unshare", ["unshare", "-m", "--propagation", "private", sys.executable, "-B"]
                  + sys.argv)
    folder = tempfile.mkdtemp(prefix="imbrex-forensics-")
    try:
        test(Lane(folder))
    finally:
        subprocess.run(["umount", "-l", folder + "/root/overlay"], capture_output=True, check=False)
        shutil.rmtree(folder, ignore_errors=True)
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()
