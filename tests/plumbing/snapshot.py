# SPDX-License-Identifier: Apache-2.0
"""What lies on the disk of a store, in words that two stores can share: random ids and short links
by what they stand for, no times but those of content, locks by being there."""
import base64
import gzip
import hashlib
import json
import os
import re
import stat

ID = re.compile(r"(?<!sha256:)(?<![0-9a-f])[0-9a-f]{64}(?![0-9a-f])")
TIME = re.compile(r'"created":"[^"]*"')
TABLES = {f"{prefix}{noun}.json" for noun in ("layers", "images", "containers")
          for prefix in ("", "volatile-")}
# Relative to the graph root or, with "run/", the run root; D is the driver. Reason for each.
APART = {
    r"(mounts|tmp)": "1.43 makes them; nobody uses them",
    r"(run/)?D-(layers|images|containers)/tmp(/.*)?":
        "where newer versions put what they delete; made when first used",
    r"run/D-containers": "made when first used; upstream makes it at once",
    r"(run/)?D-containers/[^/]+(/userdata)?":
        "upstream makes the directories of a container when its size is asked for",
    r"D/(staging|tempdirs)(/.*)?": "made when first used",
    r"D-(layers|images|containers)/\.imbrex.*": "imbrex's own index, which others ignore",
    r"run/D/.*": "what the kernel was found to be able to do; every version asks other questions",
    r"run/D": "made with the first of those answers",
    r"run/D-locks(/.*)?": "made when first used",
    r"run/D-layers/mountpoints\.json": "compared as a table",
    r"D-layers/layers\.json|D-images/images\.json|D-containers/containers\.json":
        "compared as tables; an empty one may be missing",
    r"(run/)?D-(layers|containers)/volatile-\w+\.json": "compared as tables; 1.43 has none",
    r"D/[^/]+/(work)/.*": "the kernel's",
    r"D/[^/]+/merged": "a mount point, which 1.43 removes after unmounting",
    r"(run/)?lost\+found": "the file system's",
}


class Names:
    """Random ids of a store, in the order in which they turn up in its records."""

    def __init__(self, store):
        self.store, self.known = store, {}

    def learn(self):
        for layer in self.store.records("layers"):
            self.word(layer["id"])
        for noun in ("images", "containers"):
            for record in self.store.records(noun):
                self.word(record["id"])

    def word(self, text):
        if ID.fullmatch(text) and text not in self.known:
            self.known[text] = f"<random {len(self.known)}>"
        return self.known.get(text, text)

    def plain(self, text):
        """`text` without what is different from store to store."""
        text = text.replace(self.store.base, "<store>")
        text = ID.sub(lambda m: self.known.get(m.group(), "<unknown id>"), text)
        return TIME.sub('"created":"T"', text)


