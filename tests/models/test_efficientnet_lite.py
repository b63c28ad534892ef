"""EfficientNet-Lite with its published weights, and the reader of torch's files against what a file may hold."""

import collections
import io
import os
import pickle
import struct
import sys
import types

import keras
import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_sample_image

from convlens.data.loader import LoaderSettings, resize_photo
from convlens.errors import ConvLensError
from convlens.lens.lens import open_lens
from convlens.models import efficientnet_lite
from convlens.models.efficientnet_lite import (
    LITE_NETWORKS,
    MAGIC,
    VERSION,
    apply_lite,
    load_lite_weights,
    read_lite_weights,
    read_torch,
)

TEMPLE = {442, 663, 698, 832}  # of ImageNet's classes: bell cote, monastery, palace, stupa
SIZES = {"EfficientNetLite0": 3_413_024, "EfficientNetLite1": 4_189_344, "EfficientNetLite2": 4_869_168}


def build(name: str, *, size: int | None = None, prefix: str = "") -> keras.Model:
    pictures = keras.Input((size, size, 3))
    values, found = apply_lite(pictures, name, image_size=size, dtype="float32", prefix=prefix)
    load_lite_weights(found, name, prefix=prefix)
    return keras.Model(pictures, keras.layers.GlobalAveragePooling2D()(values))


@pytest.mark.parametrize("name", LITE_NETWORKS)
def test_a_temple_is_known_by_imagenets_thousand_answers(name):
    """With the values of a tensor in another order, or other preprocessing, answers are those of chance."""
    size = LITE_NETWORKS[name].image_size
    photo = resize_photo(Image.fromarray(load_sample_image("china.jpg")), LoaderSettings(size))
    network, weights = build(name, size=size), read_lite_weights(name)
    features = network(np.stack([photo, photo]).astype(np.float32), training=False).numpy()
    logits = features[0] @ weights["_fc.weight"].T + weights["_fc.bias"]
    assert network.count_params() == SIZES[name]
    assert len(TEMPLE & set(np.argsort(logits)[-4:])) >= 2


def test_every_layer_gets_weights_and_pixels_are_scaled_as_in_the_training():
    network = build("EfficientNetLite0")
    random = {layer.name for layer in network.layers if layer.weights and len(np.unique(layer.get_weights()[0])) < 3}
    assert random == set()
    pixels = np.array([[[0, 127, 255]]], np.float32)
    assert network.get_layer("preprocess")(pixels).numpy().ravel().tolist() == [-127 / 128, 0, 1]


def test_several_stand_side_by_side_under_names_of_their_own():
    pictures = keras.Input((64, 64, 3))
    both = []
    for name, prefix in (("EfficientNetLite0", "lite0_"), ("EfficientNetLite1", "lite1_")):
        values, _ = apply_lite(pictures, name, image_size=64, dtype="float32", prefix=prefix)
        both.append(keras.layers.GlobalAveragePooling2D()(values))
    network = keras.Model(pictures, both)
    for name, prefix in (("EfficientNetLite0", "lite0_"), ("EfficientNetLite1", "lite1_")):
        load_lite_weights(network.layers, name, prefix=prefix)
    noise = np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3)).astype(np.float32)
    alone = [build(name, size=64)(noise).numpy() for name in ("EfficientNetLite0", "EfficientNetLite1")]
    assert all(np.allclose(given.numpy(), one, atol=1e-5) for given, one in zip(network(noise), alone, strict=True))


def test_the_lens_opens_it():
    photos = keras.Input((40, 40, 3), dtype="uint8")
    values, found = apply_lite(photos, "EfficientNetLite0", image_size=40, dtype="float32")
    load_lite_weights(found, "EfficientNetLite0")
    answer = keras.layers.Dense(1, name="logits")(keras.layers.GlobalAveragePooling2D(name="average")(values))
    network = keras.Model(photos, keras.layers.Activation("sigmoid", name="probabilities")(answer))
    lens = open_lens(network)
    lens.run(np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8))  # raises if a bit differs
    assert not lens.skipped
    assert [layer.name for layer in lens.layers if layer.agrees is False] == []


