"""Who imports whom: the arrows of the design, read from the sources."""

import ast
import sys
from pathlib import Path

import pytest

import architectures
import gantf

# module of gantf -> the modules of gantf that it may import; "choices" is a leaf that
# all may. A new module gets a line here.
ARROWS = {
    "choices": "",
    "words": "",
    "spec": "words reference",  # the latter inside from_reference
    "reference": "spec",
    "shapes": "spec words",
    "architecture": "spec shapes",
    "cost": "architecture shapes words",
    "layers": "layers.attention layers.conditional layers.convolution layers.labels "
    "layers.plain layers.spectral",
    "layers.attention": "",
    "layers.conditional": "",
    "layers.convolution": "",
    "layers.labels": "",
    "layers.operators": "layers.conditional layers.convolution",
    "layers.plain": "",
    "layers.spectral": "layers.operators",
    "parts": "layers shapes spec words",
    "builder": "parts layers shapes spec words architecture",
    "kernels": "",
    "mmd": "kernels",
    "criteria": "kernels",
    "decay": "criteria files kernels mmd",
    "discrepancies": "criteria kernels mmd",
    "mixing": "criteria discrepancies kernels mmd",
    "losses": "criteria discrepancies kernels mixing",
    "inputs": "",
    "cluster": "",
    "replicas": "inputs layers cluster",
    "batch": "layers replicas",
    "penalties": "batch jacobian layers replicas",
    "changes": "batch",
    "augment": "batch changes criteria replicas",
    "jacobian": "",
    "gcmmd": "kernels",
    "scaling": "batch discrepancies gcmmd jacobian kernels replicas",
    "models": "",
    "sampler": "architecture layers models replicas",
    "schedule": "",
    "quick": "inputs layers.convolution layers.spectral",
    "gan": "augment batch inputs quick replicas losses penalties scaling schedule "
    "layers architecture sampler",
    "images": "",
    "preparation": "images",
    "readers": "images readers.archives readers.arrays readers.batches readers.celeba "
    "readers.files readers.imagenet readers.lsun readers.shards readers.source "
    "readers.tfrecords",
    "readers.source": "images preparation",
    "readers.arrays": "images readers.source",
    "readers.files": "files images readers.archives readers.source",
    "readers.catalogue": "images readers.celeba readers.large readers.source "
    "readers.tfdsfiles",
    "readers.tfdsfiles": "files images readers.source records",
    "readers.batches": "images networks networks.pickles networks.unpickler "
    "readers.arrays readers.packed readers.source",
    "readers.archives": "images",
    "readers.celeba": "images readers.archives readers.files readers.source",
    "readers.imagenet": "images readers.archives readers.large readers.packed "
    "readers.source",
    "readers.large": "files images readers.source",
    "readers.lsun": "images readers.files readers.large readers.mdb readers.source",
    "readers.mdb": "images readers.archives",
    "readers.packed": "images",
    "readers.shards": "files images preparation readers.source records",
    "readers.tfrecords": "images readers.files readers.large readers.source records",
    "records": "images",
    "workers": "images",
    "plans": "files readers readers.shards",
    "shards": "datasets files plans readers readers.shards readers.source records "
    "workers",
    "toy": "",
    "streams": "readers",
    "datasets": "readers readers.catalogue readers.source streams toy",
    "networks": "",
    "networks.frozen": "files networks.pickles",
    "networks.imagenet": "builder files networks networks.pickles",
    "networks.inception": "builder files models networks networks.frozen",
    "networks.pickles": "networks.unpickler",
    "networks.unpickler": "",
    "features": "builder files models networks networks.imagenet networks.inception "
    "readers replicas",
    "samples": "datasets files metrics plots readers readers.source sampler shapes",
    "metrics": "kernels mmd pyramids",
    "pyramids": "",
    "evaluate": "features files kernels metrics samples replicas",
    "files": "",
    "plots": "files",
    "callbacks": "decay evaluate files plots readers.source replicas samples",
    "checkpoints": "callbacks decay evaluate files models",
    "monitors": "callbacks inputs jacobian mmd penalties pictures projector",
    "settings": "architecture augment decay evaluate features gan losses penalties "
    "readers.source replicas rollback scaling schedule",
    "rollback": "criteria",
    "signals": "replicas",
    "claim": "files settings",
    "training": "callbacks checkpoints claim decay evaluate features gan monitors "
    "pictures plots readers replicas rollback samples settings signals streams",
    "experiment": "architecture builder claim cost datasets features gan losses "
    "readers replicas schedule settings shapes streams training",
    "pictures": "plots sampler",
    "projector": "files plots",
    "page": "",
    "runs": "callbacks datasets evaluate experiment sampler settings",
    "report": "architecture builder checkpoints evaluate experiment features files "
    "monitors page pictures plots runs shapes",
    "theory": "",
    "theory.distances": "",
    "theory.pointmass": "plots theory theory.distances",
    "theory.critics": "kernels mmd",
    "theory.scores": "metrics",
    "theory.bias": "metrics plots theory theory.critics theory.scores",
    "theory.particles": "kernels losses mmd plots",
    "theory.points": "builder datasets gan losses mmd plots streams toy",
    "commandline": "experiment settings signals datasets files",
}
# Modules that load neither TensorFlow nor Keras, whatever they import.
WORDS = "choices words spec reference shapes architecture".split()
# Modules that run on every Keras backend. layers.labels does too, but checks labels in
# TensorFlow's graphs with what only TensorFlow has.
BACKENDS = "layers layers.attention layers.conditional layers.convolution layers.plain "
BACKENDS += "layers.operators layers.spectral parts builder kernels mmd losses metrics"
BACKENDS += " criteria discrepancies mixing pyramids"
BACKENDS = BACKENDS.split()
TENSORFLOW = {"tensorflow", "tensorflow_datasets", "tensorboard"}

