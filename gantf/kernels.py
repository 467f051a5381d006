"""Kernels on rows of numbers, by name: `get("rbf:1")`, `get("rq:.2,.5,1+dot")`.

    kernel  = term , { "+" , term } ;
    term    = [ weight , "*" ] , factor , { "*" , factor } ;
    factor  = [ "tanh>" ] , name , [ ":" , item , { "," , item } ] ;
    item    = number | option , "=" , number ;

A factor with several numbers is the sum over them; "tanh>" stands before one factor
and takes the tanh of its rows; a term is the product of its factors. With
d2 = |a - b|^2, and rows of d numbers:

    rbf:s       exp(-d2 / (2 s^2))
    rq:a        (1 + d2 / (2 a))^(-a)
    laplace:s   exp(-|a - b| / s)
    distance    |a| + |b| - |a - b|            (twice the energy distance's kernel)
    dot:c       c a . b
    poly:p      (gamma a . b + constant)^p     (gamma=1/d, constant=1)
    fourier:s   f(a) . f(b), f(a) = [sin(U a / s), cos(U a / s)] / sqrt(n)
                with n rows u ~ N(0, I_d) in U (n=100, seed=0): rbf:s as n grows

Sources: Li et al. (2017) for sums of rbf; Binkowski et al. (2018), section 2.1, for
rq, distance, dot and poly (their KID is poly:3); Rahimi & Recht (2007) for fourier.
Codes differ: the distance of Binkowski's adds 1e-5 under each root, the Laplace kernel
of Arbel et al. (2018) is .5*laplace:1, the polynomial one of Li et al. is
poly:2,gamma=1,constant=2, and exp(-|a - b| / (2 s^2)), met as "Gaussian", is laplace
with 2 s^2. Squared distances are differences first and squares after, in the precision
of the rows, so that functions of them lose nothing for rows far from the origin; it
takes n m d numbers of memory.

The names in the codes of Binkowski et al. (2018) and Arbel et al. (2018):

    there               here                  k(a, a)
    rbf                 rbf:1                 1
    mix_rbf             rbf:2,5,10,20,40,80   6      (Li et al.: rbf:1,2,4,8,16)
    mix_rq              rq:.1,1,10            3      (their paper: rq:.2,.5,1,2,5)
    mix_rq_1dot, rq*    rq:.1,1,10+dot        3 + |a|^2
    mix_rq_dot          rq:.1,1,10+.1*dot     3 + .1 |a|^2
    dot, distance       dot, distance         |a|^2, 2 |a|
    tanh_mix_rq         tanh>rq:.1,1,10       3
    tanh_distance       tanh>distance         2 |tanh a|
    rf                  fourier:1             1
"""

from __future__ import annotations

import dataclasses
import functools
import math
import operator
import types
from collections.abc import Callable
from decimal import Decimal
from typing import Any, NamedTuple

import numpy as np
from keras import backend, ops

from gantf.choices import choose, show


class _Option(NamedTuple):
    """A number of a family that has a name: its default and its rule, twice."""

    default: float | None
    words: str
    fits: Callable[[float], bool]


class _Family(NamedTuple):
    """A kernel family.

    Attributes:
      of: (pairs, parameter, *options) -> values.
      default: the parameters where none are given; () for a family without any.
      options: name -> _Option, in the order that `of` takes them.
      whole: whether the parameter is a whole number.
    """

    of: Callable[..., Any]
    default: tuple[float, ...]
    options: dict[str, _Option] = {}
    whole: bool = False


class _Pairs:
    """All pairs of rows of two samples, (n, d) and (m, d); what is asked is (n, m)."""

    def __init__(self, x: Any, y: Any):
        self.x, self.y, self.length = x, y, x.shape[-1]
        self._mapped: dict[Callable, Any] = {}

    def mapped(self, how: Callable) -> _Pairs:
        """The pairs of mapped rows."""
        if how not in self._mapped:
            self._mapped[how] = type(self)(how(self.x), how(self.y))
        return self._mapped[how]

    @functools.cached_property
    def squares(self):
        return squared_distances(self.x, self.y)

    @functools.cached_property
    def products(self):
        return ops.matmul(self.x, ops.transpose(self.y))

    @functools.cached_property
    def norms(self):  # |a| + |b|
        return norms(self.x)[:, None] + norms(self.y)


