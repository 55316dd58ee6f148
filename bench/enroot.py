# SPDX-License-Identifier: Apache-2.0
"""The enroot face: squashfs files beside squashfs-tools, an image of a registry beside what enroot does
with the tools of others, and what an image costs the second time on backend store.

A part of bench.py's report (--only enroot prints it alone).
"""
import os
import shutil
import subprocess

PACKINGS = [("-comp lzo -noD", "enroot's own"), ("-comp lzo", ""), ("-comp gzip", ""), ("-comp zstd", "")]


class Face:
    """`imbrex enroot` with places of its own."""

    def __init__(self, bench, run):
        self.bench, self.run_class = bench, run
        self.folder = f"{bench.work}/enroot-{os.getpid()}"
        shutil.rmtree(self.folder, ignore_errors=True)
        for name in ("data", "cache", "temp", "etc"):
            os.makedirs(f"{self.folder}/{name}")
        with open(f"{self.folder}/storage.conf", "w", encoding="ascii") as f:
            f.write(f'[storage]\ndriver = "overlay"\ngraphroot = "{self.folder}/store/root"\n'
                    f'runroot = "{self.folder}/store/run"\n')
        self.count = 0

    def fresh(self):
        self.count += 1
        return f"{self.folder}/{self.count}"

    def argv(self, *words, **env):
        places = {f"ENROOT_{n}_PATH": f"{self.folder}/{n.lower()}" for n in ("DATA", "CACHE", "TEMP")}
        settings = {**places, "IMBREX_ENROOT_CONF_DIR": self.folder + "/etc", "ENROOT_ALLOW_HTTP": "y",
                    "CONTAINERS_STORAGE_CONF": self.folder + "/storage.conf", **env}
        return ["env", *(f"{k}={v}" for k, v in settings.items()),
                os.path.abspath(self.bench.options.imbrex), "enroot", *words]

    def run(self, *words, **env):
        return self.run_class(self.argv(*words, **env))

    def close(self):
        subprocess.run(["umount", "-l", f"{self.folder}/store/root/overlay"], check=False,
                       stderr=subprocess.DEVNULL)
        shutil.rmtree(self.folder, ignore_errors=True)


def line(title, medians, unit="s"):
    scale = 1000 if unit == "ms" else 1
    ours = medians["imbrex"]
    cells = [f"{n} {m.wall * scale:.2f} {unit} (**{m.wall / ours.wall:.1f} x**; {m.cpu:.2f}; {m.peak_mib:.0f})"
             for n, m in medians.items() if n != "imbrex"]
    return (f"| {title} | {ours.wall * scale:.2f} {unit} | {ours.cpu:.2f} | {ours.peak_mib:.0f} | "
            f"{'; '.join(cells)} |")


def packing(bench, face, tree):
    for words, note in PACKINGS:
        yield line(f"write, `{words}`" + (f" ({note})" if note else ""), bench.interleaved({
            "imbrex": lambda w=words: face.run("export", "-o", face.fresh(), os.path.basename(tree),
                                               ENROOT_SQUASH_OPTIONS=w),
            "mksquashfs": lambda w=words: face.run_class(
                ["mksquashfs", tree, face.fresh(), "-all-root", "-no-progress", "-quiet", *w.split()])}))


def unpacking(bench, face, tree):
    for words in ("-comp lzo -noD", "-comp zstd"):
        image = face.fresh()
        face.run("export", "-o", image, os.path.basename(tree), ENROOT_SQUASH_OPTIONS=words)
        yield line(f"extract, `{words}`", bench.interleaved({
            "imbrex": lambda i=image: face.run("create", "-n", "x", "-f", i),
            "unsquashfs": lambda i=image: face.run_class(
                ["unsquashfs", "-n", "-quiet", "-f", "-d", f"{face.folder}/u", i])}))


def by_tools(bench, face, reference):
    """What enroot does, with the tools of others: fetch, unpack, pack."""
    to = face.fresh()
    os.makedirs(to)
    script = ('set -e; skopeo copy -q --insecure-policy --src-tls-verify=false "$1" oci:$2/layout:x; '
              'umoci raw unpack --image $2/layout:x $2/root; '
              'mksquashfs $2/root $2/x.sqsh -all-root -no-progress -quiet -comp lzo -noD')
    return face.run_class(["sh", "-c", script, "sh", reference, to])


def importing(bench, face):
    reference = bench.reference("big", "gzip")

    def cold():
        shutil.rmtree(face.folder + "/cache")
        os.mkdir(face.folder + "/cache")
        return face.run("import", "-o", face.fresh(), reference)

    yield line("import an image of a registry, nothing in the cache", bench.interleaved({
        "imbrex": cold,
        "skopeo copy, umoci unpack, mksquashfs": lambda: by_tools(bench, face, reference)}))
    yield line("import it again, layers in the cache", bench.interleaved({
        "imbrex": lambda: face.run("import", "-o", face.fresh(), reference)}))


def storing(bench, face):
    store = {"ENROOT_STORAGE_BACKEND": "store"}
    reference = bench.reference("big", "gzip")
    pointer, image = face.fresh(), face.fresh()
    first = {"imbrex": lambda: face.run("import", "-o", pointer, reference, **store)}
    yield line("store: import for the first time", bench.interleaved(first, rounds=1, peaks=False))
    yield line("store: import again", bench.interleaved({
        "imbrex": lambda: face.run("import", "-o", face.fresh(), reference, **store)}), "ms")
    yield line("store: create", bench.interleaved({
        "imbrex": lambda: face.run("create", "-n", "x", "-f", pointer, **store)}), "ms")
    face.run("import", "-f", "squashfs", "-o", image, reference, **store)
    yield line("store: create of a squashfs file, for the first time", bench.interleaved({
        "imbrex": lambda: face.run("create", "-n", "y", "-f", image, **store)}, rounds=1, peaks=False))
    yield line("store: create of it again", bench.interleaved({
        "imbrex": lambda: face.run("create", "-n", "y", "-f", image, **store)}), "ms")


def section(bench):
    """The part of bench.py's report."""
    run = bench.run_class
    title = ["## enroot", ""]
    missing = [p for p in ("mksquashfs", "unsquashfs", "umoci", "skopeo", "docker-registry")
               if not shutil.which(p)]
    if missing:
        return title + ["Not measured: no " + ", ".join(missing) + "."]
    face = Face(bench, run)
    try:
        if not bench.registry:
            bench.start_registry()
        tree = f"{face.folder}/data/big"
        run(["umoci", "raw", "unpack", "--image", f"{bench.work}/images/gzip-big:big", tree])
        rows = [*packing(bench, face, tree), *unpacking(bench, face, tree), *importing(bench, face),
                *storing(bench, face)]
    finally:
        face.close()
    return title + ["The image `big`. Times of its making are the image's own, so the same import gives the same bytes.",
                    "", "| work | imbrex | core s | peak MiB | peers (their time / ours; core s; peak MiB) |",
                    "|---|---|---|---|---|", *rows]
