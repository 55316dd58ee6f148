# SPDX-License-Identifier: Apache-2.0
"""What versions of containers-storage do otherwise than these tests expect, and why we do not.

The tests expect what containers-storage 1.57 does, and of later versions what the entry says.
kind: `lacks`, the test is skipped on that version; `differs`, it must fail there. name: a pattern
of MODULE.CLASS.TEST. lanes: where, () for everywhere.
"""

OVERLAY = ("overlay", "transient")
LASTING = ("overlay", "vfs", "btrfs", "zfs")

# (kind, name, lanes, reason)
SINCE_EVER_BUT_DIRECTORIES = [
    ("differs", "test_delete.Layers.test_a_layer_in_use_stays_by_whatever_name_it_is_called", (),
     "the checks compare the word that was given: by name or prefix a layer in use is deleted, "
     "which breaks what uses it"),
    ("differs", "test_mounts.Mounting.test_a_layer_may_be_given_by_name", (),
     "the driver is asked for the name instead of the id"),
]
OF_IMAGES = ("test_data.Directories.test_a_directory_is_that_of_the_object_a_name_means[[]image*",
             "test_data.Directories.test_an_unknown_object_has_no_directory[[]image*")
SINCE_EVER = SINCE_EVER_BUT_DIRECTORIES + [
    ("differs", pattern, (), "the directory of an image is called after the word that was given, "
                             "whatever it means")
    for pattern in OF_IMAGES
] + [
    ("differs", "test_data.Directories.test_a_directory_goes_with_its_object[[]image-run]", (),
     "the run directory of an image stays when the image goes"),
]
VERSIONS = {
    "imbrex": [
        ("differs", "test_check.Layers.test_an_item_of_a_layer_that_is_gone", (),
         "repair forgets the item's name; what stands on the layer is not taken away for it"),
        ("differs", "test_images.Volatile.test_volatile_records_have_a_table_of_their_own",
         LASTING, "podman before 4.4 reads the lasting tables only, and would remove an "
         "image from under a volatile container"),
        ("differs", "test_images.Volatile.test_volatile_containers_are_listed_last",
         LASTING, "they are in the lasting table"),
        ("differs", "test_diffs.Applying.test_a_mounted_layer_can_be_filled", (),
         "the kernel promises nothing about a mounted tree whose directories are changed: refused"),
    ],
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
    "1.43": SINCE_EVER_BUT_DIRECTORIES + [
        ("lacks", "*", ("transient",), "no --transient-store"),
        ("lacks", "test_check.*", (), "no check, no dedup"),
        ("lacks", "test_data.Directories.*[[]image*", (), "no directories of images"),
        ("lacks", "test_delete.Collecting.*", (), "no gc"),
        ("lacks", "test_delete.Wiping.test_everything_goes", (), "no storage-layers"),
        ("lacks", "test_diffs.Staging.*", (), "no applydiff-using-staging-dir"),
        ("lacks", "test_idmaps.*.*_clean", (), "no check"),
        ("lacks", "test_idmaps.Containers.test_copies_go_with_their_image", (),
         "no storage-layers"),
        ("lacks", "test_idmaps.*", OVERLAY, "what a mount can map is never copied, and no word of "
         "the environment forbids it"),
        ("differs", "test_images.CreatingContainers.test_the_id_and_the_names_are_printed", (),
         "no newline stands between the names of a new container"),
        ("lacks", "test_images.Volatile.test_volatile_containers_are_listed_last", (),
         "no table of their own for volatile containers"),
        ("lacks", "test_images.Volatile.test_volatile_records_have_a_table_of_their_own", (),
         "no table of their own for volatile containers"),
        ("differs", "test_layers.Deep.*", OVERLAY, "not more than 128 layers were allowed"),
        ("differs", "test_layers.Disk.test_a_layer_begins_with_the_mode_and_owner_of_its_parent",
         OVERLAY, "only the mode of the parent was inherited"),
        ("lacks", "test_layers.Listing.test_layers_quickly_are_only_ids", (), "no layers -q"),
        ("lacks", "test_layers.OfTheDriver.*", (), "no storage-layers, no create-storage-layer"),
        ("lacks", "test_mounts.Copying.test_an_owner_may_be_given[[]-o]", (), "no short --chown"),
        ("differs", "test_mounts.Copying.test_what_is_no_owner_is_refused", (),
         "other words for a bad owner"),
        ("differs", "test_mounts.Counting.test_a_mount_stays_until_the_last_is_undone", OVERLAY,
         "a mount point was removed after unmounting"),
        ("lacks", "test_mounts.Images.test_an_image_is_mounted_read_only[[]--read-only]", (),
         "--read-only was misspelt"),
        ("differs", "test_mounts.Recreating.test_mount_points_come_back", OVERLAY,
         "a mount point that is gone is not made again"),
        ("lacks", "test_mounts.Shutdown.test_force_unmounts_first", (),
         "does not end when something is mounted"),
        ("lacks", "test_names.Names.*remove*", (), "no remove-names"),
        ("lacks", "test_names.Names.test_an_unknown_object_is_refused", (), "no remove-names"),
        ("lacks", "test_names.Names.test_names_as_json_are_told_after_a_change", (),
         "no remove-names"),
        ("lacks", "test_names.Names.test_a_name_that_is_added_leaves*", (), "names in no order"),
        ("lacks", "test_names.Names.test_names_that_are_added_stand_first*", (),
         "names in no order"),
        ("lacks", "test_stores.Additional.test_a_store_on_it_is_clean", (), "no check"),
        ("differs", "test_stores.Additional.test_an_image_that_gets_a_name_is_copied_from_it", (),
         "images of additional stores could not be renamed"),
        ("lacks", "test_stores.Additional.test_an_image_that_loses_a_name_is_copied_from_it", (),
         "no remove-names"),
        ("lacks", "test_stores.Additional.test_its_layers_and_images_are_listed", (),
         "no layers -q"),
        ("lacks", "test_stores.Additional.test_wiping_leaves_it_alone", (), "no layers -q"),
        ("lacks", "test_stores.Split.*", (), "no --image-store"),
        ("lacks", "test_words.Commands.test_an_alias*", (), "aliases were fewer"),
        ("lacks", "test_words.Commands.test_too_*", (), "commands were fewer, and several did not "
         "count their arguments"),
        ("lacks", "test_words.Commands.test_help_lists_every_command", (), "commands were fewer"),
        ("lacks", "test_words.Config.test_config_*", (), "no config"),
        ("differs", "test_words.Flags.test_a_lone_dash_is_an_argument", (),
         "images did not count its arguments"),
        ("differs", "test_words.Flags.test_the_word_after_a_boolean_is_an_argument", (),
         "layers did not count its arguments"),
        ("lacks", "test_words.Status.test_shifting_can_be_turned_off_by_the_environment", (),
         "not told in status"),
        ("differs", "test_words.Status.test_status_of_overlay_tells_what_the_kernel_can", OVERLAY,
         "fewer facts"),
        ("lacks", "test_words.Status.test_the_version_*", (), "prints no version"),
    ],
}


def of(version):
    return VERSIONS.get(version, [])
