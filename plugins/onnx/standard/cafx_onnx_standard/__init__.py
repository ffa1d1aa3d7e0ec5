"""ONNX converters of the standard layers."""
