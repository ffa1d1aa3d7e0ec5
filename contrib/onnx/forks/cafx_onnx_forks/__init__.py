"""ONNX converters of the layers of forks."""
