"""The network for the browser: onnxruntime-web, the network and the detector, in a folder that is whole."""
