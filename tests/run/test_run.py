#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Does a program in a root file system see what it should, and nothing else?

usage: test_run.py DRIVER PROBE root|user

root: as root, without a user namespace. user: as an unprivileged user (of this machine, or one
that root becomes), with one id; with ranges of ids as well where newuidmap is installed.
"""
import os
import pty
import re
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import termios
import unittest

DRIVER, PROBE, LANE = (os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2]), sys.argv[3])
USER = 64321
RANGES = "64321:300000:65536\n"


def become_user():
    os.setgroups([])
    os.setresgid(USER, USER, USER)
    os.setresuid(USER, USER, USER)


class Result:
    def __init__(self, p):
        self.status, self.out, self.err = p.returncode, p.stdout, p.stderr
        self.lines = p.stdout.splitlines()

    def __repr__(self):
        return f"status {self.status}\n{self.out}\n{self.err}"


class Case(unittest.TestCase):
    maxDiff = None

    def setUp(self):
        self.dir = tempfile.mkdtemp(prefix="imbrex-run-")
        self.root = os.path.join(self.dir, "root")
        os.chmod(self.dir, 0o755)
        for d in ("", "bin", "etc"):
            os.mkdir(os.path.join(self.root, d))
        shutil.copy(PROBE, self.path("bin/probe"))
        self.write("etc/passwd", "root:x:0:0::/root:/bin/sh\nbob:x:1000:1001::/home/bob:/bin/sh\n")
        self.write("etc/group", "root:x:0:\nbob:x:1001:\nwheel:x:10:root,bob\n")
        self.outside = os.path.join(self.dir, "outside")
        os.mkdir(self.outside)
        self.write("../outside/secret", "secret\n")
        if LANE == "user" and os.geteuid() == 0:
            for base, dirs, files in os.walk(self.dir):
                for name in [""] + files:
                    os.chown(os.path.join(base, name), USER, USER)

    def tearDown(self):
        shutil.rmtree(self.dir)

    def path(self, name):
        return os.path.join(self.root, name)

    def write(self, name, text, mode=0o644):
        with open(self.path(name), "w", encoding="utf-8") as f:
            f.write(text)
        os.chmod(self.path(name), mode)

    def link(self, target, name):
        os.symlink(target, self.path(name))

    def command(self, args):
        return [DRIVER] + args

    def options(self):
        demote = become_user if LANE == "user" and os.geteuid() == 0 else None
        return {"preexec_fn": demote, "text": True, "cwd": "/"}

    def run_it(self, *args, flags=(), **more):
        p = subprocess.run(self.command([*flags, self.root, *args]), stdin=subprocess.DEVNULL,
                           capture_output=True, timeout=60, check=False,
                           **{**self.options(), **more})
        return Result(p)

    def probe(self, *args, flags=(), **more):
        return self.run_it("/bin/probe", *args, flags=flags, **more)

    def outside_is_untouched(self):
        self.assertEqual(os.listdir(self.outside), ["secret"])
        self.assertEqual(sorted(os.listdir(self.dir)), ["outside", "root"])


class Status(Case):
    def test_the_exit_status_is_the_programs(self):
        for status in (0, 1, 42, 125, 255):
            self.assertEqual(self.probe("exit", str(status)).status, status)

    def test_a_program_killed_by_a_signal_is_128_and_its_number(self):
        for sig in (signal.SIGKILL, signal.SIGSEGV):
            r = self.probe("die", str(int(sig)))
            self.assertEqual(r.status, 128 + sig, r)

    def test_without_init_too(self):
        self.assertEqual(self.probe("pid", "exit", "9", flags=["--no-init"]).status, 9)
        self.assertEqual(self.probe("pid", flags=["--no-init"]).out, "pid: 1\n")
        self.assertEqual(self.probe("die", "9", flags=["--no-init", "--share", "pid"]).status, 137)

    def test_a_missing_program_is_127(self):
        r = self.run_it("nosuch")
        self.assertEqual((r.status, r.err), (127, "driver: program 'nosuch' is not in PATH\n"))
        r = self.run_it("/no/such")
        self.assertEqual(r.status, 127, r)
        self.assertIn("program '/no/such': No such file or directory", r.err)

    def test_what_cannot_be_executed_is_126(self):
        self.write("bin/data", "no program\n", 0o755)
        self.write("bin/plain", "x", 0o644)
        os.mkdir(self.path("bin/dir"), 0o755)
        r = self.run_it("/bin/data")
        self.assertEqual(r.status, 126, r)
        self.assertIn("program '/bin/data': the kernel does not know its format\nhint:", r.err)
        r = self.run_it("/bin/plain")
        self.assertEqual((r.status, r.err),
                         (126, "driver: execute '/bin/plain': Permission denied\n"))
        r = self.run_it("plain")
        self.assertEqual((r.status, r.err),
                         (126, "driver: program 'plain' in PATH may not be executed\n"))
        r = self.run_it("/bin/dir")
        self.assertEqual((r.status, r.err), (126, "driver: program '/bin/dir' is a directory\n"))
        self.assertEqual(self.run_it("dir").status, 127)

    def test_a_missing_interpreter_is_named(self):
        self.write("bin/script", "#!/bin/nosh -e\n", 0o755)
        r = self.run_it("script")
        self.assertEqual(r.status, 127, r)
        self.assertIn("interpreter '/bin/nosh' of '/bin/script': No such file", r.err)

    def test_scripts_run(self):
        self.write("bin/script", "#! /bin/probe cwd\n", 0o755)
        self.assertEqual(self.run_it("script").status, 99)  # cwd, then the script's own name

    def test_our_own_failure_is_125(self):
        r = self.probe("ids", flags=["--user", "nobody"])
        self.assertEqual((r.status, r.err),
                         (125, "driver: user 'nobody' is not in /etc/passwd of the image\n"))
        p = subprocess.run(self.command([self.dir + "/none", "/bin/probe"]), capture_output=True,
                           check=False, **self.options())
        self.assertEqual(p.returncode, 125)
        self.assertIn(f"root file system '{self.dir}/none': No such file", p.stderr)


class Signals(Case):
    def start(self, *flags, args=("wait",), **more):
        # The driver itself leads the group; a signal to it alone must reach the program.
        return subprocess.Popen(self.command([*flags, self.root, "/bin/probe", *args]),
                                stdout=subprocess.PIPE, start_new_session=True,
                                **{**self.options(), **more})

    def test_signals_reach_the_program(self):
        for flags in ((), ("--no-init",), ("--no-init", "--share", "pid")):
            p = self.start(*flags)
            self.assertEqual(p.stdout.readline(), "ready\n")
            p.send_signal(signal.SIGTERM)
            self.assertEqual(p.communicate(timeout=60)[0], f"signal: {int(signal.SIGTERM)}\n")
            self.assertEqual(p.returncode, 40 + signal.SIGTERM)

    def test_a_killed_caller_takes_everything_with_it(self):
        for flags in ((), ("--no-init",), ("--no-init", "--share", "pid")):
            p = self.start(*flags)
            self.assertEqual(p.stdout.readline(), "ready\n")
            p.kill()
            # The pipe ends only when the last process of the container is gone.
            self.assertEqual(p.communicate(timeout=60)[0], "")

    def test_what_the_program_leaves_behind_ends_with_it(self):
        p = self.start(args=("leave",))
        self.assertEqual(p.communicate(timeout=60)[0], "left\n")
        self.assertEqual(p.returncode, 7)

    def test_orphans_are_reaped(self):
        self.assertEqual(self.probe("orphans").out, "zombies: 0\n")

    def test_an_ignored_sigchld_does_not_lose_the_status(self):
        def ignore():
            signal.signal(signal.SIGCHLD, signal.SIG_IGN)
            if LANE == "user" and os.geteuid() == 0:
                become_user()
        self.assertEqual(self.probe("exit", "5", preexec_fn=ignore).status, 5)


class Terminal(Case):
    def on_tty(self, *args):
        pid, fd = pty.fork()
        if pid == 0:
            try:
                if LANE == "user" and os.geteuid() == 0:
                    os.chown(os.ttyname(0), USER, USER)
                    become_user()
                os.execv(DRIVER, [DRIVER, self.root, "/bin/probe", *args])
            finally:
                os._exit(99)
        return pid, fd

    @staticmethod
    def drain(pid, fd, text=b""):
        try:
            while chunk := os.read(fd, 4096):
                text += chunk
        except OSError:
            pass
        os.close(fd)
        return text.decode().replace("\r", ""), os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

    def test_the_terminal_has_a_name_and_takes_no_injected_input(self):
        out, status = self.drain(*self.on_tty("tty", "env"))
        self.assertIn("tty: /dev/console\n", out)
        self.assertIn("tiocsti: Operation not permitted\n", out)
        self.assertIn("env: TERM=xterm\n", out)
        self.assertEqual(status, 0)

    def test_control_c_reaches_the_program_once(self):
        pid, fd = self.on_tty("wait")
        # The kernel raises the signal before it flushes what waits to be read: it would at times
        # take the program's answer away.
        modes = termios.tcgetattr(fd)
        modes[3] |= termios.NOFLSH
        termios.tcsetattr(fd, termios.TCSANOW, modes)
        text = b""
        while b"ready" not in text:
            text += os.read(fd, 4096)
        # wait takes SIGTERM first of all; control-C stays pending in it, and in nobody else.
        os.write(fd, b"\x03")
        os.kill(pid, signal.SIGTERM)
        out, status = self.drain(pid, fd, text)
        self.assertIn("signal:", out)
        # The terminal takes its time: when control-C comes after SIGTERM has ended the program, it
        # is the caller's own, like any after a command.
        self.assertIn(status, (40 + signal.SIGTERM, 40 + signal.SIGINT, -signal.SIGINT))
        if status == -signal.SIGINT:
            self.assertIn(f"signal: {signal.SIGTERM:d}\n", out)


class View(Case):
    def mounts(self, *flags, args=()):
        r = self.probe(*args, "cat", "/proc/self/mountinfo", flags=flags)
        self.assertEqual(r.status, 0, r)
        table = {}
        for line in r.lines:
            f = line.split(" ")
            table[f[4]] = (f[5].split(","), f[f.index("-") + 1])
        return table

    def test_the_kernels_file_systems_are_there_with_their_flags(self):
        m = self.mounts()
        for target, fs, words in (
                ("/proc", "proc", ("nosuid", "nodev", "noexec")),
                ("/sys", "sysfs", ("ro", "nosuid", "nodev", "noexec")),
                ("/dev", "tmpfs", ("nosuid", "noexec")),
                ("/dev/pts", "devpts", ("nosuid", "noexec")),
                ("/dev/shm", "tmpfs", ("nosuid", "nodev", "noexec")),
                ("/proc/sys", "proc", ("ro",)),
                ("/sys/firmware", "tmpfs", ("ro",))):
            if target == "/sys/firmware" and not os.path.isdir(target):
                continue
            self.assertEqual(m[target][1], fs, target)
            for word in words:
                self.assertIn(word, m[target][0], target)
        self.assertIn("nodev", m["/"][0])
        self.assertFalse([t for t in m if self.dir in t], "the outside shows")

    def test_dev_has_the_usual_nodes(self):
        r = self.probe(*sum((["stat", "/dev/" + n] for n in ("null", "tty", "ptmx", "fd")), []))
        self.assertEqual(r.lines[0], f"/dev/null: 20666 {os.makedev(1, 3)}")
        self.assertEqual(r.lines[1], f"/dev/tty: 20666 {os.makedev(5, 0)}")
        self.assertTrue(r.lines[2].startswith("/dev/ptmx: 120777"), r)
        self.assertTrue(r.lines[3].startswith("/dev/fd: 120777"), r)

    def test_hidden_files_are_empty(self):
        r = self.probe("cat", "/proc/keys", "cat", "/proc/timer_list")
        self.assertEqual((r.status, r.out), (0, ""), r)

    def test_sysctls_cannot_be_written(self):
        r = self.probe("put", "/proc/sys/kernel/domainname")
        self.assertEqual(r.out, "/proc/sys/kernel/domainname: Read-only file system\n")

    def test_the_root_is_writable_unless_asked_otherwise(self):
        self.assertEqual(self.probe("put", "/new").out, "/new: ok\n")
        r = self.probe("put", "/new2", "put", "/dev/shm/x", flags=["--read-only"])
        self.assertEqual(r.lines, ["/new2: Read-only file system", "/dev/shm/x: ok"])
        self.assertFalse(os.path.exists(self.path("new2")))

    def test_bind_mounts_in_both_modes(self):
        src = self.outside
        r = self.probe("cat", "/mnt/a/secret", "put", "/mnt/a/secret", "put", "/mnt/b/new",
                       flags=["--mount", f"bind,{src},/mnt/a,ro", "--mount", f"bind,{src},/mnt/b"])
        self.assertEqual(r.lines, ["secret", "/mnt/a/secret: Read-only file system",
                                   "/mnt/b/new: ok"], r)
        self.assertTrue(os.path.exists(src + "/new"))

    def test_a_file_can_be_bound_on_a_missing_name(self):
        r = self.probe("cat", "/x/y/z",
                       flags=["--mount", f"bind,{self.outside}/secret,/x/y/z,ro"])
        self.assertEqual(r.out, "secret\n")
        self.assertTrue(stat.S_ISREG(os.lstat(self.path("x/y/z")).st_mode))

    def test_tmpfs_takes_its_options(self):
        m = self.mounts("--mount", "tmpfs,/t,size=64k;mode=1777")
        self.assertEqual(m["/t"][1], "tmpfs")
        self.assertIn("nosuid", m["/t"][0])
        r = self.probe("ids", flags=["--mount", "tmpfs,/t,mode=x"])
        self.assertEqual(r.status, 125)
        self.assertIn("mode", r.err)

    def test_host_files_are_bound_where_asked(self):
        r = self.probe("cat", "/etc/hosts", "put", "/etc/hosts", flags=["--hosts"])
        with open("/etc/hosts", encoding="utf-8") as f:
            self.assertEqual(r.out, f.read() + "/etc/hosts: Read-only file system\n")

    def test_the_network_is_lo_which_is_up(self):
        r = self.probe("cat", "/proc/net/dev", "cat", "/sys/class/net/lo/operstate")
        self.assertEqual([x.split(":")[0].strip() for x in r.lines if ":" in x], ["lo"], r)

    def test_hostname(self):
        self.assertEqual(self.probe("name", flags=["--hostname", "box"]).out, "hostname: box\n")
        self.assertNotEqual(os.uname().nodename, "box")

    def test_no_descriptor_is_inherited_unless_asked(self):
        r, w = os.pipe()
        os.set_inheritable(w, True)
        try:
            self.assertEqual(self.probe("fds", pass_fds=(w,)).out, "fds: 0 1 2\n")
            # 3 and up as far as the caller's own: internal descriptors never follow.
            got = self.probe("fds", flags=["--preserve-fds", "1000"], pass_fds=(w,)).out
            self.assertEqual(got, f"fds: 0 1 2 {w}\n")
        finally:
            os.close(r)
            os.close(w)


class Identity(Case):
    def test_the_default_is_root_inside(self):
        self.assertEqual(self.probe("ids").lines[0].split()[1], "0:0")

    def test_environment(self):
        r = self.probe("env", flags=["--env", "A=x y\nz", "--env", "A=$(id)", "--hostname", "h"])
        self.assertEqual(r.lines, ["env: A=$(id)",
                                   "env: PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:"
                                   "/usr/bin:/sbin:/bin", "env: HOME=/root", "env: HOSTNAME=h"])

    def test_workdir_is_made_and_entered(self):
        r = self.probe("cwd", "put", "f", flags=["--workdir", "/a/b/c"])
        self.assertEqual(r.lines, ["cwd: /a/b/c", "f: ok"])
        self.assertTrue(os.path.exists(self.path("a/b/c/f")))

    def test_a_missing_workdir_on_a_read_only_root_is_an_error(self):
        r = self.probe("cwd", flags=["--workdir", "/a", "--read-only"])
        self.assertEqual((r.status, r.err), (125, "driver: working directory: make '/a' in the "
                                             "root file system: Read-only file system\n"))

    def test_capabilities_are_podmans_eleven(self):
        for flags, want in (([], 0x800405fb), (["--caps", "1"], 0)):
            r = self.probe("cat", "/proc/self/status", flags=flags)
            for line in r.lines:
                if line.startswith(("CapPrm", "CapEff", "CapBnd")):
                    self.assertEqual(int(line.split()[1], 16), want, line)
                if line.startswith(("CapInh", "CapAmb")):
                    self.assertEqual(int(line.split()[1], 16), 0, line)

    def test_dangerous_calls_are_refused(self):
        r = self.probe("calls")
        self.assertEqual(r.lines, ["mknod: Operation not permitted",
                                   "keyctl: Operation not permitted",
                                   "bpf: Operation not permitted",
                                   "mount: Operation not permitted", "chroot: ok",
                                   "sethostname: Operation not permitted"])

    def test_no_new_privs_is_set_on_request(self):
        for flags, want in (([], "0"), (["--nnp"], "1")):
            r = self.probe("cat", "/proc/self/status", flags=flags)
            self.assertIn(f"NoNewPrivs:\t{want}", r.lines)
            self.assertIn("Seccomp:\t2", r.lines)

    def test_user_namespaces_nest(self):
        r = self.probe("nested")
        self.assertEqual(r.lines, ["userns: ok", "nested tmpfs: ok"], r)

    def test_process_1_shows_nothing_of_the_outside(self):
        r = self.probe("escape")
        self.assertEqual(r.lines, [f"{x} of 1: Permission denied"
                                   for x in ("exe", "root", "environ", "fd 0")], r)


class RootIdentity(Case):
    def setUp(self):
        if LANE != "root":
            self.skipTest("needs all ids")
        super().setUp()

    def test_users_by_name_and_number(self):
        for user, want in (("bob", "1000:1001 10"), ("1000:5", "1000:5"), ("bob:wheel", "1000:10"),
                           ("4000000000", "4000000000:0")):
            r = self.probe("ids", flags=["--user", user])
            self.assertEqual(r.out, f"ids: {want}\n", user)

    def test_other_users_hold_no_capability(self):
        r = self.probe("env", "cat", "/proc/self/status", flags=["--user", "bob"])
        self.assertIn("env: HOME=/home/bob", r.lines)
        self.assertIn("CapPrm:\t0000000000000000", r.lines)
        self.assertIn("CapBnd:\t00000000800405fb", r.lines)

    def test_a_detached_mount_can_be_the_root(self):
        self.assertEqual(self.probe("cwd", flags=["--detached"]).out, "cwd: /\n")

    def test_maps_of_the_callers_making(self):
        for base, _, files in os.walk(self.root):
            for name in [""] + files:
                os.chown(os.path.join(base, name), 100000, 100000)
        r = self.probe("ids", "put", "/made", "cat", "/proc/self/uid_map",
                       flags=["--userns", "4", "--user", "bob"])
        self.assertEqual(r.lines[0], "ids: 1000:1001 10")
        self.assertEqual(r.lines[2].split(), ["0", "100000", "65536"])
        self.assertEqual(r.lines[1], "/made: Permission denied")

    def test_a_fifo_as_passwd_does_not_hang(self):
        os.unlink(self.path("etc/passwd"))
        os.mkfifo(self.path("etc/passwd"))
        r = self.probe("ids", flags=["--user", "root"])
        self.assertEqual((r.status, r.err), (125, "driver: '/etc/passwd' of the image is not a "
                                             "regular file\n"))


class Chroot(Case):
    """The caller itself lives in a chroot that holds the driver, what it links, and a root."""

    def setUp(self):
        if LANE != "root":
            self.skipTest("needs chroot")
        super().setUp()
        self.jail = os.path.join(self.dir, "jail")
        os.makedirs(os.path.join(self.jail, "proc"))
        shutil.copytree(self.root, os.path.join(self.jail, "root"))
        links = subprocess.run(["ldd", DRIVER], capture_output=True, text=True, check=True).stdout
        for lib in re.findall(r"(/\S+) \(", links):
            os.makedirs(self.jail + os.path.dirname(lib), exist_ok=True)
            shutil.copy(lib, self.jail + lib)
        shutil.copy(DRIVER, os.path.join(self.jail, "driver"))

    def run_in(self, before):
        script = (before + 'mount -t proc proc "$0/proc" && '
                  'exec chroot "$0" /driver /root /bin/probe exit 3')
        env = {k: v for k, v in os.environ.items() if k != "LD_PRELOAD"}
        return subprocess.run(["unshare", "-m", "sh", "-c", script, self.jail], text=True, env=env,
                              capture_output=True, timeout=60, check=False)

    def test_without_a_mount_the_hint_says_what_to_do(self):
        p = self.run_in("")
        self.assertEqual(p.returncode, 125, p)
        self.assertEqual(p.stderr, "driver: make the mounts of the new namespace private: Invalid "
                         "argument\nhint: '/' is not a mount, as in a plain chroot: bind the "
                         "chroot's directory onto itself before entering it\n")

    def test_and_that_helps(self):
        p = self.run_in('mount --bind "$0" "$0" && ')
        self.assertEqual(p.returncode, 3, p)


class UserIdentity(Case):
    def setUp(self):
        if LANE != "user":
            self.skipTest("for an unprivileged caller")
        super().setUp()

    def test_one_id_is_mapped_and_others_are_refused_with_a_hint(self):
        r = self.probe("cat", "/proc/self/uid_map", flags=["--userns", "2"])
        self.assertEqual(r.out.split()[0::2], ["0", "1"])
        r = self.probe("ids", flags=["--userns", "2", "--user", "bob"])
        self.assertEqual(r.status, 125)
        self.assertIn("is not mapped in the user namespace\nhint: give the user namespace a range",
                      r.err)

    def test_the_callers_own_id_can_be_kept(self):
        r = self.probe("ids", "put", "/mine", flags=["--userns", "2", "--keep-id"])
        uid = os.geteuid() or USER
        self.assertEqual(r.lines[0].split()[1].split(":")[0], str(uid), r)
        self.assertEqual(os.stat(self.path("mine")).st_uid, uid)

    def test_no_user_namespace_is_refused_with_a_hint(self):
        r = self.probe("ids", flags=["--userns", "1"])
        self.assertEqual(r.err, "driver: running without a user namespace needs CAP_SYS_ADMIN\n"
                                "hint: run as root, or leave the user namespace on\n")

    def test_all_namespaces_of_the_host_but_mounts_and_users(self):
        r = self.probe("ids", "cat", "/proc/self/uid_map",
                       flags=["--share", "pid,ipc,uts,cgroup,net"])
        self.assertEqual(r.status, 0, r)


class Nested(Case):
    """A caller that is root of its own user namespace, where the kernel hides part of /proc."""

    def setUp(self):
        if LANE != "user":
            self.skipTest("for an unprivileged caller")
        super().setUp()

    def command(self, args):
        return ["unshare", "-Urm", "sh", "-c",
                "mount --bind /dev/null /proc/uptime && exec \"$@\"", "sh", DRIVER, *args]

    def test_a_bind_of_proc_takes_the_place_of_one_the_kernel_refuses(self):
        r = self.probe("ids", "put", "/proc/sys/kernel/domainname", "cat", "/proc/uptime",
                       flags=["--userns", "2"])
        self.assertEqual(r.lines[0].split()[1], "0:0", r)
        # What was hidden outside stays hidden: a device, now on a mount without devices.
        self.assertEqual(r.lines[1:], ["/proc/sys/kernel/domainname: Read-only file system",
                                       "/proc/uptime: Permission denied"], r)

    def test_a_further_user_namespace_inside(self):
        r = self.probe("cat", "/proc/sys/kernel/overflowuid", flags=["--userns", "2"])
        self.assertEqual((r.status, r.out), (0, "65534\n"), r)


class Ranges(Case):
    """An unprivileged user with subordinate ids, in a mount namespace with files for it."""

    def setUp(self):
        if LANE != "user" or os.geteuid() != 0:
            self.skipTest("needs root to prepare a user with ranges")
        if not shutil.which("newuidmap"):
            self.skipTest("needs newuidmap (package uidmap)")
        if not os.path.exists("/etc/subuid") or not os.path.exists("/etc/subgid"):
            self.skipTest("needs /etc/subuid and /etc/subgid to put others over")
        super().setUp()
        for name, text in (("passwd", f"root:x:0:0::/:/bin/sh\nranges:x:{USER}:{USER}::/:/bin/sh\n"),
                           ("group", f"root:x:0:\nranges:x:{USER}:\n"), ("sub", RANGES)):
            self.write("../outside/" + name, text)

    def command(self, args):
        o = self.outside
        script = (f"mount --bind {o}/passwd /etc/passwd && mount --bind {o}/group /etc/group && "
                  f"mount --bind {o}/sub /etc/subuid && mount --bind {o}/sub /etc/subgid && "
                  f"exec setpriv --reuid {USER} --regid {USER} --clear-groups \"$@\"")
        return ["unshare", "-m", "--propagation", "private", "sh", "-c", script, "sh", DRIVER,
                *args]

    def options(self):
        return {"text": True, "cwd": "/"}

    def test_ranges_are_used_on_their_own(self):
        r = self.probe("ids", "cat", "/proc/self/uid_map", flags=["--user", "bob"])
        self.assertEqual(r.status, 0, r)
        self.assertEqual(r.lines[0], "ids: 1000:1001 10")
        self.assertEqual([x.split() for x in r.lines[1:]],
                         [["0", str(USER), "1"], ["1", "300000", "65536"]])

    def test_the_own_id_can_be_kept_among_them(self):
        r = self.probe("ids", "cat", "/proc/self/uid_map", flags=["--keep-id", "--userns", "3"])
        self.assertEqual(r.status, 0, r)
        self.assertEqual(r.lines[0], f"ids: {USER}:{USER}")
        self.assertEqual(sorted(x.split() for x in r.lines[1:]),
                         sorted([[str(USER), str(USER), "1"], ["0", "300000", str(USER)],
                                 [str(USER + 1), str(300000 + USER), str(65536 - USER)]]))


class Hostile(Case):
    def refused(self, message, *args, flags=(), status=125):
        r = self.probe(*(args or ("ids",)), flags=flags)
        self.assertEqual(r.status, status, r)
        self.assertIn(message, r.err)
        self.outside_is_untouched()

    def clear_mount_points(self):
        for name in ("proc", "dev", "sys"):
            if os.path.isdir(self.path(name)):
                os.rmdir(self.path(name))

    def test_kernel_mount_points_that_are_links(self):
        for name in ("proc", "dev", "sys"):
            for target in ("/", self.outside, "../outside", "/bin", "nowhere", name):
                self.clear_mount_points()
                self.link(target, name)
                self.refused(f"'/{name}' of the root file system is a symbolic link")
                os.unlink(self.path(name))

    def test_kernel_mount_points_that_are_files(self):
        for name in ("proc", "dev", "sys"):
            self.clear_mount_points()
            self.write(name, "")
            self.refused(f"'/{name}' of the root file system is not a directory")
            os.unlink(self.path(name))

    def test_a_bind_target_that_links_to_the_host_is_made_inside(self):
        self.link(self.outside, "data")
        r = self.probe("cat", "/data/f", flags=["--mount", "bind,/etc/hosts,/data/f,ro"])
        self.assertEqual(r.status, 0, r)
        self.outside_is_untouched()
        self.assertTrue(os.path.exists(self.root + self.outside + "/f"))

    def test_a_bind_target_that_climbs_out_is_made_inside(self):
        self.link("../../../../../../.." + self.outside, "data")
        r = self.probe("ids", flags=["--mount", "tmpfs,/data/x"])
        self.assertEqual(r.status, 0, r)
        self.outside_is_untouched()

    def test_bind_targets_in_proc_and_on_the_root(self):
        self.link("/", "self")
        self.link("/proc", "p")
        self.refused("mount target '/proc' lies in /proc", flags=["--mount", "tmpfs,/proc"])
        self.refused("mount target '/p/sys' lies in /proc", flags=["--mount", "tmpfs,/p/sys"])
        self.refused("mount target '/self' leads to the root itself",
                     flags=["--mount", "tmpfs,/self"])

    def test_link_loops(self):
        self.link("b", "a")
        self.link("a", "b")
        self.refused("'/a' of the root file system leads into a loop",
                     flags=["--mount", "tmpfs,/a"])
        self.refused("working directory: '/a/x' of the root file system leads into a loop",
                     flags=["--workdir", "/a/x"])

    def test_chains_of_dangling_links_end(self):
        for i in range(60):
            self.link(f"/l{i + 1}", f"l{i}")
        self.refused("working directory", flags=["--workdir", "/l0"])

    def test_a_workdir_that_links_out_is_made_inside(self):
        self.link(self.outside + "/new", "w")
        r = self.probe("cwd", flags=["--workdir", "/w/deep"])
        self.assertEqual(r.out, f"cwd: {self.outside}/new/deep\n", r)
        self.outside_is_untouched()

    def test_a_workdir_of_magic_links(self):
        for n in (3, 5, 7, 9):
            self.refused("working directory", flags=["--workdir", f"/proc/self/fd/{n}"])
        self.refused("magic link of /proc", flags=["--workdir", "/proc/self/root"])
        self.link("/proc/self/cwd", "w")
        self.refused("magic link of /proc", flags=["--workdir", "/w"])

    def test_a_workdir_that_is_a_file(self):
        self.refused("working directory: '/bin/probe' of the root file system is not a directory",
                     flags=["--workdir", "/bin/probe"])

    def test_our_own_executable_is_never_executed_inside(self):
        self.link("/proc/self/exe", "bin/self")
        self.write("bin/script", "#!/proc/self/exe\n", 0o755)
        self.write("bin/script2", "#!/bin/script\n", 0o755)
        for program in ("/proc/self/exe", "self", "script", "script2", "/dev/fd/0"):
            r = self.run_it(program)
            self.assertEqual(r.status, 126, (program, r))
            self.assertIn("leads through a magic link of /proc", r.err)

    def test_an_elf_interpreter_that_is_a_magic_link(self):
        elf = bytearray(200)
        elf[0:16] = b"\x7fELF\x02\x01\x01" + bytes(9)
        elf[16:20] = (2).to_bytes(2, "little") + (62).to_bytes(2, "little")
        elf[32:40] = (64).to_bytes(8, "little")
        elf[54:58] = (56).to_bytes(2, "little") + (1).to_bytes(2, "little")
        elf[64:68] = (3).to_bytes(4, "little")
        elf[72:80] = (128).to_bytes(8, "little")
        elf[96:104] = (15).to_bytes(8, "little")
        elf[128:143] = b"/proc/self/exe\0"
        with open(self.path("bin/elf"), "wb") as f:
            f.write(bytes(elf) + bytes(200))
        os.chmod(self.path("bin/elf"), 0o755)
        r = self.run_it("elf")
        self.assertEqual(r.status, 126, r)
        self.assertIn("interpreter '/proc/self/exe' leads through a magic link of /proc", r.err)

    def test_passwd_that_is_a_directory_or_huge(self):
        os.unlink(self.path("etc/group"))
        os.mkdir(self.path("etc/group"))
        self.refused("'/etc/group' of the image is not a regular file")
        with open(self.path("etc/passwd"), "wb") as f:
            f.truncate(1 << 40)
        self.refused("'/etc/passwd' of the image has more than 1048576 bytes")

    def test_etc_that_links_to_the_hosts(self):
        shutil.rmtree(self.path("etc"))
        self.link("../../../../../.." + self.outside, "etc")
        self.write("../outside/passwd", "daemon:x:1:1::/:/x\n")
        r = self.probe("ids", flags=["--user", "daemon"])
        self.assertEqual((r.status, r.err),
                         (125, "driver: user 'daemon' is not in /etc/passwd of the image\n"))

    def test_a_dangling_resolv_conf_is_bound_inside(self):
        self.link("../run/systemd/resolve/stub.conf", "etc/hosts")
        r = self.probe("cat", "/etc/hosts", flags=["--hosts"])
        self.assertEqual(r.status, 0, r)
        self.assertTrue(os.path.exists(self.path("run/systemd/resolve/stub.conf")))

    def test_a_root_without_anything(self):
        shutil.rmtree(self.path("etc"))
        r = self.probe("ids", "env")
        self.assertEqual(r.status, 0, r)
        self.assertIn("env: HOME=/root", r.lines)


def allowed():
    """None, or why nothing can be tested here."""
    if LANE == "root" and os.geteuid() != 0:
        return "needs root"
    args = ["true"] if LANE == "root" else ["unshare", "-Ur", "true"]
    if LANE == "root":
        args = ["unshare", "-m", "true"]
    demote = become_user if LANE == "user" and os.geteuid() == 0 else None
    p = subprocess.run(args, capture_output=True, text=True, check=False, preexec_fn=demote)
    return None if p.returncode == 0 else p.stderr.strip()


if __name__ == "__main__":
    reason = allowed()
    if reason:
        print(f"skipped: {reason}")
        sys.exit(77)
    unittest.main(argv=[sys.argv[0], *sys.argv[4:]], verbosity=2)
