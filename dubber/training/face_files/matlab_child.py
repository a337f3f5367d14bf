"""Run as a program: reads variables of a MATLAB file, and writes each as plain numpy files.

The parser is native code that damaged bytes make fall; here it takes no other work with it.

    python matlab_child.py FILE FOLDER NAME...

A variable becomes FOLDER/NAME.npy; one of cells becomes FOLDER/NAME/00000.npy and so on. Nothing in such a
file is ever run.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any


def main(file: str, folder: str, *names: str) -> None:
    """Read and write.

    Raises:
        Exception: The file is damaged; parsers fail in many ways.
    """
    import numpy as np
    from scipy.io import loadmat

    variables: dict[str, Any] = loadmat(file, variable_names=list(names))
    for name in names:
        value = variables.get(name)
        if isinstance(value, np.ndarray) and value.dtype == object:
            (Path(folder) / name).mkdir()
            for number, cell in enumerate(value.reshape(-1)):
                np.save(Path(folder) / name / f"{number:05d}.npy", cell, allow_pickle=False)
        elif value is not None:
            np.save(Path(folder) / f"{name}.npy", value, allow_pickle=False)


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except Exception as error:
        sys.exit(f"{type(error).__name__}: {error}")
