#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Do imbrex, podman, skopeo and containers-storage work on one store at the same time?

usage: test_together.py IMBREX PROBE [TEST...]

Workers run a random mixture of operations in parallel. That something is in use, or gone by now, is
an answer like another; a message of any other kind, a crash, a program that does not end within a
minute, or a store that is not sound afterwards is a failure; once more with programs that are
killed at any time, after which `imbrex gc` makes the store sound. IMBREX_SOAK is the number of
operations (and has the answers listed), IMBREX_SEED repeats the choices of a run (though not how they interleave).
"""
import collections
import json
import os
import random
import re
import signal
import sys
import threading
import time

import odd
import peers
from peers import Case, Failed, Store

OPERATIONS = int(os.environ.get("IMBREX_SOAK", "800"))
SEED = int(os.environ.get("IMBREX_SEED", "0")) or random.SystemRandom().randrange(1, 1 << 32)
WORKERS = 8
IMAGES = 6
TAGS = 4
HANG = 60
PROBLEMS_MAX = 8

# What may be said when somebody else was faster, by program.
EXPECTED = {
    "imbrex": r"is used by|is not in the store|is called|is mounted|is not mounted|is taken by|meanwhile",
    "others": r"not known|no such (image|container|object)|in use|used by|is mounted|not mounted"
              r"|not a container|not an image|already exists|unable to find|image mounted"
              r"|does not exist|not found|has (dependent )?children",
}
# What may be killed without a word about mounts.
KILLED = ("imbrex pull", "imbrex rmi", "imbrex create", "imbrex tag", "imbrex untag", "imbrex images",
          "imbrex rm", "imbrex gc", "skopeo copy", "podman pull", "podman rmi", "podman tag",
          "containers-storage create-container", "containers-storage delete-container")
GARBAGE = re.compile(r"its (writer|owner) died|by a (writer|probe of the kernel) that died"
                     r"|no (layer )?record names it")
# Never, whatever else the message says.
DAMAGE = re.compile(r"unexpected end of JSON|invalid character|panic|SIGSEGV|checksum"
                    r"|structure needs cleaning|cannot unmarshal|Sanitizer", re.I)


def family(probe):
    """Images on shared bases: name -> Image."""
    with open(probe, "rb") as f:
        program = f.read()
    base = [("pax", [odd.Entry("bin", "dir"), odd.Entry("bin/probe", mode=0o755, data=program),
                     odd.Entry("etc", "dir"), odd.Entry("etc/base", data=b"base"),
                     odd.Entry("gone", data=b"g"), odd.Entry("proc", "dir"),
                     odd.Entry("dev", "dir"), odd.Entry("sys", "dir")])]
    middle = base + [("pax", [odd.Entry(".wh.gone"), odd.Entry("m", "dir", 0o750, 7, 8)]
                      + [odd.Entry(f"m/{i}", data=b"%d" % i * 50) for i in range(20)]), ("pax", [])]
    other = [(base[0][0], base[0][1] + [odd.Entry("other", data=b"o")])]
    out = {}
    for i in range(IMAGES):
        own = [odd.Entry("own", "dir", uid=i), odd.Entry("own/id", data=b"%d" % i),
               odd.Entry("own/link", "hard", link="own/id"), odd.Entry("own/gone", data=b"g"),
               odd.Entry("own/noise", data=odd.noise(50_000 + i))]
        below = (base, middle, other)[i % 3]
        if i == 5:
            below = below + [("pax", own)]
            own = [odd.Entry("own", "dir", uid=99), odd.Entry("own/.wh.gone")]
        out[f"localhost/i{i}:1"] = odd.Image(below + [("pax", own)], Labels={"i": str(i)})
    return out


class Worker:
    def __init__(self, shared, number):
        self.shared, self.store = shared, shared.store
        self.random = random.Random(SEED * 100 + number)
        self.name = f"w{number}"
        self.layers = []  # its own; each may stand on an earlier one

    # ---- one program ----

    def do(self, program, *args, must=False, always=False):
        """must: whatever others do, it succeeds. always: also when the time is over."""
        shared = self.shared
        argv = (["skopeo", "--policy", self.store.machine.path("policy.json"), *args]
                if program == "skopeo" else self.store.argv(program, *args))
        with shared.lock:
            if not always and (shared.stop or shared.left <= 0):
                raise StopIteration
            shared.left -= 1
        verb = f"{program} {args[0]}"
        kill_after = None
        if verb in KILLED and self.random.random() < shared.kill:
            kill_after = self.random.random() * (0.02 if program == "imbrex" else 0.15)
        start = time.monotonic()
        r = self.store.machine.run(argv, timeout=HANG, kill_after=kill_after)
        seconds = time.monotonic() - start
        if kill_after and r.status == -signal.SIGKILL:
            with shared.lock:
                shared.count["killed " + verb] += 1
            return r
        with shared.lock:
            shared.count[verb] += 1
            shared.refused[verb] += r.status != 0
            shared.slowest[verb] = max(shared.slowest[verb], seconds)
        said = r.err + (r.out if r.status else "")
        if r.status < 0 or DAMAGE.search(said):
            raise Failed(repr(r))
        if r.status:
            expected = EXPECTED["imbrex" if program == "imbrex" else "others"]
            if verb == "imbrex check" and shared.kill:
                return r
            if must or not re.search(expected, said):
                raise Failed(repr(r))
            said = re.sub(r"[0-9a-f]{12,}", "ID", (r.err.strip() or said).splitlines()[0])
            with shared.lock:
                shared.said[verb + ": " + re.sub(r"localhost/\S+\d|/tmp/\S+", "NAME", said)] += 1
        return r

    def image(self):
        return self.random.choice(sorted(self.shared.images))

    def tag(self):
        return f"localhost/t{self.random.randrange(TAGS)}:1"

    def any_name(self):
        return self.random.choice((self.image, self.image, self.tag))()

    def one_of(self, *programs):
        return self.random.choice(programs)

    # ---- operations ----

    def pull(self):
        name = self.image()
        source = f"oci:{self.shared.layout}:{name[10:-2]}"
        how = self.one_of("imbrex", "imbrex", "skopeo", "podman")
        if how == "imbrex":
            self.do("imbrex", "pull", "-q", source, name, must=True)
        elif how == "skopeo":
            self.do("skopeo", "copy", "-q", source, self.store.name(name))
        else:
            self.do("podman", "pull", "-q", source)

    def tag_or_untag(self):
        self.do(self.one_of("imbrex", "podman"), "tag", self.any_name(), self.tag())
        if self.random.random() < 0.5:
            self.do(self.one_of("imbrex", "podman"), "untag", self.tag())

    def rmi(self):
        self.do(self.one_of("imbrex", "imbrex", "podman"), "rmi", self.any_name())

    def create(self):
        self.shared.n_created += 1
        name = f"{self.name}-{self.shared.n_created}"
        if self.random.random() < 0.6:
            more = ["--volatile"] if self.random.random() < 0.3 else []
            r = self.do("imbrex", "create", "--name", name, *more, self.any_name())
        else:
            r = self.do("containers-storage", "create-container", "-n", name, self.any_name())
        if r.status == 0:
            self.shared.containers.append(name)

    def take(self):
        """A container that no other worker uses, or None."""
        with self.shared.lock:
            if not self.shared.containers:
                return None
            return self.shared.containers.pop(self.random.randrange(len(self.shared.containers)))

    def remove(self):
        name = self.take()
        if name:
            how = self.one_of("imbrex", "containers-storage")
            self.do(how, "rm" if how == "imbrex" else "delete-container", name, must=True)

    def mount(self):
        """Mounted by one program or two, used, and unmounted by any."""
        name = self.take()
        if not name:
            return
        done = 0
        try:
            wanted = self.random.randrange(1, 3)
            for _ in range(wanted):
                r = self.do(self.one_of("imbrex", "containers-storage"), "mount", name, must=True)
                done += 1
                root = r.out.strip().splitlines()[-1]
            with open(os.path.join(root, "touched"), "a", encoding="ascii") as f:
                f.write(self.name)
            if not os.path.exists(os.path.join(root, "own/noise")):
                raise Failed(f"{name} is mounted on {root} but has not its image's files")
        finally:
            while done:
                how = self.one_of("imbrex", "containers-storage")
                self.do(how, "umount" if how == "imbrex" else "unmount", name, must=True,
                        always=True)
                done -= 1
        self.shared.containers.append(name)

    def mount_image(self):
        name = self.image()
        how = self.one_of("imbrex", "podman")
        words = [] if how == "imbrex" else ["image"]
        r = self.do(how, *words, "mount", name)
        if r.status:
            return
        # Somebody may have removed the image from under us; a tree that is there is whole.
        try:
            names = set(os.listdir(r.out.strip().splitlines()[-1] + "/own"))
        except OSError:
            names = set()
        if names and not {"noise", "link"} <= names:
            raise Failed(f"{name} is mounted with {sorted(names)} in /own")
        # By its id: the name may have gone, or be another image's.
        self.do(how, *words, "umount", self.shared.images[name].id, always=True)

    # ---- layers of a worker's own: whatever the others do, everything succeeds ----

    def plumb(self, *args, **more):
        return self.do(self.one_of("plumbing", "plumbing", "containers-storage"), *args, must=True,
                       **more)

    def own_layer(self):
        parent = [self.random.choice(self.layers)] if self.layers and self.random.random() < 0.6 else []
        name = ["-n", f"{self.name}-l{len(self.layers)}-{self.random.random()}"]
        if self.random.random() < 0.5:
            r = self.plumb("import-layer", "-f", self.shared.tar, *name, *parent)
        else:
            r = self.plumb("create-layer", *name, *parent)
        self.layers.append(r.out.split()[0])

    def own_layer_used(self):
        if not self.layers:
            return
        layer = self.random.choice(self.layers)
        what = self.random.randrange(5)
        if what == 0:
            self.plumb("set-metadata", "-m", str(self.random.random()), layer)
        elif what == 1:
            self.plumb("add-names", "-n", f"{self.name}-{self.random.random()}", layer)
        elif what == 2:
            r = self.plumb("changes", "-j", layer)
            r.json()
        elif what == 3:
            self.plumb("diff", "-f", self.store.machine.path(self.name + ".tar"), layer)
        else:
            root = self.plumb("mount", layer).out.strip()
            try:
                os.listdir(root)
            finally:
                self.plumb("unmount", layer, always=True)

    def own_layer_deleted(self):
        if self.layers:
            # The youngest has no children.
            self.plumb("delete-layer", self.layers[-1])
            self.layers.pop()

    def look(self):
        program, *args = self.random.choice((
            ("imbrex", "images", "--json"), ("imbrex", "ps", "--json"),
            ("imbrex", "layers", "--json"), ("imbrex", "df", "--json"),
            ("podman", "images", "--format", "json"),
            ("podman", "ps", "-a", "--external", "--format", "json"),
            ("containers-storage", "images", "-j"), ("containers-storage", "layers", "-j"),
            ("containers-storage", "containers", "-j")))
        r = self.do(program, *args, must=program == "imbrex")
        if r.status == 0:
            r.json()

    def run(self):
        name = self.image()
        r = self.do("imbrex", "run", "--pull", "never", name, "/bin/probe", "cat", "/etc/base", "ids")
        if r.status == 0 and r.out != "baseids: 0:0\n":
            raise Failed(repr(r))

    def check(self):
        if self.random.random() < 0.3:
            self.do("imbrex", "gc", must=True)
            return
        r = self.do("imbrex", "check", "--quick", must=True)
        self.shared.only_garbage(r)

    def work(self):
        chances = ((self.pull, 22), (self.tag_or_untag, 10), (self.rmi, 14), (self.create, 12),
                   (self.remove, 9), (self.mount, 10), (self.mount_image, 6), (self.look, 14),
                   (self.run, 4), (self.check, 3), (self.own_layer, 7), (self.own_layer_used, 8),
                   (self.own_layer_deleted, 5))
        while not self.shared.stop:
            try:
                self.random.choices([c[0] for c in chances], [c[1] for c in chances])[0]()
            except StopIteration:
                break
            except Exception as problem:  # pylint: disable=broad-except
                with self.shared.lock:
                    self.shared.problems.append(f"{self.name}: {problem}")
                    self.shared.stop = len(self.shared.problems) >= PROBLEMS_MAX


class Shared:
    def __init__(self, store, images, layout, operations, kill):
        self.store, self.images, self.layout = store, images, layout
        self.lock = threading.Lock()
        self.left, self.stop, self.n_created = operations, False, 0
        self.kill = kill  # how likely
        self.containers, self.problems = [], []
        self.count, self.refused = collections.Counter(), collections.Counter()
        self.slowest = collections.defaultdict(float)
        self.said = collections.Counter()


    def only_garbage(self, r):
        """All that `check` found is what a killed program may leave."""
        for line in r.out.splitlines():
            if not self.kill or not GARBAGE.search(line):
                raise Failed(repr(r))


class Together(Case):
    def tell(self, shared, seconds):
        print(f"{sum(shared.count.values())} operations in {seconds:.0f} s")
        for verb in sorted(shared.count):
            print(f"  {verb:36} {shared.count[verb]:5}, {shared.refused[verb]:4} refused, "
                  f"slowest {shared.slowest[verb]:.1f} s")
        if "IMBREX_SOAK" in os.environ:
            for said, n in sorted(shared.said.items()):
                print(f"{n:5} x {said}")
        sys.stdout.flush()

    def images_of(self, store):
        def sort(them):
            # podman tells an image once for each of its names.
            return sorted({(i, tuple(sorted(names or []))) for i, names in them})

        ours = sort((i["id"], i["names"]) for i in store.imbrex("images", "--json").json())
        podman = sort((i["Id"], i.get("Names"))
                      for i in store.podman("images", "--no-trunc", "--format", "json").json())
        cs = sort((i["id"], i.get("names")) for i in store.cs("images", "-j").json() or [])
        self.assertEqual(ours, cs)
        self.assertEqual(ours, podman)
        return ours

    def everything_is_accounted_for(self, store):
        """No directory, link, document or file but those of records, and all of those."""
        def records(kind):
            path = f"{store.root}/{store.driver}-{kind}/{kind}.json"
            with open(path, encoding="utf-8") as f:
                return json.load(f) or []

        def names(path):
            return set(os.listdir(os.path.join(store.root, path)))

        driver = store.driver
        layers = {r["id"] for r in records("layers")}
        homes = {"overlay": "overlay", "vfs": "vfs/dir", "btrfs": "btrfs/subvolumes"}
        private = {"l", "staging", "tempdirs", ".has-mount-program", "backingFsBlockDev"}
        self.assertEqual(names(homes[driver]) - private, layers)
        if driver == "overlay":
            links = {os.readlink(f"{store.root}/overlay/l/{x}").split("/")[1]
                     for x in names("overlay/l")}
            self.assertEqual(links, layers)
        for kind in ("layers", "images", "containers"):
            ids = {r["id"] for r in records(kind)}
            own = {f"{kind}.json", f"{kind}.lock", f"volatile-{kind}.json", "tmp"}
            left = {x.replace(".tar-split.gz", "") for x in names(f"{driver}-{kind}")} - own
            self.assertLessEqual(left, ids, kind)
            self.assertEqual([x for x in names(f"{driver}-{kind}") if x.startswith(".tmp")], [])
        for r in records("layers"):
            if r.get("diff-digest"):
                self.assertIn(r["id"] + ".tar-split.gz", names(f"{driver}-layers"))
            if r.get("parent"):
                self.assertIn(r["parent"], layers)
        images = {r["id"] for r in records("images")}
        for r in records("images"):
            self.assertIn(r.get("layer"), layers)
            self.assertEqual(len(names(f"{driver}-images/{r['id']}")), len(r["big-data-names"]))
        for r in records("containers"):
            self.assertIn(r["layer"], layers)
            self.assertIn(r["image"], images)
        with open(f"{store.runroot}/{driver}-layers/mountpoints.json", encoding="utf-8") as f:
            self.assertEqual([m for m in json.load(f) or [] if m["count"]], [])
        for path in (f"{driver}/tempdirs", f"{driver}-layers/tmp", "overlay/staging"):
            if os.path.isdir(os.path.join(store.root, path)):
                self.assertEqual(names(path), set(), path)

    def the_store_is_sound(self, store, images):
        r = self.machine.run(store.argv("imbrex", "check"))
        self.assertEqual((r.status, r.out, r.err), (0, "", ""))
        by_id = {image.id: image for image in images.values()}
        for image, _ in self.images_of(store):
            self.same_tree(store.imbrex("mount", image).last, by_id[image].model)
            store.imbrex("umount", image)
        ours = sorted(c["id"] for c in store.imbrex("ps", "--json").json())
        theirs = sorted(c["id"] for c in store.cs("containers", "-j").json() or [])
        self.assertEqual(ours, theirs)
        mounted = [x["id"] for x in store.imbrex("layers", "--json").json() if x["mount_count"]]
        self.assertEqual(mounted, [])
        self.assertEqual(self.machine.stray_mounts(store.root), [])
        for container in ours:
            root = store.imbrex("mount", container).last
            self.assertTrue(os.path.exists(root + "/own/noise"))
            store.imbrex("umount", container)

    def together(self, driver, operations, kill=0.0):
        print(f"{driver}: IMBREX_SEED={SEED} IMBREX_SOAK={OPERATIONS}")
        store = Store(self.machine, driver)
        self.addCleanup(store.end)
        images = family(self.machine.probe)
        layout = self.machine.path("family-" + driver)
        for name, image in images.items():
            image.write_layout(layout, ("gzip", None), name[10:-2])
        shared = Shared(store, images, layout, operations, kill)
        shared.tar = self.machine.path("own.tar")
        with open(shared.tar, "wb") as f:
            f.write(images[sorted(images)[0]].tars[0])
        workers = [Worker(shared, i) for i in range(WORKERS)]
        threads = [threading.Thread(target=w.work) for w in workers]
        for name in images:
            store.imbrex("pull", "-q", f"oci:{layout}:{name[10:-2]}", name)
        start = time.monotonic()
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        self.tell(shared, time.monotonic() - start)
        self.assertFalse(shared.problems, "\n".join(shared.problems))
        if kill:
            shared.only_garbage(self.machine.run(store.argv("imbrex", "check")))
            store.imbrex("gc")
        self.the_store_is_sound(store, images)
        if not kill:
            self.everything_is_accounted_for(store)
        for w in workers:
            for layer in reversed(w.layers):
                store.cs("delete-layer", layer)
        # All of it can go, and leaves nothing.
        for container in store.imbrex("ps", "-q", "--no-trunc").out.split():
            store.imbrex("rm", container)
        store.imbrex("rmi", "--all", "--force")
        if not kill:  # a writer that died may have published layers, and not the image on them
            self.assertEqual(store.cs("layers", "-j").json() or [], [])
        self.clean(store)

    def test_overlay(self):
        self.together("overlay", OPERATIONS)

    def test_vfs(self):
        self.together("vfs", OPERATIONS // 4)

    def test_btrfs(self):
        self.together("btrfs", OPERATIONS // 4)

    def test_killed(self):
        self.together("overlay", OPERATIONS // 4, kill=0.6)

    def test_killed_btrfs(self):
        self.together("btrfs", OPERATIONS // 8, kill=0.6)


if __name__ == "__main__":
    peers.main(__name__, ["podman", "skopeo", "containers-storage"])