class _Twins(_Pairs):
    """The pairs of rows i and i alone, of two samples (n, d); what is asked is (n,)."""

    @functools.cached_property
    def squares(self):
        return ops.sum(ops.square(self.x - self.y), axis=-1)

    @functools.cached_property
    def products(self):
        return ops.sum(self.x * self.y, axis=-1)

    @functools.cached_property
    def norms(self):
        return norms(self.x) + norms(self.y)


def squared_distances(x: Any, y: Any) -> Any:
    """|x_i - y_j|^2 for all pairs: (n, d), (m, d) -> (n, m)."""
    return ops.sum(ops.square(x[:, None, :] - y[None, :, :]), axis=-1)


def rows(*samples: Any) -> list[Any]:
    """The samples as tensors of one float type.

    Raises:
      ValueError: samples that are no rows of one length.
    """
    tensors = [ops.convert_to_tensor(sample) for sample in samples]
    shapes = [tuple(tensor.shape) for tensor in tensors]
    if any(len(shape) != 2 for shape in shapes) or len({s[1] for s in shapes}) > 1:
        shown = " and ".join(map(str, shapes))
        raise ValueError(f"a kernel compares rows (n, d) and (m, d), not {shown}")
    dtype = backend.result_type(*(tensor.dtype for tensor in tensors), float)
    return [ops.cast(tensor, dtype) for tensor in tensors]


def root(squares: Any) -> Any:
    """The square root of what is above 0, else 0; with gradient 0 there."""
    positive = squares > 0
    return ops.where(positive, ops.sqrt(ops.where(positive, squares, 1.0)), 0.0)


def norms(x: Any) -> Any:
    """The Euclidean norm of each row, with gradient 0 at 0: (n, d) -> (n,)."""
    return root(ops.sum(ops.square(x), axis=-1))


def _rbf(pairs, s):
    return ops.exp(pairs.squares * (-0.5 / s**2))


def _rq(pairs, a):
    return ops.exp(-a * ops.log1p(pairs.squares / (2 * a)))


def _laplace(pairs, s):
    return ops.exp(-root(pairs.squares) / s)


def _distance(pairs, _):
    return pairs.norms - root(pairs.squares)


def _dot(pairs, c):
    return c * pairs.products


def _poly(pairs, p, gamma, constant):
    scaled = pairs.products / pairs.length if gamma is None else gamma * pairs.products
    return (scaled + constant) ** p


def _fourier(pairs, s, n, seed):
    return pairs.mapped(_features(s, int(n), int(seed))).products


@functools.lru_cache(maxsize=32)  # one function a kernel, for _Pairs.mapped
def _features(s: float, n: int, seed: int) -> Callable:
    """The map of rows to random features, (m, d) -> (m, 2n); the seed fixes U."""

    def features(x):
        u = np.random.RandomState(seed).normal(size=(n, x.shape[-1])) / s
        angles = ops.matmul(x, ops.convert_to_tensor(u.T, x.dtype))
        both = ops.concatenate([ops.sin(angles), ops.cos(angles)], axis=-1)
        return both / math.sqrt(n)

    return features


_POLY = {
    "gamma": _Option(None, "a number above 0", lambda v: 0 < v < math.inf),
    "constant": _Option(1.0, "a number from 0", lambda v: 0 <= v < math.inf),
}
_FOURIER = {
    "n": _Option(100.0, "a whole number from 1", lambda v: v >= 1 and v.is_integer()),
    "seed": _Option(
        0.0,
        "a whole number from 0 to 4294967295",
        lambda v: 0 <= v < 2**32 and v.is_integer(),
    ),
}
_RADIAL = {  # functions of the squared distance
    "rbf": _Family(_rbf, (1.0,)),
    "rq": _Family(_rq, (0.2, 0.5, 1.0, 2.0, 5.0)),
    "laplace": _Family(_laplace, (1.0,)),
}
_FAMILIES = {
    **_RADIAL,
    "dot": _Family(_dot, (1.0,)),
    "poly": _Family(_poly, (3.0,), _POLY, whole=True),
    "distance": _Family(_distance, ()),
    "fourier": _Family(_fourier, (1.0,), _FOURIER),
}
_MAPS = {"tanh": ops.tanh}