# --- what cannot be ---


def test_a_package_that_is_missing_and_another_file_are_told(monkeypatch, tmp_path):
    from dataclasses import replace

    network = LITE_NETWORKS["EfficientNetLite0"]
    changes = {
        "other": ({"sha256": "0" * 64}, f"Received: {network.sha256}. Install {network.package} anew"),
        "gone": ({"file": "nothing.pth"}, "Received: No such file or directory. Install"),
        "missing": ({"package": "not-installed"}, "Expected the package not-installed, which holds the weights of"),
    }
    for change, told in changes.values():
        monkeypatch.setitem(efficientnet_lite.LITE_NETWORKS, "EfficientNetLite0", replace(network, **change))
        with pytest.raises(ConvLensError) as caught:
            read_lite_weights("EfficientNetLite0")
        assert told in str(caught.value)
        assert "\n" not in str(caught.value)


def test_pictures_that_are_too_small_are_refused():
    with pytest.raises(ConvLensError, match=r"at least 32 for the backbone EfficientNetLite0\. Received: 16"):
        apply_lite(keras.Input((16, 16, 3)), "EfficientNetLite0", image_size=16, dtype="float32")


# --- files as torch writes them, made here ---


class Storage:
    def __init__(self, key, values):
        self.key, self.values = key, np.asarray(values)

    @property
    def kind(self):
        return "FloatStorage" if self.values.dtype == np.float32 else "LongStorage"


class Tensor:
    def __init__(self, storage, offset, size, stride):
        self.parts = (storage, offset, size, stride, False, collections.OrderedDict())

    def __reduce__(self):
        return sys.modules["torch._utils"]._rebuild_tensor_v2, self.parts


class Pickler(pickle.Pickler):
    def persistent_id(self, each):
        if not isinstance(each, Storage):
            return None
        return ("storage", getattr(sys.modules["torch"], each.kind), each.key, "cpu", len(each.values), None)


@pytest.fixture
def torch(monkeypatch):
    """Modules with the names that torch's pickles hold, for writing; taken away before a file is read."""
    main, utils = types.ModuleType("torch"), types.ModuleType("torch._utils")
    for kind in ("FloatStorage", "LongStorage", "HalfStorage"):
        setattr(main, kind, type(kind, (), {"__module__": "torch"}))

    def _rebuild_tensor_v2():
        pass

    _rebuild_tensor_v2.__module__, _rebuild_tensor_v2.__qualname__ = "torch._utils", "_rebuild_tensor_v2"
    utils._rebuild_tensor_v2 = _rebuild_tensor_v2
    monkeypatch.setitem(sys.modules, "torch", main)
    monkeypatch.setitem(sys.modules, "torch._utils", utils)


def dump(value):
    stream = io.BytesIO()
    Pickler(stream, protocol=2).dump(value)
    return stream.getvalue()


def write(tensors, storages, *, magic=MAGIC, little=True):
    parts = [dump(magic), dump(VERSION), dump({"protocol_version": VERSION, "little_endian": little})]
    parts += [tensors if isinstance(tensors, bytes) else dump(tensors), dump([storage.key for storage in storages])]
    return b"".join([*parts, *(struct.pack("<q", len(one.values)) + one.values.tobytes() for one in storages)])


