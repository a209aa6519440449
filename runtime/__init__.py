"""What both training and the server do to a picture: decode, detect, align, crop, and back to the photo.

numpy and OpenCV only; OpenVINO is loaded by `runtime.engines.openvino` alone. Nothing here imports
training, build or client.
"""
