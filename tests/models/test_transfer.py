"""Transfer learning on the smallest backbone, without a network: ImageNet's weights come from 127.0.0.1."""

import hashlib
import json
import subprocess
import sys
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras.src.applications import mobilenet_v3

from convlens.errors import ConvLensError
from convlens.lens.lens import open_lens
from convlens.models.architectures import build_body, build_model, finish_model
from convlens.models.files import encode_model
from convlens.models.transfer import copy_weights, load_pretrained, phase_at, probe_preprocessing
from convlens.params import ModelParams, load_params
from convlens.training.optimizers import build_optimizer

SIZE = 32
NAME = "MobileNetV3Small"
PUBLISHED = "weights_mobilenet_v3_small_224_1.0_float_no_top_v2.h5"
PHOTOS = np.random.default_rng(0).integers(0, 256, (3, SIZE, SIZE, 3), dtype=np.uint8)


def model_params(**changes) -> ModelParams:
    values = load_params().model.model_dump(mode="json")
    none = {"backbone": NAME, "weights": "none", "weights_sha256": None, "frozen_fraction": 0.5, "fine_tune_rate": 0.1}
    values["transfer"] |= {**none, "head": "trained", "unfrozen_fraction": 1.0, "dropout": 0.2, **changes}
    return ModelParams.model_validate_json(json.dumps({**values, "architecture": "transfer"}))


def body_of(params):
    return build_body(params, num_classes=2, image_size=SIZE)


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture(scope="module")
def network():
    """A backbone with weights of its own, as somebody might have trained it."""
    found = keras.applications.MobileNetV3Small(include_top=False, weights=None, input_shape=(SIZE, SIZE, 3))
    generator = np.random.default_rng(1)
    for weight in found.weights:
        noise = generator.normal(0, 0.1, weight.shape)
        weight.assign(weight + (np.abs(noise) if "variance" in weight.path else noise))
    return found


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    return tmp_path


def file_params(path, **changes):
    return model_params(weights=path.name, weights_sha256=digest(path), **changes)


def features(body, photos=PHOTOS):
    return keras.Model(body.inputs, body.get_layer("average").output)([photos.astype(np.float32)]).numpy()


def expected_features(network):
    return network(PHOTOS.astype(np.float32), training=False).numpy().mean(axis=(1, 2))


@pytest.mark.parametrize("name", ["a.weights.h5", "a.h5", "a.keras"])
def test_weights_come_from_a_file(network, root, name):
    path = root / name
    (network.save_weights if name.endswith("weights.h5") else network.save)(path)
    params = file_params(path)
    body = body_of(params)
    head = body.get_layer("logits").get_weights()
    load_pretrained(body, params)
    assert np.allclose(features(body), expected_features(network), atol=1e-5)
    assert all((old == new).all() for old, new in zip(head, body.get_layer("logits").get_weights(), strict=True))


def test_a_trained_model_of_ours_can_be_the_start(root):
    params = model_params()
    first = body_of(params)
    (root / "first.keras").write_bytes(encode_model(finish_model(first, params, num_classes=2, image_size=SIZE), root))
    second = body_of(params)
    load_pretrained(second, file_params(root / "first.keras"))
    assert np.array_equal(features(second), features(first))


@pytest.fixture(scope="module")
def refuse():
    """What `load_pretrained` says, of one body that nothing may change."""
    body = body_of(model_params())

    def told(params):
        before = body.get_weights()
        with pytest.raises(ConvLensError) as caught:
            load_pretrained(body, params)
        assert all((old == new).all() for old, new in zip(before, body.get_weights(), strict=True))
        return str(caught.value)

    return told


@pytest.mark.parametrize("name", ["other.weights.h5", "other.h5"])
def test_weights_of_another_network_are_refused(refuse, root, name):
    other = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Conv2D(2, 3, name="conv")])
    (other.save_weights if name.endswith("weights.h5") else other.save)(root / name)
    told = refuse(file_params(root / name))
    assert told.startswith(f"Expected weights of {NAME} without its top in {name}. Received: ")
    assert told.endswith("Keras has files ending in notop.h5 or no_top.h5 for this.")


@pytest.mark.parametrize("name", ["junk.h5", "junk.weights.h5", "junk.keras"])
def test_a_file_that_is_none_is_refused(refuse, root, name):
    (root / name).write_bytes(b"photos")
    assert f"Expected weights of {NAME} without its top in {name}. Received: " in refuse(file_params(root / name))


