"""What a generated reward may use of Python and of its packages, and what it is called."""

from __future__ import annotations

import numpy as np

FUNCTION = "compute_dense_reward"
ARGUMENTS = ("self", "action")
PACKAGES = ("numpy", "math", "scipy")
USUAL = {"np": "import numpy as np", "numpy": "import numpy", "math": "import math", "scipy": "import scipy"}

BUILTINS = frozenset(
    """
    abs all any bool dict enumerate filter float frozenset int isinstance len list map max min pow print range
    reversed round set slice sorted str sum tuple zip True False None ArithmeticError Exception IndexError
    KeyError ValueError ZeroDivisionError
    """.split()  # noqa: SIM905  # a column of words would be a page
)
"""The built-ins that a reward gets."""
DENIED = frozenset(
    """
    random ctypeslib f2py distutils testing io datasets lib load save savez savez_compressed loadtxt savetxt
    genfromtxt fromfile tofile fromregex memmap DataSource open_memmap dump dumps setflags format format_map
    source show_config ctypes os sys subprocess
    """.split()  # noqa: SIM905  # a column of words would be a page
)
"""Attributes that read or write files, draw random numbers or lead out of numbers, wherever they stand."""

ARRAY_NAMES = frozenset(name for name in dir(np.ndarray) if not name.startswith("_")) - DENIED
NUMBER_NAMES = frozenset(name for name in dir(float) if not name.startswith("_")) | {"item"}
