"""Files of models and weights that someone else made: nothing in them is run."""

import io
import json
import zipfile

import h5py
import keras
import ml_dtypes
import numpy as np
import pytest

import gantf
from gantf import features, models
from gantf.sampler import Sampler

FIRST = "layers/dense/vars/0"  # of the net below: its first kernel, (3, 32)


@pytest.fixture(scope="module")
def parts(tmp_path_factory):
    """The members of a whole .keras file."""
    path = tmp_path_factory.mktemp("whole") / "net.keras"
    gantf.build("dense-4x4x2-relu tconv4-1-s2-p1-tanh", (3,)).save(path)
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


@pytest.fixture
def write(tmp_path, parts):
    """Writes a .keras file: a whole one, with other members and others beside them."""

    def written(other=None, beside=(), method=zipfile.ZIP_STORED):
        path = tmp_path / "net.keras"
        with zipfile.ZipFile(path, "w", method) as archive:
            for name, data in (parts | (other or {})).items():
                archive.writestr(name, data)
            for name, data in beside:
                archive.writestr(name, data)
        return path

    return written


def refused(path, load=models.load):
    """The words of a refusal, which are one line that starts with the file."""
    with pytest.raises(ValueError) as caught:
        load(path)
    start, words = str(caught.value).split(f"{path}: ", 1)
    assert not start and "\n" not in words
    return words


def numbers(net):
    return [np.asarray(value) for value in net.get_weights()]


# What is loaded


@pytest.mark.parametrize(
    "spec, classes",
    [
        ("dense-4x4x8-cbn-relu res3-8-up2-sn-cbn-relu attn2-sn conv3-3-sn-tanh", 5),
        ("dense-4x4x4-bn-crelu drop0.5 noise0.1 ps2 sconv3-2-sn tconv4-1-s2-p1", 0),
    ],
)
def test_nets_of_gantf_are_loaded(tmp_path, spec, classes):
    net = gantf.build(spec, (6,), classes=classes)
    net.save(tmp_path / "net.keras")
    again = models.load(tmp_path / "net.keras")
    for value, same in zip(numbers(net), numbers(again), strict=True):
        np.testing.assert_array_equal(value, same)


def test_nets_of_keras_are_loaded(tmp_path):
    """Functional nets with arithmetic and nets in them, compiled ones too."""
    inner = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    inner.compile("adam", "mse")
    images = keras.Input((6, 6, 3))
    x = keras.layers.Conv2D(
        4, 3, activation="silu", kernel_regularizer="l2", kernel_constraint="max_norm"
    )(images)
    x = (x[:, 1:, ...] * 2.0 - np.float32(3)) / np.arange(1, 5, dtype="float32")
    x = keras.layers.BatchNormalization()(keras.ops.mean(x, (1, 2)))
    net = keras.Model(images, inner(x + keras.ops.ones(4)), name="mine")
    net.compile("adam", keras.losses.Huber(), metrics=["accuracy"])
    net.save(tmp_path / "net.keras")
    again, image = models.load(tmp_path / "net.keras"), np.ones((1, 6, 6, 3), "f4")
    assert not again.compiled
    np.testing.assert_array_equal(again(image), net(image))


def test_bfloat16_weights_are_loaded(tmp_path):
    kinds = {"dtype": keras.DTypePolicy("bfloat16")}
    net = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, **kinds)])
    net.save(tmp_path / "net.keras")
    again = models.load(tmp_path / "net.keras")
    assert numbers(again)[0].dtype == ml_dtypes.bfloat16
    np.testing.assert_array_equal(numbers(again)[0], numbers(net)[0])


@keras.saving.register_keras_serializable("tests")
class Doubled(keras.layers.Layer):
    def call(self, x):
        return 2 * x


def test_layers_that_the_program_registers_are_its_own(tmp_path, monkeypatch):
    keras.Sequential([keras.Input((3,)), Doubled()]).save(tmp_path / "net.keras")
    found = models.load(tmp_path / "net.keras")(np.ones((1, 3), "f4"))
    np.testing.assert_array_equal(found, [[2, 2, 2]])
    monkeypatch.delitem(keras.saving.get_custom_objects(), "tests>Doubled")
    assert refused(tmp_path / "net.keras") == (
        f"it asks for '{__name__}.Doubled', which is no part of a network that gantf"
        " knows; import what registers it before, or do not trust it"
    )


# Configs


def layer(name, module="keras.layers", **config):
    config = {"name": "it", "trainable": True, "dtype": "float32", **config}
    named = {"module": module, "class_name": name, "registered_name": None}
    return {**named, "config": config}


