"""What a program can reach. With bubblewrap: nothing. Without: the report says so, and these tests check that it does."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from rewardlab.sandbox import Sandbox, status

pytestmark = pytest.mark.xdist_group("sandbox")


def contained(box: Sandbox, wall: str) -> bool:
    """Whether this wall can be tested here; where nothing isolates, that it is reported as missing."""
    if not box.isolated:
        state = status()
        assert state.isolated is False
        assert state.reason
        assert any(wall in entry for entry in state.unprotected)
    return box.isolated


def test_no_connection_to_this_machine(box):
    if not contained(box, "network"):
        return
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        code = f"import socket\ntry:\n    socket.create_connection(('127.0.0.1', {port}), 1)\n    print('through')\nexcept OSError as e:\n    print('refused')"
        assert box.run(code).stdout == "refused\n"


@pytest.mark.parametrize("family", ["socket.AF_NETLINK", "socket.AF_PACKET", "40"])
def test_no_unusual_sockets(box, family):
    if not contained(box, "system calls"):
        return
    code = f"import socket\ntry:\n    socket.socket({family}, socket.SOCK_RAW if {family} != 40 else socket.SOCK_STREAM)\n    print('open')\nexcept OSError as e:\n    print('refused')"
    assert box.run(code).stdout == "refused\n"


def test_no_name_resolution_and_no_way_out(box):
    if not contained(box, "network"):
        return
    code = "import socket\nfor target in ('192.0.2.1', '8.8.8.8'):\n    try:\n        socket.create_connection((target, 53), 1)\n        print('through')\n    except OSError as e:\n        print(e.errno)"
    assert box.run(code).stdout == "101\n101\n"  # network is unreachable


def test_sockets_between_own_threads_work(box):
    code = "import socket\na, b = socket.socketpair()\na.send(b'x')\nprint(b.recv(1))"
    assert box.run(code).stdout == "b'x'\n"


@pytest.mark.parametrize(
    "path", ["/etc/shadow", "/etc/passwd", "/etc/hostname", "/var/log", "/boot", "/sys/kernel", "/run", "/home"]
)
def test_no_view_of_the_system(box, path):
    if not contained(box, "/etc"):
        return
    assert box.run(f"import os; print(os.path.exists({path!r}))").stdout == "False\n"


def test_no_view_of_home_or_of_our_files(box, tmp_path):
    if not contained(box, "home"):
        return
    secret = tmp_path / "secret"
    secret.write_text("mine")
    secret.chmod(0o644)
    here = Path(__file__).resolve()
    code = f"import os\nprint([p for p in {[str(secret), str(here), str(Path.home() / '.bashrc'), os.getcwd()]!r} if os.path.exists(p)])"
    assert box.run(code).stdout == "[]\n"


def test_no_writing_outside_the_scratch_folder(box):
    if not contained(box, "writing"):
        return
    code = (
        "import os, sys, sysconfig\n"
        "for folder in ('/', '/dev', '/usr/lib', '/guest', '/guest/rewardlab/sandbox/inside', '/scratch', '/proc', '/etc',\n"
        "               sysconfig.get_path('stdlib'), os.path.dirname(sys.executable), os.path.expanduser('~root')):\n"
        "    try:\n"
        "        open(os.path.join(folder, 'mine'), 'w').close()\n"
        "        print('wrote', folder)\n"
        "    except OSError:\n"
        "        pass\n"
    )
    assert box.run(code).stdout == ""


def test_the_interpreter_cannot_be_deleted(box):
    if not contained(box, "writing"):
        return
    code = (
        "import os, shutil, sys, sysconfig\n"
        "for victim in (os.path.realpath(sys.executable), sysconfig.get_path('stdlib') + '/os.py'):\n"
        "    for action in (os.unlink, lambda p: os.rename(p, p + 'x'), lambda p: os.chmod(p, 0), lambda p: open(p, 'r+b')):\n"
        "        try:\n"
        "            action(victim)\n"
        "            print('did it', victim)\n"
        "        except OSError:\n"
        "            pass\n"
        "shutil.rmtree(sysconfig.get_path('stdlib'), ignore_errors=True)\n"
    )
    assert box.run(code).stdout == ""
    assert box.run("import email, sqlite3.dbapi2 as d; print(len(email.__all__) > 1)").stdout == "True\n"
    assert os.path.exists(os.__file__)


def test_symbolic_links_lead_nowhere(box, tmp_path):
    if not contained(box, "home"):
        return
    (tmp_path / "secret").write_text("mine")
    code = (
        "import os\n"
        f"for number, target in enumerate(['/etc/shadow', {str(tmp_path)!r}, '/proc/1/root', '/proc/1/cwd', '/proc/self/root/../../home']):\n"
        "    os.symlink(target, str(number))\n"
        "    try:\n"
        "        print(os.listdir(str(number)) if number else open(str(number)).read())\n"
        "    except OSError:\n"
        "        pass\n"
        "os.symlink('/proc/self/exe', 'exe')\n"
        "try:\n"
        "    open('exe', 'r+b')\n"
        "    print('opened')\n"
        "except OSError:\n"
        "    pass\n"
    )
    result = box.run(code)
    assert result.stdout == ""
    assert (tmp_path / "secret").read_text() == "mine"


def test_nothing_is_left_for_the_next_program():
    with Sandbox(1) as pool:
        leave = (
            "for path in ('here', '/tmp/there', '/dev/shm/everywhere'):\n    open(path, 'w').write('x')\nprint('left')"
        )
        look = "import os\nprint(os.listdir('.'), os.listdir('/dev/shm') if {0} else [], [n for n in os.listdir('/tmp') if n == 'there' and {0}])"
        if not pool.isolated:
            leave = "open('here', 'w').write('x')\nprint('left')"
        assert pool.run(leave).stdout == "left\n"
        assert pool.run(look.replace("{0}", str(pool.isolated))).stdout == "[] [] []\n"


def test_no_other_program_and_no_supervisor_can_be_touched(box):
    if not contained(box, "processes"):
        return
    code = (
        "import os, ctypes\n"
        "opened = []\n"
        "for entry in os.listdir('/proc'):\n"
        "    if entry.isdigit() and os.readlink('/proc/self') != entry:\n"
        "        for name in ('mem', 'environ', 'maps', 'fd', 'cwd', 'root', 'task/' + entry + '/mem'):\n"
        "            try:\n"
        "                path = f'/proc/{entry}/{name}'\n"
        "                os.listdir(path) if name == 'fd' else os.readlink(path) if name in ('cwd', 'root') else open(path, 'rb').read(1)\n"
        "                opened.append(path)\n"
        "            except OSError:\n"
        "                pass\n"
        "print(opened)\n"
        "libc = ctypes.CDLL(None, use_errno=True)\n"
        "print(libc.ptrace(16, os.getppid(), 0, 0), libc.ptrace(16, 1, 0, 0))\n"
        "print(os.getppid())\n"
    )
    assert box.run(code).stdout == "[]\n-1 -1\n1\n"


def test_no_capabilities_no_new_ones_and_a_filter(box):
    if not contained(box, "capabilities"):
        return
    code = "print({line.split(':')[0]: line.split()[1] for line in open('/proc/self/status') if line.startswith(('Cap', 'NoNew', 'Seccomp:', 'Uid'))})"
    state = eval_literal(box.run(code).stdout)
    assert {state[name].strip("0") for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")} == {""}
    assert (state["NoNewPrivs"], state["Seccomp"]) == ("1", "2")
    assert state["Uid"] != "0"


def eval_literal(text: str) -> dict[str, str]:
    import ast

    value = ast.literal_eval(text)
    assert isinstance(value, dict)
    return value


@pytest.mark.parametrize(
    "call",
    [
        "libc.unshare(0x10000000)",  # a user namespace of its own, where it would have capabilities again
        "libc.unshare(0x00020000)",
        "libc.mount(b'tmpfs', b'/tmp', b'tmpfs', 0, None)",
        "libc.umount2(b'/tmp', 2)",
        "libc.chroot(b'/tmp')",
        "libc.syscall(KEYCTL, 0, -3, 0)",  # keys would outlive the program
        "libc.syscall(MEMFD, b'x', 0)",  # memory that no limit counts
        "libc.syscall(BPF, 0, 0, 0)",
        "libc.syscall(IO_URING, 1, 0)",
    ],
)
def test_system_calls_that_are_refused(box, call):
    if not contained(box, "system calls"):
        return
    numbers = {"KEYCTL": (250, 219), "MEMFD": (319, 279), "BPF": (321, 280), "IO_URING": (425, 425)}
    column = 0 if os.uname().machine == "x86_64" else 1
    for name, pair in numbers.items():
        call = call.replace(name, str(pair[column]))
    code = f"import ctypes\nlibc = ctypes.CDLL(None, use_errno=True)\nprint({call}, ctypes.get_errno())"
    assert box.run(code).stdout == "-1 1\n"