def test_a_missing_file_a_wrong_digest_and_another_kind_of_file_are_told(refuse, root):
    (root / "w.txt").write_text("w")
    (root / "w.h5").write_text("w")
    sha256 = "0" * 64
    assert refuse(model_params(weights="no.h5", weights_sha256=sha256)).startswith(
        "Expected imagenet, none or a file in model.transfer.weights. Received: 'no.h5', and nothing is there."
    )
    assert "ending in .h5, .hdf5, .keras. Received: 'w.txt'." in refuse(file_params(root / "w.txt"))
    assert refuse(model_params(weights="w.h5", weights_sha256=sha256)).startswith(
        f"Expected w.h5 to have the sha256 {sha256} of model.transfer.weights_sha256. "
        f"Received: {digest(root / 'w.h5')}. Bring the right file"
    )


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.fixture
def site(tmp_path, monkeypatch):
    """A server with an empty folder in Google's place, and an empty Keras cache."""
    folder = tmp_path / "site"
    folder.mkdir()
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    monkeypatch.setattr(mobilenet_v3, "BASE_WEIGHT_PATH", f"http://127.0.0.1:{server.server_address[1]}/")
    monkeypatch.setattr("keras.src.backend.config._KERAS_DIR", str(tmp_path / "keras"))
    (tmp_path / "keras").mkdir()
    yield folder
    server.shutdown()
    thread.join()
    server.server_close()


def publish(network, site, monkeypatch, *, honest=True):
    network.save(site / "saved.h5")
    (site / "saved.h5").rename(site / PUBLISHED)
    with_top, _ = mobilenet_v3.WEIGHTS_HASHES["small_224_1.0_float"]
    md5 = hashlib.md5((site / PUBLISHED).read_bytes() if honest else b"", usedforsecurity=False).hexdigest()
    monkeypatch.setitem(mobilenet_v3.WEIGHTS_HASHES, "small_224_1.0_float", (with_top, md5))


def test_imagenet_weights_are_fetched_once(network, site, monkeypatch, capsys):
    publish(network, site, monkeypatch)
    params = model_params(weights="imagenet")
    for _ in range(2):
        body = body_of(params)
        load_pretrained(body, params)
        assert np.allclose(features(body), expected_features(network), atol=1e-5)
        (site / PUBLISHED).unlink(missing_ok=True)  # the second time it comes from Keras's cache
    assert capsys.readouterr().err.count(f"ImageNet weights of {NAME}, through keras.applications.") == 2


ADVICE = (
    "on a machine that can, put the file anywhere on this one, and set model.transfer.weights to its path and "
    "model.transfer.weights_sha256 to its digest (`sha256sum FILE`); or set model.transfer.weights to none."
)


def test_weights_that_are_not_there_are_told_with_their_address(refuse, site):
    told = refuse(model_params(weights="imagenet"))
    address = f"{mobilenet_v3.BASE_WEIGHT_PATH}{PUBLISHED}"
    assert told == (
        f"Expected the ImageNet weights of {NAME} from keras.applications. Received: URL fetch failure on {address}: "
        f"404 -- File not found. Fetch {address} {ADVICE}"
    )


@pytest.mark.parametrize("address", ["http://127.0.0.1:9/", "http://nowhere.invalid/"])
def test_no_network_is_told(refuse, site, monkeypatch, address):
    monkeypatch.setattr(mobilenet_v3, "BASE_WEIGHT_PATH", address)
    told = refuse(model_params(weights="imagenet"))
    assert f"Received: URL fetch failure on {address}{PUBLISHED}: " in told
    assert told.endswith(f"Fetch {address}{PUBLISHED} {ADVICE}")


def test_weights_that_are_not_what_keras_published_are_refused(refuse, network, site, monkeypatch):
    publish(network, site, monkeypatch, honest=False)
    told = refuse(model_params(weights="imagenet"))
    assert "Received: Incomplete or corrupted file detected." in told
    assert f"Fetch {mobilenet_v3.BASE_WEIGHT_PATH}{PUBLISHED} {ADVICE}" in told