class Snapshot:
    def __init__(self, store, names):
        self.store, self.names = store, names
        names.learn()
        self.links = {}
        if store.driver == "overlay" and os.path.isdir(store.path("overlay", "l")):
            for name in os.listdir(store.path("overlay", "l")):
                target = os.readlink(store.path("overlay", "l", name)).split("/")[1]
                self.links[name] = "<link of " + names.word(target) + ">"
        self.tables = {noun: self.table(noun) for noun in ("layers", "images", "containers")}
        self.mounts = sorted(names.plain(json.dumps(x, sort_keys=True)) for x in
                             self.read_json(store.run_of("layers", "mountpoints.json")))
        self.files = {}
        self.walk(store.root, "")
        self.walk(store.runroot, "run/")

    def read_json(self, path):
        try:
            with open(path, encoding="utf-8") as f:
                return json.loads(f.read() or "[]")
        except FileNotFoundError:
            return []

    def table(self, noun):
        return {self.names.word(r["id"]): json.loads(self.names.plain(json.dumps(
            {**self.sets(r), "created": "T"}))) for r in self.store.records(noun)}

    def sets(self, record):
        """1.43 has names in no order, so nobody relies on one."""
        return {k: sorted(v) if k in ("names", "names-history") else v for k, v in record.items()}

    def apart(self, rel):
        generic = re.sub(rf"^(run/)?{self.store.driver}(?=[-/]|$)", r"\1D", rel)
        return any(re.fullmatch(pattern, generic) for pattern in APART)

    def walk(self, root, prefix):
        for base, dirs, files in os.walk(root):
            for name in sorted(dirs + files):
                path = os.path.join(base, name)
                rel = prefix + os.path.relpath(path, root)
                if not self.apart(rel):
                    words = [self.links.get(self.names.word(w), self.names.word(w))
                             for w in rel.split("/")]
                    self.files["/".join(words)] = self.facts(path, rel)

    def facts(self, path, rel):
        st = os.lstat(path)
        facts = {"mode": oct(st.st_mode), "owner": (st.st_uid, st.st_gid)}
        if re.fullmatch(r"btrfs/subvolumes/[^/]+", rel):
            facts.pop("owner")  # see TOLERATED of test_peer
        if stat.S_ISLNK(st.st_mode):
            facts["target"] = self.names.plain(os.readlink(path))
            if facts["target"].startswith("../"):
                facts["target"] = "/".join(self.names.word(w) for w in os.readlink(path).split("/"))
            return facts
        if stat.S_ISCHR(st.st_mode) or stat.S_ISBLK(st.st_mode):
            facts["device"] = st.st_rdev
        facts["xattrs"] = {n: os.getxattr(path, n) for n in os.listxattr(path)
                           if not n.startswith(("trusted.overlay.origin", "trusted.overlay.impure",
                                                "trusted.overlay.uuid", "trusted.overlay.nlink"))}
        if stat.S_ISREG(st.st_mode):
            facts["content"] = self.content(path, rel)
            if st.st_nlink > 1:
                facts["links"] = st.st_nlink
            if re.search(r"/diff/|^vfs/dir/|^btrfs/subvolumes/", rel):
                facts["mtime"] = int(st.st_mtime)
        return facts

    def content(self, path, rel):
        name = os.path.basename(path)
        with open(path, "rb") as f:
            data = f.read()
        if name.endswith(".lock"):
            return None
        if name.endswith(".tar-split.gz"):
            return tar_split(gzip.decompress(data))
        if re.fullmatch(r"overlay/[^/]+/(link|lower)", rel):
            return [self.links.get(w.removeprefix("l/"), w) for w in data.decode().split(":")]
        return hashlib.sha256(data).hexdigest()


def tar_split(text):
    """Its entries; how bytes between files are cut into entries is each writer's matter."""
    found = []
    for entry in map(json.loads, text.splitlines()):
        if entry["type"] != 2:
            found.append({k: v for k, v in entry.items() if k != "position"})
        elif found and isinstance(found[-1], bytes):
            found[-1] += base64.b64decode(entry["payload"] or "")
        else:
            found.append(base64.b64decode(entry["payload"] or ""))
    return hashlib.sha256(repr(found).encode()).hexdigest(), [
        x if isinstance(x, dict) else len(x) for x in found]


def differences(ours, theirs):
    """Lines that say what two snapshots have not in common."""
    found = []
    for noun, table in ours.tables.items():
        compare(found, noun, table, theirs.tables[noun])
    if ours.mounts != theirs.mounts:
        found.append(f"mountpoints.json: {ours.mounts} instead of {theirs.mounts}")
    compare(found, "file", ours.files, theirs.files)
    return found


def compare(found, noun, ours, theirs):
    for key in sorted(set(ours) | set(theirs)):
        if key not in ours:
            found.append(f"{noun} {key}: missing, {theirs[key]}")
        elif key not in theirs:
            found.append(f"{noun} {key}: too much, {ours[key]}")
        elif ours[key] != theirs[key]:
            fields = [f for f in {**ours[key], **theirs[key]}
                      if ours[key].get(f) != theirs[key].get(f)]
            found += [f"{noun} {key}: {f} is {str(ours[key].get(f))[:600]} instead of "
                      f"{str(theirs[key].get(f))[:600]}" for f in fields]
