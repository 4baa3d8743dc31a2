"""Run one container's command as a process that cannot outlive the local AWS.

Started as `python -I -S supervisor.py SPEC` with the container's own environment, it stays the
command's parent: it passes SIGTERM on to the command, and when the command ends, when it receives
SIGUSR1, or when the local AWS dies (the parent-death signal), it kills everything the command
left running, as the end of a container does. SPEC is JSON:

    argv      the command
    cwd       where it starts
    tree      the folder to show as /opt/ml, or null
    hosts     the file to show as /etc/hosts if there is a tree, or null
    user      whether namespaces need a user namespace of their own
    isolate   whether to run without network (a loopback of its own is all it sees)
    parent    pid of the local AWS

It imports the standard library alone and never `local`: a container's interpreter path is not ours.
"""

import contextlib
import ctypes
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

CLONE_NEWNS, CLONE_NEWUSER, CLONE_NEWNET = 0x00020000, 0x10000000, 0x40000000
MS_BIND, MS_REC, MS_PRIVATE = 0x1000, 0x4000, 0x40000
PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36
NOT_FOUND, KILLED = 127, 137

_libc = ctypes.CDLL(None, use_errno=True)


def check(result: int) -> None:
    """Raise OSError if a C call failed."""
    if result != 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))


def mount(
    source: "str | None", target: str, kind: "str | None", flags: int, data: str = ""
) -> None:
    """Call mount(2)."""
    encoded = [None if text is None else text.encode() for text in (source, target, kind)]
    check(_libc.mount(*encoded, ctypes.c_ulong(flags), data.encode() or None))


def enter_namespaces(tree: "str | None", user: bool, isolate: bool) -> None:
    """Give this process its own mounts, with `tree` as /opt/ml, and its own network if asked."""
    uid, gid = os.getuid(), os.getgid()
    flags = (
        (CLONE_NEWNS if tree else 0)
        | (CLONE_NEWNET if isolate else 0)
        | (CLONE_NEWUSER if user else 0)
    )
    check(_libc.unshare(flags))
    if user:
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"{uid} {uid} 1")
        Path("/proc/self/gid_map").write_text(f"{gid} {gid} 1")
    if isolate:
        raise_loopback()
    if tree:
        mount_opt_ml(tree)


def mount_opt_ml(tree: str) -> None:
    """Show `tree` as /opt/ml; whatever else /opt holds stays visible."""
    mount(None, "/", None, MS_REC | MS_PRIVATE)
    # By descriptor, since the folder may itself lie under the /opt that is about to be covered.
    source = f"/proc/self/fd/{os.open(tree, os.O_PATH | os.O_DIRECTORY)}"
    if not Path("/opt/ml").is_dir():
        cover_opt()
    mount(source, "/opt/ml", None, MS_BIND | MS_REC)


def cover_opt() -> None:
    """Replace /opt by a folder that has `ml` and, bound into it, all that /opt had."""
    original = Path(f"/proc/self/fd/{os.open('/opt', os.O_PATH | os.O_DIRECTORY)}")
    entries = sorted(original.iterdir())
    mount("tmpfs", "/opt", "tmpfs", 0, "mode=755,size=1m")
    for entry in entries:
        target = Path("/opt", entry.name)
        if entry.is_symlink():
            target.symlink_to(entry.readlink())
            continue
        if entry.is_dir():
            target.mkdir()
        else:
            target.touch()
        mount(str(entry), str(target), None, MS_BIND | MS_REC)
    Path("/opt/ml").mkdir()


def raise_loopback() -> None:
    """Bring `lo` up in a new network namespace."""
    import fcntl
    import socket
    import struct

    set_flags, up = 0x8914, 0x1
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        fcntl.ioctl(control, set_flags, struct.pack("16sh", b"lo", up))


def run(spec: "dict[str, Any]", supervisor: int) -> None:
    """Become the command, in the child that was forked for it."""
    try:
        if spec["tree"] or spec["isolate"]:
            enter_namespaces(spec["tree"], spec["user"], spec["isolate"])
            if spec["hosts"] and Path("/etc/hosts").is_file():
                mount(spec["hosts"], "/etc/hosts", None, MS_BIND)
        _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != supervisor:
            os._exit(KILLED)
        os.setpgid(0, 0)
        os.chdir(spec["cwd"])
        signal.pthread_sigmask(signal.SIG_SETMASK, [])
        os.execvpe(spec["argv"][0], spec["argv"], os.environ)  # noqa: S606 - the command is the point
    except OSError as error:
        os.write(2, f"{spec['argv'][0]}: {error.strerror}\n".encode())
    os._exit(NOT_FOUND)


def kill_all(command: int) -> None:
    """Kill the command's process group, then whatever was reparented to us, until none is left."""
    with contextlib.suppress(ProcessLookupError):  # the group is gone already
        os.killpg(command, signal.SIGKILL)
    children = Path(f"/proc/self/task/{os.getpid()}/children")
    while True:
        for pid in children.read_text().split():
            os.kill(int(pid), signal.SIGKILL)
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            return


def reap(command: int) -> "int | None":
    """Collect the children that ended; return the command's exit code if it is among them."""
    code = None
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return code
        if pid == 0:
            return code
        if pid == command:
            ended = os.waitstatus_to_exitcode(status)
            code = ended if ended >= 0 else 128 - ended


def main() -> int:
    """Supervise the command; return its exit code, 128 + signal if a signal ended it."""
    spec = json.loads(sys.argv[1])
    watched = {signal.SIGTERM, signal.SIGUSR1, signal.SIGCHLD}
    signal.pthread_sigmask(signal.SIG_BLOCK, watched)
    _libc.prctl(PR_SET_CHILD_SUBREAPER, 1)
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGUSR1)
    if os.getppid() != spec["parent"]:
        return KILLED
    supervisor = os.getpid()
    command = os.fork()
    if command == 0:
        run(spec, supervisor)
    while True:
        received = signal.sigwait(watched)
        if received == signal.SIGUSR1:
            kill_all(command)
            return KILLED
        if received == signal.SIGTERM:
            os.kill(command, signal.SIGTERM)
        elif (code := reap(command)) is not None:
            kill_all(command)
            return code


if __name__ == "__main__":
    os._exit(main())