def test_an_efficientnet_takes_weights_of_imagenets_scale_and_no_others():
    """Its own scaling stays neutral: what it should do is done in front (see test_backbones)."""
    body = body_of(model_params(backbone="EfficientNetB0"))
    source = keras.applications.EfficientNetB0(include_top=False, weights=None, input_shape=(SIZE, SIZE, 3))
    scaling = next(layer for layer in source.layers if isinstance(layer, keras.layers.Normalization))
    scaling.set_weights([np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225]), np.int32(0)])
    copy_weights(source, body, name="EfficientNetB0")
    assert np.array_equal(body.get_layer("top_conv").kernel, source.get_layer("top_conv").kernel)
    assert [weight.tolist() for weight in body.get_layer("normalization_1").get_weights()[:2]] == [[0] * 3, [1] * 3]
    scaling.set_weights([np.zeros(3), np.ones(3), np.int32(0)])
    with pytest.raises(ConvLensError, match=r"Expected weights of EfficientNetB0 that were trained on pictures scaled"):
        copy_weights(source, body, name="EfficientNetB0")


def test_normalisation_of_a_pretrained_backbone_never_learns():
    body = body_of(model_params(weights="imagenet"))
    normalizations = [layer for layer in body.layers if isinstance(layer, keras.layers.BatchNormalization)]
    before = [weight.numpy() for layer in normalizations for weight in layer.weights]
    body(PHOTOS.astype(np.float32), training=True)
    after = [weight.numpy() for layer in normalizations for weight in layer.weights]
    assert normalizations
    assert all((old == new).all() for old, new in zip(before, after, strict=True))
    trained = {id(variable) for variable in body.trainable_variables}
    assert not any(id(weight) in trained for layer in normalizations for weight in layer.weights)


def test_normalisation_of_a_random_backbone_learns():
    body = body_of(model_params())
    moving = body.get_layer("conv_bn").moving_mean
    before = moving.numpy()
    body(PHOTOS.astype(np.float32), training=True)
    assert not np.array_equal(moving.numpy(), before)


def test_phases():
    body = body_of(model_params(weights="imagenet"))
    head = [id(variable) for variable in body.get_layer("logits").trainable_variables]
    every = [id(variable) for variable in body.trainable_variables]

    def at(progress, **changes):
        phase = phase_at(progress, model_params(weights="imagenet", **changes), body)
        return phase.name, [id(variable) for variable in phase.variables], phase.rate_factor

    assert at(0.0) == at(0.49) == ("frozen", head, 1.0)
    assert at(0.5) == at(1.0) == ("fine_tuned", every, 0.1)
    assert at(1.0, frozen_fraction=1) == ("frozen", head, 1.0)
    assert at(0.0, frozen_fraction=0, fine_tune_rate=0.2) == ("fine_tuned", every, 0.2)
    few = at(0.9, unfrozen_fraction=0.1)[1]
    assert few == every[-len(few) :]
    assert len(head) < len(few) < len(every) / 4
    assert at(0.0, head="fitted") == ("fitted", head, 0.0)
    assert at(0.1, head="fitted") == ("fine_tuned", every, 0.1)
    random = phase_at(0.0, model_params(head="fitted"), body)
    assert (random.name, len(random.variables), random.rate_factor) == ("all", len(every), 1.0)


def small_body():
    """A body in miniature with the names and the frozen normalization of a real one."""
    layers = keras.layers
    steps = [keras.Input((8, 8, 3)), layers.Rescaling(1 / 255), layers.Conv2D(4, 3, use_bias=False, name="conv_1")]
    steps += [layers.BatchNormalization(name="bn", trainable=False), layers.Conv2D(4, 3, name="conv_2"), layers.ReLU()]
    return keras.Sequential([*steps, layers.GlobalAveragePooling2D(), layers.Dense(1, name="logits")], name="body")


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "sgd", "conv_muon"])
def test_variables_of_another_phase_stay_bit_by_bit(optimizer):
    """An optimizer built for all variables takes some of them, inside tf.function, and decays no others."""
    keras.utils.set_random_seed(0)
    params = model_params(weights="imagenet", unfrozen_fraction=0.5)
    body = small_body()
    train = load_params().train.model_copy(update={"optimizer": optimizer, "weight_decay": 0.1, "learning_rate": 0.01})
    keras_optimizer = build_optimizer(train, body)
    keras_optimizer.build(body.trainable_variables)
    pictures, targets = PHOTOS[:, :8, :8].astype(np.float32), tf.constant([[0.0], [1.0], [1.0]])

    @tf.function
    def step(progress):
        variables = phase_at(progress, params, body).variables
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean((body(pictures, training=True) - targets) ** 2)
        keras_optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))

    def changed(progress):
        before = {weight.path: weight.numpy() for weight in body.weights}
        step(progress)
        return {weight.path for weight in body.weights if not np.array_equal(before[weight.path], weight.numpy())}

    head = {"body/logits/kernel", "body/logits/bias"}
    assert changed(0.0) == head
    assert changed(0.5) == head | {"body/conv_2/kernel", "body/conv_2/bias"}
    assert keras_optimizer.iterations == 2


