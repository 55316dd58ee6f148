/* SPDX-License-Identifier: Apache-2.0 */
/*
 * PATH search, a look at the file, execve.
 *
 * The look: until the call, /proc/self/exe is our own executable, a file of the caller's machine.
 * An image could make us execute it again inside (as the program, as the interpreter of a script
 * or as the loader of an ELF file), with libraries of the image, and write to it once it is no
 * longer running (CVE-2019-5736). So no name on that road may lead through a magic link.
 */
#include "run/program.h"

#include <elf.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/error.h"
#include "base/limits.h"
#include "os/fd.h"
#include "run/env.h"
#include "run/inroot.h"

/* Kernel: fs/exec.c follows an interpreter of an interpreter five times. */
#define INTERPRETERS_MAX 5
/* BINPRM_BUF_SIZE: what the kernel reads of a file to know its kind. */
#define HEAD_BYTES 256
/* fs/binfmt_elf.c reads no more program headers than fit a page of 64 KiB. */
#define PHDR_BYTES_MAX 65536u

/* Room for a candidate: one PATH entry, "/", the name. */
struct place {
	char path[2 * LIMIT_PATH_BYTES + 2];
};

/* Interpreter of a "#!" line into ret; false if the line is none the kernel takes. */
static bool script_interpreter(const char *head, size_t len, struct place *ret)
{
	const char *c = head + 2, *end = head + len;
	size_t n = 0;

	if (len < 3 || head[0] != '#' || head[1] != '!')
		return false;
	while (c < end && (*c == ' ' || *c == '\t'))
		c++;
	while (c + n < end && c[n] && c[n] != ' ' && c[n] != '\t' && c[n] != '\n')
		n++;
	(void)snprintf(ret->path, sizeof(ret->path), "%.*s", (int)n, c);
	return n > 0;
}

static bool read_interp(int fd, uint64_t offset, uint64_t size, struct place *ret)
{
	size_t got;

	if (!size || size > LIMIT_PATH_BYTES + 1)
		return false;
	if (pread_all(fd, ret->path, (size_t)size, offset, &got) < 0)
		return false;
	ret->path[got] = '\0';
	return got == size;
}

#define FIND_INTERP(bits)                                                                   \
	static bool find_interp##bits(int fd, const char *head, struct place *ret)          \
	{                                                                                   \
		Elf##bits##_Ehdr ehdr;                                                      \
		Elf##bits##_Phdr phdr;                                                      \
		size_t i, got;                                                              \
                                                                                            \
		memcpy(&ehdr, head, sizeof(ehdr));                                          \
		if (ehdr.e_phentsize != sizeof(phdr) ||                                     \
			ehdr.e_phnum > PHDR_BYTES_MAX / sizeof(phdr))                       \
			return false;                                                       \
		for (i = 0; i < ehdr.e_phnum; i++) {                                        \
			if (pread_all(fd, &phdr, sizeof(phdr),                              \
				    (uint64_t)ehdr.e_phoff + i * sizeof(phdr), &got) < 0 || \
				got < sizeof(phdr))                                         \
				return false;                                               \
			if (phdr.p_type == PT_INTERP)                                       \
				return read_interp(fd, phdr.p_offset, phdr.p_filesz, ret);  \
		}                                                                           \
		return false;                                                               \
	}

FIND_INTERP(32)
FIND_INTERP(64)

static bool elf_interpreter(int fd, const char *head, size_t len, struct place *ret)
{
	if (len < sizeof(Elf64_Ehdr) || memcmp(head, ELFMAG, SELFMAG) != 0)
		return false;
	return head[EI_CLASS] == ELFCLASS32 ? find_interp32(fd, head, ret)
					    : find_interp64(fd, head, ret);
}

/* Absolute form of a path that is relative to the working directory. */
static int absolute(const char *path, struct place *ret, struct imbrex_error *err)
{
	char cwd[LIMIT_PATH_BYTES + 1];
	int n;

	if (path[0] == '/') {
		n = snprintf(ret->path, sizeof(ret->path), "%s", path);
	} else {
		if (!getcwd(cwd, sizeof(cwd)))
			return fail_errno(err, "working directory");
		n = snprintf(ret->path, sizeof(ret->path), "%s/%s", cwd, path);
	}
	if (n < 0 || (size_t)n >= sizeof(ret->path))
		return fail_code(err, ENAMETOOLONG, "'%.200s'", path);
	return 0;
}

/*
 * Is everything between `path` and the file that will really be executed a plain file name?
 * Statuses: ENOENT if something is missing, its name in the message.
 */
