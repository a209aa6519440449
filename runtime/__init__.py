"""What training, build and server share: the contract, the kinds of answers, what is done to a picture.

numpy and OpenCV only; OpenVINO and ONNX Runtime are loaded where an engine is made (`runtime.engines`,
`runtime.detect.detector_engine`). Nothing in this package imports training, build or client.
"""

from runtime.telemetry import switch_off

switch_off()
