"""face-api.js's networks as teachers: a 128-number face descriptor, and seven expressions (MIT licence).

Their weights are files of 8-bit numbers with a manifest beside them (`NAME_model-weights_manifest.json`,
`NAME_model.bin`), as TensorFlow.js stores them. The descriptor is dlib's 29-layer residual network
(Davis King, 2017): faces of one person lie close together, mostly nearer than 0.6.
"""

import json
import pathlib
from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

MEAN = (122.782, 117.001, 104.298)  # of RGB pixels, as both were trained with
DESCRIPTOR = 128
# The words of face-api.js for the catalogue's expressions, in the order of its outputs.
EXPRESSIONS = ("neutral", "happiness", "sadness", "anger", "fear", "disgust", "surprise")


def read_weights(folder: pathlib.Path, name: str) -> dict[str, Tensor]:
    """The weights of `name` ("face_recognition", "face_expression") in a folder, by name, fp32.

    ValueError for files that are missing, or do not hold what the manifest says.
    """
    manifest = folder / f"{name}_model-weights_manifest.json"
    try:
        groups = json.loads(manifest.read_text())
        weights: dict[str, Tensor] = {}
        for group in groups:
            data = b"".join((folder / path).read_bytes() for path in group["paths"])
            at = 0
            for entry in group["weights"]:
                shape, packed = entry["shape"], entry.get("quantization")
                stored = np.dtype(packed["dtype"] if packed else entry["dtype"])
                count = int(np.prod(shape))
                values = np.frombuffer(data, stored, count, at).astype(np.float32)
                at += count * stored.itemsize
                if packed:
                    values = values * np.float32(packed["scale"]) + np.float32(packed["min"])
                weights[entry["name"]] = torch.from_numpy(values.reshape(shape))
            if at != len(data):
                raise ValueError(f"{len(data) - at} bytes are left over")
    except OSError as error:
        raise ValueError(
            f"{error.filename} can't be read ({error.strerror}): name the folder with face-api.js's weights"
        ) from None
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"{manifest} does not describe its weights ({error}): fetch both files anew"
        ) from None
    return weights


def _convolution(filters: Tensor) -> Tensor:
    """TensorFlow's [height, width, in, out] as torch's [out, in, height, width]."""
    return filters.permute(3, 2, 0, 1).contiguous()


class _Layers(nn.Module):
    """Frozen weights by their own names."""

    def __init__(self, weights: Mapping[str, Tensor]) -> None:
        super().__init__()
        for name, value in weights.items():
            kept = _convolution(value) if value.ndim == 4 and not name.endswith("depthwise_filter") else value
            if name.endswith("depthwise_filter"):
                kept = value.permute(2, 3, 0, 1).contiguous()  # [height, width, channels, 1]
            self.register_buffer(name.replace("/", "__"), kept, persistent=False)
        self.register_buffer("_pixel_mean", torch.tensor(MEAN), persistent=False)

    def part(self, name: str) -> Tensor:
        """The weight of a name."""
        return self.get_buffer(name.replace("/", "__"))

    def has(self, name: str) -> bool:
        return hasattr(self, name.replace("/", "__"))

    def images(self, pixels: Tensor, *, side: int, scale: float) -> Tensor:
        """RGB pixels 0..255 [B, H, W, 3] -> [B, 3, side, side] as the networks want them."""
        centred = ((pixels.float() - self.get_buffer("_pixel_mean")) / scale).permute(0, 3, 1, 2)
        if centred.shape[-2:] == (side, side):
            return centred
        return functional.interpolate(
            centred, size=(side, side), mode="bilinear", align_corners=False, antialias=True
        )


