# SPDX-License-Identifier: Apache-2.0
"""What versions of containers-storage do otherwise than these tests expect, and why we do not.

The tests expect what containers-storage 1.57 does, and of later versions what the entry says.
kind: `lacks`, the test is skipped on that version; `differs`, it must fail there. name: a pattern
of MODULE.CLASS.TEST. lanes: where, () for everywhere.
"""

OVERLAY = ("overlay", "transient")

# (kind, name, lanes, reason)
SINCE_EVER = [
    ("differs", "test_data.Directories.test_a_directory_is_that_of_the_object_a_name_means[[]image*", (),
     "the directory of an image is called after the word that was given, not after the image"),
    ("differs", "test_data.Directories.test_an_unknown_object_has_no_directory[[]image*", (),
     "a directory is made for whatever word is taken for an image"),
    ("differs", "test_data.Directories.test_a_directory_goes_with_its_object[[]image-run]", (),
     "the run directory of an image stays when the image goes"),
    ("differs", "test_delete.Layers.test_a_layer_in_use_stays_by_whatever_name_it_is_called", (),
     "the checks compare the word that was given: by name or prefix a layer in use is deleted, "
     "which breaks what uses it"),
    ("differs", "test_mounts.Mounting.test_a_layer_may_be_given_by_name", (),
     "the driver is asked for the name instead of the id"),
]
VERSIONS = {
    "imbrex": [],
    "1.57": SINCE_EVER + [
        ("differs", "test_diffs.Staging.test_a_missing_directory_is_refused", (),
         "a directory that is not there makes an empty layer"),
        ("differs", "test_stores.Additional.test_a_store_on_it_is_clean", (),
         "check takes a parent in an additional store for missing"),
        ("differs", "test_stores.Split.test_images_and_their_layers_lie_in_the_image_store", (),
         "until 1.58 read-only layers were recorded in the graph root"),
        ("differs", "test_stores.Split.test_containers_lie_in_the_graph_root", (),
         "until 1.58 read-only layers were recorded in the graph root"),
        ("lacks", "test_stores.Split.test_the_graph_root_is_not_allowed_as_image_store", (),
         "waits for a lock that it holds itself"),
    ],
    "1.43": SINCE_EVER + [
    ],
}


def of(version):
    return VERSIONS.get(version, [])
