"""Kernels on rows of numbers, by name: `get("rbf:1")`, `get("rq:.2,.5,1+dot")`.

    kernel  = term , { "+" , term } ;
    term    = name , [ ":" , number , { "," , number } ] ;

A term with several numbers is the sum over them. With d2 = |a - b|^2:

    rbf:s       exp(-d2 / (2 s^2))
    rq:a        (1 + d2 / (2 a))^(-a)
    laplace:s   exp(-|a - b| / s)
    distance    |a| + |b| - |a - b|            (twice the energy distance's kernel)
    dot:c       c a . b
    poly:p      (a . b / d + 1)^p              for rows of d numbers

Sources: Li et al. (2017) for sums of rbf; Binkowski et al. (2018), section 2.1, for
rq, distance, dot and poly. Squared distances are differences first and squares after,
in the precision of the rows, so that functions of them lose nothing for rows far from
the origin; it takes n m d numbers of memory.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from decimal import Decimal
from typing import Any, NamedTuple

from keras import backend, ops

from gantf.choices import choose


class _Family(NamedTuple):
    """A kernel family.

    Attributes:
      of: (squared distances or dot products, parameter, row length) -> values.
      default: the parameters where none are given; () for a family without any.
      diagonal: k(a, a) where that is the same for all a, or None.
      whole: whether the parameter is a whole number.
    """

    of: Callable[[Any, float, int], Any]
    default: tuple[float, ...]
    diagonal: float | None
    whole: bool = False


def squared_distances(x: Any, y: Any) -> Any:
    """|x_i - y_j|^2 for all pairs: (n, d), (m, d) -> (n, m)."""
    return ops.sum(ops.square(x[:, None, :] - y[None, :, :]), axis=-1)


def _rows(*samples: Any) -> list[Any]:
    """The samples as tensors of one float type, checked."""
    tensors = [ops.convert_to_tensor(sample) for sample in samples]
    shapes = [tuple(tensor.shape) for tensor in tensors]
    if any(len(shape) != 2 for shape in shapes) or shapes[0][1] != shapes[1][1]:
        shown = " and ".join(map(str, shapes))
        raise ValueError(f"a kernel compares rows (n, d) and (m, d), not {shown}")
    dtype = backend.result_type(*(tensor.dtype for tensor in tensors), float)
    return [ops.cast(tensor, dtype) for tensor in tensors]


def _root(squares):
    """The square root, with gradient 0 at 0."""
    positive = squares > 0
    return ops.where(positive, ops.sqrt(ops.where(positive, squares, 1.0)), 0.0)


def _rbf(d2, s, _):
    return ops.exp(d2 * (-0.5 / s**2))


def _rq(d2, a, _):
    return ops.exp(-a * ops.log1p(d2 / (2 * a)))


def _laplace(d2, s, _):
    return ops.exp(-_root(d2) / s)


_RADIAL = {  # functions of the squared distance
    "rbf": _Family(_rbf, (1.0,), 1.0),
    "rq": _Family(_rq, (0.2, 0.5, 1.0, 2.0, 5.0), 1.0),
    "laplace": _Family(_laplace, (1.0,), 1.0),
}
_PRODUCT = {  # functions of the dot product
    "dot": _Family(lambda xy, c, d: c * xy, (1.0,), None),
    "poly": _Family(lambda xy, p, d: (xy / d + 1.0) ** p, (3.0,), None, whole=True),
}
_OTHER = {"distance": _Family(lambda *_: None, (), None)}
_FAMILIES = {**_RADIAL, **_PRODUCT, **_OTHER}


@dataclasses.dataclass(frozen=True)
class Kernel:
    """A sum of kernels; `k(x, y)` of rows (n, d) and (m, d) is (n, m).

    Attributes:
      terms: (family, parameter) pairs; None where the family has no parameter.
    """

    terms: tuple[tuple[str, float | None], ...]

    def __call__(self, x: Any, y: Any) -> Any:
        x, y = _rows(x, y)
        names = {name for name, _ in self.terms}
        total = 0.0
        if names & {*_RADIAL, "distance"}:
            d2 = squared_distances(x, y)
            total = total + self._sum(_RADIAL, d2, x.shape[-1])
        if names & set(_PRODUCT):
            product = ops.matmul(x, ops.transpose(y))
            total = total + self._sum(_PRODUCT, product, x.shape[-1])
        if "distance" in names:
            norms = [_root(ops.sum(ops.square(rows), axis=-1)) for rows in (x, y)]
            times = sum(name == "distance" for name, _ in self.terms)
            total = total + times * (norms[0][:, None] + norms[1] - _root(d2))
        return total

    def of_squares(self, d2: Any) -> Any:
        """The kernel of squared distances, for kernels that are functions of them.

        Raises:
          ValueError: a kernel that has another term.
        """
        other = [name for name, _ in self.terms if name not in _RADIAL]
        if other:
            raise ValueError(
                f"kernel {self} is no function of the distance, for its {other[0]}; "
                f"such are {', '.join(_RADIAL)}"
            )
        return self._sum(_RADIAL, d2, 0)

    @property
    def diagonal(self) -> float | None:
        """k(a, a) where it is the same for all rows a, or None."""
        values = [_FAMILIES[name].diagonal for name, _ in self.terms]
        return None if None in values else float(sum(values))

    def __str__(self) -> str:
        parts: dict[str, list[float]] = {}
        for name, value in self.terms:
            parts.setdefault(name, []).append(value)
        return "+".join(_words(name, values) for name, values in parts.items())

    def _sum(self, families, values, d):
        """The terms of these families on squared distances or dot products."""
        parts = [families[n].of(values, p, d) for n, p in self.terms if n in families]
        return sum(parts[1:], parts[0]) if parts else 0.0


def names() -> list[str]:
    """The names of the kernel families."""
    return list(_FAMILIES)


def get(text: str | Kernel) -> Kernel:
    """The kernel of that name; a Kernel is given back as it is.

    >>> str(get("rbf:1,2"))
    'rbf:1,2'
    >>> get("rq:.5,1").diagonal
    2.0

    Raises:
      ValueError: an unknown family, or parameters that it does not take.
    """
    if isinstance(text, Kernel):
        return text
    if not isinstance(text, str) or not text:
        raise ValueError(f"a kernel is a string like 'rbf:1', not {text!r}")
    return Kernel(tuple(pair for term in text.split("+") for pair in _term(term)))


def _term(term: str) -> list[tuple[str, float | None]]:
    name, colon, numbers = term.strip().partition(":")
    default = choose("kernel", name, _FAMILIES).default
    if not colon:
        return [(name, value) for value in default] or [(name, None)]
    if not default:
        raise ValueError(f"kernel {name} takes no number, as in {term!r}")
    values = [_number(number, term) for number in numbers.split(",")]
    if _FAMILIES[name].whole and not all(value.is_integer() for value in values):
        raise ValueError(
            f"kernel {name} takes whole numbers, not {numbers} in {term!r}"
        )
    return [(name, value) for value in values]


def _words(name: str, values: list[float | None]) -> str:
    """The term of these values; dot:1 is dot."""
    if None in values:
        return "+".join([name] * len(values))
    if name == "dot" and values == [1.0]:
        return name
    return f"{name}:{','.join(map(_plain, values))}"


def _plain(value: float) -> str:
    """A number without exponent, whose sign would read as one between terms."""
    return format(Decimal(repr(value)), "f").removesuffix(".0")


def _number(text: str, term: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise ValueError(f"a kernel's numbers are above 0, not {text!r} in {term!r}")
    return value
