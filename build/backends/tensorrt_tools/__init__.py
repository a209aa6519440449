"""What TensorRT and TensorRT-RTX share: both parse ONNX, build a plan and run it on a GPU."""