def test_tensors_are_views_with_strides(torch):
    numbers, count = Storage("1", np.arange(12, dtype=np.float32)), Storage("2", np.array([7], np.int64))
    tensors = collections.OrderedDict(
        rows=Tensor(numbers, 0, (3, 4), (4, 1)),
        columns=Tensor(numbers, 0, (4, 3), (1, 4)),
        part=Tensor(numbers, 5, (2,), (3,)),
        count=Tensor(count, 0, (), ()),
        nothing=Tensor(numbers, 0, (0, 4), (4, 1)),
    )
    read = read_torch(write(tensors, [numbers, count]))
    whole = np.arange(12, dtype=np.float32).reshape(3, 4)
    assert np.array_equal(read["rows"], whole)
    assert np.array_equal(read["columns"], whole.T)
    assert read["part"].tolist() == [5, 8]
    assert (read["count"].dtype, read["count"].shape, int(read["count"])) == (np.int64, (), 7)
    assert read["nothing"].shape == (0, 4)
    assert all(array.flags.owndata and array.flags.writeable for array in read.values())


NUMBERS = Storage("1", np.arange(4, dtype=np.float32))


class Named:
    """Pickles as the call of a function."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


HOSTILE = {
    "a command": lambda: dump(Named(os.system, "touch harmed")),
    "an evaluation": lambda: dump({"a": Named(eval, "open('harmed', 'w')")}),
    "another part of torch": lambda: dump(Named(sys.modules["torch"].HalfStorage)),
    "a name with dots": lambda: b"\x80\x04\x8c\x05torch\x8c\x0f_utils.os.system\x93.",
    "a way to classes": lambda: b"ccollections\nOrderedDict\nccollections\nnamedtuple\n.",
    "an attribute of a class": lambda: b"ccollections\nOrderedDict\nN}(Vget\nI1\nu\x86b.",
    "code for the rebuilder": lambda: b"ctorch._utils\n_rebuild_tensor_v2\nN}(V__code__\nI1\nu\x86b.",
    "no dictionary": lambda: dump([1, 2]),
    "no tensors": lambda: dump({"a": 1}),
    "a tensor outside": lambda: dump({"a": Tensor(NUMBERS, 1, (4,), (1,))}),
    "a tensor before": lambda: dump({"a": Tensor(NUMBERS, -1, (2,), (1,))}),
    "a stride backwards": lambda: dump({"a": Tensor(NUMBERS, 3, (2,), (-1,))}),
    "a huge tensor of one value": lambda: dump({"a": Tensor(NUMBERS, 0, (1 << 40,), (0,))}),
    "more sizes than strides": lambda: dump({"a": Tensor(NUMBERS, 0, (2, 2), (1,))}),
    "a size that is none": lambda: dump({"a": Tensor(NUMBERS, 0, ("2",), (1,))}),
    "a storage that is not there": lambda: dump({"a": Tensor(Storage("2", NUMBERS.values), 0, (4,), (1,))}),
    "deep nesting": lambda: b"(" * 1_000_000 + b"t" * 1_000_000 + b".",
    "nothing": lambda: b"",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_pickle_of_anything_else_is_refused_and_runs_nothing(torch, monkeypatch, tmp_path, name):
    content = write(HOSTILE[name](), [NUMBERS])
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConvLensError, match=r"^Expected weights as torch.save writes them. Received: .+\.$"):
        read_torch(content)
    assert list(tmp_path.iterdir()) == []


def test_a_file_of_another_kind_or_cut_short_is_refused(torch):
    whole = write({"a": Tensor(NUMBERS, 0, (4,), (1,))}, [NUMBERS])
    assert read_torch(whole)["a"].tolist() == [0, 1, 2, 3]
    longer = whole[:-24] + struct.pack("<q", 1 << 60) + whole[-16:]
    negative = whole[:-24] + struct.pack("<q", -4) + whole[-16:]
    other = write({"a": Tensor(NUMBERS, 0, (4,), (1,))}, [NUMBERS], magic=1)
    big = write({"a": Tensor(NUMBERS, 0, (4,), (1,))}, [NUMBERS], little=False)
    for content in (
        b"",
        b"PK\x03\x04 a zip file",
        longer,
        negative,
        other,
        big,
        *(whole[:end] for end in range(len(whole))),
    ):
        with pytest.raises(ConvLensError):
            read_torch(content)
