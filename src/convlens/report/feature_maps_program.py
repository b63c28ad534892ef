"""The network as operations that the page can run."""

from typing import Any

from convlens.report.feature_maps_sprites import as_base64


def encode_program(program: Any) -> tuple[dict[str, Any] | None, dict[str, Any]]:
    """The program (`convlens.lens.program.Program`) for the page's data, and its dense weights for the kernels."""
    if program is None:
        return None, {}
    dense = {
        operation.name: {"weights": as_base64(operation.weights),
                         "bias": None if operation.bias is None else as_base64(operation.bias)}
        for operation in program.operations
        if operation.kind == "dense"
    }  # fmt: skip
    return {
        "operations": [_encode(operation) for operation in program.operations],
        "logOdds": len(program.operations) - 1,
        "units": program.units,
        "multiplications": program.multiplications,
    }, dense


def _encode(operation: Any) -> dict[str, Any]:
    found: dict[str, Any] = {"kind": operation.kind, "inputs": list(operation.inputs), "name": operation.name}
    if operation.shape is not None:
        found["shape"] = list(operation.shape)
    if operation.windows is not None:
        found["windows"] = [
            {"size": window.size, "stride": window.stride, "before": window.before} for window in operation.windows
        ]
    if operation.scale is not None:
        found |= {"scale": as_base64(operation.scale), "offset": as_base64(operation.offset)}
    return found
