"""The transfer test, sim to hidden sim: a frozen policy file on plants that it never saw.

It needs numpy, onnxruntime and mujoco: ``python -m robopolicy_runtime.transfer policy.onnx``.
"""
