"""Every Python example in the README and the docs runs as printed: the blocks of a page in order, in one namespace.

Each page has a process of its own, forked from one that has the heavy libraries loaded: loading them is most of the time
that a page takes otherwise.
"""

from __future__ import annotations

import multiprocessing
import os
import re
import runpy
import signal
import sys
import traceback
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def blocks(page: Path) -> list[str]:
    return BLOCK.findall(page.read_text(encoding="utf-8"))


PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["torch", "transformers.models.llama.modeling_llama"])
SECONDS = 240


def run_page(script: str, output: str) -> None:
    """Run a script as `python script` would, in this process, with what it prints in a file."""
    os.setpgid(0, 0)
    file = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(file, 1)
    os.dup2(file, 2)
    # examples refer to files of the repository by relative path, and write only where they are told to
    os.chdir(ROOT)
    sys.argv = [script]
    try:
        runpy.run_path(script, run_name="__main__")
    except BaseException:
        traceback.print_exc()
        raise
    finally:
        sys.stdout.flush()


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page)], ids=lambda page: str(page.relative_to(ROOT)))
def test_the_examples_of_a_page_run(page: Path, tmp_path: Path) -> None:
    script, output = tmp_path / "page.py", tmp_path / "output.txt"
    script.write_text("\n\n".join(blocks(page)), encoding="utf-8")
    process = PROCESSES.Process(target=run_page, args=(str(script), str(output)))
    process.start()
    process.join(SECONDS)
    if process.is_alive():
        assert process.pid is not None
        os.killpg(process.pid, signal.SIGKILL)
        process.join()
        pytest.fail(f"not finished after {SECONDS} s: {output.read_text(encoding='utf-8')[-3000:]}")
    assert process.exitcode == 0, output.read_text(encoding="utf-8")[-3000:]


def test_links_between_pages_lead_somewhere() -> None:
    missing = []
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
            if not target.startswith(("http:", "https:", "mailto:")) and not (page.parent / target).exists():
                missing.append(f"{page.relative_to(ROOT)} -> {target}")
    assert not missing
