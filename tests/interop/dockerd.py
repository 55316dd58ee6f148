# SPDX-License-Identifier: Apache-2.0
"""A dockerd of one's own: data, sockets and logs in one folder, no network, nothing of the machine's."""
import os
import shutil
import subprocess
import time


def why_not():
    """None if there is a dockerd to try."""
    if not shutil.which("dockerd") or not docker():
        return "no dockerd"
    return None


def docker():
    """The real client: other programs go by that name, too."""
    return next((p for p in ("/usr/bin/docker", "/usr/local/bin/docker") if os.access(p, os.X_OK)
                 and b"Docker version" in subprocess.run([p, "--version"], capture_output=True,
                                                         check=False).stdout), None)


class Dockerd:
    """with Dockerd(folder, driver) as d: d.ok("build", …). Raises Unavailable if it does not start."""

    class Unavailable(Exception):
        pass

    def __init__(self, folder, driver="overlay2", options=()):
        self.dir, self.driver, self.options, self.process = folder, driver, options, None
        self.host = f"unix://{folder}/docker.sock"
        self.client = docker()

    def __enter__(self):
        os.makedirs(self.dir)
        with open(self.dir + "/daemon.json", "w", encoding="utf-8") as f:
            f.write("{}")
        with open(self.dir + "/log", "wb") as log:
            self.process = subprocess.Popen(
                ["dockerd", "--config-file", self.dir + "/daemon.json", "--data-root", self.dir + "/data",
                 "--exec-root", self.dir + "/exec", "--pidfile", self.dir + "/pid", "-H", self.host,
                 "--storage-driver", self.driver, "--iptables=false", "--ip6tables=false",
                 "--ip-forward=false", "--ip-masq=false", "--bridge=none", *self.options],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
        end = time.monotonic() + 60
        while time.monotonic() < end:
            if self.run("version").returncode == 0:
                return self
            if self.process.poll() is not None:
                break
            time.sleep(0.05)
        self.__exit__()
        with open(self.dir + "/log", encoding="utf-8", errors="replace") as f:
            last = f.read().strip().splitlines()[-1:]
        raise Dockerd.Unavailable(f"dockerd does not start with {self.driver}: {''.join(last)[-300:]}")

    def __exit__(self, *args):
        if self.process.poll() is None:
            self.process.terminate()
        try:
            self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def run(self, *args, **more):
        env = {**os.environ, "DOCKER_HOST": self.host, "DOCKER_BUILDKIT": "0",
               "DOCKER_CONFIG": self.dir}
        return subprocess.run([self.client, *args], env=env, capture_output=True, text=True,
                              timeout=120, check=False, **more)

    def ok(self, *args, **more):
        r = self.run(*args, **more)
        if r.returncode:
            raise AssertionError(f"docker {' '.join(args)}: {r.stdout}{r.stderr}")
        return r.stdout.strip()
