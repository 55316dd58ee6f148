#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Is what gets installed of use: the program, the library through pkg-config, the man pages?

usage: install.py SOURCE BUILD
"""
import io
import json
import os
import shlex
import shutil
import subprocess
import sys
import tarfile
import tempfile

import house

CONSUMER = r"""
#include <imbrex/imbrex.h>
#include <stdio.h>

int main(void)
{
	struct imbrex_error err = { 0 };
	struct imbrex_store *s = NULL;
	const struct imbrex_store_opts opts = {
		.config_file = "/nonexistent/storage.conf",
	};

	if (imbrex_store_open(&opts, &s, &err) == 0 || !err.message[0])
		return 1;
	printf("%s\n", imbrex_version());
	return 0;
}
"""


def option(build, name):
    out = subprocess.run(["meson", "introspect", "--buildoptions", build], stdout=subprocess.PIPE,
                         text=True, check=True).stdout
    return next(o["value"] for o in json.loads(out) if o["name"] == name)


def run(command, **more):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          check=False, **more)
    if done.returncode != 0:
        sys.exit(f"{shlex.join(command)}: status {done.returncode}\n{done.stdout}")
    return done.stdout


def example(tree, root, flags, libdir):
    """The tour of the examples, as their README has it."""
    run(shlex.split(os.environ.get("CC", "cc")) +
        ["-std=c11", "-Wall", "-Werror", tree.path("examples/store-tour.c"), "-o", f"{root}/tour"]
        + flags)
    if os.geteuid() != 0:
        return
    layer = io.BytesIO()
    with tarfile.open(fileobj=layer, mode="w") as t:
        t.addfile(tarfile.TarInfo("file"))
    done = subprocess.run([f"{root}/tour", f"{root}/store", f"{root}/run", "vfs"], check=False,
                          input=layer.getvalue(), capture_output=True,
                          env={**os.environ, "LD_LIBRARY_PATH": libdir})
    if done.returncode or done.stderr != b"added /greeting\n":
        tree.problem("examples/store-tour.c", f"status {done.returncode}: {done.stderr.decode()}")
        return
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as t:
        if t.getnames() != ["greeting"]:
            tree.problem("examples/store-tour.c", f"its change holds {t.getnames()}")


def main():
    tree, build = house.House(sys.argv[1]), sys.argv[2]
    for program in ("meson", "pkg-config"):
        if not shutil.which(program):
            house.skip(f"{program} is not installed")
    if option(build, "b_sanitize") != "none":
        house.skip("a library with sanitizers is not for others to link")
    with tempfile.TemporaryDirectory(prefix="imbrex-install-") as root:
        run(["meson", "install", "-C", build, "--no-rebuild", "--destdir", root])
        prefix = root + option(build, "prefix")
        libdir = os.path.join(prefix, option(build, "libdir"))
        version = run([f"{prefix}/bin/imbrex", "version"]).split()[-1]
        tree.checked += 1

        said = run([f"{prefix}/{option(build, 'libexecdir')}/imbrex/bin/containers-storage",
                    "version"]).split()[-1]
        tree.checked += 1
        if said != version:
            tree.problem("containers-storage", f"says it is {said}, the program says {version}")

        # Whoever may give it a capability does so by hand.
        helper = f"{prefix}/bin/enroot-zfs-mount"
        tree.checked += 1
        if "--unmount" not in run([helper, "--help"]):
            tree.problem("enroot-zfs-mount", "its help does not name --unmount")
        if os.stat(helper).st_mode & 0o6000 or "security.capability" in os.listxattr(helper):
            tree.problem("enroot-zfs-mount", "is installed with privileges")

        flags = shlex.split(run(["pkg-config", "--cflags", "--libs", "libimbrex"], env={
            **os.environ, "PKG_CONFIG_PATH": f"{libdir}/pkgconfig",
            "PKG_CONFIG_SYSROOT_DIR": root}))
        source = os.path.join(root, "consumer.c")
        with open(source, "w", encoding="ascii") as f:
            f.write(CONSUMER)
        run(shlex.split(os.environ.get("CC", "cc")) +
            ["-std=c11", "-Werror", source, "-o", f"{root}/consumer"] + flags)
        said = run([f"{root}/consumer"], env={**os.environ, "LD_LIBRARY_PATH": libdir}).strip()
        tree.checked += 1
        if said != version:
            tree.problem("libimbrex", f"says it is {said}, the program says {version}")

        example(tree, root, flags, libdir)
        tree.checked += 1

        pages = {f.split(".")[0] for _, _, files in os.walk(f"{prefix}/share/man") for f in files}
        for page in tree.files(".scd", under=("man/",)):
            tree.checked += 1
            if os.path.basename(page).split(".")[0] not in pages and shutil.which("scdoc"):
                tree.problem(page, "is not installed")
    tree.finish("installed things")


main()
