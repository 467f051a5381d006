"""Schedules of critic steps against counting them one by one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gantf import schedule
from gantf.schedule import CriticSteps

NUMBERS = st.integers(0, 12)


def test_the_schedules_of_the_sources():
    # Li et al.'s code: 100 if gen_it < 25 or gen_it % 500 == 0 else 5
    li = schedule.read("5,more=100,first=25,every=500")
    truth = [100 if t < 25 or t % 500 == 0 else 5 for t in range(1100)]
    assert [li.at(t) for t in range(1100)] == truth
    # Arbel et al.'s: 10 if step < 20 or step % 500 == 0 else 5
    assert [schedule.read("5,more=10,first=20,every=500").at(t) for t in (19, 20)] == [
        10,
        5,
    ]
    # a feature extractor that is updated every 500 iterations
    rare = schedule.read("0,more=1,every=500")
    assert [rare.at(t) for t in (0, 1, 499, 500)] == [1, 0, 0, 1]
    assert rare.most == 1


@given(NUMBERS, NUMBERS, NUMBERS, NUMBERS, st.integers(0, 60))
def test_batches_are_the_sum_over_the_steps_before(usual, more, first, every, step):
    steps = CriticSteps(usual, more, first, every)
    truth = sum(max(1, steps.at(t)) for t in range(step))
    assert steps.batches(step) == truth
    assert steps.most == max([usual, *(steps.at(t) for t in range(30))])


@given(NUMBERS, NUMBERS, NUMBERS, NUMBERS)
def test_a_schedule_is_read_as_it_is_printed(usual, more, first, every):
    steps = CriticSteps(usual, more, first, every)
    again = schedule.read(str(steps))
    assert [again.at(t) for t in range(30)] == [steps.at(t) for t in range(30)]
    assert str(again) == str(steps)


def test_whole_numbers_and_schedules_are_read():
    assert schedule.read(5) == schedule.read("5") == CriticSteps(5)
    assert schedule.read(CriticSteps(2)) == CriticSteps(2)
    assert not CriticSteps(5).varies and str(CriticSteps(5)) == "5"


@pytest.mark.parametrize("steps", [-1, 1.5, True, None, "", "five", "-1", [5]])
def test_what_is_no_number_of_steps_is_refused(steps):
    with pytest.raises(ValueError) as caught:
        schedule.read(steps)
    assert str(caught.value) == (
        "critic_steps is a whole number from 0, or a schedule like "
        f"'5,more=100,first=25,every=500', not {steps!r}"
    )


@pytest.mark.parametrize(
    "text, message",
    [
        (
            "5,mor=1,first=2",
            "unknown option 'mor' of critic_steps; did you mean 'more'?",
        ),
        (
            "5,more=x,first=2",
            "more of critic_steps is one whole number from 0, not as in "
            "'5,more=x,first=2'",
        ),
        (
            "5,more=1,more=2,first=2",
            "more of critic_steps is one whole number from 0, not as in "
            "'5,more=1,more=2,first=2'",
        ),
        (
            "5,more=1",
            "critic_steps has 'more' together with 'first' or 'every', not as in "
            "'5,more=1'",
        ),
        (
            "5,first=3",
            "critic_steps has 'more' together with 'first' or 'every', not as in "
            "'5,first=3'",
        ),
    ],
)
def test_other_schedules_are_refused_in_words(text, message):
    with pytest.raises(ValueError) as caught:
        schedule.read(text)
    assert str(caught.value) == message
