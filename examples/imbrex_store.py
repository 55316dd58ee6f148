#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""libimbrex from Python, by ctypes alone: options are structs, zero means default, every call
returns 0 or a negative status and fills an error object that the caller owns.

usage: imbrex_store.py LIBRARY GRAPHROOT RUNROOT [DRIVER]   (lists what a store holds)
"""
import ctypes
import json
import sys
from ctypes import (POINTER, Structure, byref, c_bool, c_char, c_char_p, c_int, c_int64, c_size_t,
                    c_uint, c_uint32, c_void_p)

LAYER, IMAGE, CONTAINER, ANY = 1, 2, 4, 7
Texts = POINTER(c_char_p)


class Error(Structure):
    _fields_ = [("status", c_int), ("errnum", c_int), ("reason", c_int), ("message", c_char * 1024),
                ("hint", c_char * 256)]


class StoreOpts(Structure):
    _fields_ = [("graphroot", c_char_p), ("runroot", c_char_p), ("driver", c_char_p),
                ("config_file", c_char_p), ("storage_opts", Texts), ("read_only", c_bool),
                ("imagestore", c_char_p), ("transient_store", c_bool),
                ("recover", c_bool), ("configured_wholesale", c_bool)]


class IdMap(Structure):
    _fields_ = [("inside", c_uint32), ("outside", c_uint32), ("count", c_uint32)]


class IdMaps(Structure):
    _fields_ = [("uids", POINTER(IdMap)), ("n_uids", c_size_t), ("gids", POINTER(IdMap)),
                ("n_gids", c_size_t), ("host_uids", c_bool), ("host_gids", c_bool),
                ("automatic", c_void_p)]


class LayerOpts(Structure):
    _fields_ = [("id", c_char_p), ("names", Texts), ("mount_label", c_char_p),
                ("metadata", c_char_p), ("read_only", c_bool), ("no_record", c_bool),
                ("maps", IdMaps), ("storage_opts", Texts)]


class ImageOpts(Structure):
    _fields_ = [("id", c_char_p), ("names", Texts), ("digest", c_char_p), ("metadata", c_char_p),
                ("created", c_char_p)]


class MountOpts(Structure):
    _fields_ = [("read_only", c_bool), ("options", c_char_p), ("label", c_char_p),
                ("kinds", c_uint), ("exact", c_bool)]


class Change(Structure):
    _fields_ = [("kind", c_int), ("path", c_char_p)]


class Failed(Exception):
    """A call failed; `status` and `reason` are numbers of imbrex/error.h."""

    def __init__(self, err):
        super().__init__(err.message.decode(errors="replace"))
        self.status, self.reason, self.hint = err.status, err.reason, err.hint.decode()


def texts(words):
    """A NULL terminated array of C strings."""
    return (c_char_p * (len(words) + 1))(*[w.encode() for w in words], None)


def data(text):
    return text.encode() if isinstance(text, str) else text


class Store:
    def __init__(self, library, graphroot, runroot, driver=None):
        self.lib = ctypes.CDLL(library)
        self.lib.imbrex_version.restype = c_char_p
        self.free = ctypes.CDLL(None).free
        self.free.argtypes = [c_void_p]
        self.store = c_void_p()
        self.call("imbrex_store_open", byref(StoreOpts(
            graphroot=data(graphroot), runroot=data(runroot), driver=data(driver),
            config_file=b"/dev/null")), byref(self.store))

    def close(self):
        self.lib.imbrex_store_close(self.store)
        self.store = c_void_p()

    def call(self, name, *args):
        err = Error()
        if getattr(self.lib, name)(*args, byref(err)) < 0:
            raise Failed(err)

    def text(self, name, *args):
        """A call whose last result is a text that we own."""
        ret = c_void_p()
        self.call(name, self.store, *args, byref(ret))
        value = ctypes.string_at(ret).decode()
        self.free(ret)
        return value

    def list(self, name, *args):
        """A call whose last result is a list of texts."""
        ret = Texts()
        self.call(name, self.store, *args, byref(ret))
        out = []
        while ret[len(out)] is not None:
            out.append(ret[len(out)].decode())
        self.lib.imbrex_strings_free(ret)
        return out

    # ---- what the store holds ----

    def records(self, kind):
        return json.loads(self.text("imbrex_objects_json", c_int(kind)))

    def record(self, name, kinds=ANY):
        return json.loads(self.text("imbrex_object_json", data(name), c_uint(kinds)))

    def find(self, name, kinds=ANY):
        kind = c_int()
        return self.text("imbrex_object_find", data(name), c_uint(kinds), byref(kind)), kind.value

    # ---- making things ----

    def layer(self, parent=None, fd=None, uids=(), **opts):
        o = LayerOpts(**{k: data(v) for k, v in opts.items() if k != "names"})
        if "names" in opts:
            o.names = texts(opts["names"])
        if uids:
            o.maps.uids = o.maps.gids = (IdMap * len(uids))(*uids)
            o.maps.n_uids = o.maps.n_gids = len(uids)
        if fd is None:
            return self.text("imbrex_layer_create", data(parent), byref(o))
        return self.text("imbrex_layer_import", data(parent), byref(o), c_int(fd))

    def image(self, layer, names=(), **opts):
        o = ImageOpts(names=texts(names), **{k: data(v) for k, v in opts.items()})
        return self.text("imbrex_image_create", data(layer), byref(o))

    def container(self, image):
        return self.text("imbrex_container_create", data(image), None)

    def mount(self, name, kinds=CONTAINER, **opts):
        return self.text("imbrex_mount", data(name), byref(MountOpts(kinds=kinds, **opts)))

    def unmount(self, name, kinds=CONTAINER):
        left = c_int()
        self.call("imbrex_unmount_kind", self.store, data(name), c_uint(kinds), c_bool(False),
                  byref(left))
        return left.value

    def delete(self, name, kinds=ANY):
        return self.list("imbrex_object_delete", data(name), c_uint(kinds), None)

    # ---- what belongs to them ----

    def set_data(self, kind, name, key, content):
        self.call("imbrex_data_set", self.store, c_int(kind), data(name), data(key), content,
                  c_size_t(len(content)))

    def get_data(self, kind, name, key):
        ret, size = c_void_p(), c_size_t()
        self.call("imbrex_data_get", self.store, c_int(kind), data(name), data(key), byref(ret),
                  byref(size))
        content = ctypes.string_at(ret, size.value)
        self.free(ret)
        return content

    def changes(self, layer, other=None):
        ret, n = POINTER(Change)(), c_size_t()
        self.call("imbrex_layer_changes", self.store, data(layer), data(other), byref(ret), byref(n))
        out = [("MAD"[ret[i].kind], ret[i].path.decode()) for i in range(n.value)]
        self.lib.imbrex_changes_free(ret, n)
        return out

    def diff(self, layer, fd, other=None, compression=0):
        self.call("imbrex_layer_diff", self.store, data(layer), data(other), c_int(compression),
                  c_int(fd))

    def diff_size(self, layer, other=None):
        ret = c_int64()
        self.call("imbrex_layer_diff_size", self.store, data(layer), data(other), byref(ret))
        return ret.value


def main():
    if len(sys.argv) < 4:
        sys.exit(__doc__)
    store = Store(*sys.argv[1:5])
    for title, kind in (("layers", LAYER), ("images", IMAGE), ("containers", CONTAINER)):
        for record in store.records(kind):
            print(title, record["id"], *record.get("names", []))
    store.close()


if __name__ == "__main__":
    main()
