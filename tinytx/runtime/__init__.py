"""Bundle to text. Never imports torch, never imports onnx: it runs on the device."""
