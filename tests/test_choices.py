"""Choosing by name, with messages word for word."""

import numpy as np
import pytest

from gantf import choices


@pytest.mark.parametrize(
    "word, known, said",
    [
        ("lrelo", ["relu", "lrelu"], "; did you mean 'lrelu'?"),
        ("xyz", ["relu", "lrelu"], "; known: relu, lrelu"),
        (3, ["relu"], "; known: relu"),
        ([10**5000], ["relu"], "; known: relu"),
        ("relu", [], ""),
    ],
)
def test_hints(word, known, said):
    assert choices.hint(word, known) == said


class Unprintable:
    def __repr__(self):
        raise RuntimeError


def test_values_that_python_does_not_print_are_shown_by_type():
    assert choices.show("a") == "'a'"
    assert choices.show("a", str) == "a"
    assert choices.show(10**5000) == "<int>"
    assert choices.show([10**5000]) == "<list>"
    assert choices.show(Unprintable()) == "<Unprintable>"


def test_choose():
    table = {"rep": 1, "rmb": 2}
    assert choices.choose("loss", "rmb", table) == 2
    for name, message in [
        ("repp", "unknown loss 'repp'; did you mean 'rep'?"),
        (None, "unknown loss None; known: rep, rmb"),
        (["rep"], "unknown loss ['rep']; did you mean 'rep'?"),
    ]:
        with pytest.raises(ValueError) as caught:
            choices.choose("loss", name, table)
        assert str(caught.value) == message


def kind(weight=1.0, target=2.0):
    return weight, target


def test_arguments_put_the_given_over_the_own_over_the_defaults():
    assert choices.arguments("p", kind, {}) == {"weight": 1.0, "target": 2.0}
    found = choices.arguments("p", kind, {"weight": 5}, {"weight": 3, "target": 4})
    assert found == {"weight": 5, "target": 4}


@pytest.mark.parametrize(
    "function, message",
    [
        (kind, "penalty 'gp' has no parameter 'wait'; it takes weight, target"),
        (lambda: None, "penalty 'gp' has no parameter 'wait'; it takes none"),
    ],
)
def test_arguments_refuse_others(function, message):
    with pytest.raises(ValueError) as caught:
        choices.arguments("penalty 'gp'", function, {"wait": 1})
    assert str(caught.value) == message


def test_what_is_made_knows_its_name_and_all_its_parameters():
    class Penalty:
        def __init__(self, weight=1.0, target=2.0):
            self.weight = weight

    made = choices.make("penalty", "gp", {"gp": Penalty}, {"weight": 5})
    assert (made.weight, made.name) == (5, "gp")
    assert made.parameters == {"weight": 5, "target": 2.0}
    with pytest.raises(ValueError) as caught:
        choices.make("penalty", "gpp", {"gp": Penalty}, {})
    assert str(caught.value) == "unknown penalty 'gpp'; did you mean 'gp'?"


@pytest.mark.parametrize("value", [1, 7, np.int32(3)])
def test_whole_numbers_are_those_of_python_and_numpy(value):
    found = choices.whole_number("every", value)
    assert found == value and type(found) is int


@pytest.mark.parametrize("value", [0, -1, 1.0, True, "2", None, np.float32(1)])
def test_error_what_is_no_whole_number(value):
    with pytest.raises(ValueError) as caught:
        choices.whole_number("every", value)
    assert str(caught.value) == f"every is a whole number from 1, not {value!r}"