class FaceDescriptor(_Layers):
    """Crops of faces in, descriptors out."""

    SIDE = 150
    _RESIDUAL = (
        *(f"conv32_{i}" for i in (1, 2, 3)),
        "conv64_down",
        *(f"conv64_{i}" for i in (1, 2, 3)),
        "conv128_down",
        *(f"conv128_{i}" for i in (1, 2)),
        "conv256_down",
        *(f"conv256_{i}" for i in (1, 2)),
        "conv256_down_out",
    )

    @classmethod
    def load(cls, folder: pathlib.Path) -> "FaceDescriptor":
        """From a folder with face_recognition_model.*. ValueError for a wrong one."""
        return cls(read_weights(folder, "face_recognition")).eval()

    @torch.no_grad()
    def forward(self, pixels: Tensor) -> Tensor:
        """RGB pixels 0..255 [B, H, W, 3] of faces -> descriptors [B, 128]."""
        x = self.images(pixels, side=self.SIDE, scale=256)
        x = functional.relu(self._scaled(x, "conv32_down", stride=2, padding=0))
        x = functional.max_pool2d(x, 3, 2)
        for name in self._RESIDUAL:
            x = self._residual(x, name, down="down" in name)
        return x.mean((2, 3)) @ self.part("fc")

    def _scaled(self, x: Tensor, name: str, *, stride: int = 1, padding: int = 1) -> Tensor:
        x = functional.conv2d(
            x, self.part(f"{name}/conv/filters"), self.part(f"{name}/conv/bias"), stride, padding
        )
        return (
            x * self.part(f"{name}/scale/weights")[:, None, None]
            + self.part(f"{name}/scale/biases")[:, None, None]
        )

    def _residual(self, x: Tensor, name: str, *, down: bool) -> Tensor:
        stride, padding = (2, 0) if down else (1, 1)
        y = functional.relu(self._scaled(x, f"{name}/conv1", stride=stride, padding=padding))
        y = self._scaled(y, f"{name}/conv2")
        if down:
            x = functional.avg_pool2d(x, 2, 2)
            # Zeros where one of the two is smaller, as the original does.
            rows, columns = (max(x.shape[i], y.shape[i]) for i in (2, 3))
            channels = max(x.shape[1], y.shape[1])
            x = functional.pad(x, (0, columns - x.shape[3], 0, rows - x.shape[2], 0, channels - x.shape[1]))
            y = functional.pad(y, (0, columns - y.shape[3], 0, rows - y.shape[2]))
        return functional.relu(x + y)


class FaceExpression(_Layers):
    """Crops of faces in, probabilities of EXPRESSIONS out."""

    SIDE = 112

    @classmethod
    def load(cls, folder: pathlib.Path) -> "FaceExpression":
        """From a folder with face_expression_model.*. ValueError for a wrong one."""
        return cls(read_weights(folder, "face_expression")).eval()

    @torch.no_grad()
    def forward(self, pixels: Tensor) -> Tensor:
        """RGB pixels 0..255 [B, H, W, 3] of faces -> probabilities [B, 7]."""
        x = self.images(pixels, side=self.SIDE, scale=255)
        for i in range(4):
            x = self._dense(x, f"dense{i}")
        x = functional.avg_pool2d(x, 7, 2).flatten(1)
        return torch.softmax(x @ self.part("fc/weights") + self.part("fc/bias"), dim=1)

    def _dense(self, x: Tensor, name: str) -> Tensor:
        """Four convolutions, each of which sees the sum of those before it."""
        total = functional.relu(self._separable(x, f"{name}/conv0", stride=2))
        first = total
        for i in (1, 2, 3):
            total = total + self._separable(functional.relu(total) if i > 1 else first, f"{name}/conv{i}")
        return functional.relu(total)

    def _separable(self, x: Tensor, name: str, *, stride: int = 1) -> Tensor:
        # TensorFlow's "same": what is missing for an even size comes in on the right and at the bottom.
        before = 0 if stride == 2 and x.shape[-1] % 2 == 0 else 1
        x = functional.pad(x, (before, 1, before, 1))
        bias = self.part(f"{name}/bias")
        if self.has(f"{name}/filters"):
            return functional.conv2d(x, self.part(f"{name}/filters"), bias, stride)
        depthwise = self.part(f"{name}/depthwise_filter")
        x = functional.conv2d(x, depthwise, stride=stride, groups=depthwise.shape[0])
        return functional.conv2d(x, self.part(f"{name}/pointwise_filter"), bias)
