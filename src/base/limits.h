/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every size that arrives from outside meets a limit of this list. Each says why it is what it is.
 * docs/formats and the man pages quote these names; tests/meta checks that they do.
 */
#ifndef BASE_LIMITS_H
#define BASE_LIMITS_H

/* Linux PATH_MAX less the NUL: a longer name cannot be created by one system call. */
#define LIMIT_PATH_BYTES 4095
/* NAME_MAX of every file system the drivers accept. */
#define LIMIT_NAME_BYTES 255
/* Components of one path; 2,048 one-letter ones fill LIMIT_PATH_BYTES. */
#define LIMIT_PATH_DEPTH 2048
/* One pax extended header block: room for xattr values (64 KiB each), base64 and all. */
#define LIMIT_PAX_BYTES (1024u * 1024u)
/* All extension headers of one tar entry (pax and GNU); base64 they fit LIMIT_TARSPLIT_LINE_BYTES.
 */
#define LIMIT_TAR_EXTENSION_BYTES (4u * 1024u * 1024u)
/* Linux XATTR_SIZE_MAX. */
#define LIMIT_XATTR_VALUE_BYTES 65536u
/* Linux XATTR_NAME_MAX. */
#define LIMIT_XATTR_NAME_BYTES 255
/* Linux XATTR_LIST_MAX is 64 KiB of names: no inode can carry more than this many. */
#define LIMIT_XATTRS_PER_ENTRY 1024
/* Entries in one layer; the largest public images have about 10^6. */
#define LIMIT_LAYER_ENTRIES (16u * 1024u * 1024u)
/* One layer's uncompressed tar: 1 TiB, ten times the largest model image known. */
#define LIMIT_LAYER_BYTES (1024ull * 1024 * 1024 * 1024)
/* Uncompressed to compressed bytes after the first 64 MiB; deflate cannot exceed 1032:1. */
#define LIMIT_EXPANSION_RATIO 1100u
/* zstd window: 128 MiB (windowLog 27) is the default limit of the zstd program. */
#define LIMIT_ZSTD_WINDOW_LOG 27
/* Memory of the xz decoder: xz -9 needs 65 MiB, and nothing larger is in use for layers. */
#define LIMIT_XZ_MEMORY_BYTES (128u * 1024u * 1024u)
/* Image manifest or index: the OCI distribution spec asks registries to take at least 4 MiB. */
#define LIMIT_MANIFEST_BYTES (4u * 1024u * 1024u)
/* Image configuration blob. */
#define LIMIT_CONFIG_BYTES (8u * 1024u * 1024u)
/* Layers of one image: the overlay kernel limit is 500 lowers. */
#define LIMIT_IMAGE_LAYERS 500
/* Indexes nested in indexes. */
#define LIMIT_INDEX_DEPTH 2
/* Members of an image archive: 500 layers of 100 images have three each at most. */
#define LIMIT_ARCHIVE_MEMBERS (256u * 1024u)
/* Documents of an image archive that are kept in memory while it streams by. */
#define LIMIT_ARCHIVE_TEXT_BYTES (64u * 1024u * 1024u)
/* Links from one member of an image archive to the next; docker writes one. */
#define LIMIT_ARCHIVE_LINKS 16u
/* Behind the end of an image archive that streams by: tar fills up records of 10 KiB, tapes more.
 */
#define LIMIT_ARCHIVE_TRAILER_BYTES (16u * 1024u * 1024u)
/* Nesting of any JSON document. */
#define LIMIT_JSON_DEPTH 64
/* layers.json and its siblings: 50,000 layers are 16 MB. */
#define LIMIT_RECORDS_BYTES (512u * 1024u * 1024u)
/* Elements of layers.json and its siblings that are no records and yet kept: nobody writes any. */
#define LIMIT_RECORDS_ASIDE 4096
/* One document beside a record, given on the command line: tables of contents take tens of MB. */
#define LIMIT_DATA_ITEM_BYTES (256u * 1024u * 1024u)
/* The index of a table: about 100 bytes a layer, for the layers of LIMIT_RECORDS_BYTES. */
#define LIMIT_INDEX_BYTES (256u * 1024u * 1024u)
/* storage.conf, registries.conf, auth.json, netrc. */
#define LIMIT_CONF_BYTES (1024u * 1024u)
/* The id of a layer, image or container: 64 in practice; with a suffix it is still a file name. */
#define LIMIT_ID_BYTES 128
/* An image reference. */
#define LIMIT_REFERENCE_BYTES 1024
/* One line of a tar-split stream: a segment holds at most one pax block, base64. */
#define LIMIT_TARSPLIT_LINE_BYTES (8u * 1024u * 1024u)
/* /etc/passwd, /etc/group of an image. */
#define LIMIT_PASSWD_BYTES (1024u * 1024u)
/* Headers of one HTTP response, and one header line. */
#define LIMIT_HTTP_HEADER_BYTES (256u * 1024u)
#define LIMIT_HTTP_REDIRECTS    10
/* One WWW-Authenticate value: a realm URL and a few words. */
#define LIMIT_CHALLENGE_BYTES (16u * 1024u)
/* A bearer token, which every request repeats; servers refuse header lines beyond 8 to 16 KiB. */
#define LIMIT_TOKEN_BYTES (64u * 1024u)
/* What a credential helper may print: a token and a name. */
#define LIMIT_CREDENTIAL_BYTES (128u * 1024u)
/* Files in one registries.conf.d or certs.d folder. */
#define LIMIT_CONF_FILES 256
/* Token, error and other small HTTP documents. */
#define LIMIT_HTTP_DOCUMENT_BYTES (1024u * 1024u)
/* /etc/subuid or /etc/subgid: a line of 40 bytes for each of 400,000 users. */
#define LIMIT_SUBID_BYTES (16u * 1024u * 1024u)
/* Extents of one uid_map or gid_map: Linux UID_GID_MAP_MAX_EXTENTS. */
#define LIMIT_ID_MAP_EXTENTS 340
/* /proc/self/mountinfo: 100,000 mounts (sysctl fs.mount-max) of 2.6 KB a line. */
#define LIMIT_MOUNTINFO_BYTES (256u * 1024u * 1024u)
/* Datasets within datasets: zfs_max_dataset_nesting of OpenZFS. */
#define LIMIT_ZFS_DEPTH 50u
/* Value of a property: ZAP_MAXVALUELEN of OpenZFS. */
#define LIMIT_ZFS_VALUE_BYTES 8192u
/* A list of datasets, by name and origin: 250 bytes each, 250,000 layers. */
#define LIMIT_ZFS_LIST_BYTES (64u * 1024u * 1024u)
/* Snapshots told to another machine, so that it can send a difference: a command line of 21 KB. */
#define LIMIT_TRANSFER_GUIDS 1024u
/* What another machine says of itself: so many GUIDs of 27 bytes, and a token. */
#define LIMIT_TRANSFER_STATUS_BYTES (64u * 1024u)
/* Behind one record of a ZFS stream: a block, SPA_MAXBLOCKSIZE of OpenZFS. */
#define LIMIT_ZFS_RECORD_BYTES (16u * 1024u * 1024u)

/* Not limits of input but the house's buffer sizes: big writes, few system calls. */
#define STREAM_BLOCK_BYTES (1024u * 1024u)

#endif
