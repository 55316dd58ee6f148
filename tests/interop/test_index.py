#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Do commands that go by the index of a large table answer as those that parse it, whoever wrote last?

A store of some hundred made-up layers, then operations by chance, by us and by containers-storage
in turn. After each the same questions are asked twice: with the run root in which the index is kept,
and with one that has none.

usage: test_index.py IMBREX PROBE [TEST...]
"""
import base64
import hashlib
import json
import os
import random
import shutil

import peers
from peers import Case, Store

SEED = int(os.environ.get("IMBREX_TEST_SEED", "1"))
ROUNDS = int(os.environ.get("IMBREX_TEST_ROUNDS", "30"))
CHAINS, CHAIN = 400, 3
NOW = "2026-01-02T03:04:05.678901234Z"


def sha(text):
    return hashlib.sha256(text.encode()).hexdigest()


class Index(Case):
    def setUp(self):
        self.random = random.Random(SEED)
        self.store = Store(self.machine, "vfs")
        self.addCleanup(self.store.end)
        self.fresh = self.machine.path("fresh")
        self.given = []
        self.make_up()

    # ---- a large store -----------------------------------------------------------------

    def make_up(self):
        self.store.imbrex("images")
        layers, images = [], []
        for i in range(CHAINS):
            parent = None
            for k in range(CHAIN):
                record = {"id": sha(f"layer {i} {k}")}
                if parent:
                    record["parent"] = parent
                digest = "sha256:" + sha(f"diff {i} {k}")
                record.update({"created": NOW, "compressed-diff-digest": digest,
                               "compressed-size": 3, "diff-digest": digest, "diff-size": i + k})
                layers.append(record)
                parent = record["id"]
            images.append(self.image(i, parent))
        for kind, records in (("layers", layers), ("images", images)):
            folder = f"{self.store.root}/vfs-{kind}"
            with open(f"{folder}/{kind}.json", "w", encoding="ascii") as f:
                json.dump(records, f)
            with open(f"{folder}/{kind}.lock", "wb") as f:
                f.write(os.urandom(64))
        for record in layers:
            os.makedirs(f"{self.store.root}/vfs/dir/{record['id']}")

    def image(self, i, layer):
        config = json.dumps({"n": i, "rootfs": {"type": "layers", "diff_ids": []}})
        key = f"sha256:{sha(config)}"
        folder = f"{self.store.root}/vfs-images/{sha(config)}"
        os.mkdir(folder)
        with open(folder + "/=" + base64.b64encode(key.encode()).decode(), "w",
                  encoding="ascii") as f:
            f.write(config)
        return {"id": sha(config), "names": [f"localhost/made-up:{i}"], "layer": layer,
                "big-data-names": [key], "big-data-sizes": {key: len(config)},
                "big-data-digests": {key: key}, "created": NOW}

    # ---- the questions -----------------------------------------------------------------

    def read(self, kind):
        try:
            with open(f"{self.store.root}/vfs-{kind}/{kind}.json", encoding="utf-8") as f:
                return json.load(f) or []
        except FileNotFoundError:
            return []

    def questions(self):
        yield ["images", "--json"]
        yield ["layers", "--json"]
        yield ["ps", "--json"]
        for kind in ("layers", "images", "containers"):
            records = self.read(kind)
            for record in records[-2:] + self.random.sample(records, min(1, len(records))):
                yield ["inspect", record["id"]]
                yield ["inspect", record["id"][:self.random.choice([2, 9, 20])]]
                for name in record.get("names") or []:
                    yield ["inspect", name]
        yield ["inspect", sha("nobody")]
        # An index that was not kept up shows in what is new.
        for name in self.given[-12:]:
            yield ["inspect", name]

    def ask(self, runroot, words):
        r = self.machine.run([self.machine.imbrex, "--root", self.store.root, "--runroot", runroot,
                              "--driver", "vfs"] + words)
        return r.status, r.out, r.err

    def same_answers(self, what):
        for words in self.questions():
            by_index = self.ask(self.store.runroot, words)
            shutil.rmtree(f"{self.fresh}/imbrex", ignore_errors=True)
            self.assertEqual(by_index, self.ask(self.fresh, words), f"{what}, then {words}")

    # ---- the operations ----------------------------------------------------------------

    def fresh_name(self, form="{}"):
        self.given.append(form.format(f"n{len(self.given)}"))
        return self.given[-1]

    def ours(self):
        images, containers = self.read("images"), self.read("containers")
        some = self.random.choice(images)["id"]
        return self.random.choice([
            ["create", "--name", self.fresh_name(), some],
            ["create", some],
            ["tag", some, self.fresh_name("localhost/{}:1")],
            ["untag", some],
            ["rmi", "--force", some],
            ["rm", self.random.choice(containers)["id"]] if containers else ["gc"],
        ])

    def theirs(self):
        images, containers = self.read("images"), self.read("containers")
        some, layers = self.random.choice(images)["id"], self.read("layers")
        layer = self.random.choice(layers)["id"]
        return self.random.choice([
            ["create-layer", "-n", self.fresh_name(), layer],
            ["create-layer"],
            ["create-image", "-n", self.fresh_name("localhost/{}:2"), layer],
            ["create-container", "-n", self.fresh_name(), some],
            ["add-names", "-n", self.fresh_name("localhost/{}:3"), some],
            ["delete-image", some],
            ["delete-layer", layer],
            ["delete-container", self.random.choice(containers)["id"]] if containers
            else ["create-container", some],
        ])

    def test_index_and_parsing_answer_alike(self):
        changed = {"imbrex": 0, "containers-storage": 0}
        for n in range(ROUNDS):
            program = self.random.choice(list(changed))
            words = self.ours() if program == "imbrex" else self.theirs()
            # Some may not be: a layer that is in use, a parent that is a container's.
            r = self.machine.run(self.store.argv(program, *words))
            changed[program] += r.status == 0
            self.same_answers(f"seed {SEED}, {n}: {program} {words}")
        self.assertGreater(min(changed.values()), ROUNDS // 8, changed)
        kept = sorted(k.split("-")[1] for k in os.listdir(f"{self.store.runroot}/imbrex/index"))
        self.assertEqual(kept, ["images", "layers"])


if __name__ == "__main__":
    peers.main(__name__, ["containers-storage"])