def function(module, name):
    named = {"module": module, "class_name": "function"}
    return {**named, "config": name, "registered_name": name}


def sequential(*layers):
    first = layer("InputLayer") | {"config": {"batch_shape": [None, 3]}}
    config = {"name": "net", "layers": [first, *layers], "build_input_shape": [None, 3]}
    return layer("Sequential", "keras") | {"config": config}


def dense(**config):
    return layer("Dense", **{"units": 2, **config})


CODE = {"class_name": "__lambda__", "config": {"code": "4wEAAA==", "defaults": None}}
OTHERS = {
    "keras.layers.Lambda": layer("Lambda", function=CODE),
    "None.__lambda__": dense(activation=CODE),
    "os.system": layer("system", "os"),
    "subprocess.Popen": dense(activation=layer("Popen", "subprocess", args="ls")),
    "posix.system": dense(activation=function("posix", "system")),
    "builtins.eval ": dense(activation=function("builtins", "eval ")),
    "keras.utils.get_file": dense(activation=function("keras.utils", "get_file")),
    "keras.saving.load_model": dense(activation=function("keras", "saving.load_model")),
    "keras.config.set_backend": dense(
        kernel_initializer=function("keras.config", "set_backend")
    ),
    "keras.src.utils.io_utils.ask": layer("ask", "keras.src.utils.io_utils"),
    "keras.callbacks.CSVLogger": layer("CSVLogger", "keras.callbacks", filename="x"),
    "keras.layers.TFSMLayer": layer("TFSMLayer", filepath="net"),
    "keras.layers.TorchModuleWrapper": layer("TorchModuleWrapper"),
    "keras.layers.StringLookup": layer("StringLookup", vocabulary="secrets.txt"),
    "keras.layers.TextVectorization": layer("TextVectorization", vocabulary="s.txt"),
    # of older files, whose classes Keras looks up in another way
    "None.Lambda": {"class_name": "Lambda", "config": {"function": "system"}},
    "None.Dense": {"class_name": "Dense", "config": {"units": 2}},
    "None.__typespec__": {"class_name": "__typespec__", "config": [], "module": None},
    "None.__numpy__": {"class_name": "__numpy__", "config": {"dtype": "V4000000000"}},
    "['os'].{'a': 1}": {"class_name": {"a": 1}, "module": ["os"], "config": {}},
}


@pytest.mark.parametrize("name", OTHERS)
@pytest.mark.parametrize("place", ["layer", "inner", "compiled", "deep"])
def test_what_no_network_has_is_refused_by_name(write, name, place):
    one = OTHERS[name]
    config = {
        "layer": sequential(one),
        "inner": sequential(layer("TimeDistributed", layer=sequential(one))),
        "compiled": sequential(
            sequential(dense()) | {"compile_config": {"loss": [{"a": one}]}}
        ),
        "deep": sequential(dense(kernel_regularizer=[[{"a": [one]}]])),
    }[place]
    assert refused(write({"config.json": json.dumps(config)})) == (
        f"it asks for {name!r}, which is no part of a network that gantf knows; import"
        " what registers it before, or do not trust it"
    )


def test_optimizers_and_losses_are_not_made(write, parts):
    config = json.loads(parts["config.json"])
    config["compile_config"] = {"loss": OTHERS["os.system"]}
    assert not models.load(write({"config.json": json.dumps(config)})).compiled


def test_what_is_asked_for_is_not_even_looked_up(write, monkeypatch, parts):
    """Not Keras' own refusals are what is tested here."""

    def never(*arguments, **options):
        raise AssertionError("Keras was asked")

    monkeypatch.setattr(keras.saving, "deserialize_keras_object", never)
    monkeypatch.setattr(keras.models, "load_model", never)
    for one in OTHERS.values():
        refused(write({"config.json": json.dumps(sequential(one))}))


def test_more_weights_than_the_file_has_take_no_memory(write, parts):
    size = len(parts[models.WEIGHTS])
    for one, count in [
        (layer("Dense", units=10**11), 4 * 10**11),
        (layer("Embedding", input_dim=10**6, output_dim=10**6), 10**12),
    ]:
        config = json.dumps(sequential(one))
        assert refused(write({"config.json": config})) == (
            f"its layers have {count:,} weights, and it has {size:,} bytes of them; do"
            " not trust it"
        )


@pytest.mark.parametrize(
    "config, reason",
    [
        (sequential(dense(units="x")), "Received an invalid value for `units`"),
        (sequential(dense(activation="eval")), "Could not interpret"),
        (sequential(dense(more=1)), "Unrecognized keyword arguments"),
        (sequential(dense()), "A total of 1 objects could not be loaded"),
    ],
)
def test_configs_that_do_not_fit_are_told_in_a_line(write, config, reason):
    words = refused(write({"config.json": json.dumps(config)}))
    assert words.startswith("Keras cannot load it: ") and reason in words
    assert words.endswith("; save it again") and len(words) < 260


