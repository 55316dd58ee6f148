#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Do the tool and a peer say and do the same, each on its own store and both on one?

The same commands, written down or drawn by chance (IMBREX_SEED repeats a run), go to a store that
only the peer touches, to one that only the tool touches, and to one where every command is done by
either of them, by chance. Every answer must be the peer's, and so must the stores at the end.
"""
import io
import json
import os
import random
import re
import tarfile
import unittest

import plumbing
import snapshot

SEED = int(os.environ.get("IMBREX_SEED", "0")) or 20261120
STEPS = int(os.environ.get("IMBREX_STEPS", "70"))
RUNS = 4
DIGEST = "sha256:" + "5" * 64
# Messages are compared by what they say, not by the words around it.
PHRASES = [
    "container not known", "could not compute digest of item", "that ID is already in use",
    "that name is already in use", "image not known", "image is in use by a container",
    "layer has children", "layer is not mounted", "layer not known",
    "layer is in use by a container", "layer is in use by an image",
    "identifier is not a container", "identifier is not an image",
    "identifier is not a layer, image, or container", "identifier is not a layer",
    "would-be parent layer is a container", "size is not known",
    "called a write method on a read-only store", "not a valid name for a big data item",
    "no new metadata provided", "invalid checksum digest format", "unexpected EOF",
    "invalid tar header", "flag provided but not defined", "flag needs an argument",
    "setting is malformed", "specified along with", "no such file or directory|does not exist",
]
# What of an answer is not compared, and why.
TOLERATED = {
    "null and []": "an empty list as JSON is [] in 1.43 and null in newer versions",
    "the order of lines": "names stand in the order of a Go map in 1.43, answers to several "
                          "arguments and digests in all versions",
    "where a line ends": "1.43 forgets a newline after names of new images and containers",
    "how a tar is written": "1.43 puts the kind of a file into its mode as well",
    "times of directories": "those of two stores, written at different times",
    "all but the first line of help": "there are more commands and options now",
    "which of two mistakes is told": "upstream looks for the parent or image before it looks at "
                                     "the id and the names, imbrex after",
    "the owner of the root of a mapped layer on btrfs": "upstream leaves it to root of the host, who "
                                                        "is nobody inside; imbrex gives it to root "
                                                        "inside, as all other drivers do",
    "how an unknown reference layer is told": "upstream's driver looks for its directory, imbrex "
                                              "for its record",
}
REFUSED = {"that ID is already in use", "that name is already in use", "layer not known",
           "image not known"}
MISSING = {"layer not known", "no such file or directory|does not exist"}


def phrases(text):
    """What messages say: a known phrase each line, else that something is said."""
    found = []
    for line in text.splitlines():
        if line.startswith('time="') or not line or line.startswith("See '"):
            continue
        known = [p for p in PHRASES if re.search(p, line)]
        found.append(max(known, key=len) if known else "something else")
    return sorted(set(found))


def sets(data):
    """JSON with names in order."""
    if isinstance(data, list):
        return [sets(x) for x in data]
    if isinstance(data, dict):
        return {k: sorted(v) if k in ("names", "names-history") else sets(v)
                for k, v in data.items()}
    return data


def archive(data):
    """What a tar stream holds."""
    if not data:
        return []
    with tarfile.open(fileobj=io.BytesIO(data)) as t:
        return sorted((m.name, m.type, m.mode & 0o7777, m.uid, m.gid, m.size, m.linkname,
                       0 if m.isdir() or ".wh." in m.name else m.mtime,
                       t.extractfile(m).read() if m.isreg() else b"") for m in t)


class Player:
    """A store, and who does what on it."""

    def __init__(self, case, name, choose):
        self.case, self.choose = case, choose
        self.store = case.store(name)
        self.names = snapshot.Names(self.store)
        self.transcript = []

    def run(self, args, stdin=b""):
        self.store.tool = self.choose()
        # Mapped mounts stay allowed: 1.43 knows no word against them.
        r = self.store.run(*args, stdin=stdin, env={"_CONTAINERS_OVERLAY_DISABLE_IDMAP": ""})
        self.names.learn()
        said = set(phrases(r.err))
        if args[0].startswith(("create-", "import-")) and said & REFUSED:
            said = {"refused"}
        if args[0].startswith(("changes", "diff")) and said & MISSING:
            said = {"missing"}
        self.transcript.append((" ".join(args), r.status, self.answer(args, r), sorted(said), r))

    def answer(self, args, r):
        if args[0] == "diff":
            return archive(r.raw)
        text = self.names.plain(r.out)
        if args[0] == "status" or "Usage:" in text:
            return text.splitlines()[:1]
        if text in ("null\n", "[]\n"):
            return "nothing"
        try:
            data = sets(json.loads(text))
            return sorted(data, key=str) if args[0] == "changes" else data
        except ValueError:
            return sorted(text.split())

    def fill(self, layer, files):
        """Write into a layer by way of a mount, as a build does."""
        self.run(["mount", layer])
        where = self.transcript[-1][4].out.strip()
        for name, data in files.items() if where and self.transcript[-1][1] == 0 else ():
            path = os.path.join(where, name)
            if data is None:
                if os.path.lexists(path):
                    os.unlink(path)
                continue
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "wb") as f:
                f.write(data)
            os.utime(path, (1, 1))
        self.run(["unmount", layer])

    def play(self, script):
        for step in script:
            if callable(step):
                step(self)
            elif isinstance(step, tuple):
                self.run(list(step[0]), step[1])
            else:
                self.run(step.split(" ") if isinstance(step, str) else list(step))


# ---- written down -------------------------------------------------------------------------------

TAR = plumbing.tar({"d": None, "d/f": b"hello", "g": b"world", "x": b"x" * 5000}, uid=3, gid=4)
OVER = plumbing.tar({"d": None, "d/.wh.f": b"", ".wh.x": b"", "new": b"new", "o": None,
                     "o/.wh..wh..opq": b"", "o/in": b"1"})

SCRIPTS = {
    "layers": [
        "create-layer -i one -n a -n b", "create-layer -i two one",
        "create-layer -i three -n c two",
        "create-layer -i one", "create-layer -i four -n a", "create-layer nope",
        "create-layer -j -i five a", "create-layer -i six -l label", "layers", "layers -t",
        "layer one b nope", "layer -j two", "layer -j nope", "get-names one", "add-names -n z one",
        "add-names -n a three", "set-names -n q -n r one", "set-names -j six", "get-names -j one",
        "layers -j", "delete-layer one", "delete-layer five nope", "delete-layer -j three",
        "exists one two three nope", "exists -l -q one", "layers -t",
    ],
    "content": [
        (["import-layer", "-i", "one", "-n", "base"], TAR),
        (["import-layer", "-i", "two", "one"], OVER),
        "create-layer -i three two", (["applydiff", "three"], TAR),
        (["applydiff", "nope"], TAR), (["applydiff", "three"], b"junk" * 500),
        (["import-layer", "-i", "bad"], b"junk"), "layers -j", "changes two", "changes two one",
        "changes -j three two", "changes one nope", "diff -u one", "diff -u two", "diff two",
        "diffsize one", "diffsize two one", "diff nope", "diff -c one", "diff -b one",
        "copy /etc/hostname one:/copied", "copy nope:/x one:/y", "layers",
    ],
    "images": [
        (["import-layer", "-i", "la"], TAR),
        f"create-image -i one -n a -n b -d {DIGEST} -m text la",
        "create-image -i two", "create-image -i one", "create-image -n b", "create-image nope",
        "create-image -d junk la", "images", "images -q", "images -j", "image one two nope",
        "image -j a", f"images-by-digest {DIGEST}", "images-by-digest junk",
        (["set-image-data", "one", "manifest"], b"a manifest"),
        (["set-image-data", "one", "Key:1"], b"data"), (["set-image-data", "one", ""], b"data"),
        (["set-image-data", "nope", "x"], b"data"), "list-image-data one",
        "get-image-data one manifest", "get-image-data one nope", "get-image-data-size one Key:1",
        "get-image-data-digest one Key:1", "get-image-data-size one nope", "image one",
        "metadata one two nope", "set-metadata -m more one", "set-metadata one", "metadata -q one",
        "metadata -j one two", "add-names -n c one", "set-names -n a two", "images -j",
        "delete-image -t one", "delete-image one", "delete-image nope", "images", "layers",
    ],
    "containers": [
        (["import-layer", "-i", "la"], TAR), "create-image -i im -n name la",
        "create-container -i one -n a -m text im", "create-container -i two -j name",
        ["create-container", "-i", "three", ""], "create-container -i one im",
        "create-container -n a im", "create-container nope", "containers", "containers -j",
        "container one a nope", "container -j two",
        (["set-container-data", "one", "item"], b"data"),
        "get-container-data one item", "get-container-data-digest one item",
        "list-container-data one", "get-container-dir one", "get-container-run-dir a",
        "get-container-dir nope", lambda p: p.fill("one", {"f": b"1", "d/deep": b"2", "g": None}),
        "container one", "layers", "layers -t", "delete-image im", "delete-layer la", "mounted one",
        "delete-container one nope", "delete two", "delete three", "delete-image name", "layers -j",
        "containers",
    ],
    "mounts": [
        (["import-layer", "-i", "one"], TAR), "create-layer -i two one",
        lambda p: p.fill("two", {"d/f": None, "new/deep": b"x", "g": b"changed"}),
        "mount two", "mount two one", "mount nope", "mount -j one", "mounted one two nope",
        "mounted -j one", "unmount two", "mounted two", "unmount two", "mounted two",
        "unmount nope", "unmount -j one", "unmount -f one", "changes two", "diff -u two",
        "layers -t", "shutdown", "shutdown -j", "mount one", "shutdown", "delete-layer two",
        "delete-layer one",
    ],
    "maps": [
        ("import-layer -i one --uidmap 0:100000:100 --gidmap 0:200000:100".split(), TAR),
        "create-layer -i two one", "create-layer -i three --uidmap x",
        "create-layer -i four --hostuidmap --uidmap 0:1:2",
        "create-layer -i five --uidmap 0:300000:50 --gidmap 0:400000:50",
        (["applydiff", "five"], TAR), "layer one two five", "layers -j", "diff -u one",
        "create-image -i im five",
        "create-container -i co --uidmap 0:500000:50 --gidmap 0:600000:50 im",
        "create-container -i co2 --uidmap 0:500000:50 --gidmap 0:600000:50 im",
        "create-container -i co3 im", "container co", "image im", "images -j", "containers -j",
        "layers", "changes two", "layer-parent-owners one", "container-parent-owners co co2",
        "delete-container co co2 co3", "delete-image im", "layers",
    ],
    "words": [
        "nope", "layers --nope", "--nope layers", "layer", "changes a b c", "create-layer -id x",
        "create-layer -i", "create-layer -ri one", "create-layer --id=two -n=a", "layers --json=x",
        "layer two -j", "layer -- two", "delete", "status", "wipe", "layers", "wipe -j",
    ],
}


# ---- drawn by chance ----------------------------------------------------------------------------

class Draw:
    """A script by chance, of things that may or may not be there."""

    def __init__(self, seed, steps):
        self.random = random.Random(seed)
        # None may be the beginning of a random id.
        self.pools = {kind: [f"{kind}{i}" for i in range(6)] for kind in
                      ("layer", "image", "container")}
        self.names = [f"name{i}" for i in range(8)]
        self.script = [self.step() for _ in range(steps)]

    def one(self, kind):
        if self.random.random() < 0.12:
            return self.random.choice(self.names)
        return self.random.choice(self.pools[kind])

    def any(self):
        return self.one(self.random.choice(list(self.pools)))

    def with_names(self):
        return [w for _ in range(self.random.choice((0, 0, 1, 2)))
                for w in ("-n", self.random.choice(self.names))]

    def archive(self, hiding=0.15):
        files = {}
        for _ in range(self.random.randrange(1, 6)):
            name = self.random.choice("abcd")
            if self.random.random() < 0.3:
                files[name + "dir"] = None
                name = f"{name}dir/{self.random.choice('xyz')}"
            hide = os.path.join(os.path.dirname(name), ".wh." + os.path.basename(name))
            if self.random.random() < hiding:
                name, hide = hide, name
            # Upstream cannot unpack a whiteout where there is a file, imbrex can.
            if hide not in files:
                files[name] = b"" if ".wh." in name else plumbing.noise(self.random.random(), 300)
        return plumbing.tar(files)

    def step(self):
        r, kind = self.random, self.random.choice(("layer", "image", "container"))
        data = plumbing.noise(r.random(), 50)
        key = r.choice(("item", "Item:2", "manifest", "manifest-x"))
        files = {r.choice(("f", "adir/x", "new/deep", "a")): r.choice((None, b"1", b"22"))}
        return r.choice([
            lambda: ["create-layer", "-i", self.one("layer"), *self.with_names(),
                     *r.choice(([], [self.one("layer")]))],
            lambda: (["import-layer", "-i", self.one("layer"), *self.with_names(),
                      *r.choice(([], [self.one("layer")]))], self.archive()),
            lambda: (["applydiff", r.choice(self.pools["layer"])], self.archive(hiding=0)),
            lambda: ["create-image", "-i", self.one("image"), *self.with_names(),
                     *r.choice(([], ["-m", "text"])), *r.choice(([], [self.one("layer")] * 1))],
            lambda: ["create-container", "-i", self.one("container"), *self.with_names(),
                     r.choice((self.one("image"), self.one("image"), ""))],
            lambda: ["add-names", *self.with_names(), self.any()],
            lambda: ["set-names", "-j", *self.with_names(), self.any()],
            lambda: ["get-names", self.any()],
            lambda: ["set-metadata", "-m", r.choice(("x", "y")), self.any()],
            lambda: ["metadata", self.any(), self.any()],
            lambda: (["set-" + kind + "-data", self.one(kind), key], data),
            lambda: ["get-" + kind + "-data", self.one(kind), key],
            lambda: ["list-" + kind + "-data", self.one(kind)],
            lambda: [kind, self.one(kind)],
            lambda: [r.choice(("layers", "images", "containers")), *r.choice(([], ["-j"]))],
            lambda: ["layers", "-t"],
            lambda: ["exists", self.any(), self.any()],
            lambda: ["delete-layer", r.choice(self.pools["layer"])],
            lambda: ["delete-" + kind, r.choice(self.pools[kind])],
            lambda: ["changes", r.choice(self.pools["layer"])],
            lambda: ["diff", "-u", r.choice(self.pools["layer"])],
            lambda: ["diffsize", r.choice(self.pools["layer"])],
            lambda: lambda p, what=r.choice(self.pools[r.choice(("layer", "container"))]):
            p.fill(what, files),
        ])()


class Differential(plumbing.Case):
    def tools(self, kind, seed):
        choice = random.Random(seed)
        return {"alone": lambda: self.tool, "peer": lambda: self.peer,
                "mixed": lambda: choice.choice((self.tool, self.peer))}[kind]

    def same(self, script, kind, seed=1):
        theirs = Player(self, "peer", self.tools("peer", seed))
        ours = Player(self, kind, self.tools(kind, seed))
        for player in (theirs, ours):
            player.play(script)
        done = []
        for (words, *want, said), (_, *got, result) in zip(theirs.transcript, ours.transcript):
            done.append(words)
            self.assertEqual(got, want, "\n".join(done[-30:]) + f"\npeer: {said}\n{kind}: {result}")
        self.assertEqual(len(theirs.transcript), len(ours.transcript))
        found = snapshot.differences(snapshot.Snapshot(ours.store, ours.names),
                                     snapshot.Snapshot(theirs.store, theirs.names))
        self.assertEqual(found, [], "\n".join(done + found[:40]))

    def by_chance(self, run, kind):
        seed = SEED + int(run)
        print(f"IMBREX_SEED={seed - int(run)} IMBREX_STEPS={STEPS} run {run}")
        self.same(Draw(seed, STEPS).script, kind, seed)

    @plumbing.each(*SCRIPTS)
    def test_alone_it_is_as_the_peer(self, name):
        self.same(SCRIPTS[name], "alone")

    @plumbing.each(*SCRIPTS)
    def test_together_with_the_peer_it_is_as_the_peer(self, name):
        self.same(SCRIPTS[name], "mixed")

    @plumbing.each(*map(str, range(RUNS)))
    def test_alone_it_is_as_the_peer_by_chance(self, run):
        self.by_chance(run, "alone")

    @plumbing.each(*map(str, range(RUNS)))
    def test_together_with_the_peer_it_is_as_the_peer_by_chance(self, run):
        self.by_chance(run, "mixed")


class Crossed(plumbing.Case):
    """One makes a store, the other goes on with it, the first reads it."""


    def made(self, name, tool):
        s = self.store(name, tool=tool)
        s.ok("import-layer", "-i", "la", stdin=TAR)
        s.image("-i", "im", "-n", "name", "la")
        s.container("-i", "co", "im")
        self.write(s.mount("co"), "new", data=b"kept")
        s.umount("co")
        s.silent("set-image-data", "im", "manifest", stdin=b"a manifest")
        return s

    @plumbing.each("peer", "tool")
    def test_what_one_made_the_other_reads(self, who):
        makes, reads = ((self.peer, self.tool) if who == "peer" else (self.tool, self.peer))
        s = self.made("s", makes)
        answers = []
        for s.tool in (makes, reads):
            answers.append([s.run(*words).out for words in (
                ["layers"], ["layers", "-t"], ["images"], ["images", "-j"], ["containers", "-j"],
                ["image", "im"], ["container", "co"], ["get-image-data", "im", "manifest"],
                ["diff", "-u", "la"])] + [sorted(s.lines("changes", "la"))])
        self.assertEqual(*answers)

    @plumbing.each("peer", "tool")
    def test_what_one_mounted_the_other_unmounts(self, who):
        makes, goes_on = ((self.peer, self.tool) if who == "peer" else (self.tool, self.peer))
        s = self.made("s", makes)
        where = s.mount("co")
        s.tool = goes_on
        self.assertEqual(s.lines("mounted", "co"), ["co mounted"])
        self.assertEqual(s.mount("co"), where)
        s.umount("co")
        s.tool = makes
        self.assertEqual(s.lines("mounted", "co"), ["co mounted"])
        s.tool = goes_on
        s.umount("co")
        s.tool = makes
        self.assertEqual(s.lines("mounted", "co"), [])
        self.assertNotIn(where, plumbing.mount_points(self.dir))

    @plumbing.each("peer", "tool")
    def test_what_one_made_the_other_deletes(self, who):
        makes, goes_on = ((self.peer, self.tool) if who == "peer" else (self.tool, self.peer))
        s = self.made("s", makes)
        s.tool = goes_on
        s.silent("delete-container", "co")
        self.assertEqual(s.run("delete-image", "im").err, "im: la\n")
        s.tool = makes
        for what in ("layers", "images", "containers"):
            s.silent(what)

    @plumbing.each("peer", "tool")
    def test_on_what_one_made_the_other_builds(self, who):
        makes, goes_on = ((self.peer, self.tool) if who == "peer" else (self.tool, self.peer))
        s = self.made("s", makes)
        s.tool = goes_on
        s.ok("import-layer", "-i", "lb", "la", stdin=OVER)
        s.image("-i", "im2", "lb")
        s.tool = makes
        s.container("-i", "co2", "im2")
        where = s.mount("co2")
        self.assertEqual((sorted(os.listdir(where)), os.listdir(where + "/d")),
                         (["d", "g", "new", "o"], []))
        answers = [sorted(s.lines("changes", "lb")) for s.tool in (makes, goes_on)]
        self.assertEqual(*answers)


class Reasons(unittest.TestCase):
    def test_every_exception_has_a_reason(self):
        for table in (snapshot.APART, TOLERATED):
            for reason in table.values():
                self.assertGreater(len(reason), 10)


if __name__ == "__main__":
    plumbing.main(__name__, need_peer=True)
