"""Kernel calls that Python 3.11 does not offer: namespaces, mounts, capabilities, a system-call filter.

They go through ctypes, so that nothing has to be compiled. Each raises `OSError` when the kernel refuses, but for those
that only add to a wall which already stands; these say whether they worked.
"""

from __future__ import annotations

import ctypes
import functools
import os
import platform
import sys

NEW_MOUNTS = 0x00020000
NEW_IPC = 0x08000000
NEW_PIDS = 0x20000000

BIND, MOVE, RECURSIVE, PRIVATE = 0x1000, 0x2000, 0x4000, 0x40000
NO_SETUID, NO_DEVICES = 0x2, 0x4

_SET_DEATH_SIGNAL, _SET_DUMPABLE, _SET_FILTER, _SET_SUBREAPER, _NO_NEW_PRIVILEGES = 1, 4, 22, 36, 38
_READ_BOUNDING, _DROP_BOUNDING = 23, 24

LINUX = sys.platform == "linux"
_libc = ctypes.CDLL(None, use_errno=True) if LINUX else None

DENIED = {
    # name: (x86_64, aarch64); what no ordinary program needs, and what past kernel exploits came through
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "keyctl": (250, 219),
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "userfaultfd": (323, 282),
    "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "chroot": (161, 51),
    "unshare": (272, 97),
    "setns": (308, 268),
    "open_tree": (428, 428),
    "move_mount": (429, 429),
    "fsopen": (430, 430),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "mount_setattr": (442, 442),
    "name_to_handle_at": (303, 264),
    "open_by_handle_at": (304, 265),
    "init_module": (175, 105),
    "finit_module": (313, 273),
    "delete_module": (176, 106),
    "kexec_load": (246, 104),
    "syslog": (103, 116),
    "personality": (135, 92),
    "memfd_create": (319, 279),  # this and the next two: memory that no limit of ours would count
    "memfd_secret": (447, 447),
    "shmget": (29, 194),
}
_SOCKET = (41, 198)
_SOCKET_FAMILIES = (1, 2, 10)  # local, IPv4, IPv6: a vsock (40), for one, is not held back by a network namespace
_ARCHITECTURES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}
_PERMISSION, _NO_FAMILY, _NO_CALL = 1, 97, 38


def _check(result: int, what: str) -> None:
    if result:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def unshare(flags: int) -> None:
    """Leave the namespaces in `flags` for new ones; a process namespace begins with the next child."""
    assert _libc is not None
    _check(_libc.unshare(ctypes.c_int(flags)), "unshare")


def mount(source: str, target: str, kind: str | None, flags: int, options: str | None = None) -> None:
    """The system call mount(2)."""
    assert _libc is not None
    result = _libc.mount(
        source.encode(),
        target.encode(),
        None if kind is None else kind.encode(),
        ctypes.c_ulong(flags),
        None if options is None else options.encode(),
    )
    _check(result, f"mount {target}")


def _prctl(option: int, *values: int) -> int:
    if _libc is None:
        return -1
    padded = [*values, 0, 0, 0, 0][:4]
    return int(_libc.prctl(ctypes.c_int(option), *(ctypes.c_ulong(value) for value in padded)))


def set_readable_by_others(readable: bool) -> None:
    """Whether processes of the same user may look into this one (ptrace, /proc/PID/mem, /proc/PID/fd)."""
    _prctl(_SET_DUMPABLE, int(readable))


def adopt_orphans() -> bool:
    """Become the parent of all descendants whose own parent ends, so that they can be found and killed."""
    return _prctl(_SET_SUBREAPER, 1) == 0


def die_with_parent(signal_number: int) -> None:
    """Get a signal when the parent ends."""
    _prctl(_SET_DEATH_SIGNAL, signal_number)


def drop_capabilities() -> None:
    """Give up every capability for good: all that are held, those that could come back, and what setuid files would give."""
    if _libc is None:
        return
    for capability in _bounding_set():
        if _prctl(_DROP_BOUNDING, capability):
            break  # no right to change the set: then there is none to gain from it either, with the next line
    _prctl(_NO_NEW_PRIVILEGES, 1)
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)
    _check(_libc.capset(header, (ctypes.c_uint32 * 6)()), "capset")


@functools.cache
def _bounding_set() -> tuple[int, ...]:
    """The capabilities that this process could ever get; asked once, before any fork."""
    return tuple(capability for capability in range(64) if _prctl(_READ_BOUNDING, capability) == 1)


def prepare() -> None:
    """Work out, before the forks, what each of them would have to work out again."""
    _bounding_set()
    _filter_program()


class _Instruction(ctypes.Structure):
    _fields_ = [("code", ctypes.c_uint16), ("yes", ctypes.c_uint8), ("no", ctypes.c_uint8), ("value", ctypes.c_uint32)]


class _Filter(ctypes.Structure):
    _fields_ = [("length", ctypes.c_uint16), ("instructions", ctypes.POINTER(_Instruction))]


def filter_system_calls() -> bool:
    """Refuse the system calls in `DENIED` and unusual sockets from now on, for this process and its children.

    Returns:
        False where the processor is one that the table does not know, or the kernel has no filters.
    """
    program = _filter_program()
    if program is None:
        return False
    _prctl(_NO_NEW_PRIVILEGES, 1)
    return _prctl(_SET_FILTER, 2, ctypes.addressof(program)) == 0


@functools.cache
def _filter_program() -> _Filter | None:
    known = _ARCHITECTURES.get(platform.machine())
    if not LINUX or known is None:
        return None
    column, architecture = known
    load, equal, above, answer = 0x20, 0x15, 0x35, 0x06
    allow, kill, refuse = 0x7FFF0000, 0x80000000, 0x00050000
    lines: list[tuple[int, int, int, int]] = [
        (load, 0, 0, 4),  # the architecture of the call
        (equal, 1, 0, architecture),
        (answer, 0, 0, kill),
        (load, 0, 0, 0),  # the number of the call
        (above, 0, 1, 0x40000000),  # the x32 numbering would be a way round the table
        (answer, 0, 0, refuse | _NO_CALL),
    ]
    for numbers in DENIED.values():
        lines += [(equal, 0, 1, numbers[column]), (answer, 0, 0, refuse | _PERMISSION)]
    lines += [(equal, 1, 0, _SOCKET[column]), (answer, 0, 0, allow), (load, 0, 0, 16)]
    for family in _SOCKET_FAMILIES:
        lines += [(equal, 0, 1, family), (answer, 0, 0, allow)]
    lines.append((answer, 0, 0, refuse | _NO_FAMILY))
    table = (_Instruction * len(lines))(*(_Instruction(*line) for line in lines))
    return _Filter(len(lines), table)