def test_conv_muon_leaves_the_norm_of_pretrained_kernels_alone():
    train = load_params().train.model_copy(update={"optimizer": "conv_muon"})
    layers = keras.layers

    def keeps_norm(*, frozen, bias):
        steps = [keras.Input((8, 8, 3)), layers.Conv2D(2, 3, use_bias=bias), layers.BatchNormalization()]
        steps[2].trainable = not frozen
        return build_optimizer(train, keras.Sequential(steps)).keep_norm

    assert keeps_norm(frozen=False, bias=False) is True
    assert keeps_norm(frozen=True, bias=False) is False
    assert keeps_norm(frozen=False, bias=True) is False  # squeeze-and-excitation has no normalization behind it


def test_a_plain_call_is_inference():
    model = build_model(model_params(), num_classes=3, image_size=SIZE)
    before = [weight.copy() for weight in model.get_weights()]
    answers = model(PHOTOS).numpy()
    assert answers.shape == (3, 3)
    assert np.allclose(answers[:1], model(PHOTOS[:1]).numpy(), atol=1e-6)
    assert all((old == new).all() for old, new in zip(before, model.get_weights(), strict=True))


def bgr_network():
    """The preprocessing of ResNet50 and one convolution."""
    photos = keras.Input((SIZE, SIZE, 3), dtype="uint8")
    values = probe_preprocessing("ResNet50").apply(photos)
    return keras.Model(photos, keras.layers.Flatten()(keras.layers.Conv2D(2, 3, padding="same", name="conv")(values)))


LOAD = """
import keras, numpy as np
for name in ("bgr", "finished"):
    model = keras.saving.load_model(f"{name}.keras", safe_mode=True, compile=False)
    np.save(f"{name}.npy", model(np.load("photos.npy")))
"""


def test_the_finished_model_is_a_flat_reproducible_file_that_a_process_with_only_keras_can_load(network, tmp_path):
    params = model_params(weights="imagenet")
    body = body_of(params)
    copy_weights(network, body, name=NAME)
    files = []
    for seed in range(2):
        keras.utils.set_random_seed(seed)
        keras.layers.Rescaling(1.0)  # Keras goes on counting
        model = finish_model(body, params, num_classes=2, image_size=SIZE)
        files.append(encode_model(model, tmp_path))
    assert files[0] == files[1]
    assert not any(isinstance(layer, keras.Model) for layer in model.layers)
    to_logits = keras.Model(model.inputs, model.get_layer("logits").output)
    assert np.allclose(to_logits([PHOTOS]), body(PHOTOS.astype(np.float32), training=False), atol=1e-5)

    (tmp_path / "finished.keras").write_bytes(files[0])
    bgr = bgr_network()
    bgr.save(tmp_path / "bgr.keras")
    np.save(tmp_path / "photos.npy", PHOTOS)
    subprocess.run([sys.executable, "-c", LOAD], cwd=tmp_path, check=True, capture_output=True)
    assert np.allclose(np.load(tmp_path / "finished.npy"), model(PHOTOS), atol=1e-6)
    assert np.allclose(np.load(tmp_path / "bgr.npy"), bgr(PHOTOS), atol=1e-3)


def test_the_lens_opens_it(network):
    params = model_params(weights="imagenet")
    body = body_of(params)
    copy_weights(network, body, name=NAME)
    model = finish_model(body, params, num_classes=2, image_size=SIZE)
    lens = open_lens(model)
    look = lens.run(PHOTOS[0])  # raises if the answer differs by a bit
    assert np.array_equal(look.picture, PHOTOS[0])
    assert lens.blocks[0].name == "conv"
    assert len(lens.blocks) == 52
    assert not lens.skipped
    assert [layer.name for layer in lens.layers if layer.agrees is False] == []


def test_the_lens_follows_pixels_through_bgr():
    lens = open_lens(bgr_network())
    lens.run(PHOTOS[0])
    field = lens.blocks[0].steps[0].receptive_field
    assert (field.rows.size, field.rows.stride, field.rows.start) == (3, 1, -1)
    assert [layer.name for layer in lens.layers if layer.agrees is False] == []
