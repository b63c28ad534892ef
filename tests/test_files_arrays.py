import io
import zipfile

import numpy as np

from convlens.files import encode_arrays


def test_arrays_come_back_and_nothing_else_is_stored():
    arrays = {"pixels": np.arange(6, dtype=np.uint8).reshape(2, 3), "nothing": np.zeros((0, 4)), "one": np.float32(0.5)}
    content = encode_arrays(arrays)
    with np.load(io.BytesIO(content), allow_pickle=False) as found:
        assert found.files == list(arrays)
        for name, values in arrays.items():
            assert found[name].dtype == values.dtype
            np.testing.assert_array_equal(found[name], values)
    assert encode_arrays(arrays) == content
    entries = zipfile.ZipFile(io.BytesIO(content)).infolist()
    assert {entry.date_time for entry in entries} == {(1980, 1, 1, 0, 0, 0)}
    assert {entry.flag_bits for entry in entries} == {0}
