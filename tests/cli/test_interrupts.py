"""Ctrl-C is heard whatever is being done."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path


def test_ctrl_c_while_a_library_is_imported_is_not_lost(tmp_path: Path) -> None:
    (tmp_path / "greedy.py").write_text(
        textwrap.dedent("""
            import os, signal, time
            try:
                os.kill(os.getpid(), signal.SIGINT)
                time.sleep(0.2)
            except BaseException:
                print("swallowed")
        """)
    )
    script = """
        import signal, time
        from dubber.cli import app
        signal.signal(signal.SIGINT, app._interrupt)
        import greedy
        try:
            time.sleep(30)
        except KeyboardInterrupt:
            print("heard")
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env={"PYTHONPATH": f"{tmp_path}:{Path(__file__).parents[2]}", "PATH": ""},
    )
    assert done.stdout.split() == ["heard"], done.stderr