ROOT = Path(gantf.__file__).parent
SOURCES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): (
        path
    )
    for path in sorted(ROOT.rglob("*.py"))
}
del SOURCES["__init__"]  # imports nothing before it is used; see below


def imports(path, nested=True):
    """The dotted names of all modules that a file imports."""
    tree = ast.parse(path.read_text("utf-8"))
    nodes = ast.walk(tree) if nested else tree.body
    found = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: a relative import"
            found |= {node.module, *(f"{node.module}.{a.name}" for a in node.names)}
    return found


def own(path, nested=True):
    """The modules of gantf that a file imports, by their names in gantf."""
    names = {name.removeprefix("gantf.") for name in imports(path, nested)}
    return names & set(SOURCES)


def outside(path):
    """The packages that a file imports."""
    return {name.partition(".")[0] for name in imports(path)}


def test_the_table_has_a_line_for_every_module():
    missing = sorted(set(SOURCES) - set(ARROWS))
    assert not missing, f"new modules need their arrows in ARROWS: {missing}"


@pytest.mark.parametrize("name", SOURCES)
def test_modules_import_along_the_arrows(name):
    allowed = {*ARROWS.get(name, "").split(), "choices", name}
    other = sorted(own(SOURCES[name]) - allowed)
    assert not other, f"{name} may not import {other}"


def test_the_arrows_have_no_circle():
    arrows = {name: set(line.split()) for name, line in ARROWS.items()}
    arrows["spec"].remove("reference")  # not while it is loaded; see below
    arrows["layers"] |= {"choices"}
    while leaves := {name for name, others in arrows.items() if not others}:
        arrows = {
            name: others - leaves - {"choices"}
            for name, others in arrows.items()
            if name not in leaves
        }
    assert not arrows


def test_spec_loads_reference_only_where_it_is_used():
    assert "reference" in own(SOURCES["spec"])
    assert own(SOURCES["spec"], nested=False) == {"choices", "words"}


@pytest.mark.parametrize("name", WORDS)
def test_the_language_knows_no_framework(name):
    assert outside(SOURCES[name]) <= {*sys.stdlib_module_names, "gantf"}


@pytest.mark.parametrize("name", [n for n in BACKENDS if n in SOURCES])
def test_numerics_run_on_every_backend(name):
    assert not outside(SOURCES[name]) & TENSORFLOW


@pytest.mark.parametrize("name", SOURCES)
def test_gantf_knows_no_architectures_and_no_experiments(name):
    other = {"architectures", "my_tests", "tests", "tools"}
    assert not outside(SOURCES[name]) & other


def test_the_package_itself_imports_nothing():
    assert imports(ROOT / "__init__.py") == {"importlib"}


ZOO = sorted(Path(architectures.__file__).parent.glob("*.py"))


@pytest.mark.parametrize("path", ZOO, ids=lambda path: path.stem)
def test_architectures_are_data(path):
    assert outside(path) <= {*sys.stdlib_module_names, "architectures"}


def test_public_names_are_modules_and_names():
    for name in gantf.__all__:
        module = gantf._NAMES.get(name, name)
        assert module in ARROWS, name
        if module in SOURCES:
            assert getattr(gantf, name) is not None
    assert set(dir(gantf)) == {*gantf.__all__, "__version__"}


def test_unknown_names_are_attribute_errors():
    with pytest.raises(AttributeError) as caught:
        _ = gantf.lossess
    assert str(caught.value) == "module 'gantf' has no attribute 'lossess'"