class Factor(NamedTuple):
    """A family summed over its parameters, on rows as they are or mapped.

    Attributes:
      name: of the family.
      values: its parameters; None where it has none.
      options: (name, number) of those that are not the family's own.
      map: of the rows, or "".
    """

    name: str
    values: tuple[float | None, ...]
    options: tuple[tuple[str, float], ...] = ()
    map: str = ""

    def of(self, pairs: Any) -> Any:
        family, given = _FAMILIES[self.name], dict(self.options)
        pairs = pairs.mapped(_MAPS[self.map]) if self.map else pairs
        options = [given.get(key, o.default) for key, o in family.options.items()]
        parts = [family.of(pairs, value, *options) for value in self.values]
        return sum(parts[1:], parts[0])

    def __str__(self) -> str:
        name = f"{self.map}>{self.name}" if self.map else self.name
        if self.values == (None,) or (self.name, self.values) == ("dot", (1.0,)):
            return name
        items = [_plain(value) for value in self.values]
        items += [f"{key}={_plain(value)}" for key, value in self.options]
        return f"{name}:{','.join(items)}"


class Term(NamedTuple):
    """A weight times the product of factors."""

    weight: float
    factors: tuple[Factor, ...]

    def of(self, pairs: Any) -> Any:
        value = functools.reduce(operator.mul, [f.of(pairs) for f in self.factors])
        return value if self.weight == 1.0 else self.weight * value

    def __str__(self) -> str:
        weight = [] if self.weight == 1.0 else [_plain(self.weight)]
        return "*".join(weight + [str(factor) for factor in self.factors])


@dataclasses.dataclass(frozen=True)
class Kernel:
    """A sum of kernels; `k(x, y)` of rows (n, d) and (m, d) is (n, m).

    Attributes:
      terms: what it is the sum of.
    """

    terms: tuple[Term, ...]

    def __call__(self, x: Any, y: Any) -> Any:
        return self._of(_Pairs(*rows(x, y)))

    def diagonal(self, x: Any) -> Any:
        """k(x_i, x_i) of rows (n, d), without the other pairs: (n,)."""
        (x,) = rows(x)
        return self._of(_Twins(x, x))

    def pairwise(self, x: Any, y: Any) -> Any:
        """k(x_i, y_i) of rows (n, d) each, without the other pairs: (n,).

        Raises:
          ValueError: samples of two sizes.
        """
        x, y = rows(x, y)
        sizes = x.shape[0], y.shape[0]
        if None not in sizes and len(set(sizes)) > 1:
            n, m = sizes
            raise ValueError(f"row by row, samples have one size, not {n} and {m}")
        return self._of(_Twins(x, y))

    def of_squares(self, d2: Any) -> Any:
        """The kernel of squared distances, for kernels that are functions of them.

        Raises:
          ValueError: a kernel that has another term.
        """
        factors = [factor for term in self.terms for factor in term.factors]
        other = [f for f in factors if f.name not in _RADIAL or f.map]
        if other:
            raise ValueError(
                f"kernel {self} is no function of the distance, for its {other[0]}; "
                f"such are {', '.join(_RADIAL)}"
            )
        return self._of(types.SimpleNamespace(squares=d2))

    def __str__(self) -> str:
        return "+".join(map(str, self.terms))

    def _of(self, pairs):
        parts = [term.of(pairs) for term in self.terms]
        return sum(parts[1:], parts[0])


def names() -> list[str]:
    """The names of the kernel families."""
    return list(_FAMILIES)