static int check_program(int rootfd, const char *path, struct imbrex_error *err)
{
	struct place now, next;
	char head[HEAD_BYTES];
	struct stat st;
	size_t len;
	unsigned i;
	int r, fd;

	r = absolute(path, &now, err);
	for (i = 0; r == 0 && i <= INTERPRETERS_MAX; i++) {
		AUTO_CLOSE int probe = inroot_open(rootfd, now.path, O_PATH, BENEATH_IN_ROOT);
		AUTO_CLOSE int file = -EBADF;

		if (probe == -ELOOP)
			return fail(err, IMBREX_EPERM,
				"%s '%.200s' leads through a magic link of /proc or a loop of "
				"links",
				i ? "interpreter" : "program", now.path);
		if (probe < 0)
			return fail_code(err, probe, "%s '%.200s'%s%.200s%s",
				i ? "interpreter" : "program", now.path, i ? " of '" : "",
				i ? path : "", i ? "'" : "");
		if (fstat(probe, &st) < 0)
			return fail_errno(err, "program '%.200s'", now.path);
		if (S_ISDIR(st.st_mode))
			return fail(err, IMBREX_EPERM, "program '%.200s' is a directory", now.path);
		if (!S_ISREG(st.st_mode))
			return fail(err, IMBREX_EPERM, "program '%.200s' is not a regular file",
				now.path);
		fd = file = inroot_open(
			rootfd, now.path, O_RDONLY | O_NONBLOCK | O_NOCTTY, BENEATH_IN_ROOT);
		/* A file that may be executed but not read: only to root is ours writable. */
		if (fd < 0 && geteuid() != 0)
			return 0;
		if (fd < 0)
			return fail_code(err, fd, "read program '%.200s'", now.path);
		r = pread_all(fd, head, sizeof(head), 0, &len);
		if (r < 0)
			return fail_code(err, r, "read program '%.200s'", now.path);
		if (!script_interpreter(head, len, &next) && !elf_interpreter(fd, head, len, &next))
			return 0;
		r = absolute(next.path, &now, err);
	}
	return r < 0 ? r : fail_code(err, ELOOP, "program '%.200s': interpreters", path);
}

static int status_for(int errnum)
{
	return errnum == ENOENT || errnum == ENOTDIR ? 127 : 126;
}

/* One candidate. Returns on failure only. */
static int try_exec(int rootfd, const char *path, const char *const *argv, const struct strv *env,
	int *ret_status, struct imbrex_error *err)
{
	int r;

	r = check_program(rootfd, path, err);
	if (r < 0) {
		*ret_status = r == IMBREX_ENOENT ? 127 : 126;
		return r;
	}
	/* execve() takes the lists without const for reasons of C history; it changes nothing. */
	(void)execve(path, (char *const *)(uintptr_t)argv, env->items);
	*ret_status = status_for(errno);
	if (errno == ENOEXEC)
		return hint(err,
			fail(err, IMBREX_EPERM,
				"program '%.200s': the kernel does not know its format", path),
			"an image of another architecture, or a script without '#!'");
	return fail_errno(err, "execute '%.200s'", path);
}

int run_program(int rootfd, const char *const *argv, const struct strv *env, int *ret_status,
	struct imbrex_error *err)
{
	const char *at = run_env_get(env, "PATH");
	bool refused = false;
	struct stat st;
	struct place p;
	size_t len;

	if (strchr(argv[0], '/'))
		return try_exec(rootfd, argv[0], argv, env, ret_status, err);
	if (strlen(argv[0]) > LIMIT_NAME_BYTES) {
		*ret_status = 127;
		return fail(
			err, IMBREX_ENOENT, "program name of more than %d bytes", LIMIT_NAME_BYTES);
	}
	for (; at; at = at[len] ? at + len + 1 : NULL) {
		len = strcspn(at, ":");
		if (len > LIMIT_PATH_BYTES)
			continue;
		(void)snprintf(p.path, sizeof(p.path), "%.*s/%s", len ? (int)len : 1,
			len ? at : ".", argv[0]);
		if (stat(p.path, &st) == 0 && S_ISDIR(st.st_mode))
			continue;
		if (faccessat(AT_FDCWD, p.path, X_OK, AT_EACCESS) < 0) {
			refused |= errno == EACCES;
			continue;
		}
		return try_exec(rootfd, p.path, argv, env, ret_status, err);
	}
	*ret_status = refused ? 126 : 127;
	if (refused)
		return fail(err, IMBREX_EPERM, "program '%s' in PATH may not be executed", argv[0]);
	return fail(err, IMBREX_ENOENT, "program '%s' is not in PATH", argv[0]);
}
