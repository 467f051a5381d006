"""README says what is so: its words, its examples, its files and its errors."""

import re
from pathlib import Path

import keras
import pytest

import architectures
import gantf
from gantf import losses, penalties, scaling, spec, words

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
    table = README.partition("### Losses")[2].partition("In a run")[0]
    listed = re.findall(r"^\| (`.*?) \|", table, re.M)
    assert set(re.findall(r"`(\w+)`", " ".join(listed))) == set(losses.names())
    assert f"{len(losses.names())} losses" in README


@pytest.mark.parametrize("kind, row", [(penalties, "penalties"), (scaling, "scalings")])
def test_every_penalty_and_scaling_is_listed(kind, row):
    (row,) = re.findall(rf"^\| {row} \|(.*)", README, re.M)
    assert re.findall(r"`(\w+)`", row) == kind.names()


def test_the_nets_in_words_build():
    found = {"gantf": gantf}
    exec(BLOCKS[0], found)
    assert found["generator"].output_shape == (None, 32, 32, 3)
    assert found["discriminator"].output_shape == (None, 16)


def test_a_net_and_words_of_ones_own_train_and_are_saved(in_process, tmp_path):
    # in a process of its own: the words stay in the tables
    block = next(block for block in BLOCKS if "add_word" in block)
    found = in_process(block + _TRAINED, str(tmp_path / "generator.keras"))
    assert found == {"finite": True, "same": True, "shape": [3, 28, 28, 1]}
    assert "class " not in block


_TRAINED = """
import json, sys
import numpy as np
gan.compile()
data = gantf.datasets.load("embedded", batch=8).take(3)
history = gan.fit(data, verbose=0).history
generator.save(sys.argv[1])
again = keras.models.load_model(sys.argv[1])
inputs = [np.ones((3, 32), "float32"), np.array([0, 4, 9])]
print(json.dumps({
    "finite": bool(np.isfinite(list(history.values())).all()),
    "same": bool(np.array_equal(again(inputs), generator(inputs))),
    "shape": gan.generate(3, labels=5).shape,
}))
"""


def test_the_layers_work_in_a_model_of_ones_own():
    block = next(block for block in BLOCKS if "SNConv2D" in block)
    found = {}
    exec(block, found)
    critic = found["critic"]
    assert isinstance(critic, keras.Model) and critic.output_shape == (None, 1)
    assert len(block.splitlines()) == 10


def test_the_families_named_are_those_of_the_zoo():
    table = README.partition("## The zoo")[2].partition("###")[0]
    families = re.findall(r"`([a-z0-9-]+\*)`", table)
    found = [name for family in families for name in architectures.names(family)]
    own = {"mlp-1d", "mlp-2d"}
    assert set(found) | own == set(architectures.names())
    assert f"{len(architectures.names())} nets" in README


def test_the_error_shown_is_the_error_given():
    with pytest.raises(spec.SpecError) as caught:
        spec.parse("conv3-64-s1-sn-lrelo")
    assert f"```\n{caught.value}\n```" in README


def test_files_and_architectures_named_exist():
    for path in re.findall(r"(?:my_tests|tools|docs|data)/[\w./]+\w", README):
        assert (ROOT / path).exists(), path
    for name in re.findall(r"dcgan-sn-\d+", README):
        assert name in architectures.names()
