"""README says what is so: its words, its examples, its files and its errors."""

import re
from pathlib import Path

import keras
import pytest

import architectures
import gantf
from gantf import losses, spec, words

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text("utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", README, re.S)


def test_the_list_of_words_is_the_tables():
    assert f"```\n{words.vocabulary()}\n```" in README


def test_nothing_is_left_to_fill_in():
    assert not re.findall(
        r"\b[A-Z]+_[A-Z]+\b", re.sub(r"```.*?```", "", README, flags=re.S)
    )


def test_every_loss_is_listed():
    listed = re.findall(r"^\| (`.*?) \|", README, re.M)
    assert set(re.findall(r"`(\w+)`", " ".join(listed))) == set(losses.names())


def test_the_nets_in_words_build():
    found = {"gantf": gantf}
    exec(BLOCKS[0], found)
    assert found["generator"].output_shape == (None, 32, 32, 3)
    assert found["discriminator"].output_shape == (None, 16)


def test_the_layers_work_in_a_model_of_ones_own():
    found = {}
    exec(BLOCKS[1], found)
    critic = found["critic"]
    assert isinstance(critic, keras.Model) and critic.output_shape == (None, 1)
    assert len(BLOCKS[1].splitlines()) == 10


def test_the_error_shown_is_the_error_given():
    with pytest.raises(spec.SpecError) as caught:
        spec.parse("conv3-64-s1-sn-lrelo")
    assert f"```\n{caught.value}\n```" in README


def test_files_and_architectures_named_exist():
    for path in re.findall(r"(?:my_tests|tools|docs|data)/[\w./]+\w", README):
        assert (ROOT / path).exists(), path
    for name in re.findall(r"dcgan-sn-\d+", README):
        assert name in architectures.names()
