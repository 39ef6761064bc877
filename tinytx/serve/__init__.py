"""Engine to answers over HTTP: many readers, one model. Never imports torch, never imports onnx."""