def get(text: str | Kernel) -> Kernel:
    """The kernel of that name; a Kernel is given back as it is.

    >>> str(get("rbf:1+rbf:2"))
    'rbf:1,2'
    >>> str(get("tanh>rq:.5 + .1*dot"))
    'tanh>rq:0.5+0.1*dot'
    >>> [float(k) for k in get("distance*dot").diagonal([[3.0, 4.0]])]
    [250.0]

    Raises:
      ValueError: an unknown family, or parameters that it does not take.
    """
    if isinstance(text, Kernel):
        return text
    if not isinstance(text, str) or not text:
        raise ValueError(f"a kernel is a string like 'rbf:1', not {show(text)}")
    return Kernel(_merged([_term(term) for term in text.split("+")]))


def _merged(terms: list[Term]) -> tuple[Term, ...]:
    """The terms, with those that differ in their parameters alone made one."""
    values: dict[Any, tuple] = {}
    for number, (weight, factors) in enumerate(terms):
        first = factors[0]
        alone = len(factors) == 1 and first.values != (None,)
        # Products do not merge, nor do terms without a parameter: their place keeps
        # them apart.
        key = weight, first._replace(values=()), factors[1:], None if alone else number
        values[key] = values.get(key, ()) + first.values
    return tuple(
        Term(weight, (first._replace(values=all_), *rest))
        for (weight, first, rest, _), all_ in values.items()
    )


def _term(term: str) -> Term:
    weight, *rest = parts = [part.strip() for part in term.split("*")]
    numbers = [part for part in parts if _is_number(part)]
    if numbers and (len(numbers) > 1 or numbers[0] is not weight or not rest):
        raise ValueError(
            f"a weight stands once and first, as in '.5*rbf:1', not as in {term!r}"
        )
    if not numbers:
        return Term(1.0, tuple(_factor(part, term) for part in parts))
    return Term(_number(weight, term), tuple(_factor(part, term) for part in rest))


def _factor(text: str, term: str) -> Factor:
    """A factor; the term that it stands in is for messages."""
    head, _, items = text.partition(":")
    map_, mapped, name = head.rpartition(">")
    if mapped:
        choose("map of a kernel's rows", map_, _MAPS)
    family = choose("kernel", name, _FAMILIES)
    words = items.split(",") if ":" in text else []
    numbers = [word for word in words if "=" not in word]
    options = _options(name, [word for word in words if "=" in word], term)
    if not numbers:
        return Factor(name, family.default or (None,), options, map_)
    if not family.default:
        raise ValueError(f"kernel {name} takes no number, as in {term!r}")
    values = tuple(_number(number, term) for number in numbers)
    if family.whole and not all(value.is_integer() for value in values):
        shown = ",".join(numbers)
        raise ValueError(f"kernel {name} takes whole numbers, not {shown} in {term!r}")
    return Factor(name, values, options, map_)


def _options(name: str, words: list[str], term: str) -> tuple[tuple[str, float], ...]:
    """The options that are not the family's own, in the order of its table."""
    table, found = _FAMILIES[name].options, {}
    for word in words:
        key, _, text = word.partition("=")
        option = choose(f"option of kernel {name}", key, table)
        value = float(text) if _is_number(text) else math.nan
        if not option.fits(value):
            raise ValueError(
                f"{key} of kernel {name} is {option.words}, not {text!r} in {term!r}"
            )
        if key in found:
            raise ValueError(f"kernel {name} takes {key} once, not as in {term!r}")
        found[key] = value
    return tuple(
        (key, found[key])
        for key, option in table.items()
        if key in found and found[key] != option.default
    )


def _plain(value: float) -> str:
    """A number without exponent, whose sign would read as one between terms."""
    return format(Decimal(repr(value)), "f").removesuffix(".0")


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _number(text: str, term: str) -> float:
    value = float(text) if _is_number(text) else math.nan
    if not 0 < value < math.inf:
        raise ValueError(f"a kernel's numbers are above 0, not {text!r} in {term!r}")
    return value