LAYER = json.dumps(layer("Dense", units=2))


@pytest.mark.parametrize("text", ["[]", "{}", "1", '"net"', "null", "NaN", LAYER])
def test_configs_of_no_model(write, text):
    assert refused(write({"config.json": text})) == (
        "its config.json is that of no model; save the model again"
    )


# The zip

TORN = "a torn .keras file, or none; save the model again"


@pytest.mark.parametrize(
    "text", ["", "{", b"\xff\xfe", "[" * 100_000, '{"a": 1' + "0" * 5000]
)
def test_configs_that_are_no_json(write, text):
    assert refused(write({"config.json": text})) == TORN


def test_files_that_are_no_zips(tmp_path, write):
    whole = write().read_bytes()
    for data in (b"", b"PK\3\4 torn", whole[:-30], whole[: len(whole) // 2]):
        path = tmp_path / "torn.keras"
        path.write_bytes(data)
        assert refused(path) == TORN
    assert refused(tmp_path / "nowhere.keras") == "no such file"
    assert refused(tmp_path) == "no such file"


@pytest.mark.parametrize("name", ["../../out", "/out", "assets/link", "assets/../../x"])
def test_other_members_are_refused_and_not_unpacked(tmp_path, write, name):
    member = zipfile.ZipInfo(name)
    member.external_attr = 0o120777 << 16 if "link" in name else 0  # a symlink
    before = {path for path in tmp_path.parent.rglob("*") if path.is_file()}
    path = write(beside=[(member, "/etc/hostname")])
    assert refused(path) == (
        "a .keras file has config.json, metadata.json, model.weights.h5 in it, each"
        f" once, not {name!r}; do not trust it"
    )
    assert {p for p in tmp_path.parent.rglob("*") if p.is_file()} - before == {path}


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_each_member_is_there_once(write):
    words = refused(write(beside=[("config.json", "{}")]))
    assert "each once, not config.json, config.json, metadata.json" in words


def test_bombs_take_no_memory(write):
    """A gigabyte of spaces is a megabyte in a zip."""
    for other in ({"config.json": b" " * 10**7}, {models.WEIGHTS: bytes(10**7)}):
        assert refused(write(other, method=zipfile.ZIP_DEFLATED)) == (
            "a .keras file is not compressed, and no larger inside than outside; save"
            " the model again"
        )


def test_members_that_claim_to_be_larger(write):
    path = write()
    data, size = path.read_bytes(), zipfile.ZipFile(path).getinfo(models.WEIGHTS)
    claim = (2**31).to_bytes(4, "little")
    path.write_bytes(data.replace(size.file_size.to_bytes(4, "little"), claim))
    assert "no larger inside than outside" in refused(path)


# HDF5


def relinked(change):
    """An edit of an HDF5 file that puts something else for its first kernel."""

    def edit(file, folder):
        kernel = file[FIRST][...]
        del file[FIRST]
        change(file, folder, kernel)

    return edit


@relinked
def soft(file, folder, kernel):
    file["other"] = kernel
    file[FIRST] = h5py.SoftLink("/other")


@relinked
def external(file, folder, kernel):
    with h5py.File(folder / "other.h5", "w") as other:
        other["kernel"] = kernel
    file[FIRST] = h5py.ExternalLink(str(folder / "other.h5"), "kernel")


def external_group(file, folder):
    with h5py.File(folder / "other.h5", "w") as other:
        file.copy("layers/dense/vars", other, "vars")
    del file["layers/dense/vars"]
    file["layers/dense/vars"] = h5py.ExternalLink(str(folder / "other.h5"), "vars")


@relinked
def raw(file, folder, kernel):
    kernel.tofile(folder / "secret")
    place = [(str(folder / "secret"), 0, h5py.h5f.UNLIMITED)]
    file.create_dataset(FIRST, kernel.shape, kernel.dtype, external=place)


@relinked
def virtual(file, folder, kernel):
    layout = h5py.VirtualLayout(kernel.shape, kernel.dtype)
    with h5py.File(folder / "other.h5", "w") as other:
        other["kernel"] = kernel
        layout[...] = h5py.VirtualSource(other["kernel"])
    file.create_virtual_dataset(FIRST, layout)


@relinked
def words(file, folder, kernel):
    file.create_dataset(FIRST, kernel.shape, h5py.string_dtype())


@relinked
def kind(file, folder, kernel):
    file[FIRST] = np.dtype("f4")


OUTSIDE = {
    soft: f"'{FIRST}' leads elsewhere",
    external: f"'{FIRST}' leads elsewhere",
    external_group: "'layers/dense/vars' leads elsewhere",
    raw: f"'{FIRST}' lies in other files",
    virtual: f"'{FIRST}' lies in other files",
    words: f"'{FIRST}' is of object",
    kind: f"'{FIRST}' is none",
}


def edited(parts, tmp_path, edit):
    data = io.BytesIO(parts[models.WEIGHTS])
    with h5py.File(data, "r+") as file:
        edit(file, tmp_path)
    return data.getvalue()


@pytest.mark.parametrize("edit", OUTSIDE, ids=lambda edit: edit.__name__)
def test_arrays_lie_in_the_file(tmp_path, parts, write, edit):
    data = edited(parts, tmp_path, edit)
    message = (
        f"a file of weights has arrays of numbers in it, and {OUTSIDE[edit]}; do not"
        " trust it"
    )
    assert refused(write({models.WEIGHTS: data})) == message
    (tmp_path / "net.weights.h5").write_bytes(data)
    assert refused(tmp_path / "net.weights.h5", models.check_arrays) == message


@pytest.mark.parametrize("shape", [(10**6, 10**5), (100, 100)])
def test_arrays_are_no_larger_than_their_file(tmp_path, parts, write, shape):
    """A hundred gigabytes of zeros take no place in HDF5, nor do thousands."""

    @relinked
    def huge(file, folder, kernel):
        # compressed, and never written: nothing of it is stored
        file.create_dataset(FIRST, shape, "f4", chunks=(100, 100), compression="gzip")

    data = edited(parts, tmp_path, huge)
    claimed = re_claimed(data)
    assert claimed > 4 * shape[0] * shape[1] > len(data)
    message = (
        f"its arrays claim {claimed:,} bytes, and the file of weights has"
        f" {len(data):,}; do not trust it"
    )
    assert refused(write({models.WEIGHTS: data})) == message


def re_claimed(data):
    sizes = []
    with h5py.File(io.BytesIO(data)) as file:
        file.visititems(lambda _, item: sizes.append(getattr(item, "nbytes", 0)))
    return sum(sizes)


def test_torn_weights(tmp_path, parts, write):
    whole = parts[models.WEIGHTS]
    message = "a torn file of weights, or none; save or copy it again"
    for data in (b"", whole[: len(whole) // 2], bytes(len(whole)), whole[512:]):
        assert refused(write({models.WEIGHTS: data})) == message
        (tmp_path / "net.weights.h5").write_bytes(data)
        assert refused(tmp_path / "net.weights.h5", models.check_arrays) == message
    assert refused(tmp_path / "no.weights.h5", models.check_arrays) == "no such file"


@pytest.mark.parametrize("name", ["net.h5", "net.weights.json", "net.keras", "net"])
def test_weights_are_in_one_form(tmp_path, name):
    """Keras reads others too: older ones, and lists of further files."""
    assert refused(tmp_path / name, models.check_arrays) == (
        "a file of weights ends in .weights.h5; save it as one"
    )


def test_weights_go_into_their_net(tmp_path):
    net, other = (gantf.build("dense-3", (2,), name="small") for _ in range(2))
    net.save_weights(tmp_path / "net.weights.h5")
    models.load_weights(other, tmp_path / "net.weights.h5")
    np.testing.assert_array_equal(numbers(other)[0], numbers(net)[0])
    larger = gantf.build("dense-4", (2,), name="larger")
    with pytest.raises(ValueError) as caught:
        models.load_weights(larger, tmp_path / "net.weights.h5")
    assert str(caught.value).startswith(
        f"{tmp_path}/net.weights.h5 has no weights of larger: A total of 1 objects"
    )
    assert "\n" not in str(caught.value)


# Where gantf loads them


def test_runs_and_features_are_loaded_by_these_rules(tmp_path, write, parts):
    path = write({"config.json": json.dumps(sequential(OTHERS["os.system"]))})
    stored = {"settings": {"architecture": {"latent": "normal-3"}}}
    (tmp_path / "settings.json").write_text(json.dumps(stored))
    for load in (Sampler.of_run, lambda path: features.get(str(path))):
        assert refused(path, load).startswith("it asks for 'os.system'")
    weights = tmp_path / "net.weights.h5"
    weights.write_bytes(edited(parts, tmp_path, external))

    def get(path):
        return features.get("mnistnet", path)

    assert "leads elsewhere" in refused(weights, get)
    assert refused(tmp_path / "net.npz", get).startswith("a file of weights ends in")
