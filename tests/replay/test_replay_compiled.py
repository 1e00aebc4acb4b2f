"""How functions are compiled: those inside can only be called by compiled ones."""

import numba
import pytest

from tightrope.replay.compiled import jit


@jit
def twice(number: int) -> int:
    return 2 * number


def test_a_compiled_function_calls_one_that_python_can_not() -> None:
    outer = numba.njit(_nrt=False)(lambda number: twice(number) + 1)
    assert outer(3) == 7
    with pytest.raises(TypeError, match=r"twice was called from Python.*call twice.py_func"):
        twice(3)
