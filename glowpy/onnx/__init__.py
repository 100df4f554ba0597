"""Reads ONNX models into graphs."""
